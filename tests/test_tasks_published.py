"""Published rows become tasks without a mapping; private tests are plain data, and nothing in a row is run."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
from published_rows import CALLS, CHOICE, FUNCTION, PAPERS_PROBLEM, PROBLEM, STDIN_TESTS, TOOL_PROMPT, TOOLS, packed

from workbench import Workbench
from workbench.errors import TaskError
from workbench.tasks import check_task, dump_pack, find_pack, judge, load_pack, pack_names, parse_pack
from workbench.tasks.published import private_tests
from workbench.tasks.published.tool_docs import described_tools


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_rows_of_every_format_become_tasks_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = (CHOICE, TOOLS, PROBLEM, FUNCTION, PAPERS_PROBLEM)
    tasks = load_pack(write(tmp_path / "mixed.jsonl", *rows))
    assert [task.id for task in tasks] == [f"mixed/{name}" for name in ("7", "4046", "abc_a", "3654", "3")]
    assert [task.environment for task in tasks] == ["choice", "tool_calls", "python", "python", "python"]
    assert tasks[0].prompt == CHOICE["prompt"] and tasks[0].system == CHOICE["system"]
    assert tasks[1].prompt == TOOL_PROMPT and tasks[1].system is None
    assert parse_pack("mixed.jsonl", dump_pack(tasks)) == tasks  # what is exported is of the workbench's own format


def test_lines_in_a_json_file_are_read_as_the_paper_names_its_files(tmp_path: Path) -> None:
    assert [task.id for task in load_pack(write(tmp_path / "test.json", CHOICE, TOOLS))] == ["test/7", "test/4046"]
    (tmp_path / "one.json").write_text(json.dumps(CHOICE, indent=1))
    assert [task.id for task in load_pack(str(tmp_path / "one.json"))] == ["one/7"]
    (tmp_path / "bad.json").write_text(f"{json.dumps(CHOICE)}\noops\n")
    with pytest.raises(TaskError, match=r"bad.json.*2"):
        load_pack(str(tmp_path / "bad.json"))


def test_a_choice_is_judged_among_the_options_of_its_prompt() -> None:
    (task,) = parse_pack("x.jsonl", json.dumps(CHOICE))
    assert task.answer == {"choice": "B"} and judge(task, "<answer>\nB\n</answer>").passed
    with pytest.raises(TaskError, match="row 1: the field 'answer' is C, but the prompt has the options A, B"):
        parse_pack("x.jsonl", json.dumps({**CHOICE, "answer": "C"}))
    free = {**CHOICE, "answer": "C", "prompt": "Choose."}
    assert parse_pack("x.jsonl", json.dumps(free))[0].answer == {"choice": "C"}


def test_tools_are_read_from_the_documentation_in_a_prompt() -> None:
    find, tag, listing = described_tools(TOOL_PROMPT)
    assert (find["name"], find["description"], find["parameters"]["required"]) == ("find", "Find a place.", ["name"])
    types = {name: schema.get("type") for name, schema in find["parameters"]["properties"].items()}
    assert types == {"name": "string", "limit": "integer", "near": "object"}
    properties = tag["parameters"]["properties"]
    assert properties["tags"] == {
        "description": "Array[string]. The tags.",
        "type": "array",
        "items": {"type": "string"},
    }
    assert properties["id"]["type"] == ["string", "integer"] and "type" not in properties["odd"]
    assert listing["parameters"]["properties"] == {}
    assert described_tools("No tools.\nParameters: {broken") == []


def test_calls_are_decoded_twice_and_open_arguments_and_optional_calls_may_be_left_out() -> None:
    (task,) = parse_pack("x.jsonl", json.dumps(TOOLS))
    assert task.answer["calls"] == [
        {"name": "find", "arguments": {"name": "Oslo", "limit": 2, "near": {"x": 1}}},
        {"name": "tag", "arguments": {"tags": ["a"], "id": ""}, "optional": ["id"]},
        {"name": "list", "arguments": {}, "optional": True},
    ]
    find = 'Action: find\nAction Input: {"name": "Oslo", "limit": 2, "near": {"x": 1}}\n'
    assert judge(task, find + 'Action: tag\nAction Input: {"tags": ["a"]}').passed
    assert judge(task, find + 'Action: tag\nAction Input: {"tags": ["a"], "id": ""}\nAction: [Optional]list').passed
    judged = judge(task, find.replace("2", '"2"') + 'Action: tag\nAction Input: {"tags": ["a"]}')
    assert "'limit' is not right; it must be of the type integer" in judged.feedback


def test_public_and_private_tests_become_tests_of_programs() -> None:
    (task,) = parse_pack("x.jsonl", json.dumps(PROBLEM))
    assert task.answer == {
        "tests": [{"stdin": "1\n", "expected": "2\n"}, {"stdin": "5\n", "expected": "6", "hidden": True}],
        "cpu_s": 6,
        "memory_mb": 1024,
    }
    assert PROBLEM["question_content"] in task.prompt and "standard input" in task.prompt
    assert judge(task, "```python\nprint(int(input()) + 1)\n```").passed
    assert not judge(task, "```python\nprint(2)\n```").passed
    (task,) = parse_pack("x.jsonl", json.dumps(FUNCTION))
    assert task.answer["tests"] == [
        {"function": "add", "args": [[1, 2], 3], "expected": 6},
        {"function": "add", "args": [[], 3], "expected": 3, "hidden": True},
    ]
    assert "class Solution" in task.prompt
    assert judge(task, "```python\ndef add(xs, n):\n    return sum(xs) + n\n```").passed
    (task,) = parse_pack("x.jsonl", json.dumps(PAPERS_PROBLEM))
    assert [test["hidden"] for test in task.answer["tests"]] == [True, True] and "def add(xs, n)" in task.prompt
    # The paper's harness has the private tests alone, and shows them.
    (task,) = parse_pack("x.jsonl", json.dumps(PROBLEM), grading="paper")
    assert task.answer["tests"] == [{"stdin": "5\n", "expected": "6"}] and task.answer["grading"] == "paper"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_private_tests_are_decoded_from_every_protocol_and_from_json(protocol: int) -> None:
    tests = [*STDIN_TESTS, {"input": "é\u2028" * 70_000, "output": "x", "testtype": "stdin"}]
    text = json.dumps(tests, ensure_ascii=False)
    assert private_tests.decode_tests(packed(text, protocol)) == tests
    assert private_tests.decode_tests(text) == tests


class Harmful:
    """A pickle of this is a program: it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def deflated(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def test_nothing_in_a_row_is_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    text = json.dumps(STDIN_TESTS)
    programs = [
        pickle.dumps(value, protocol) for protocol in range(6) for value in (Harmful(ran), [text, Harmful(ran)])
    ]
    programs += [
        f"cos\nmkdir\n(V{ran}\ntR.".encode(),
        f"(S'{ran}'\nios\nmkdir\n.".encode(),
        b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + f"(V{ran}\nt".encode() + b"R.",
        b"\x80\x02\x82\x01.",  # by the extension registry
        b"Pid\n.",  # stored elsewhere
        pickle.dumps(pickle.PickleBuffer(b"x"), 5),
    ]
    for program in programs:
        with pytest.raises(TaskError, match="the private tests cannot be decoded"):
            private_tests.decode_tests(deflated(program))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ("", "cannot be inflated|are cut off"),
        ("not base64!", "neither JSON nor base64"),
        (base64.b64encode(b"no zlib").decode(), "cannot be inflated"),
        (packed(json.dumps(STDIN_TESTS))[:-8], "cut off"),
        (packed("no json"), "not JSON"),
        (packed("[" * 100_000), "not JSON"),
        (packed(STDIN_TESTS), "something other than text"),
        (packed(b"bytes"), "something other than text"),
        (packed("{}"), "not a list"),
        (packed('[{"input": 1, "output": "1"}]'), "test 1 has no"),
        (packed("[1]"), "test 1 has no"),
        ("[1", "not JSON"),
        (deflated(b"X\x04\x00\x00\x00[]"), "no readable pickle"),  # cut within a text
        (deflated(b"\x8d" + b"\xff" * 7 + b"\x7f" + b"[]."), "no readable pickle"),  # a text longer than memory
        (deflated(b"\x8c\x02[]r\xff\xff\xff\x7f."), "asks for memory"),
        (deflated(b"V[]\n" + b"q\x00" * 500 + b"."), "something other than text"),
        (deflated(b""), "no readable pickle"),
    ],
)
def test_a_payload_that_cannot_be_decoded_is_named_by_file_and_row(payload: str, why: str) -> None:
    rows = [PROBLEM, {**PROBLEM, "question_id": "abc_b", "private_test_cases": payload}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    with pytest.raises(TaskError, match=rf"^x.jsonl, row 2: the field 'private_test_cases': .*({why})"):
        parse_pack("x.jsonl", text)


def test_sizes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_tests, "LARGEST", 100_000)
    with pytest.raises(TaskError, match="more than 100,000 bytes when inflated"):
        private_tests.decode_tests(deflated(b"0" * 10_000_000))
    monkeypatch.setattr(private_tests, "LONGEST_PAYLOAD", 1_000)
    with pytest.raises(TaskError, match="more than 1,000 characters"):
        private_tests.decode_tests("A" * 1_001)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({**CHOICE, "answer": "AB"}, "'answer' is not one letter"),
        ({**CHOICE, "answer": None}, "'answer' is not one letter"),
        ({**CHOICE, "prompt": None}, "'prompt' is missing"),
        ({**CHOICE, "system": 3}, "'system' is not text"),
        ({**CHOICE, "idx": [1]}, "'idx' is neither"),
        ({**TOOLS, "answer": "find(x)"}, "'answer' is not JSON text of a list"),
        ({**TOOLS, "answer": '{"Action": "f"}'}, "'answer' is not JSON text of a list"),
        ({**TOOLS, "answer": '[{"Action_Input": "{}"}]'}, "no 'Action' in call 1"),
        ({**TOOLS, "answer": '[{"Action": "f", "Action_Input": "{x"}]'}, "'Action_Input' in call 1 that is not JSON"),
        ({**TOOLS, "answer": '[{"Action": "f", "Action_Input": "[1]"}]'}, "'Action_Input' in call 1 that is not JSON"),
        ({**PROBLEM, "question_content": None}, "'question_content' is missing"),
        ({**PROBLEM, "metadata": "[1]"}, "'metadata' is not JSON text of an object"),
        ({**PROBLEM, "public_test_cases": "[", "x": 1}, "'public_test_cases'.*not JSON"),
        ({**FUNCTION, "metadata": "{}"}, "'public_test_cases', test 1, calls a function that the row does not name"),
        ({**FUNCTION, "public_test_cases": '[{"input": "[1", "output": "6", "testtype": "functional"}]'}, "not JSON"),
        ({**PROBLEM, "public_test_cases": '[{"input": "1", "output": "6", "testtype": "odd"}]'}, "of the type 'odd'"),
        ({**PAPERS_PROBLEM, "tests": '{"inputs": ["1"], "outputs": []}'}, "'inputs' with as many 'outputs'"),
        ({**PAPERS_PROBLEM, "tests": "[]"}, "'tests' is not JSON text of an object"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_loaded(row: dict[str, Any], why: str) -> None:
    with pytest.raises(TaskError, match=rf"^x.json, row 2: .*{why}"):
        parse_pack("x.json", json.dumps([CHOICE, row]))


def test_grading_is_a_field_of_the_answer_and_sound_by_default(tmp_path: Path) -> None:
    path = write(tmp_path / "both.jsonl", CHOICE, TOOLS)
    assert all("grading" not in task.answer for task in load_pack(path))
    papers = load_pack(path, grading="paper")
    assert [task.answer["grading"] for task in papers] == ["paper", "paper"]
    assert papers[1].answer["calls"][2] == {"name": "[Optional]list", "arguments": {}}  # as the row writes it
    bad_input = {**TOOLS, "answer": '[{"Action": "f", "Action_Input": "{x"}]'}  # which the paper's grader takes for {}
    assert parse_pack("x.json", json.dumps(bad_input), grading="paper")[0].answer["calls"][0]["arguments"] == {}
    own = {"prompt": "2 + 2?", "environment": "exact", "answer": {"text": "4"}}
    for load in (lambda: load_pack(path, grading="kind"), lambda: load_pack("tools", grading="kind")):
        with pytest.raises(TaskError, match="no grading 'kind'; choose one of sound, paper"):
            load()
    with pytest.raises(TaskError, match="row 1: it is in no published format"):
        load_pack(write(tmp_path / "own.jsonl", own), grading="paper")
    with pytest.raises(TaskError, match="no grader for 'house-rules'"):
        load_pack("house-rules", grading="paper")
    row = {"prompt": "Which?", "environment": "choice", "answer": {"choice": "B", "grading": "kind"}}
    with pytest.raises(TaskError, match="no grading 'kind'"):
        parse_pack("x.json", json.dumps(row))


def test_the_grading_of_an_import_is_kept_with_its_source(tmp_path: Path) -> None:
    path = write(tmp_path / "both.jsonl", CHOICE, TOOLS)
    with Workbench.open(tmp_path / "run") as workbench:
        assert "grading" not in workbench.load_tasks(path)[0].answer
        assert workbench.pack_sources()["both"].grading == "sound"
        imported = workbench.import_tasks("both.jsonl", Path(path).read_bytes(), grading="paper")
        assert workbench.pack_sources()["both"].grading == "paper"
        assert imported == workbench.load_tasks(path, grading="paper") == workbench.tasks("both")
        assert workbench.load_tasks("tools", grading="paper")[0].answer["grading"] == "paper"
        with pytest.raises(TaskError, match="no grader for 'house-rules'"):
            workbench.load_tasks("house-rules", grading="paper")
        with pytest.raises(TaskError, match="no grading 'kind'"):
            workbench.load_tasks(path, grading="kind")


def test_the_own_packs_are_offered_and_their_right_answers_pass() -> None:
    assert {"science", "tools"} <= set(pack_names())
    science, tools = load_pack("science"), load_pack("tools")
    for tasks in (science, tools):
        assert 12 <= len(tasks) <= 20 and len({task.prompt for task in tasks}) == len(tasks)
        pack = find_pack(tasks[0].id.partition("/")[0])
        sides = (pack.train(99), pack.held_out(99))
        assert sorted(task.id for side in sides for task in side) == sorted(task.id for task in tasks) and all(sides)
    for task in science:
        check_task(task)
        right = task.answer["choice"]
        assert judge(task, f"<answer>\n{right}\n</answer>").passed
        assert not judge(task, f"<answer>\n{'B' if right == 'A' else 'A'}\n</answer>").passed
    assert len({task.answer["choice"] for task in science}) == 4
    for task in tools:
        check_task(task)
        called = {tool["name"] for tool in task.answer["tools"]}
        assert {call["name"] for call in task.answer["calls"]} <= called
        text = json.dumps([{"name": call["name"], "arguments": call["arguments"]} for call in task.answer["calls"]])
        assert judge(task, text).passed and not judge(task, "[]").passed
    assert any(call.get("optional") is True for task in tools for call in task.answer["calls"])
    assert all(task.answer["grading"] == "paper" for task in load_pack("tools", grading="paper"))
    assert len(CALLS) == 3
