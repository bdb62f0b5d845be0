"""The environment `regex`: a pattern that the answer must match somewhere, tried in the sandbox."""

from __future__ import annotations

from workbench.records import Judgement, Task
from workbench.tasks.environment import Environment, Program
from workbench.tasks.sandbox import SandboxResult

_MATCHER = "import re\ndef matches(pattern, text):\n    return re.search(pattern, text) is not None\n"


class RegularExpression(Environment):
    """A pattern of Python's `re`; one that would take forever is stopped by the sandbox."""

    name = "regex"
    label = "regular expression"
    needs = 'pattern: a regular expression, as {"pattern": ...}'
    answer_field = "pattern"

    def program(self, task: Task, text: str) -> Program:
        """Give code that searches for the pattern; the attempt's text is only an argument."""
        return _MATCHER, [{"function": "matches", "args": [task.answer["pattern"], text]}]

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass where the pattern matches."""
        assert result is not None
        if result.error is not None:
            return self.judgement(False, f"The pattern could not be tried: {result.error}", tier=result.tier)
        feedback = f"The answer does not match {task.answer['pattern']!r}."
        return self.judgement(result.outputs[0] is True, feedback, tier=result.tier)
