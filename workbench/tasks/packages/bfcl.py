"""Tool calls from the package `bfcl-eval`, read as data: one call, a choice of tools, several calls, both.

Its rows of several turns are left out: a task has one turn.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks.files.table import Row
from workbench.tasks.judging import check_task
from workbench.tasks.packages.data import field, rows_of

# Name of a part, and of its file.
PARTS: Mapping[str, str] = MappingProxyType(
    {
        "simple": "simple_python",
        "multiple": "multiple",
        "parallel": "parallel",
        "parallel-multiple": "parallel_multiple",
    }
)
MOST_VARIANTS = 256  # of one argument whose fields accept several values each
# Their names of types, and those of JSON Schema.
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "int": "integer", "bool": "boolean", "str": "string"}
_SYSTEM = (
    "You can call these tools, described in JSON:\n\n{tools}\n\nAnswer with the calls that the question needs, as a "
    'JSON list and nothing else: [{{"name": "...", "arguments": {{...}}}}]. Leave out an optional argument whose '
    "default is right."
)


def tasks(pack: str, part: str) -> list[Task]:
    """The tasks of a part, in the order of its file. Raises TaskError."""
    name = f"BFCL_v4_{PARTS[part]}.json"
    answers = {field(row, "id", str): row for row in rows_of("bfcl_eval", "data", "possible_answer", name)}
    return [_task(pack, row, answers) for row in rows_of("bfcl_eval", "data", name)]


def _task(pack: str, row: Row, answers: Mapping[str, Row]) -> Task:
    name = field(row, "id", str)
    if name not in answers:
        raise TaskError(f"{row.where}: there is no answer to {name!r}; install the version of docs/tasks.md.")
    tools = [_tool(tool) for tool in field(row, "function", list)]
    try:
        turns = field(row, "question", list)
        ((message,),) = turns
        calls = [_call(call) for call in field(answers[name], "ground_truth", list)]
        system = _SYSTEM.format(tools=json.dumps(tools, ensure_ascii=False, indent=1))
        answer = {"calls": calls, "tools": tools}
        return check_task(Task(f"{pack}/{name}", message["content"], "tool_calls", answer, system))
    except TaskError as error:
        raise TaskError(f"{row.where}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskError(
            f"{row.where}: it is not as expected ({error}); install the version of docs/tasks.md."
        ) from None


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {**tool, "parameters": _schema(tool["parameters"])}


def _schema(schema: Any) -> Any:
    """The same schema with the names of types that JSON Schema has; "any" is no type."""
    if isinstance(schema, list):
        return [_schema(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    changed: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            if value != "any":
                changed[key] = _TYPES.get(value.lower(), value)
        elif key == "properties" and isinstance(value, Mapping):
            changed[key] = {name: _schema(item) for name, item in value.items()}
        elif key not in ("default", "enum", "description"):
            changed[key] = _schema(value)
        else:
            changed[key] = value
    return changed


def _call(call: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, Any]:
    """A call from {name: {argument: [accepted values]}}; "" among the values: the argument may be left out."""
    ((name, accepted),) = call.items()
    arguments: dict[str, Any] = {}
    others: dict[str, list[Any]] = {}
    optional = []
    for argument, values in accepted.items():
        variants = [variant for value in values if value != "" for variant in _variants(value)]
        if "" in values:
            optional.append(argument)
        if not variants:  # only "": it may be given empty, or left out
            variants = [""]
        arguments[argument], *rest = variants
        if rest:
            others[argument] = rest
    made: dict[str, Any] = {"name": name, "arguments": arguments}
    return made | ({"accepted": others} if others else {}) | ({"optional": optional} if optional else {})


def _variants(value: Any) -> list[Any]:
    """The accepted values that one stands for: the fields of an object have lists of their own."""
    if isinstance(value, list):
        return [list(items) for items in _product([_variants(item) for item in value])]
    if not isinstance(value, Mapping):
        return [value]
    fields: list[list[tuple[str, Any]]] = []
    for key, options in value.items():
        listed = options if isinstance(options, list) else [options]
        known = [(key, variant) for option in listed if option != "" for variant in _variants(option)]
        fields.append([*known, *([("", None)] if "" in listed else [])])  # "": the field may be left out
    return [{key: item for key, item in chosen if key} for chosen in _product(fields)]


def _product(options: list[list[Any]]) -> list[tuple[Any, ...]]:
    return list(itertools.islice(itertools.product(*options), MOST_VARIANTS))
