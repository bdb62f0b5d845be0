"""Data sets as packs: the layout of directories and repositories, and the hub's real client against its routes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pyarrow
import pyarrow.parquet
import pytest

from workbench.errors import TaskError
from workbench.tasks import load_pack, open_pack
from workbench.tasks.files import data_sets
from workbench.tasks.files.layout import choose

ROOT = Path(__file__).parents[1]
MAPPED = {"prompt": "question", "environment": "=exact"}


def rows(prefix: str, count: int) -> list[dict]:
    return [{"question": f"{prefix} {n}?", "answer": str(n)} for n in range(count)]


def parquet(content: list[dict]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), sink)
    return sink.getvalue().to_pybytes()


def laid_out(directory: Path, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return str(directory)


SUMS = {
    "README.md": b"# Sums\n",
    "data/train-00000-of-00002.parquet": parquet(rows("a", 3)),
    "data/train-00001-of-00002.parquet": parquet(rows("b", 2)),
    "data/test-00000-of-00001.parquet": parquet(rows("c", 2)),
    "data/dataset_infos.json": b"{}",
    ".cache/train.jsonl": b"broken",
}


def test_a_directory_in_the_layout_of_the_hub_is_a_pack(tmp_path: Path) -> None:
    path = laid_out(tmp_path / "sums", SUMS)
    tasks = load_pack(path, mapping=MAPPED)
    assert [task.prompt for task in tasks] == ["c 0?", "c 1?", "a 0?", "a 1?", "a 2?", "b 0?", "b 1?"]
    assert [task.id for task in tasks[1:4]] == ["sums/test-2", "sums/train-1", "sums/train-2"]
    assert [task.split for task in tasks] == ["held_out"] * 2 + ["train"] * 5
    own = laid_out(tmp_path / "own", {"train.jsonl": json.dumps({"prompt": "2?", "environment": "person"}).encode()})
    assert open_pack(own).describe().summary.startswith("1 task")
    bad = laid_out(
        tmp_path / "bad", {**SUMS, "data/train-00003-of-00003.parquet": parquet([{"question": "", "answer": "1"}])}
    )
    with pytest.raises(TaskError, match=r"data/train-00003-of-00003\.parquet, row 1.*'prompt'"):
        load_pack(bad, mapping=MAPPED)


CARD = """---
license: mit
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: [main/test-*, main/more.parquet]
- config_name: other
  data_dir: elsewhere
---
# Sums
"""
PATHS = [
    "README.md", "main/train-0.parquet", "main/test-0.parquet", "main/more.parquet", "main/left-out.parquet",
    "elsewhere/deep/rows.csv", "sums.jsonl",
]  # fmt: skip


IN_MAIN = [
    ("main/left-out.parquet", None), ("main/train-0.parquet", "train"), ("main/test-0.parquet", "held_out"),
    ("main/more.parquet", "held_out"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("paths", "readme", "part", "expected"),
    [
        (PATHS, CARD, "main", IN_MAIN[1:]),
        (PATHS, CARD.replace("config_name: main", "config_name: main\n  default: true"), "", "main"),
        (PATHS, CARD, "other", [("elsewhere/deep/rows.csv", None)]),
        (PATHS, CARD, "sums.jsonl", [("sums.jsonl", None)]),
        (PATHS, "", "main", [IN_MAIN[0], ("main/more.parquet", None), IN_MAIN[2], IN_MAIN[1]]),
        (["train.csv", "validation.csv", "train.parquet"], "", "", [("train.parquet", None)]),
        (["train.csv", "dev.csv"], "---\nconfigs: [{\n---", "", [("dev.csv", "held_out"), ("train.csv", "train")]),
        (["retrain/latest.csv"], "", "", [("retrain/latest.csv", None)]),  # neither "train" nor "test"
        (["sums/eval.py", "rows.jsonl", "tools.py"], "", "", [("rows.jsonl", None)]),
        (["sums.py", "rows.jsonl"], "", "rows.jsonl", [("rows.jsonl", None)]),
    ],
    ids=range(10),
)  # fmt: skip
def test_the_files_of_a_data_set_are_found(paths: list[str], readme: str, part: str, expected: object) -> None:
    if expected == "main":
        expected = choose("me/sums", paths, CARD, "main")
    assert choose("me/sums", paths, readme, part) == expected


@pytest.mark.parametrize(
    ("paths", "readme", "part", "says"),
    [
        (["sums.py", "data/train.parquet"], "", "", r"brings a script \(sums\.py\).*data/train\.parquet"),
        (["load.py", "README.md"], "", "", r"brings a script \(load\.py\)"),
        (PATHS, CARD, "", "several parts; name one of 'main', 'other'"),
        (["en/train.csv", "fr/train.csv"], "", "", "several parts; name one of 'en', 'fr'"),
        (PATHS, CARD, "absent", "holds no rows"),
        (["README.md", "image.png"], "", "", "holds no rows: no file .jsonl"),
        (["train/data-00000-of-00001.arrow", "train/state.json"], "", "", "Arrow files"),
        (PATHS, CARD.replace("main/train-*", "../../etc/*").replace("main/test-*, main/more", "x"), "main", "holds no"),
    ],
    ids=range(8),
)
def test_a_data_set_without_rows_of_its_own_is_one_sentence(
    paths: list[str], readme: str, part: str, says: str
) -> None:
    with pytest.raises(TaskError, match=says):
        choose("me/sums", paths, readme, part)


def test_a_directory_is_never_walked_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = laid_out(tmp_path / "many", {f"{n}.txt": b"" for n in range(9)})
    (tmp_path / "many" / "loop").symlink_to(tmp_path / "many")
    with pytest.raises(TaskError, match="holds no rows"):
        load_pack(path)
    monkeypatch.setattr(data_sets, "_LISTED", 5)
    with pytest.raises(TaskError, match="more than 5 files"):
        load_pack(path)


# The hub: its routes, served here; the client is the real one ---------------------------------------------------------
SERVED = {"me/sums": SUMS, "me/coded": {"coded.py": b"raise SystemExit", "x.jsonl": b"{}"}}
COMMITS = {"main": "a" * 40, "refs/convert/parquet": "b" * 40}


class Hub(BaseHTTPRequestHandler):
    """Two data sets, one of them with a script; a revision stands for a commit, and files are served by commit only."""

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        for name, files in SERVED.items():
            if path.startswith(f"/api/datasets/{name}"):
                revision = path.partition("/revision/")[2] or "main"
                if revision not in COMMITS:
                    return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                listed = [{"rfilename": file, "size": len(data)} for file, data in files.items()]
                facts = {"id": name, "sha": COMMITS[revision], "siblings": listed, "private": False, "tags": []}
                return self.answer(200, json.dumps(facts).encode(), {})
            for commit in COMMITS.values():
                file = path.removeprefix(f"/datasets/{name}/resolve/{commit}/")
                if file in files:
                    etag = hashlib.sha256(files[file]).hexdigest()
                    return self.answer(200, files[file], {"ETag": f'"{etag}"', "X-Repo-Commit": commit})
        return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body)), "Content-Type": "application/json"}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


ASK = """
import json, sys
from workbench.errors import TaskError
from workbench.tasks import read_source
for name in sys.argv[1:]:
    try:
        table = read_source(name)
        print(json.dumps([table.name, table.origin, table.revision, len(table.rows), table.rows[0].values["question"]]))
    except TaskError as error:
        print(json.dumps(str(error)))
"""


def test_a_data_set_of_the_hub_is_read_at_a_commit(hub: str, tmp_path: Path) -> None:
    names = ["hub:me/sums", "hub:me/sums/data/train-00001-of-00002.parquet@refs/convert/parquet", "hub:me/sums@gone"]
    names += ["hub:me/coded", "hub:me/absent", "hub:no such/name"]
    environment = {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "PATH": "", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, *names], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    whole, part, *refused = [json.loads(line) for line in done.stdout.splitlines()]
    assert whole == ["sums", "hub:me/sums", "a" * 40, 7, "c 0?"]
    assert part == ["sums-train-00001-of-00002", "hub:me/sums/data/train-00001-of-00002.parquet", "b" * 40, 2, "b 0?"]
    said = ["has no revision 'gone'", "brings a script (coded.py)", "There is no data set 'me/absent'", "no data set"]
    assert [sentence in answer for sentence, answer in zip(said, refused, strict=True)] == [True] * 4, refused


def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", ASK, "hub:me/sums"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "cannot be fetched from the hub" in json.loads(done.stdout), done.stderr
