"""Packs: built in by name, or from files, whose mistakes are named by line and field."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from workbench.errors import TaskError
from workbench.plugins import Registry
from workbench.records import Task
from workbench.tasks import (
    BUILT_IN,
    PackFacts,
    TaskPack,
    dump_pack,
    find_pack,
    judge,
    load_pack,
    load_packs,
    open_pack,
    parse_pack,
    register_pack,
    registry,
)
from workbench.tasks.drawing import check_apart, check_split, feedback_kinds, held_out_tasks, train_tasks, with_feedback
from workbench.tasks.house_rules.pack import house_tasks
from workbench.tasks.pack import rate_name

GOOD = {"prompt": "2 + 2?", "environment": "exact", "answer": {"text": "4"}}


def write(path: Path, *rows: object) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def test_every_built_in_pack_loads() -> None:
    for name in BUILT_IN:
        assert load_pack(name)


def test_a_house_and_its_feedback_are_part_of_a_pack_s_name() -> None:
    tasks = load_pack("house-rules@12:remark")
    assert {(task.answer["house"], task.answer["feedback"]) for task in tasks} == {(12, "remark")}
    assert all(task.id.startswith("house-rules@12:remark/") for task in tasks)


def test_lines_and_lists_give_the_same_tasks(tmp_path: Path) -> None:
    named = {**GOOD, "name": "four", "system": "Be brief."}
    lines = load_pack(write(tmp_path / "sums.jsonl", named, "", GOOD))
    assert [task.id for task in lines] == ["sums/four", "sums/3"]  # a row without a name is called by its line
    assert (lines[0].system, lines[0].answer) == ("Be brief.", {"text": "4"})
    (tmp_path / "sums.json").write_text(json.dumps([named]), encoding="utf-8")
    assert load_pack(str(tmp_path / "sums.json")) == lines[:1]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{not json", "pack.jsonl, line 2: this line is not valid JSON"),
        ([1, 2], "row 2: a task is an object"),
        ({**GOOD, "prompt": None}, "row 2: the field 'prompt' is missing"),
        ({"prompt": "Q", "answer": {}}, "row 2: the field 'environment' is missing"),
        ({**GOOD, "answer": ["4"]}, "row 2: the field 'answer' is not an object"),
        ({**GOOD, "name": [7]}, "row 2: the field 'name' is not text"),
        ({**GOOD, "system": ["x"]}, "row 2: the field 'system' is not text"),
        ({**GOOD, "environment": "oracle"}, "row 2, field 'environment': There is no environment named 'oracle'"),
        ({**GOOD, "answer": {}}, "row 2, field 'answer': Judging by 'exact' needs text"),
        ({**GOOD, "prompt": " "}, "row 2, field 'prompt': The task is empty"),
        ({**GOOD, "name": "first"}, "row 2, field 'name': two rows have the name 'pack/first'"),
    ],
)
def test_a_malformed_row_is_named_and_nothing_is_loaded(tmp_path: Path, row: object, says: str) -> None:
    with pytest.raises(TaskError) as caught:
        load_pack(write(tmp_path / "pack.jsonl", {**GOOD, "name": "first"}, row))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_malformed_list_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "pack.json").write_text('[\n{"prompt": "Q"},\n}', encoding="utf-8")
    with pytest.raises(TaskError, match=r"pack\.json, line 3: this line is not valid JSON"):
        load_pack(str(tmp_path / "pack.json"))


@pytest.mark.parametrize("name", ["nonsense", "", "house-rules@x", "pack.txt", "a\0b"])
def test_an_unknown_pack_is_one_sentence(name: str) -> None:
    with pytest.raises(TaskError, match="There is no pack"):
        load_pack(name)


def test_files_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="cannot be read"):
        load_pack(str(tmp_path / "absent.jsonl"))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskError, match="cannot be read"):
        load_pack(str(tmp_path / "binary.jsonl"))
    with pytest.raises(TaskError, match="has no tasks"):
        load_pack(write(tmp_path / "empty.jsonl", ""))


def numbered(count: int, **more: object) -> list[dict]:
    return [{**GOOD, "prompt": f"{n} + {n}?", "name": str(n), **more} for n in range(count)]


def test_a_fifth_of_a_file_is_held_out_and_the_same_fifth_each_time(tmp_path: Path) -> None:
    path = write(tmp_path / "sums.jsonl", *numbered(30))
    pack = open_pack(path)
    held_out, train = pack.held_out(99), pack.train(99)
    assert (len(held_out), len(train)) == (6, 24)
    assert not {task.prompt for task in held_out} & {task.prompt for task in train}
    assert {task.id for task in [*held_out, *train]} == {task.id for task in load_pack(path)}
    # Known from outside: SHA-256 of the seed and the prompt, smallest first. Another machine chooses the same.
    order = sorted(
        (f"{n} + {n}?" for n in range(30)), key=lambda prompt: hashlib.sha256(f"0 {prompt}".encode()).digest()
    )
    assert [task.prompt for task in held_out] == order[:6]
    shuffled = write(tmp_path / "other" / "sums.jsonl", *reversed(numbered(30)))
    assert open_pack(shuffled).held_out(4) == held_out[:4]
    facts = pack.describe()
    assert (facts.train, facts.held_out, facts.environments) == (24, 6, ("exact",))
    assert "24 to learn from, 6 held out" in facts.summary
    other = {task.prompt for task in TaskPack("sums", load_pack(path), split_seed=1).held_out(6)}
    assert len(other) == 6 and other != set(order[:6])


def test_tasks_to_learn_from_come_in_an_order_of_the_seed_and_none_twice(tmp_path: Path) -> None:
    pack = open_pack(write(tmp_path / "sums.jsonl", *numbered(30)))
    first, again, other = pack.train(10, 1), pack.train(10, 1), pack.train(10, 2)
    assert first == again != other and len({task.id for task in first}) == 10
    assert pack.train(24, 1)[:10] == first and {task.id for task in pack.train(99, 1)} == {
        task.id for task in pack.train(99, 2)
    }


def test_rows_with_equal_prompts_are_on_one_side(tmp_path: Path) -> None:
    rows = [
        {**row, "name": f"{row['name']}-{turn}", "prompt": row["prompt"] + " " * turn}
        for row in numbered(10)
        for turn in (0, 1, 2)
    ]
    pack = open_pack(write(tmp_path / "twins.jsonl", *rows))
    held_out, train = pack.held_out(99), pack.train(99)
    assert (len(held_out), len(train)) == (6, 24)  # a fifth of ten prompts, three rows each
    assert not {task.prompt.strip() for task in held_out} & {task.prompt.strip() for task in train}


def test_a_file_may_say_itself_what_is_held_out(tmp_path: Path) -> None:
    rows = [
        *numbered(2, split="train"),
        {**GOOD, "name": "t", "split": "test"},
        {**GOOD, "prompt": "1?", "split": "validation"},
    ]
    leak = {**GOOD, "name": "leak", "split": "train"}  # its prompt is that of a test row
    silent = {**GOOD, "prompt": "Silent?", "name": "silent"}
    pack = open_pack(write(tmp_path / "said.jsonl", *rows, leak, silent))
    assert {task.id for task in pack.held_out(9)} == {"said/t", "said/4"}
    assert {task.id for task in pack.train(9)} == {"said/0", "said/1", "said/silent"}
    assert "Left out: 1" in pack.describe().summary and "as its rows say" in pack.describe().summary
    again = parse_pack("said.jsonl", dump_pack(load_pack(str(tmp_path / "said.jsonl"))))
    assert [task.split for task in again] == ["train"] * 2 + ["held_out"] * 2 + ["train", None]
    with pytest.raises(TaskError, match=r"row 1: the field 'split' is 'dev'; write one of train, held_out"):
        load_pack(write(tmp_path / "bad.jsonl", {**GOOD, "split": "dev"}))


@pytest.mark.parametrize("rows", [[GOOD], [GOOD, {**GOOD, "prompt": " 2 + 2? "}], numbered(4, split="train")])
def test_a_pack_that_holds_nothing_out_is_refused_where_a_rate_is_needed(tmp_path: Path, rows: list[dict]) -> None:
    pack = open_pack(write(tmp_path / "one.jsonl", *rows))
    assert pack.train(9)
    with pytest.raises(
        TaskError, match=r"The pack 'one' has no held-out tasks.*at least two tasks with different prompts"
    ):
        held_out_tasks(pack, 5)


def test_two_tasks_are_enough(tmp_path: Path) -> None:
    check_split(open_pack(write(tmp_path / "two.jsonl", *numbered(2))))


def test_a_pack_whose_every_row_is_held_out_has_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no tasks to learn from"):
        check_split(open_pack(write(tmp_path / "all.jsonl", *numbered(3, split="held_out"))))


def test_a_run_s_own_tasks_are_packs_too(tmp_path: Path) -> None:
    tasks = [*load_pack(write(tmp_path / "sums.jsonl", *numbered(10))), Task("ad-hoc/task-1", "Q", "person")]
    assert find_pack("sums", tasks).describe().held_out == 2
    assert open_pack("sums", tasks).train(99) == find_pack("sums", tasks).train(99)
    with pytest.raises(
        TaskError, match=r"no pack 'nonsense'; choose one of house-rules, science, tools, programs, sums, ad-hoc"
    ):
        find_pack("nonsense", tasks)
    with pytest.raises(TaskError, match="There is no pack"):
        find_pack(str(tmp_path / "sums.jsonl"))  # a name never reads a file
    with pytest.raises(TaskError, match="judged by a person"):
        train_tasks(find_pack("ad-hoc", tasks), 1)


def test_house_rules_are_a_pack_like_another() -> None:
    pack = find_pack("house-rules@11:remark")
    assert train_tasks(pack, 5, 3) == house_tasks("house-rules@11:remark", 5, held_out=False, seed=3)
    assert held_out_tasks(pack, 5) == house_tasks("house-rules@11:remark", 5, held_out=True)
    assert rate_name(pack) == rate_name(find_pack("house-rules@11")) == "house-rules@11"
    assert rate_name(find_pack("house-rules")) == "house-rules@3"
    assert with_feedback(pack, "none").name == "house-rules@11:none"
    assert feedback_kinds(pack) == ("example", "judge")
    for kind in ("gossip", "example+gossip"):
        with pytest.raises(TaskError, match="no feedback"):
            with_feedback(pack, kind)


PYTHON = {"prompt": "Write f.", "environment": "python"}
TESTS = [{"function": "f", "args": [1], "expected": 2}]


def test_a_kind_of_feedback_makes_another_pack_of_the_same_tasks(tmp_path: Path) -> None:
    rows = [{**PYTHON, "prompt": f"Write f, {n}.", "answer": {"tests": TESTS}} for n in range(5)]
    path = write(tmp_path / "code.jsonl", *rows)
    pack = open_pack(path)
    assert feedback_kinds(pack) == ("format", "error", "timeout", "example", "outcome")
    feedback_by_pack = {}
    for kind in ("error", "example", "error+example", "error+examples", "outcome", "none"):
        changed = open_pack(f"{path}:{kind}")
        assert (changed.name, rate_name(changed)) == (f"code:{kind}", "code")
        assert [task.prompt for task in changed.held_out(9)] == [task.prompt for task in pack.held_out(9)]
        task = train_tasks(changed, 1)[0]
        assert task.id.startswith(f"code:{kind}/")
        feedback_by_pack[kind] = [
            bool(judge(task, code).feedback) for code in ("def f(x): return x", "def f(x): return y")
        ]
    assert feedback_by_pack == {
        "error": [False, True],
        "example": [True, False],
        "error+example": [True, True],
        "error+examples": [True, True],
        "outcome": [True, True],
        "none": [False, False],
    }
    with pytest.raises(
        TaskError, match="'python' has no feedback 'praise'; it has format, error, timeout, example, outcome, none"
    ):
        open_pack(f"{path}:praise")
    with pytest.raises(TaskError, match="row 1, field 'answer': 'python' has no feedback 'praise'"):
        load_pack(write(tmp_path / "bad.jsonl", {**PYTHON, "answer": {"tests": TESTS, "feedback": "praise"}}))
    plain = open_pack(write(tmp_path / "plain.jsonl", *numbered(5)))
    with pytest.raises(TaskError, match="'exact' has no kinds of feedback to choose from"):
        with_feedback(plain, "none")
    with pytest.raises(TaskError, match="judged by exact, without kinds of feedback"):
        feedback_kinds(plain)


def test_a_prompt_on_both_sides_is_refused() -> None:
    task = Task("leaky/1", "Q", "exact", {"text": "A"})
    with pytest.raises(TaskError, match="trains on a task that it holds out"):
        check_apart(TaskPack("leaky", [task]), [task], [task])


def test_a_pack_that_fails_is_left_out_of_the_list_of_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails:
        name = "fails"

        def train(self, count: int, seed: int = 0) -> list[Task]:
            raise OSError("no disk")

        def held_out(self, count: int) -> list[Task]:
            return []

        def describe(self) -> PackFacts:
            raise OSError("no disk")

    monkeypatch.setattr(registry, "_PACKS", Registry("pack", "no.such.group", registry._as_pack))
    register_pack(Fails)
    loaded, problems = load_packs()
    assert list(loaded) == ["house-rules"] and problems == ["The pack 'fails' failed (OSError: no disk)."]


def test_names_with_slashes_are_one_pack(tmp_path: Path) -> None:
    names = ["HumanEval/0", "HumanEval/1", "Mbpp/0", "a/b/c", "/", "plain"]
    rows = [{**GOOD, "name": name, "prompt": name} for name in names]
    path = write(tmp_path / "code.jsonl", *rows)
    pack = open_pack(path)
    assert pack.describe().summary.startswith("6 tasks")
    assert train_tasks(find_pack("code", load_pack(path)), 99) == train_tasks(pack, 99)
    changed = train_tasks(with_feedback(open_pack(write(tmp_path / "p.jsonl", *slashed_programs())), "none"), 9)
    assert {task.id for task in changed} <= {"p:none/HumanEval/0", "p:none/HumanEval/1", "p:none/Mbpp/0"}
    again = parse_pack("code.jsonl", dump_pack(load_pack(path)))
    assert again == load_pack(path) and [task.id for task in again] == [f"code/{name}" for name in names]


def slashed_programs() -> list[dict]:
    return [
        {**PYTHON, "prompt": f"Write f for {name}.", "name": name, "answer": {"tests": TESTS}}
        for name in ("HumanEval/0", "HumanEval/1", "Mbpp/0")
    ]
