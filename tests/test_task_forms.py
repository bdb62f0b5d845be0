"""Tasks as people read them, and as they type them: blocks, fields of a form, tests as rows. No browser."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from workbench import Workbench
from workbench.errors import TaskError
from workbench.plugins import Registry
from workbench.records import Judgement, Task
from workbench.tasks import Environment, check_task, find_environment, register_environment, registry, show_task
from workbench.tasks.blocks import Block
from workbench.tasks.environments import BUILT_IN
from workbench.tasks.fields import AnswerField, read_fields
from workbench.tasks.sandbox import SandboxResult
from workbench.tasks.typed_tests import typed_test
from workbench.ui.tabs.round.own_task import expected, placed

QUESTION = "Which gas?\nThink.\n\nA: neon\n\nB) argon,\nor krypton\n(C) xenon\nPlease reason step by step."


def letters(block: Block) -> list[tuple[str, str]]:
    return [(option["letter"], option["text"]) for option in block["options"]]


def test_the_options_of_a_question_are_a_list() -> None:
    before, options, after = show_task(Task("p/t", QUESTION, "choice", {"choice": "B"}))
    assert (before["text"], after["text"]) == ("Which gas?\nThink.", "Please reason step by step.")
    assert letters(options) == [("A", "neon"), ("B", "argon,\nor krypton"), ("C", "xenon")]


@pytest.mark.parametrize(
    "prompt", ["Who wrote it?", "A: is this a question", "A: one\nC: three", "B: two\nC: three", "A:\nB:"]
)
def test_a_question_without_options_is_its_text(prompt: str) -> None:
    assert show_task(Task("p/t", prompt, "choice", {"choice": "B"})) == [{"kind": "text", "text": prompt}]


def test_a_label_before_the_options_is_no_option() -> None:
    _, options = show_task(Task("p/t", "A: what is asked\nChoose.\nA. yes\nB. no", "choice", {"choice": "B"}))
    assert letters(options) == [("A", "yes"), ("B", "no")]


def test_options_that_only_the_answer_has_are_shown_without_the_right_one() -> None:
    task = Task("p/t", "Which?", "choice", {"choice": "B", "options": ["one", "two"]})
    assert letters(show_task(task)[1]) == [("A", "one"), ("B", "two")]


def test_a_problem_has_its_public_tests_as_samples() -> None:
    tests: list[dict[str, Any]] = [
        {"function": "f", "args": [1, "a"], "expected": [2]},
        {"stdin": "1 2\n", "expected": "3"},
        {"stdin": "SECRET", "expected": "SECRET", "hidden": True},
    ]
    text, samples = show_task(check_task(Task("p/t", "Add.", "python", {"tests": tests})))
    assert text == {"kind": "text", "text": "Add."}
    assert samples["title"] == "Samples" and samples["rows"][0] == ["f(1, 'a')", "[2]"]
    assert samples["rows"][1] == ["1 2\n", "3"] and len(samples["rows"]) == 2
    long = {"tests": [{"stdin": "1" * 10**6, "expected": "3"}]}
    assert len(show_task(Task("p/t", "Add.", "python", long))[1]["rows"][0][0]) < 2000
    hidden = Task("p/t", "Add.", "python", {"tests": [{"stdin": "1", "expected": "2", "hidden": True}]})
    assert show_task(hidden) == [text]


def test_tools_are_a_table_and_calls_are_not_shown() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "days": {}}, "required": ["city"]}
    tools = [{"name": "weather", "description": "Tell it.", "parameters": schema}]
    answer = {"calls": [{"name": "weather", "arguments": {"city": "SECRET"}}], "tools": tools}
    shown = show_task(Task("p/t", "weather: ...\n\nBegin!\nQuestion: Rain?", "tool_calls", answer))
    assert shown[0] == {"kind": "text", "text": "Rain?"}
    assert shown[1]["rows"] == [["weather", "Tell it.", "city: string\ndays (optional): any"]]
    assert "SECRET" not in json.dumps(shown)
    wrapped = show_task(Task("p/t", "Rain?", "tool_calls", {**answer, "tools": [{"function": tools[0]}]}))
    assert [wrapped[0]["text"], wrapped[1]["rows"]] == ["Rain?", shown[1]["rows"]]


class Mistaken(Environment):
    """Shows what its task's answer says, however strange."""

    name = "mistaken"

    def show(self, task: Task) -> Sequence[Block]:
        """Give anything."""
        shown = task.answer["shown"]
        if shown == "raise":
            raise RuntimeError("a mistake")
        return shown  # type: ignore[no-any-return]

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Never pass."""
        return self.judgement(False)


@pytest.fixture
def mistaken() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        old = registry._ENVIRONMENTS
        patch.setattr(registry, "_ENVIRONMENTS", Registry(old.kind, old.group, old._accept, old._built_in.values()))
        register_environment(Mistaken)
        yield


@pytest.mark.usefixtures("mistaken")
@pytest.mark.parametrize(
    "shown",
    [
        "raise",
        None,
        [],
        "text",
        [{"kind": "picture"}],
        [{"kind": "text", "text": 3}],
        [{"kind": "options", "options": [{"letter": "A"}]}],
        [{"kind": "options"}],
        [{"kind": "table", "title": "T", "columns": ["a"], "rows": [[1]]}],
        [{"kind": "text", "text": {1, 2}}],
    ],
)
def test_an_environment_that_cannot_show_a_task_leaves_its_prompt(shown: Any) -> None:
    assert show_task(Task("p/t", "Q", "mistaken", {"shown": shown})) == [{"kind": "text", "text": "Q"}]


def test_every_built_in_environment_has_a_form_that_fits_the_page() -> None:
    for environment in BUILT_IN:
        assert len(placed(environment.form())) == len(environment.form())
    assert placed([AnswerField(f"f{number}", "F") for number in range(9)]) == {}  # too many: the answer is JSON


CHECKER = "def check(input, output, expected):\n    return output >= expected"
FILLED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("exact", {"text": " 4"}, {"text": " 4"}),
    ("choice", {"choice": "B"}, {"choice": "B"}),
    ("choice", {"choice": "B", "options": "red\n\n blue "}, {"choice": "B", "options": ["red", "blue"]}),
    ("regex", {"pattern": "^a b$ ", "flags": "i"}, {"pattern": "^a b$ ", "flags": "i"}),
    ("regex", {"pattern": "a", "flags": " "}, {"pattern": "a"}),
    (
        "python",
        {"tests": [["f(1, [2, 'a'])", "(1, None)"], ["", " "], ["1 2", "3"], ["g()", "true"]]},
        {
            "tests": [
                {"function": "f", "args": [1, [2, "a"]], "expected": [1, None]},
                {"stdin": "1 2", "expected": "3"},
                {"function": "g", "args": [], "expected": True},
            ]
        },
    ),
    (
        "python",
        {"tests": [["f(1)", "1"], ["f(2)", "2"]], "hidden": "1", "checker": CHECKER, "cpu_s": "0.5", "memory_mb": "64"},
        {
            "tests": [
                {"function": "f", "args": [1], "expected": 1},
                {"function": "f", "args": [2], "expected": 2, "hidden": True},
            ],
            **{"checker": CHECKER, "cpu_s": 0.5, "memory_mb": 64},
        },
    ),
    (
        "puzzle",
        {"puzzle": "countdown", "fields": '{"numbers": [2, 3], "target": 5}'},
        {"puzzle": "countdown", "numbers": [2, 3], "target": 5},
    ),
    (
        "tool_calls",
        {"calls": [["weather", '{"city": "Oslo"}'], ["stop", ""]], "tools": '[{"name": "stop"}]'},
        {
            "calls": [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "stop", "arguments": {}}],
            "tools": [{"name": "stop"}],
        },
    ),
    ("rubric", {"model": " judge ", "criteria": ""}, {"model": "judge"}),
    ("rubric", {"model": "judge", "criteria": " short "}, {"model": "judge", "criteria": "short"}),
    ("rubric", {"model": "judge", "criteria": "short\n\nkind"}, {"model": "judge", "criteria": ["short", "kind"]}),
    ("numeric", {"value": "3/4", "unit": "m/s"}, {"value": "3/4", "unit": "m/s"}),
    (
        "numeric",
        {"value": "3", "relative": "0.01", "absolute": "2"},
        {"value": "3", "tolerance": {"relative": 0.01, "absolute": 2}},
    ),
    (
        "json",
        {"value": '{"a": [1]}', "schema": '{"type": "object"}'},
        {"value": {"a": [1]}, "schema": {"type": "object"}},
    ),
    ("json", {"value": "null"}, {"value": None}),
]


@pytest.mark.parametrize(("environment", "values", "answer"), FILLED)
def test_a_filled_form_is_an_answer_that_can_be_judged(
    environment: str, values: dict[str, Any], answer: dict[str, Any]
) -> None:
    assert expected(environment, " ", values) == answer
    check_task(Task("own/one", "Q", environment, answer))
    assert expected(environment, json.dumps(answer), {}) == answer  # the last resort


@pytest.mark.parametrize(
    ("environment", "values", "said"),
    [
        ("exact", {}, "The field “Expected” is empty; fill it in"),
        ("choice", {"choice": None}, "“Right letter” is empty"),
        ("choice", {"choice": "AB"}, "choose one of A, B"),
        ("python", {"tests": [["", ""]]}, "“Tests” is empty"),
        ("python", {"tests": [["f(x)", "1"]]}, "arguments that are not plain values"),
        ("python", {"tests": [["f({1})", "1"]]}, "arguments that are not plain values"),
        ("python", {"tests": [["f(a=1)", "1"]]}, "names its arguments"),
        ("python", {"tests": [["f(1)", ""]]}, "no value that can be read"),
        ("python", {"tests": [["f(1)", "__import__('os').getcwd()"]]}, "no value that can be read"),
        ("python", {"tests": [["f(1)", "x" * 30_000]]}, "more than 20,000 characters"),
        ("python", {"tests": [["f(1)", "1"]], "hidden": "2"}, "“Hidden tests” is 2; write how many .* 0 to 1"),
        ("python", {"tests": [["f(1)", "1"]], "hidden": "-1"}, "“Hidden tests” is -1"),
        ("puzzle", {"puzzle": "sudoku", "fields": "[]"}, "“Its fields” is no JSON object"),
        ("puzzle", {"puzzle": "chess", "fields": "{}"}, "choose one of countdown"),
        ("tool_calls", {"calls": [["f", "{"]]}, "not JSON"),
        ("tool_calls", {"calls": [["f", "{}"]], "tools": "["}, "“Tools” is not JSON"),
    ],
)
def test_what_cannot_be_read_names_the_field(environment: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=said):
        expected(environment, "", values)


def test_numbers_are_read_as_numbers() -> None:
    number = (AnswerField("tolerance", "Tolerance", "number"),)
    assert [read_fields(number, {"tolerance": text}) for text in ("0.01", "3", "")] == [
        {"tolerance": 0.01},
        {"tolerance": 3},
        {},
    ]
    for text in ("a", "inf", "nan", "1,5"):
        with pytest.raises(TaskError, match="write a number"):
            read_fields(number, {"tolerance": text})


@pytest.mark.parametrize("nested", ["f(" + "[" * 5000 + "]" * 5000 + ")", "f(" * 500 + ")" * 500])
def test_a_deeply_nested_call_does_no_harm(nested: str) -> None:
    try:
        assert "stdin" in typed_test(nested, "1")
    except TaskError as error:
        assert "not plain values" in str(error)


def test_a_form_is_declared_in_a_line_or_two() -> None:
    class Short(Mistaken):
        answer_field = "word"

    assert Short().form() == (AnswerField("word", "Expected", needed=True),)
    assert Short().filled({"word": "x"}) == {"word": "x"}
    assert find_environment("person").form() == ()
    assert expected("person", None, {}) == {} == expected("house-rules", None)  # a field that was never shown


def test_a_typed_task_of_house_rules_gets_the_checks_of_its_house(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "run") as workbench:
        prompt = "Write f(xs): sort, then take 3."
        for typed, house in (("", 3), ("7", 7)):
            answer = expected("house-rules", "", {"house": typed})
            task = workbench.add_task(prompt=prompt, environment="house-rules", answer=answer)
            assert task.answer["house"] == house and len(task.answer["checks"]) == 6
        with pytest.raises(TaskError, match="write house-rules, house-rules@7"):
            workbench.add_task(prompt=prompt, environment="house-rules", answer={"house": -1})
