"""Packs from what people bring: encodings, lines, limits, CSV, parquet, mappings, and one sentence for each mistake."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from workbench import Workbench
from workbench.errors import RunError, TaskError
from workbench.tasks import dump_pack, load_pack, open_pack, parse_pack, parse_table
from workbench.tasks.files import text as limits
from workbench.tasks.files.imports import preview
from workbench.tasks.files.text import MOST_DIGITS

CASES = Path(__file__).parents[2] / "shared" / "cases"
GOOD = {"prompt": "2 + 2?", "environment": "exact", "answer": {"text": "4"}}
LINE = json.dumps(GOOD)


def refusal(file_name: str, data: str | bytes, **mapping: str) -> str:
    with pytest.raises(TaskError) as caught:
        parse_pack(file_name, data, mapping or None)
    sentence = str(caught.value)
    assert "\n" not in sentence and file_name in sentence and "Traceback" not in sentence
    return sentence


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"])
def test_a_line_ends_at_its_line_feed_only(mark: str) -> None:
    task = {**GOOD, "prompt": f"first{mark}second"}
    raw = json.dumps(task, ensure_ascii=ord(mark) < 0x20)
    tasks = parse_pack("a.jsonl", f"{raw}\r\n\r\n{LINE}\r\n")
    assert [t.prompt for t in tasks] == [f"first{mark}second", "2 + 2?"]
    assert [t.id for t in tasks] == ["a/1", "a/3"]
    assert parse_pack("a.jsonl", dump_pack(tasks)) == tasks


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("ending", [".jsonl", ".JSONL", ".Json", ".NdJson"])
def test_marks_of_byte_order_and_endings_in_upper_case(tmp_path: Path, encoding: str, ending: str) -> None:
    path = tmp_path / f"sums{ending}"
    path.write_bytes(json.dumps({**GOOD, "prompt": "2 + 2 ☃?"}, ensure_ascii=False).encode(encoding))
    assert [(t.id, t.prompt) for t in load_pack(str(path))] == [("sums/1", "2 + 2 ☃?")]
    assert open_pack(str(path)).name == "sums"


def test_files_with_marks_put_one_after_the_other() -> None:
    both = LINE.encode("utf-8-sig") + b"\n" + LINE.encode("utf-8-sig")
    assert len(parse_pack("a.jsonl", both)) == 2
    assert len(parse_pack("a.jsonl", "\ufeff" + LINE)) == 1  # as a browser's script reads it


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (LINE.encode() + b'\n{"prompt": "\xff"}', "line 2: this cannot be read as UTF-8"),
        (LINE.encode("utf-16-le"), "line 1: there are null bytes"),
        (b"\xff\xfe\x00", "UTF-8"),
        (LINE.encode() + b"\n\x00\n", "line 2: there are null bytes"),
        ("", "has no tasks"),
        (b"\n \r\n\xef\xbb\xbf", "has no tasks"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        (json.dumps({**GOOD, "answer": {"text": "4", "more": json.loads("[" * 60 + "]" * 60)}}), "nested too deeply"),
        ("7", "row 1: a task is an object"),
        (f"{LINE} {LINE}", "line 1: this line is not valid JSON (Extra data)"),
    ],
    ids=range(10),
)
def test_what_is_no_file_of_tasks_is_one_sentence(data: str | bytes, says: str) -> None:
    assert says in refusal("a.jsonl", data)


@pytest.mark.parametrize(
    ("value", "where", "why"),
    [
        ("Infinity", "'answer.tests[1].expected'", "infinite"),
        ("-Infinity", "'answer.tests[1].expected'", "infinite"),
        ("NaN", "'answer.tests[1].expected'", "not a number"),
        ("1e999", "'answer.tests[1].expected'", "infinite"),
        ("9" * 4500, "'answer.tests[1].expected'", "4,500 digits"),
        ("-" + "9" * (MOST_DIGITS + 1), "'answer.tests[1].expected'", "4,301 digits"),
        ('[{"deep": [-1e400]}]', "'answer.tests[1].expected[0].deep[0]'", "infinite"),
        ('"\\ud800"', "'answer.tests[1].expected'", "half a character"),
        ('{"\\udfff": 1}', "'answer.tests[1].expected'", "half a character"),
    ],
)
def test_what_a_run_cannot_store_is_refused_with_its_row_and_field(value: str, where: str, why: str) -> None:
    test = '{"function": "f", "args": [], "expected": VALUE}'
    tests = ", ".join([test.replace("VALUE", "1"), test.replace("VALUE", value)])
    row = '{"prompt": "q", "environment": "python", "answer": {"tests": [TESTS]}}'.replace("TESTS", tests)
    sentence = refusal("a.jsonl", f"{LINE}\n{row}")
    assert "row 2" in sentence and where in sentence and why in sentence
    assert parse_pack(
        "a.jsonl", f"{LINE}\n{row}", {"prompt": "prompt"} | dict.fromkeys(["answer"], "=4") | {"environment": "exact"}
    )  # what is not mapped is not looked at


def test_the_longest_number_that_is_read_can_be_stored(tmp_path: Path) -> None:
    tests = [{"function": "f", "args": [], "expected": int("9" * MOST_DIGITS)}]
    row = {"prompt": "q", "environment": "python", "answer": {"tests": tests}}
    with Workbench.open(tmp_path / "run") as workbench:
        workbench.import_tasks("a.jsonl", json.dumps(row))
        assert workbench.import_tasks("b.jsonl", workbench.export_tasks("a"))[0].answer["tests"] == tests


@pytest.mark.parametrize("name", ["bom", "separators", "slash", "huge", "infinity"])
def test_the_known_cases(name: str, tmp_path: Path) -> None:
    path = CASES / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("the shared cases are not on this machine")
    if name in ("huge", "infinity"):
        assert ("row 1" if name == "huge" else "row 2") in refusal(path.name, path.read_bytes())
    else:
        tasks = load_pack(str(path))
        assert open_pack(str(path)).describe().summary.startswith(f"{len(tasks)} task")
        assert parse_pack(path.name, dump_pack(tasks)) == tasks


def test_limits_are_sentences(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(limits, "LARGEST_FILE", 300)
        (tmp_path / "a.jsonl").write_text(LINE + " " * 300)
        with pytest.raises(TaskError, match=r"a\.jsonl has 3\d\d bytes; at most 300 are read"):
            load_pack(str(tmp_path / "a.jsonl"))
        bomb = gzip.compress(LINE.encode() + b"\n" * 100_000)
        assert len(bomb) < 300 and "at most 300 are read" in refusal("a.jsonl.gz", bomb)
    monkeypatch.setattr(limits, "MOST_ROWS", 3)
    assert "more than 3 rows" in refusal("a.jsonl", f"{LINE}\n" * 4)
    assert "more than 3 rows" in refusal("a.json", json.dumps([GOOD] * 4))
    assert "more than 3 rows" in refusal("a.csv", "prompt\n" + "a\n" * 4)
    assert "more than 3 rows" in refusal("a.parquet", parquet([GOOD] * 4))
    monkeypatch.setattr(limits, "LONGEST_ROW", 100)
    assert "line 2 has 101 characters; at most 100" in refusal("a.jsonl", LINE + "\n" + " " * 101)


def test_compressed_files() -> None:
    packed = gzip.compress(LINE.encode() + b"\n") + gzip.compress(LINE.encode())  # members follow each other
    assert [task.id for task in parse_pack("sums.jsonl.gz", packed)] == ["sums/1", "sums/2"]
    assert [task.id for task in parse_pack("sums.JSONL.GZ", base64.b64encode(packed).decode())] == ["sums/1", "sums/2"]
    assert "ends too early" in refusal("a.jsonl.gz", packed[:-9])
    assert "not a gzip file" in refusal("a.jsonl.gz", LINE.encode())


def test_names_are_unique_and_one_line() -> None:
    rows = [{**GOOD, "name": "2"}, GOOD]  # the second row's own number
    assert "row 2, field 'name': two rows have the name 'a/2'" in refusal("a.json", json.dumps(rows))
    assert "row 1: the field 'name' is not one line" in refusal("a.json", json.dumps([{**GOOD, "name": "x\ny"}]))
    assert "at most 200 characters" in refusal("a.json", json.dumps([{**GOOD, "name": "x" * 201}]))
    assert [task.id for task in parse_pack("a.json", json.dumps([{**GOOD, "name": 7}, {**GOOD, "name": " "}]))] == [
        "a/7",
        "a/2",
    ]


# CSV ------------------------------------------------------------------------------------------------------------------
def separated(rows: list[list[str]], delimiter: str, **style: object) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, **style).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("style", [{}, {"quoting": csv.QUOTE_ALL, "lineterminator": "\n"}])
def test_csv_with_any_delimiter_keeps_its_text(delimiter: str, style: dict) -> None:
    rows = [
        ["question", "answer", "note"],
        ["a, b; c\td | e", "007", ""],
        ['He said "hi",\nthen left\u2028.', "1.0", "x"],
        ["1e5", "TRUE", "None"],
    ]
    tasks = parse_pack(
        "mixed.CSV", "\ufeff" + separated(rows, delimiter, **style), {"prompt": "question", "environment": "exact"}
    )
    assert [(task.prompt, task.answer["text"]) for task in tasks] == [tuple(row[:2]) for row in rows[1:]]
    assert [task.id for task in tasks] == ["mixed/1", "mixed/2", "mixed/3"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prompt,answer\na,1\nb\n", "row 2: it has 1 cells, but the first line names 2 columns"),
        ("prompt,answer\na,1,2\n", "row 1: it has 3 cells"),
        ('prompt,answer\na,1\n"b,2\nc,3\n', "row 2 (up to line 4)"),
        ("prompt,prompt\na,1\n", "two columns have the name 'prompt'"),
        ("prompt,\na,1\n", "column 2 has no name"),
        ("prompt,answer\n", "has no tasks"),
        ("", "has no tasks"),
        ("prompt,answer\na,\0\n", "null bytes"),
        ("prompt,environment,answer\na,exact,1\n,exact,2\n", "row 2: the field 'prompt' is missing"),
        ("prompt,environment,answer\na,exact,\n", "row 1, field 'answer': Judging by 'exact' needs"),
    ],
    ids=range(10),
)
def test_a_mistake_in_csv_is_named(text: str, says: str) -> None:
    assert says in refusal("a.csv", text)


def test_csv_holds_answers_and_messages_as_json() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Write f."}]
    tests = [{"function": "f", "args": [1], "expected": 2}]
    rows = [
        ["prompt", "environment", "answer"],
        [json.dumps(messages), "python", json.dumps({"tests": tests})],
        ["Write f.", "python", json.dumps(tests)],  # as typed on the page
        ["[1, 2]?", "exact", '{"a": 1}'],  # text that only looks like JSON of an answer
    ]
    first, second, third = parse_pack("a.csv", separated(rows, ","))
    assert (first.system, first.prompt, first.answer) == ("Be brief.", "Write f.", {"tests": tests})
    assert (second.system, second.answer) == (None, {"tests": tests})
    assert (third.prompt, third.answer) == ("[1, 2]?", {"text": '{"a": 1}'})


# parquet --------------------------------------------------------------------------------------------------------------
def parquet(rows: list[dict], schema: pyarrow.Schema | None = None) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), sink)
    return sink.getvalue().to_pybytes()


def test_parquet_with_structs_messages_and_binary_columns() -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Write f{n}."}],
            "answer": {
                "tests": [{"stdin": "1", "expected": "2"} if n else {"function": "f", "args": [1], "expected": "2"}]
            },
            "environment": "python",
            "extra": {"index": n, "at": Decimal("1.5")},
            "image": b"\xff\xd8",
        }
        for n, call in enumerate([{"function": "f", "args": [1]}, *[{"stdin": "1"}] * 99])
    ]
    tasks = parse_pack("code.parquet", parquet(rows))
    assert [task.prompt for task in tasks[:2]] == ["Write f0.", "Write f1."] and len(tasks) == 100
    assert [task.answer for task in tasks[:2]] == [rows[0]["answer"], rows[1]["answer"]]  # without the other's fields
    named = parse_pack("code.PARQUET", parquet(rows), {"name": "extra.index"})
    assert named[7].id == "code/7"
    sentence = refusal("code.parquet", parquet(rows), answer="image")
    assert "row 1: the field 'answer' (column 'image') holds bytes that are not text" in sentence
    assert "row 1, field 'answer.at'" in refusal("code.parquet", parquet(rows), answer="extra")
    as_base64 = base64.b64encode(parquet(rows)).decode()
    assert parse_pack("code.parquet", as_base64) == tasks
    assert "not base64" in refusal("code.parquet", "PAR1 ☃")


def test_text_that_a_parquet_file_holds_as_bytes() -> None:
    schema = pyarrow.schema([("prompt", pyarrow.binary()), ("answer", pyarrow.int64()), ("w", pyarrow.float64())])
    data = parquet([{"prompt": "2 + 2 ☃?".encode(), "answer": 4, "w": float("nan")}], schema)
    (task,) = parse_pack("a.parquet", data, {"environment": "exact"})
    assert (task.prompt, task.answer) == ("2 + 2 ☃?", {"text": "4"})
    assert "row 1, field 'answer.w': it is infinite, or not a number" in refusal(
        "a.parquet", data, **{"environment": "exact", "answer.text": "=x", "answer.w": "w"}
    )


def test_a_damaged_or_swollen_parquet_file_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    data = parquet([{**GOOD, "pad": "x" * 10_000}] * 200)  # one value, kept once: far smaller than its rows
    for broken in (b"", b"PAR1", data[:-20], b"PAR1" + data[4:60] + data[-8:], b"not parquet at all" * 9):
        assert "cannot be read as a parquet file" in refusal("a.parquet", broken)
    monkeypatch.setattr("workbench.tasks.files.parquet_rows.LARGEST_TABLE", 1_000_000)
    assert len(data) < 20_000 and "larger than 1,000,000 bytes" in refusal("a.parquet", data)


# mappings -------------------------------------------------------------------------------------------------------------
VERL = {
    "prompt": [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]},
    ],
    "reward_model": {"style": "rule", "ground_truth": "4"},
    "a.b": {"c.d": "dotted"},
}


def test_a_mapping_finds_fields_in_other_columns() -> None:
    mapping = {"answer": "reward_model.ground_truth", "environment": "exact", "name": "a.b.c.d"}
    (task,) = parse_pack("a.json", json.dumps(VERL), mapping)
    assert (task.id, task.system, task.prompt, task.answer) == ("a/dotted", "Think.", "2 + 2?", {"text": "4"})
    parts = {"answer.text": "reward_model.ground_truth", "environment": "=contains", "split": "=test", "system": ""}
    (task,) = parse_pack("a.json", json.dumps(VERL), parts)
    assert (task.environment, task.answer, task.split) == ("contains", {"text": "4"}, "held_out")


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"prompt": "questoin"}, "has no column 'questoin' for the field 'prompt'; it has prompt, reward_model"),
        ({"promt": "prompt"}, "A task has no field 'promt'"),
        ({"answer.": "prompt"}, "A task has no field 'answer.'"),
        ({"prompt": 3}, "The field 'prompt' is mapped to 3"),
        ({"answer": "a.b", "answer.text": "a.b"}, "names the answer and single fields of it"),
        ({"environment": "=oracle"}, "row 1, field 'environment': There is no environment named 'oracle'"),
        ({"environment": "exact", "answer": "prompt"}, "row 1: the field 'answer' (column 'prompt') is not an object"),
        ({"environment": "exact", "prompt": "reward_model"}, "row 1: the field 'prompt' (column 'reward_model')"),
        ({"environment": "exact", "system": "=Other."}, "differs from the system turn"),
    ],
)
def test_a_mistake_in_a_mapping_is_one_sentence(mapping: dict, says: str) -> None:
    with pytest.raises(TaskError) as caught:
        parse_pack("a.json", json.dumps(VERL), mapping)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "from nothing"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "from user, assistant"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "from user, user"),
        ([{"role": "system", "content": "a"}], "from system"),
        (["user"], "from something else"),
        ([{"role": "user", "content": [{"type": "image"}]}], "from something else"),
    ],
)
def test_a_conversation_of_several_turns_is_refused(messages: list, said: str) -> None:
    assert f"row 1: the field 'prompt' is a list of messages {said}" in refusal(
        "a.json", json.dumps({**GOOD, "prompt": messages})
    )


def test_a_preview_guesses_the_mapping_and_says_what_would_be_imported() -> None:
    table = parse_table("sums.csv", "id;question;answer;split\ns1;2 + 2?;4;train\ns2;3 + 3?;6;test\n")
    shown = preview(table)
    assert shown.mapping == {
        "prompt": "question", "answer": "answer", "environment": "=exact", "system": "", "name": "id", "split": "split",
    }  # fmt: skip
    assert shown.ready and shown.sentence == (
        "2 tasks will be imported as the pack 'sums': 2 judged by exact; 1 of them are held out, as the rows say."
    )
    assert [task.id for task in shown.tasks] == ["sums/s1", "sums/s2"] and shown.rows[0]["question"] == "2 + 2?"
    refused = preview(table, {"split": "id"})
    assert not refused.ready and refused.tasks == ()
    assert "sums.csv, row 1: the field 'split' (column 'id') is 's1'" in refused.sentence
    deep = preview(parse_table("deep.json", json.dumps({**VERL, "reward_model": json.loads("[" * 90 + "]" * 90)})))
    assert deep.rows[0]["reward_model"] == "…"


# in a run -------------------------------------------------------------------------------------------------------------
def test_an_import_is_all_or_nothing_and_its_source_is_kept(tmp_path: Path) -> None:
    mapping = {"prompt": "question", "environment": "=exact"}
    rows = [["question", "answer"], ["2 + 2?", "4"], ["3 + 3?", "6"]]
    with Workbench.open(tmp_path / "run") as workbench:
        before = len(workbench.events())
        for bad in (f"{LINE}\n{LINE[:-1]}", f"{LINE}\n{LINE.replace(chr(34) + '4' + chr(34), 'Infinity')}"):
            with pytest.raises(TaskError, match=r"line 2|row 2"):
                workbench.import_tasks("bad.jsonl", bad)
        with pytest.raises(TaskError, match=r"'answer\.text', it is infinite"):
            workbench.add_task(prompt="x", environment="person", answer={"text": float("inf")})
        assert len(workbench.events()) == before and "bad" not in workbench.packs()
        tasks = workbench.import_tasks("sums.csv", separated(rows, ";").encode(), mapping=mapping)
        source = workbench.pack_sources()["sums"]
        assert (source.origin, source.mapping, source.tasks, source.revision) == ("sums.csv", mapping, 2, None)
        assert parse_pack("sums.jsonl", workbench.export_tasks("sums")) == tasks
        committed = len(workbench.events())
        workbench.import_tasks("sums.csv", separated(rows, ",").encode(), mapping=mapping)
        assert len(workbench.events()) == committed  # nothing new
    replayed = Workbench.replay(tmp_path / "run")
    assert replayed.pack_sources()["sums"] == source and replayed.tasks("sums") == tasks
    with pytest.raises(RunError, match="read-only"):
        replayed.import_tasks("more.jsonl", LINE)
