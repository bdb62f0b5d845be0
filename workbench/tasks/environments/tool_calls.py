"""The environment `tool_calls`: the calls of tools that an answer makes, compared with those that are expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.records import FeedbackPart, Judgement, Task
from workbench.tasks import paper
from workbench.tasks.blocks import Block, table_block, text_block
from workbench.tasks.environment import Environment, is_list, is_text
from workbench.tasks.fields import AnswerField
from workbench.tasks.reading.calls import Call, Reading
from workbench.tasks.reading.matching import Expected, Tool, fits_type, largest_pairing, named_arguments, pair, types_of
from workbench.tasks.reading.tool_calls import read_calls
from workbench.tasks.sandbox import SandboxResult

MOST_CALLS = 64
LINES_SHOWN = 6  # of differences
_FIELDS = {"name", "arguments", "accepted", "optional"}
_FORM = (
    'Write each call as an object, {"name": ..., "arguments": {...}}, or as the two lines "Action: ..." and '
    '"Action Input: {...}".'
)


class ToolCalls(Environment):
    """Calls in any order, or in the given one; several values accepted, types as the tools' schemas say.

    A task's answer is {"calls": [{"name", "arguments", "accepted"?, "optional"?}], "tools"?, "ordered"?, "grading"?}.
    `accepted` has further right values by argument; `optional` lists arguments that may be left out, or is true of a
    call that may be. `tools` are described as usual: name, description, parameters as JSON Schema. No calls: the
    answer should call nothing. "grading": "paper" judges as the paper's code does.
    """

    name = "tool_calls"
    label = "tool calls"
    needs = (
        'calls: what to call, as {"calls": [{"name": "f", "arguments": {"x": 1}}]}, with the tools\' schemas or without'
    )
    feedback_kinds = ("format", "outcome", "diff", "answer")

    fields = (
        AnswerField(
            "calls",
            "Right calls",
            "table",
            needed=True,
            columns=("tool", "arguments"),
            info='One a row: get_weather and {"city": "Oslo"}.',
        ),
        AnswerField("tools", "Tools", "json", info="Their schemas, as a list in JSON; with them types are compared."),
    )

    def show(self, task: Task) -> Sequence[Block]:
        """Show what is asked, and the tools as a table."""
        question = task.prompt.rpartition("\nQuestion:")[2].strip() if task.answer.get("tools") else ""
        tools = [_tool_row(tool) for tool in task.answer.get("tools", ())]
        table = [table_block("Tools", ("tool", "what it does", "arguments"), tools)] if tools else []
        return [text_block(question or task.prompt), *table]

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Read the arguments of the calls, which are typed as JSON objects."""
        answer = super().filled(values)
        calls = [
            {"name": row["tool"].strip(), "arguments": self.parse_json(row["arguments"].strip() or "{}")}
            for row in answer["calls"]
        ]
        return {**answer, "calls": calls}

    def typed_answer(self, text: str) -> dict[str, Any]:
        """Take the list of calls alone, or the whole answer."""
        typed = self.parse_json(text)
        return (
            typed if isinstance(typed, dict) and "calls" in typed else {"calls": typed if is_list(typed) else [typed]}
        )

    def check(self, task: Task) -> None:
        """Require calls whose fields have the right types, and tools with names."""
        answer = task.answer
        calls, tools = answer.get("calls"), answer.get("tools", ())
        self.require(is_list(calls) and len(answer["calls"]) <= MOST_CALLS and all(map(_is_call, answer["calls"])))
        self.require(is_list(tools) and all(isinstance(tool, Mapping) for tool in tools))
        self.require(isinstance(answer.get("ordered", False), bool))
        for tool in tools:
            Tool(tool)  # raises for one without a name, which the caller reports
        paper.check_grading(answer.get("grading", "sound"))

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Pass where each call meets one that is expected, and none that is needed is missing."""
        calls = task.answer["calls"]
        if paper.is_paper(task.answer):
            feedback = paper.tool_use_feedback(text, calls)
            return self.judgement(not feedback, self._parts(task, answer=feedback))
        tools = {tool.name: tool for tool in map(Tool, task.answer.get("tools", ()))}
        expected = [Expected(call, tools.get(call["name"])) for call in calls]
        reading = read_calls(text, {*tools, *(target.name for target in expected)})
        read_as = "\n".join(call.shown() for call in reading.calls[:MOST_CALLS]) or "no call"
        answer = "Expected: " + ("; ".join(_shown(call) for call in calls) or "no call") + "."
        if reading.problem or (not reading.calls and expected and not reading.empty):
            problem = reading.problem or "No tool call was found."
            parts = self._parts(task, format=f"{problem} {_FORM}", answer=answer)
            return self.judgement(False, parts, read_as=read_as)
        ordered = bool(task.answer.get("ordered"))
        if len(reading.calls) <= MOST_CALLS and pair(expected, reading.calls, ordered=ordered) is not None:
            return self.judgement(True, read_as=read_as)
        parts = self._parts(task, outcome=_outcome(reading), diff=_differences(expected, reading), answer=answer)
        return self.judgement(False, parts, read_as=read_as)

    def _parts(self, task: Task, **texts: str) -> list[FeedbackPart]:
        kinds = self.wanted_feedback(task)
        return [FeedbackPart(kind, text) for kind, text in texts.items() if text and kind in kinds]  # type: ignore[arg-type]


def _tool_row(tool: Mapping[str, Any]) -> tuple[str, str, str]:
    tool = tool["function"] if isinstance(tool.get("function"), Mapping) else tool
    parameters = tool.get("parameters")
    schema = parameters if isinstance(parameters, Mapping) else {}
    required, properties = schema.get("required", ()), schema.get("properties")
    listed = [
        f"{name}{'' if name in required else ' (optional)'}: {' or '.join(sorted(types_of(about)) or ['any'])}"
        for name, about in (properties.items() if isinstance(properties, Mapping) else ())
    ]
    return str(tool.get("name", "")), str(tool.get("description", "")), "\n".join(listed)


def _is_call(call: object) -> bool:
    if not isinstance(call, Mapping) or not is_text(call, "name") or call.keys() - _FIELDS:
        return False
    optional, accepted = call.get("optional", ()), call.get("accepted", {})
    return (
        isinstance(call.get("arguments", {}), Mapping)
        and (optional is True or (is_list(optional) and all(isinstance(name, str) for name in optional)))
        and isinstance(accepted, Mapping)
        and all(is_list(values) for values in accepted.values())
    )


def _outcome(reading: Reading) -> str:
    return "The tool calls are not right." if len(reading.calls) != 1 else "The tool call is not right."


def _differences(expected: Sequence[Expected], reading: Reading) -> str:
    """Name the calls and arguments that differ, without what would be right."""
    calls = reading.calls[:MOST_CALLS]
    fits = [[target.names(call) and target.differing(call) == [] for target in expected] for call in calls]
    pairs = largest_pairing(fits)
    left = [index for index in range(len(expected)) if index not in pairs.values()]
    lines = []
    for number, call in enumerate(calls):
        if number in pairs:
            continue
        near = [index for index in left if expected[index].names(call)]
        if not near:
            known = any(target.names(call) for target in expected)
            extra = "it is called too often" if known else "this tool should not be called here"
            lines.append(f"Call {number + 1}, {call.name}: {extra}.")
            continue
        best = min(near, key=lambda index: len(expected[index].differing(call) or call.positional))
        left.remove(best)
        lines += [f"Call {number + 1}, {call.name}: {line}" for line in _argument_lines(expected[best], call)]
    missing = [index for index in left if not expected[index].may_be_left_out]
    if missing:
        lines.append("A call is missing." if len(missing) == 1 else f"{len(missing)} calls are missing.")
    if not lines:
        lines.append("The calls are right, but not their order.")
    more = len(lines) - LINES_SHOWN
    return "\n".join(lines[:LINES_SHOWN] + ([f"… and {more} more differences."] if more > 0 else []))


def _argument_lines(target: Expected, call: Call) -> list[str]:
    given = named_arguments(call, target.tool)
    differing = target.differing(call)
    if given is None or differing is None:
        return ["its arguments cannot be told apart by name; name them."]
    lines = []
    for name in differing:
        if name not in given:
            lines.append(f"the argument {name!r} is missing.")
        elif name not in target.arguments:
            lines.append(f"the argument {name!r} should not be given.")
        else:
            lines.append(f"the argument {name!r} is not right{_wrong_type(target, name, given[name])}.")
    return lines


def _wrong_type(target: Expected, name: str, value: object) -> str:
    schema = target.tool.schemas.get(name) if target.tool else None
    return "" if fits_type(value, schema) else f"; it must be of the type {' or '.join(sorted(types_of(schema)))}"


def _shown(call: Mapping[str, Any]) -> str:
    return Call(str(call["name"]), call.get("arguments") or {}).shown()
