"""A run as one file: the same run on the other side, and nothing a hostile archive can do."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest
import torch

from workbench.errors import RunError
from workbench.runs import Run
from workbench.runs.archive import export_run, import_run


def put(run: Run, number: int) -> str:
    return run.blobs.put({"w": torch.full((4,), float(number))})


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with Run.open(tmp_path / "run") as run:
        run.commit_root(put(run, 0))
        for number in (1, 2):
            sha256 = put(run, number)
            run.append("update", {"update_id": f"u{number}", "parent_id": run.head, "state": sha256}, (sha256,))
        run.undo()
        run.append("note", {"text": "ü \ud800 </script>"})
        return export_run(run, tmp_path / "run.zip")


def test_an_imported_run_is_the_same_run(archive: Path, tmp_path: Path) -> None:
    target = import_run(archive, tmp_path / "new" / "copy")
    with Run.open(tmp_path / "run", read_only=True) as old, Run.open(target) as new:
        assert new.events() == old.events() and new.timeline == old.timeline and new.set_aside == []
        assert new.redo() == "u2"
        assert torch.equal(new.blobs.get(new.state_blob("u2"))["w"], torch.full((4,), 2.0))
    assert [item.name for item in (tmp_path / "new").iterdir()] == ["copy"]


def test_damaged_blobs_stay_behind(tmp_path: Path, archive: Path) -> None:
    with Run.open(tmp_path / "run", read_only=True) as run:
        path = run.blobs.path(run.state_blob("u2"))
        path.write_bytes(b"damaged")
        export_run(run, archive)
    with Run.open(import_run(archive, tmp_path / "copy")) as copy:
        assert [reason for _, reason in copy.set_aside] == [f"blob {path.stem} of event 3 (update) is missing"]
        assert copy.head == "u1"


def test_an_existing_directory_is_not_overwritten(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RunError, match="already exists"):
        import_run(archive, tmp_path / "mine")


LINE = {"id": 1, "kind": "note", "created": "now", "data": {}, "blobs": []}


def lines(*changes: object) -> bytes:
    return b"".join(
        (change if isinstance(change, bytes) else json.dumps({**LINE, **change}).encode()) + b"\n" for change in changes
    )


def refuse(tmp_path: Path, archive: Path, sentence: str) -> None:
    before = sorted(str(item) for item in tmp_path.rglob("*"))
    with pytest.raises(RunError, match=sentence):
        import_run(archive, tmp_path / "copy")
    assert sorted(str(item) for item in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name",
    [
        "../escape",
        "/tmp/escape",
        "blobs/../../escape.safetensors",
        "blobs\\..\\escape",
        "run.sqlite",
        "blobs/",
        "blobs/" + "0" * 64 + ".pkl",
        "blobs/" + "A" * 64 + ".safetensors",
        "blobs/" + "0" * 64 + ".safetensors\n",
    ],
)
def test_foreign_names_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("events.jsonl", lines({}))
        archive.writestr(name, b"x")
    refuse(tmp_path, path, "which no exported run contains")


@pytest.mark.parametrize("kind", ["link", "bomb", "twice", "no events", "wrong hash", "overlap"])
def test_hostile_members_are_refused(tmp_path: Path, kind: str) -> None:
    path, blob = tmp_path / "hostile.zip", "blobs/" + "0" * 64 + ".safetensors"
    with zipfile.ZipFile(path, "w") as archive:
        if kind != "no events":
            archive.writestr("events.jsonl", lines({}))
        if kind == "link":
            info = zipfile.ZipInfo(blob)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        elif kind == "bomb":
            archive.writestr(blob, bytes(10_000_000), compress_type=zipfile.ZIP_DEFLATED)
        elif kind == "twice":
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("events.jsonl", lines({}))
        elif kind == "wrong hash":
            archive.writestr(blob, b"not what its name says")
        elif kind == "overlap":
            archive.writestr(blob, bytes(10_000))
            for number in range(1, 5):
                info = archive.infolist()[-1]
                copy = zipfile.ZipInfo(f"blobs/{number:064d}.safetensors")
                copy.file_size = copy.compress_size = info.file_size
                copy.CRC, copy.header_offset = info.CRC, info.header_offset
                archive.filelist.append(copy)
    sentences = {
        "link": "which no exported run contains",
        "bomb": "which no exported run contains",
        "twice": "once each",
        "no events": "once each",
        "wrong hash": "is damaged",
        "overlap": "more bytes than it has",
    }
    refuse(tmp_path, path, sentences[kind])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"nonsense\n", "line 1 is not an event"),
        (lines({}, {"id": 1}), "line 2 is not an event .*count up"),
        (lines({"id": 0}), "count up"),
        (lines({"id": 2**63}), "not a number"),
        (lines({"id": True}), "not a number"),
        (lines({"kind": ""}), "not text"),
        (lines({"data": []}), "not an object"),
        (lines({"data": {"x": float("nan")}}), "NaN is not JSON"),
        (lines({"blobs": ["../../x"]}), "not hashes"),
        (lines({"kind": "\ud800"}), "line 1 is not an event"),
        (b"[" * 200_000 + b"\n", "line 1 is not an event"),
        (b"[]\n", "line 1 is not an event"),
        (lines({"kind": "head", "data": {"to": "nowhere", "why": "undo"}}), "unknown .*nowhere"),
        (lines({"kind": "attempt", "data": {"id": "t1"}}), "cannot be read"),
        (lines({"kind": "head", "data": {"to": [], "why": "undo"}}), "cannot be read"),
        (lines({"kind": "branch", "data": {"name": {}}}), "cannot be read"),
        (lines({"kind": "job", "data": {"job_id": []}}), "cannot be read"),
    ],
)
def test_malformed_events_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("events.jsonl", content)
    refuse(tmp_path, path, sentence)


def test_what_is_no_archive_is_one_sentence(tmp_path: Path, archive: Path) -> None:
    content = archive.read_bytes()
    for damaged in (b"", b"hello", content[: len(content) // 2]):
        archive.write_bytes(damaged)
        refuse(tmp_path, archive, "not an exported run or is damaged")
    flipped = bytearray(content)
    flipped[content.index(b'"undo"') + 1] ^= 1
    archive.write_bytes(flipped)
    refuse(tmp_path, archive, "not an exported run or is damaged")
    refuse(tmp_path, tmp_path / "nowhere.zip", "nowhere.zip cannot be used")
