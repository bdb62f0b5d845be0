"""Packs: built in by name, or from files, whose mistakes are named by line and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.errors import TaskError
from workbench.tasks import BUILT_IN, load_pack

GOOD = {"prompt": "2 + 2?", "environment": "exact", "answer": {"text": "4"}}


def write(path: Path, *rows: object) -> str:
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
        ({**GOOD, "answer": "4"}, "row 2: the field 'answer' is not an object"),
        ({**GOOD, "name": 7}, "row 2: the field 'name' is not text"),
        ({**GOOD, "system": ["x"]}, "row 2: the field 'system' is not text"),
        ({**GOOD, "environment": "oracle"}, "row 2: There is no way of judging called 'oracle'"),
        ({**GOOD, "answer": {}}, "row 2: Judging by 'exact' needs text"),
        ({**GOOD, "prompt": " "}, "row 2: The task is empty"),
        ({**GOOD, "name": "first"}, "two rows have the name 'pack/first'"),
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


@pytest.mark.parametrize("name", ["nonsense", "", "house-rules@x", "pack.csv", "."])
def test_an_unknown_pack_is_one_sentence(name: str) -> None:
    with pytest.raises(TaskError, match="There is no pack"):
        load_pack(name)


def test_files_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="cannot be read"):
        load_pack(str(tmp_path / "absent.jsonl"))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskError, match="cannot be read"):
        load_pack(str(tmp_path / "binary.jsonl"))
    with pytest.raises(TaskError, match="holds no tasks"):
        load_pack(write(tmp_path / "empty.jsonl", ""))
