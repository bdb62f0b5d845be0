"""Recognising rows of the published formats, and turning each into a row of the workbench's own format."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from workbench.errors import TaskError
from workbench.tasks.paper import check_grading
from workbench.tasks.published.code import code_row, is_code
from workbench.tasks.published.tool_docs import described_tools

# A line of the prompt that offers an option: "A: ...", after the question.
_OPTION = re.compile(r"^([A-J])\s?[:.)] ?\S", re.MULTILINE)
_OPTIONAL_CALL = re.compile(r"^\s*\[optional\]\s*", re.IGNORECASE)


def is_published(row: object) -> bool:
    """True for a row of one of these formats; rows of the workbench's own name their environment."""
    if not isinstance(row, Mapping) or row.get("environment") is not None:
        return False
    return row.get("kind") in ("mcq", "tooluse") or is_code(row)


def graded_row(row: Any, grading: str) -> Any:
    """Turn a row into one of the workbench's own format, whose answer says how it is graded.

    A row that is in it already, or is no row, stays as it is. Raises TaskError as `own_row`, and where such a row is
    to be graded as in the paper.
    """
    if is_published(row):
        return own_row(row, grading)
    if check_grading(grading) != "sound":
        raise TaskError(
            "it is in no published format, so that the paper has no grader for it; load it without a grading, or add "
            '"grading": "paper" to its answer where its environment has one.'
        )
    return row


def own_row(row: Mapping[str, Any], grading: str = "sound") -> dict[str, Any]:
    """Turn a published row into {"prompt", "environment", "answer", "name", "system"}.

    `grading`: "sound", or "paper" for the paper's own graders, wrong verdicts included. The name is the row's `idx`.
    Raises TaskError, naming the field, for a row that cannot be judged, and for an unknown grading.
    """
    check_grading(grading)
    makers = {"mcq": _choice_row, "tooluse": _tool_row}
    task_row = makers.get(str(row.get("kind")), code_row)(row, grading)
    if not isinstance(task_row["prompt"], str):
        raise TaskError("the field 'prompt' is missing or is not text.")
    system, index = row.get("system"), row.get("idx")
    if not isinstance(system, str | None):
        raise TaskError("the field 'system' is not text.")
    if isinstance(index, bool) or not isinstance(index, int | str | None):
        raise TaskError("the field 'idx' is neither a number nor text.")
    name = task_row.get("name") if index is None else str(index)
    paper = {"grading": "paper"} if grading == "paper" else {}
    return {**task_row, "answer": {**task_row["answer"], **paper}, "name": name, "system": system or None}


def _choice_row(row: Mapping[str, Any], grading: str) -> dict[str, Any]:
    prompt, letter = row.get("prompt"), row.get("answer")
    if not isinstance(letter, str) or not re.fullmatch("[A-J]", letter.strip()):
        raise TaskError("the field 'answer' is not one letter from A to J.")
    options = option_letters(prompt) if isinstance(prompt, str) else ""
    if options and letter.strip() not in options:
        raise TaskError(f"the field 'answer' is {letter.strip()}, but the prompt has the options {', '.join(options)}.")
    return {"prompt": prompt, "environment": "choice", "answer": {"choice": letter.strip()}}


def option_letters(prompt: str) -> str:
    """Letters of the options that a prompt offers, "ABCD" or fewer: the last run of lines from A on."""
    letters = ""
    for letter in _OPTION.findall(prompt):
        if letter == "A":
            letters = "A"
        elif letters and ord(letter) == ord(letters[-1]) + 1:
            letters += letter
    return letters if len(letters) > 1 else ""


def _tool_row(row: Mapping[str, Any], grading: str) -> dict[str, Any]:
    prompt = row.get("prompt")
    listed = _json(row.get("answer"))
    if not isinstance(listed, list) or not all(isinstance(call, Mapping) for call in listed):
        raise TaskError("the field 'answer' is not JSON text of a list of calls.")
    tools = described_tools(prompt) if isinstance(prompt, str) else []
    required = {tool["name"]: tool["parameters"]["required"] for tool in tools}
    calls = [_call(call, number, grading, required) for number, call in enumerate(listed, start=1)]
    answer: dict[str, Any] = {"calls": calls} | ({"tools": tools} if tools else {})
    return {"prompt": prompt, "environment": "tool_calls", "answer": answer}


def _call(call: Mapping[str, Any], number: int, grading: str, required: Mapping[str, Any]) -> dict[str, Any]:
    name, arguments = call.get("Action"), _json(call.get("Action_Input"))
    if not isinstance(name, str) or not name.strip():
        raise TaskError(f"the field 'answer' has no 'Action' in call {number}.")
    if grading == "paper":  # which takes what it cannot read for no arguments
        return {"name": name, "arguments": arguments if isinstance(arguments, dict) else {}}
    if arguments is None or arguments == "":
        arguments = {}
    if not isinstance(arguments, dict):
        raise TaskError(
            f"the field 'answer' has an 'Action_Input' in call {number} that is not JSON text of an object."
        )
    optional_call = _OPTIONAL_CALL.match(name)
    tool = name[optional_call.end() :].strip() if optional_call else name.strip()
    # An empty text stands for an argument that the question leaves open.
    open_ones = [key for key, value in arguments.items() if value == "" and key not in required.get(tool, ())]
    expected: dict[str, Any] = {"name": tool, "arguments": arguments}
    if optional_call:
        return expected | {"optional": True}
    return expected | ({"optional": open_ones} if open_ones else {})


def _json(value: object) -> object:
    """Decode a field that holds JSON as text; anything else as it is, and text that is no JSON as nothing known."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return ""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return _UNREADABLE


_UNREADABLE = object()
