"""The environment `regex`: a pattern that the answer must match somewhere, tried in the sandbox."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from types import MappingProxyType

from workbench.errors import TaskError
from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks.environment import Environment, Program, is_list
from workbench.tasks.reading.text import brief
from workbench.tasks.sandbox import SandboxResult

_MATCHER = """import re
def find(pattern, flags, text):
    match = re.search(pattern, text, flags)
    return None if match is None else match.group()[:200]
"""
_LONGEST = 10_000  # characters of a pattern
_FLAGS: Mapping[str, re.RegexFlag] = MappingProxyType(
    {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "a": re.ASCII}
)


class RegularExpression(Environment):
    """A pattern of Python's `re`; one that would take forever is stopped by the sandbox."""

    name = "regex"
    label = "regular expression"
    needs = (
        'pattern: a regular expression, as {"pattern": ...}; optional: flags, letters of i, m, s, x and a, as '
        '{"flags": "is"}, and {"reasoning": true}, where the reasoning must match too'
    )
    answer_field = "pattern"

    def check(self, task: Task) -> None:
        """Require a pattern that can be compiled. Compiling is safe here; only searching can take forever."""
        super().check(task)
        pattern = task.answer["pattern"]
        self.require(len(pattern) <= _LONGEST and isinstance(task.answer.get("reasoning", False), bool))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of patterns that a later Python may read otherwise
                re.compile(pattern, _flags(task))
        except (re.error, ValueError, OverflowError, RecursionError) as error:
            raise TaskError(f"The pattern {brief(pattern)!r} cannot be used ({error}); correct it.") from None

    def reads_reasoning(self, task: Task) -> bool:
        """True where the pattern is about the whole text, such as one for the form of the reasoning."""
        return bool(task.answer.get("reasoning")) or super().reads_reasoning(task)

    def program(self, task: Task, text: str) -> Program:
        """Give code that searches for the pattern; the attempt's text is only an argument."""
        return _MATCHER, [{"function": "find", "args": [task.answer["pattern"], int(_flags(task)), text]}]

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass where the pattern matches. Where it could not be tried, nobody is told so as feedback."""
        assert result is not None
        if result.error is not None:
            problem = f"The pattern could not be tried: {result.error}"
            return self.judgement(False, problem=problem, tier=result.tier)
        matched = result.outputs[0]
        feedback = [
            FeedbackPart("outcome", "The answer does not match the expected pattern."),
            FeedbackPart("answer", f"The answer should match {task.answer['pattern']!r}."),
        ]
        read_as = brief(matched if isinstance(matched, str) else text)
        return self.judgement(isinstance(matched, str), feedback, tier=result.tier, read_as=read_as)


def _flags(task: Task) -> re.RegexFlag:
    """Flags of a task: letters, or Python's names in a list. Raises TaskError for an unknown one."""
    given = task.answer.get("flags", "")
    flags = re.RegexFlag(0)
    for name in given if isinstance(given, str) or is_list(given) else [given]:
        flag = _FLAGS.get(name) if isinstance(name, str) else None
        flag = flag or next((known for known in _FLAGS.values() if known.name == name), None)
        if flag is None:
            raise TaskError(f"There is no flag {name!r} of a pattern; use letters of {', '.join(_FLAGS)}.")
        flags |= flag
    return flags
