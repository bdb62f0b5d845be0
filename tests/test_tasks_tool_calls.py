"""Tool calls: every usual form is read, values are compared by type, and nothing discloses what would be right."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from workbench.errors import TaskError
from workbench.records import Task, task_from_json, to_json
from workbench.tasks import check_task, find_environment, judge
from workbench.tasks.reading.tool_calls import read_calls

ARGUMENTS = {"n": 2, "text": 'a {b} "c" [d', "on": True, "where": {"in": [1, None]}}
JSON = json.dumps(ARGUMENTS)
CALL = json.dumps({"name": "find", "arguments": ARGUMENTS})
KEYWORDS = ", ".join(f"{key}={value!r}" for key, value in ARGUMENTS.items())

TEXTS = {"n": "2", "text": ARGUMENTS["text"], "on": "true", "where": '{"in": [1, null]}'}
NAMED_PARAMETERS = "".join(f'<parameter name="{key}">{value}</parameter>\n' for key, value in TEXTS.items())


def tool_task(*calls: dict[str, Any], **answer: Any) -> Task:
    return Task("pack/task", "Find it.", "tool_calls", {"calls": list(calls), **answer})


FIND = tool_task({"name": "find", "arguments": ARGUMENTS})

FORMS = {
    "labels": f"Thought: look\nAction: find\nAction Input: {JSON}",
    "labels of any case": f"THOUGHT: look\naction: find\naction input: {JSON}\nObservation: found",
    "labels in bold": f"**Action:** `find`\n**Action Input:** {JSON}",
    "labels in a list": f"1. Thought: look\n2. Action: find\n3. Action Input: {JSON}",
    "name and input on lines of their own": f"Action:\nfind\nAction Input:\n{json.dumps(ARGUMENTS, indent=2)}",
    "both labels on one line": f"Action: find Action Input: {JSON}",
    "a label at the end of a thought": f"Thought: I look for it. Action: find\nAction Input: {JSON}",
    "an explanation behind the name": f"Action: find (the only tool)\nAction Input: {JSON}",
    "fenced input": f"Action: find\nAction Input:\n```json\n{JSON}\n```",
    "input in back-ticks": f"Action: find\nAction Input: `{JSON}`",
    "input as Python writes it": f"Action: find\nAction Input: {ARGUMENTS}",
    "input encoded twice": f"Action: find\nAction Input: {json.dumps(JSON)}",
    "action with its input": f"Action: find({KEYWORDS})",
    "action as JSON": f"Action:\n```json\n{json.dumps({'action': 'find', 'action_input': ARGUMENTS})}\n```",
    "another call mentioned in the thought": f"Thought: not Action: other, but\nAction: find\nAction Input: {JSON}",
    "after the form, repeated": "Action: the action to take, one of the tools\nAction Input: its input, as JSON\n"
    f"Action: find\nAction Input: {JSON}",
    "object": CALL,
    "list": f"[{CALL}]",
    "fenced list": f"I call it.\n```json\n[{CALL}]\n```\nDone.",
    "object in prose": f"I call {CALL} now (it has {{braces}}).",
    "one line of many": f"{json.dumps({'name': 'find', 'arguments': ARGUMENTS}, indent=4)}",
    "parameters": json.dumps({"name": "find", "parameters": ARGUMENTS}),
    "function and parameters": json.dumps({"function": "find", "parameters": ARGUMENTS}),
    "tool and args": json.dumps({"tool": "find", "args": ARGUMENTS}),
    "by the tool's name": json.dumps({"find": ARGUMENTS}),
    "within a thought as JSON": json.dumps({"thought": "look", "action": {"name": "find", "arguments": ARGUMENTS}}),
    "OpenAI message": json.dumps(
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "find", "arguments": JSON}}]}
    ),
    "OpenAI call": json.dumps([{"type": "function", "function": {"name": "functions.find", "arguments": JSON}}]),
    "former OpenAI call": json.dumps({"function_call": {"name": "find", "arguments": JSON}}),
    "Python's dict": repr({"name": "find", "arguments": ARGUMENTS}),
    "a comma too many": CALL[:-1] + ",}",
    "words of both languages": "{'name': 'find', 'arguments': {'n': 2, 'text': 'a {b} \"c\" [d', 'on': true, "
    "'where': {'in': [1, None]}}}",
    "Hermes": f"<tool_call>\n{CALL}\n</tool_call>",
    "Hermes, cut before its end": f"Sure.\n<tool_call>\n{CALL}",
    "Qwen Coder": "<tool_call>\n<function=find>\n<parameter=n>\n2\n</parameter>\n<parameter=text>\n"
    f"{ARGUMENTS['text']}\n</parameter>\n<parameter=on>\ntrue\n</parameter>\n<parameter=where>\n"
    '{"in": [1, null]}\n</parameter>\n</function>\n</tool_call>',
    "Llama's function tag": f"<function=find>{JSON}</function>",
    "Llama's Python tag, JSON": f"<|python_tag|>{json.dumps({'name': 'find', 'parameters': ARGUMENTS})}<|eom_id|>",
    "Llama's Python tag, Python": f"<|python_tag|>find({KEYWORDS})",
    "Mistral": f"[TOOL_CALLS][{CALL}]</s>",
    "Mistral with a blank": f"[TOOL_CALLS] [{CALL}]",
    "newer Mistral": f"[TOOL_CALLS]find[ARGS]{JSON}",
    "gpt-oss": f"<|channel|>commentary to=functions.find <|constrain|>json<|message|>{JSON}<|call|>",
    "gpt-oss, the tool before the channel": "<|start|>assistant to=functions.find<|channel|>commentary json<|message|>"
    f"{JSON}<|call|>",
    "gpt-oss, its first mark in the prompt": f" to=functions.find<|channel|>commentary json<|message|>{JSON}<|call|>",
    "gpt-oss without its special tokens": f"commentary to=functions.find json{JSON}",
    "MiniMax": f'<minimax:tool_call>\n<invoke name="find">\n{NAMED_PARAMETERS}</invoke>\n</minimax:tool_call>',
    "function calls with names": f'<function_calls>\n<invoke name="find">\n{NAMED_PARAMETERS}</invoke>',
    "newest DeepSeek": f'<｜DSML｜invoke name="find">\n{NAMED_PARAMETERS}</｜DSML｜invoke>'.replace(
        "parameter", "｜DSML｜parameter"
    ),
    "GLM": "<tool_call>find\n"
    + "".join(f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n" for key, value in TEXTS.items())
    + "</tool_call>",
    "Kimi": f"<|tool_call_begin|>functions.find:0<|tool_call_argument_begin|>{JSON}<|tool_call_end|>",
    "DeepSeek 3.1": f"<｜tool▁call▁begin｜>find<｜tool▁sep｜>{JSON}<｜tool▁call▁end｜>",
    "Gemma": '<start_function_call>call:find{n:2,text:<escape>a {b} "c" [d<escape>,on:true,where:{in:[1,null]}}'
    "<end_function_call>",
    "newer Gemma": '<|tool_call>call:find{n:2,text:<|"|>a {b} "c" [d<|"|>,on:true,where:{in:[1,null]}}<tool_call|>',
    "Gemma's Python": f"```tool_code\nprint(find({KEYWORDS}))\n```",
    "Llama's own tools": f"<|python_tag|>find.call({KEYWORDS})",
    "name and arguments as tags": f"<tool_call>\n<name>find</name>\n<arguments>{JSON}</arguments>\n</tool_call>",
    "first Qwen": f"✿FUNCTION✿: find\n✿ARGS✿: {JSON}",
    "DeepSeek": f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>find\n```json\n{JSON}\n```<｜tool▁call▁end｜>",
    "list as Python writes it": f"[find({KEYWORDS})]",
    "call as Python writes it": f"find({KEYWORDS})",
    "fenced Python": f"```python\nfind(\n    {KEYWORDS},\n)\n```",
    "Python with a name for the result": f"result = find({KEYWORDS})\nprint(result)",
    "Python that awaits": f"```python\nresult = await find({KEYWORDS})\n```",
    "Python in prose": f"I call [find({KEYWORDS})] now.",
    "Python's call of an object": f"find({ARGUMENTS})",
    "a call mentioned in a thought, then JSON": f'Thought: or {{"name": "other", "arguments": {{}}}}?\n{CALL}',
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_right_call_passes_in_every_form_and_a_wrong_one_in_none(text: str) -> None:
    judged = judge(FIND, text)
    assert judged.passed, judged
    assert (
        judged.details["read_as"].startswith(("find(n=", "functions.find(n=")) and "\n" not in judged.details["read_as"]
    )
    other = tool_task({"name": "find", "arguments": {**ARGUMENTS, "n": 3}})
    judged = judge(other, text)
    assert not judged.passed and "the argument 'n' is not right" in judged.feedback
    assert not judge(tool_task({"name": "look", "arguments": ARGUMENTS}), text).passed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would call find.",
        "Thought: Action: find",
        f"Thought: maybe {CALL}",
        f"Action: find\nAction Input: {{{JSON}",
        "Action: find\nAction Input: n=2",
        f"[{CALL}, {{'name': 'find', 'argum",
        f"{CALL}\n{{'name': 'find', 'arguments': {{oops}}}}",
        f"<tool_call>{CALL[:-3]}",
        "<tool_call>I will find it.</tool_call>",
        f"[find({KEYWORDS}, more=open('x'))]",
        f"[find({KEYWORDS}), find(**x)]",
        json.dumps({"name": "find", "description": "Finds.", "parameters": {"type": "object", "properties": {}}}),
        '{"name": "find", "arguments": {"n": ' + "9" * 5000 + "}}",
        '{"name": "find", "arguments": {"n": NaN}}',
        '{"name": "find", "arguments": ' + "[" * 100_000,
    ],
)
def test_what_cannot_be_read_says_what_form_is_needed(text: str) -> None:
    judged = judge(FIND, text)
    assert not judged.passed
    assert [part.kind for part in judged.parts] == ["format", "answer"]
    assert "Write each call as an object" in judged.parts[0].text


def test_nothing_in_a_call_is_evaluated(capfd: pytest.CaptureFixture[str]) -> None:
    for source in ("__import__('os').system('echo ran')", "print('ran')", "(lambda: print('ran'))()", "2 ** 9999999"):
        for text in (f"[find(n={source})]", f"find({source})", f"<|python_tag|>find(n={source})", f"{{'n': {source}}}"):
            assert not judge(FIND, text).passed
            assert not judge(FIND, f"Action: find\nAction Input: {text}").passed
    assert "ran\n" not in capfd.readouterr().out


TYPED = {
    "name": "set",
    "parameters": {
        "type": "object",
        "properties": {
            "whole": {"type": "integer"},
            "share": {"type": "float"},
            "word": {"type": "string"},
            "flag": {"type": "boolean"},
            "either": {"type": ["string", "integer"]},
            "any_of": {"anyOf": [{"type": "string"}, {"type": "number"}]},
            "list": {"type": "array", "items": {"type": "string"}},
            "unit": {"type": "string", "default": "km"},
        },
    },
}


@pytest.mark.parametrize(
    ("name", "expected", "given", "same"),
    [
        ("whole", 1, 1.0, True),
        ("whole", 1, True, False),
        ("whole", 1, "1", False),
        ("whole", "1", 1, True),  # the row has the wrong type, the answer the right one
        ("whole", "1", "1", True),
        ("whole", 10**18, 10**18 + 1, False),
        ("share", 2, 2.0, True),
        ("share", 0.1, "0.1", False),
        ("word", "1", 1, False),
        ("word", 1, "1", True),
        ("word", "a", "A", False),
        ("flag", True, 1, False),
        ("flag", True, "true", False),
        ("flag", "true", True, True),
        ("either", "1", 1, True),
        ("either", 1, "1", True),
        ("either", 1, "01", False),
        ("any_of", "1.5", 1.5, True),
        ("list", ["a", "b"], ["a", "b"], True),
        ("list", ["a", "b"], ["b", "a"], False),
        ("list", ["1"], [1], False),
        ("unknown", 1, 1.0, True),
        ("unknown", 1, True, False),
        ("unknown", 1, "1", False),
        ("unknown", None, "", False),
        ("unknown", {"a": [1]}, {"a": [True]}, False),
        ("unknown", {"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ("unknown", {"a": 1}, {"a": 1, "b": 2}, False),
    ],
)
@pytest.mark.parametrize("stored", [False, True], ids=["made", "stored"])
def test_values_are_compared_by_type(name: str, expected: object, given: object, same: bool, stored: bool) -> None:
    task = tool_task({"name": "set", "arguments": {name: expected}}, tools=[TYPED])
    task = task_from_json(json.loads(json.dumps(to_json(task)))) if stored else task
    judged = judge(task, json.dumps({"name": "set", "arguments": {name: given}}))
    assert judged.passed is same
    assert same or f"'{name}' is not right" in judged.feedback


def test_a_value_of_the_wrong_type_is_told_the_right_one() -> None:
    task = tool_task({"name": "set", "arguments": {"whole": 1}}, tools=[{"type": "function", "function": TYPED}])
    judged = judge(task, '{"name": "set", "arguments": {"whole": "1"}}')
    assert "the argument 'whole' is not right; it must be of the type integer." in judged.feedback


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        ({"city": "New York"}, True),
        ({"city": "NYC"}, True),
        ({"city": "NYC", "days": 3}, True),
        ({"city": "NYC", "days": 4}, False),
        ({"city": "NYC", "unit": "km"}, True),  # the tool's default, said aloud
        ({"city": "NYC", "unit": "mi"}, False),
        ({"city": "Boston"}, False),
        ({"days": 3}, False),
        ({}, False),
    ],
)
def test_several_values_are_accepted_and_arguments_may_be_left_out(arguments: dict[str, Any], passed: bool) -> None:
    call = {
        "name": "set",
        "arguments": {"city": "New York", "days": 3},
        "accepted": {"city": ["NYC"]},
        "optional": ["days"],
    }
    assert judge(tool_task(call, tools=[TYPED]), json.dumps([{"name": "set", "arguments": arguments}])).passed is passed


def calls(*named: tuple[str, dict[str, Any]]) -> str:
    return json.dumps([{"name": name, "arguments": arguments} for name, arguments in named])


def test_calls_match_in_any_order_and_each_only_once() -> None:
    one, two, three = ("f", {"x": 1}), ("f", {"x": 2}), ("g", {})
    task = tool_task(*({"name": name, "arguments": arguments} for name, arguments in (one, two, three)))
    for text in (calls(one, two, three), calls(three, two, one), calls(two, three, one)):
        assert judge(task, text).passed
    for text in (calls(one, one, three), calls(one, two), calls(one, two, three, three), calls(one, three, two, one)):
        assert not judge(task, text).passed
    ordered = tool_task(*task.answer["calls"], ordered=True)
    assert judge(ordered, calls(one, two, three)).passed
    assert "not their order" in judge(ordered, calls(two, one, three)).feedback
    # All arguments given to the last call are not the same calls.
    assert not judge(task, calls(("f", {}), ("f", {"x": 2}), ("g", {"x": 1}))).passed


def test_a_call_takes_the_place_that_no_other_can_take() -> None:
    broad = {"name": "f", "arguments": {"x": 1}, "accepted": {"x": [2, 3]}}
    narrow = {"name": "f", "arguments": {"x": 1}}
    for pair in ((broad, narrow), (narrow, broad)):
        task = tool_task(*pair)
        assert judge(task, calls(("f", {"x": 1}), ("f", {"x": 3}))).passed
        assert judge(task, calls(("f", {"x": 2}), ("f", {"x": 1}))).passed
        assert not judge(task, calls(("f", {"x": 2}), ("f", {"x": 3}))).passed


@pytest.mark.parametrize("ordered", [False, True])
def test_a_call_may_be_left_out_where_the_task_says_so(ordered: bool) -> None:
    task = tool_task({"name": "f"}, {"name": "g", "optional": True}, {"name": "h"}, ordered=ordered)
    f, g, h = ("f", {}), ("g", {}), ("h", {})
    assert judge(task, calls(f, g, h)).passed and judge(task, calls(f, h)).passed
    assert not judge(task, calls(f, g)).passed and not judge(task, calls(f, g, g, h)).passed
    assert judge(task, calls(h, f)).passed is not ordered


def test_arguments_without_names_get_those_of_the_tool() -> None:
    task = tool_task({"name": "set", "arguments": {"whole": 1, "share": 0.5}}, tools=[TYPED])
    assert judge(task, "[set(1, 0.5)]").passed and judge(task, "set(1, share=0.5)").passed
    judged = judge(tool_task({"name": "f", "arguments": {"x": 1}}), "[f(1)]")
    assert not judged.passed and "name them" in judged.feedback


@pytest.mark.parametrize("text", ["The sky is blue; no tool is needed.", "[]", "```json\n[]\n```", "Action: None", ""])
def test_no_call_is_right_where_none_is_expected(text: str) -> None:
    assert judge(tool_task(), text).passed
    assert not judge(tool_task({"name": "f"}), text).passed
    assert not judge(tool_task(), f"{text}\n{CALL}").passed


def test_a_tool_that_takes_nothing_is_called_by_its_name() -> None:
    for text in (
        "Action: f",
        "Action: f\nAction Input:",
        "Action: f\nAction Input: {}",
        "Action: f()",
        "f()",
        '{"f": {}}',
    ):
        assert judge(tool_task({"name": "f"}), text).passed, text
    assert not judge(tool_task({"name": "f"}), "Action: f\nwould be the right one").passed


def test_an_argument_may_have_the_name_of_a_keyword() -> None:
    task = tool_task({"name": "f", "arguments": {"from": "a = b, from=c", "in": [1]}})
    for text in ("[f(from='a = b, from=c', in=[1])]", "f(\n  from = 'a = b, from=c',\n  in=[1],\n)"):
        assert judge(task, text).passed
        assert not judge(task, text.replace("[1]", "[2]")).passed
    assert not judge(task, "[f(from='a = b, from=c', in=lambda: 1)]").passed


def test_several_actions_are_several_calls() -> None:
    task = tool_task({"name": "f", "arguments": {"x": 1}}, {"name": "f", "arguments": {"x": 2}})
    one, two = (f'Thought: it\nAction: f\nAction Input: {{"x": {x}}}\n' for x in (1, 2))
    assert judge(task, one + two).passed and judge(task, two + one).passed
    assert judge(task, f"{one}Observation: Action: f is done\n{two}Final Answer: done").passed
    assert not judge(task, one + one).passed and not judge(task, one).passed
    hermes = "".join(f'<tool_call>{{"name": "f", "arguments": {{"x": {x}}}}}</tool_call>\n' for x in (1, 2))
    mistral = "".join(f'[TOOL_CALLS]f[ARGS]{{"x": {x}}}' for x in (2, 1))
    python = "f(x=2)\nf(x=1)"
    lines = '{"name": "f", "arguments": {"x": 1}}\n{"name": "f", "arguments": {"x": 2}}'
    for text in (hermes, mistral, python, f"<|python_tag|>{python}", lines, "[f(x=1), f(x=2)]"):
        assert judge(task, text).passed, text
    draft = "First: [f(x=1)]\n\n[f(x=1), f(x=2)]"
    assert judge(task, draft).passed  # of several lists, the last


def test_feedback_names_call_and_argument_and_only_the_answer_discloses() -> None:
    task = tool_task(
        {"name": "getSecret", "arguments": {"code": "swordfish", "n": 7}}, {"name": "hidden", "arguments": {}}
    )
    judged = judge(task, calls(("getSecret", {"code": "trout", "m": 1}), ("getSecret", {}), ("other", {})))
    texts = {part.kind: part.text for part in judged.parts}
    assert list(texts) == ["outcome", "diff", "answer"]
    assert "Call 1, getSecret: the argument 'code' is not right." in texts["diff"]
    assert "Call 1, getSecret: the argument 'n' is missing." in texts["diff"]
    assert "Call 1, getSecret: the argument 'm' should not be given." in texts["diff"]
    assert "Call 2, getSecret: it is called too often." in texts["diff"]
    assert (
        "Call 3, other: this tool should not be called here." in texts["diff"] and "A call is missing." in texts["diff"]
    )
    for kind in ("outcome", "diff"):
        assert not any(secret in texts[kind] for secret in ("swordfish", "7", "hidden"))
    assert "swordfish" in texts["answer"] and "hidden()" in texts["answer"]
    environment = find_environment("tool_calls")
    assert set(environment.feedback_kinds) == {"format", "outcome", "diff", "answer"}
    only = judge(environment.with_feedback(task, "diff"), calls(("other", {})))
    assert [part.kind for part in only.parts] == ["diff"]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"calls": {"name": "f"}},
        {"calls": [{"arguments": {}}]},
        {"calls": [{"name": "f", "arguments": [1]}]},
        {"calls": [{"name": "f", "accepted": {"x": 1}}]},
        {"calls": [{"name": "f", "optional": "x"}]},
        {"calls": [{"name": "f", "argument": {}}]},
        {"calls": [{"name": "f"}] * 65},
        {"calls": [], "tools": [{"description": "nameless"}]},
        {"calls": [], "ordered": "yes"},
        {"calls": [], "grading": "kind"},
    ],
)
def test_a_task_that_cannot_be_judged_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match=r"tool_calls|There is no grading"):
        check_task(Task("pack/task", "Q", "tool_calls", answer))


def test_a_typed_answer_is_a_list_of_calls_or_one() -> None:
    typed = find_environment("tool_calls").typed_answer
    assert typed('{"name": "f"}') == typed('[{"name": "f"}]') == typed('{"calls": [{"name": "f"}]}')


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"name":' * 40_000,
        "Action: " * 40_000,
        "Action: f\n" * 20_000,
        "Action Input: {" * 20_000,
        "<tool_call>" * 20_000,
        "[TOOL_CALLS]" * 20_000,
        "f(" * 60_000,
        "[f(" * 60_000,
        "*" * 200_000,
        " \n" * 100_000 + "Action",
        "-" * 200_000,
        "(" * 15_000 + ")" * 15_000,
    ],
)
def test_no_text_takes_long_to_read(text: str) -> None:
    started = time.process_time()
    read_calls(text, {"f"})
    assert time.process_time() - started < 3
