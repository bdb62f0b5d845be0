"""The graders of the paper (arXiv:2601.20802), reproduced for choice and tool use with their known mistakes.

`docs/graders.md` says in which cases they are wrong, and why. A task asks for them with {"grading": "paper"}.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import TaskError

GRADINGS = ("sound", "paper")
_OPEN, _CLOSE = "<answer>", "</answer>"
_ACTION = re.compile(r"Action:\s*(\w+)")
_INPUT = re.compile(r"Action Input:\s*\{")


def is_paper(answer: Mapping[str, Any]) -> bool:
    """True where a task's answer asks for the paper's grader."""
    return answer.get("grading") == "paper"


def check_grading(grading: object) -> str:
    """Return a grading by its name. Raises TaskError for an unknown one."""
    if grading not in GRADINGS:
        raise TaskError(f"There is no grading {grading!r}; choose one of {', '.join(GRADINGS)}.")
    return str(grading)


def read_choice(text: str) -> str:
    """Read the choice: what stands between the last opening answer tag and the next closing one, or else all."""
    return text.rpartition(_OPEN)[2].partition(_CLOSE)[0].strip()


def tool_use_feedback(text: str, calls: Sequence[Mapping[str, Any]]) -> str:
    """Compare an answer with the expected calls: "" where they agree, else the feedback, which discloses them all."""
    names, expected_names = _ACTION.findall(text), [str(call["name"]) for call in calls]
    inputs, expected = _merged_inputs(text), _merged(calls)
    lines = []
    if Counter(names) != Counter(expected_names):
        lines.append(f"Actions mismatch: predicted {names}, expected {expected_names}")
    if inputs != expected:  # Python's equality: 1 is 1.0 and True
        lines.append(f"Action inputs mismatch: predicted {inputs}, expected {expected}")
    return "; ".join(lines)


def _merged_inputs(text: str) -> dict[str, Any]:
    """Merge the objects after each label, cut at the first closing brace; what is then no JSON is left out."""
    merged: dict[str, Any] = {}
    label = _INPUT.search(text)
    while label and (end := text.find("}", label.end())) >= 0:
        with contextlib.suppress(ValueError, RecursionError):
            merged.update(json.loads(text[label.end() - 1 : end + 1]))
        label = _INPUT.search(text, end + 1)
    return merged


def _merged(calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for call in calls:
        merged.update(_plain(call.get("arguments") or {}))
    return merged


def _plain(value: Any) -> Any:
    """Copy a value as JSON has it; a stored task has tuples for its lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
