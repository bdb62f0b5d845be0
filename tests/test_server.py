"""The real page over HTTP: who is answered, what is taken, and what never leaves the machine."""

from __future__ import annotations

import http.server
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from workbench.benchmarks.browser import ROOT, App, running
from workbench.benchmarks.client import Broken, Page, Refused
from workbench.benchmarks.idle import spent
from workbench.benchmarks.load import wait_until_ready
from workbench.tasks.sandbox import PREPARING

PATIENCE_S = 420.0


class Recorder(http.server.ThreadingHTTPServer):
    """A proxy that forwards nothing and remembers who wanted to go where."""

    def __init__(self) -> None:
        wanted: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                wanted.append(self.rfile.readline().decode(errors="replace"))

        super().__init__(("127.0.0.1", 0), Handler)
        self.wanted = wanted


@pytest.fixture(scope="module")
def outside() -> Iterator[Recorder]:
    """Where the page's process would go with every request to another machine."""
    with Recorder() as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, outside: Recorder) -> Iterator[App]:
    """The page, started by someone whose environment would open it wide."""
    address = f"http://127.0.0.1:{outside.server_address[1]}"
    env = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address)
    env |= {"NO_PROXY": "", "no_proxy": "", "GRADIO_SHARE": "True", "GRADIO_ALLOWED_PATHS": "/etc"}
    env |= {"GRADIO_ANALYTICS_ENABLED": "True", "GRADIO_TEMP_DIR": "/", "HF_TOKEN": "hf_secret"}
    with running(tmp_path_factory.mktemp("runs") / "test", patience_s=PATIENCE_S, env=env) as started:
        wait_until_ready(started.address, PATIENCE_S)
        yield started


@pytest.fixture
def http_client(app: App) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app.address, timeout=PATIENCE_S, trust_env=False) as client:
        yield client


@pytest.fixture
def page(app: App) -> Iterator[Page]:
    with Page(app.address, PATIENCE_S) as client:
        yield client


def port_of(app: App) -> int:
    return int(app.address.rstrip("/").rpartition(":")[2])


def test_it_listens_on_loopback_alone_and_says_how_code_is_confined(app: App) -> None:
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", port_of(app))) != 0
    printed = app.output.read_text()
    assert printed.startswith(("Model-written code runs ", PREPARING, "This machine cannot confine"))
    assert "gradio.live" not in printed


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "", "[::1"])
def test_another_host_s_name_is_not_answered(http_client: httpx.Client, name: str) -> None:
    for path in ("", "config", "gradio_api/info"):
        assert http_client.get(path, headers={"host": name}).status_code in (400, 421)


def test_its_own_names_are_answered(http_client: httpx.Client, app: App) -> None:
    for name in ("127.0.0.1", "localhost", f"localhost:{port_of(app)}", "[::1]:80"):
        assert http_client.get("config", headers={"host": name}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_a_page_of_another_site_cannot_call(http_client: httpx.Client, origin: str) -> None:
    files = {"files": ("a.txt", b"x")}
    assert http_client.post("gradio_api/upload", files=files, headers={"origin": origin}).status_code == 403
    assert http_client.post("gradio_api/call/undo", json={"data": []}, headers={"origin": origin}).status_code == 403


def test_every_answer_forbids_what_no_page_of_ours_needs(http_client: httpx.Client, app: App) -> None:
    own = {"origin": app.address.rstrip("/")}
    for path in ("", "config", "gradio_api/nothing"):
        headers = http_client.get(path, headers=own).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_large_requests_are_refused(http_client: httpx.Client, app: App) -> None:
    assert http_client.post("gradio_api/queue/join", content=b"x" * (6 * 2**20)).status_code == 413

    def endless() -> Iterator[bytes]:  # no Content-Length
        for _ in range(100):
            yield b'"' + b"x" * 2**18

    headers = {"content-type": "application/json"}
    assert http_client.post("gradio_api/queue/join", content=endless(), headers=headers).status_code in (400, 413)
    with socket.create_connection(("127.0.0.1", port_of(app)), PATIENCE_S) as raw:  # an upload, refused by its size
        raw.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert b" 413 " in raw.recv(1000).splitlines()[0]


def test_no_file_of_the_machine_is_served(http_client: httpx.Client, app: App, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    paths = ["/etc/passwd", "/proc/self/environ", "app.py", str(ROOT / "README.md"), str(tmp_path / "mine.txt")]
    paths += ["/etc/hostname", "..%2f..%2fetc%2fpasswd", str(app.output)]
    for path in paths:
        for route in ("gradio_api/file=", "gradio_api/file/", "file="):
            assert http_client.get(route + path).status_code in (403, 404), path
    assert http_client.get("gradio_api/proxy=http://127.0.0.1/").status_code == 400
    for route in ("monitoring", "gradio_api/run-history/records", "gradio_api/vibe-code"):
        assert http_client.get(route).status_code in (403, 404, 405)


def test_uploads_lie_in_a_directory_of_its_own(http_client: httpx.Client) -> None:
    (path,) = http_client.post("gradio_api/upload", files={"files": ("a.txt", b"x")}).json()
    private = next(folder for folder in Path(path).parents if folder.name.startswith("workbench-"))
    assert stat.S_IMODE(private.stat().st_mode) == 0o700 and private.stat().st_uid == os.getuid()


def test_a_pack_s_name_reads_no_file(page: Page, tmp_path: Path) -> None:
    """The handler behind the list of packs is private, and anyone can call it."""
    secret = tmp_path / "secret.jsonl"
    secret.write_text(json.dumps({"prompt": "the secret", "environment": "person", "answer": {}}))
    config = page.http.get("../config").json()
    number = next(one["id"] for one in config["dependencies"] if one["api_name"] == "on_pack")
    body: dict[str, Any] = {"data": [str(secret)], "fn_index": number, "session_hash": "pack"}
    with pytest.raises(Refused, match="Name a built-in pack"):
        page.result("queue/join", body)
    with pytest.raises(Refused, match="There is no pack"):
        page.ask("tasks", pack=str(secret))
    assert page.result("queue/join", {**body, "data": ["house-rules@7"]})


def test_a_bug_s_text_stays_in_the_terminal(page: Page, app: App) -> None:
    """A private handler given what no page sends: the client learns nothing, and the page goes on."""
    config = page.http.get("../config").json()
    number = next(one["id"] for one in config["dependencies"] if one["api_name"] == "on_add")
    with pytest.raises((Refused, Broken)) as caught:
        page.result("queue/join", {"data": [1], "fn_index": number, "session_hash": "bug"})
    assert str(ROOT) not in str(caught.value) and "Traceback" not in str(caught.value)
    assert page.ask("status")["state"] == "ready"


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("sample", {"task": 5}, "The argument 'task' is 5; it must be text."),
        ("sample", {"task": "x", "n": "y"}, "The argument 'n' is 'y'; it must be a whole number."),
        ("sample", {"task": "x", "n": True}, "it must be a whole number."),
        ("sample", {"task": "x", "n": 10**9}, "whole number from 1 to 64"),
        ("sample", {"task": "house-rules/sort-take-1", "max_new_tokens": 10**9}, "lower max_new_tokens"),
        ("judge", {"task": "x", "text": "y" * 30_000}, "at most 20,000 are accepted"),
        ("feedback", {"attempt": "a", "text": "y" * 30_000}, "at most 20,000 characters"),
        ("feedback", {"attempt": "a-gone", "text": "y"}, "There is no attempt 'a-gone' in this run"),
        ("credit", {"attempt": "a", "contexts": "all"}, "it must be a list or nothing."),
        ("credit", {"attempt": "a", "config": {"distillation_topk": 10**9}}, "There is no attempt"),
        ("update", {"attempts": "abc"}, "it must be a list."),
        ("update", {"attempts": [1]}, "no attempts to learn from"),
        ("update", {"attempts": ["a"], "config": {"learning_rate": "much"}}, "it must be a number."),
        ("update", {"attempts": ["a"], "config": {"learning_rate": -1}}, "learning_rate is -1"),
        ("checkout", {"update_id": "u-none"}, "u-none"),
    ],
)
def test_bad_input_gets_one_sentence(page: Page, name: str, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused) as caught:
        page.ask(name, **values)
    said = str(caught.value)
    assert sentence in said and "\n" not in said and said.endswith((".", ")"))


def test_halves_of_characters_and_not_a_number_are_refused(page: Page) -> None:
    """JSON can spell what no text and no number is."""
    for body in (b'{"attempt": "\\ud800", "text": "x"}', b'{"attempt": "a", "text": "\\udfff"}'):
        joined = page.http.post("call/v2/feedback", content=body, headers={"content-type": "application/json"})
        kind, data = page._ending(f"call/any/{joined.json()['event_id']}")
        assert kind == "error" and "it must be text" in data["error"]
    content = b'{"attempts": ["a"], "config": {"learning_rate": NaN}}'
    joined = page.http.post("call/v2/update", content=content, headers={"content-type": "application/json"})
    kind, data = page._ending(f"call/any/{joined.json()['event_id']}")
    assert kind == "error" and "learning_rate is nan" in data["error"]


def test_the_token_of_the_hub_reaches_no_program(page: Page, app: App) -> None:
    environ = Path(f"/proc/{app.process.pid}/environ").read_bytes()
    assert b"HF_TOKEN=hf_secret" in environ  # the page has it, for gated models
    code = (
        "import os\n"
        "def f(xs):\n"
        "    try:\n"
        "        import ctypes\n"
        "    except ImportError:\n"  # there is none in WebAssembly
        "        raise ValueError(f'{dict(os.environ)} {os.getenv(\"HF_TOKEN\")}')\n"
        "    libc = ctypes.CDLL(None)\n"
        "    libc.getenv.restype = ctypes.c_char_p\n"
        "    raise ValueError(f'{dict(os.environ)} {libc.getenv(b\"HF_TOKEN\")}')\n"
    )
    assert "ValueError: {} None" in page.ask("judge", task="house-rules/sort-take-1", text=code)["feedback"]


def test_while_nobody_looks_next_to_nothing_is_spent(app: App) -> None:
    """Gradio's own queue alone would take twenty times as much; `bench idle` measures it for longer."""
    assert spent(app.process.pid, 10.0, time.sleep)["core_share"] < 0.01


def test_nobody_outside_was_asked_for_anything(outside: Recorder, app: App) -> None:
    """Comes last of those with this page: Gradio's telemetry, version checks and share links would have gone there."""
    assert outside.wanted == []
    with suppress(httpx.HTTPError):
        httpx.get("http://example.invalid/", proxy=f"http://127.0.0.1:{outside.server_address[1]}", trust_env=False)
    assert outside.wanted != []  # it would have been seen


def test_another_address_asks_for_a_name_and_a_password(tmp_path: Path) -> None:
    """The password comes from the environment, which the list of processes does not show."""
    flags = ["--host", "0.0.0.0"]
    with running(tmp_path / "run", flags, patience_s=PATIENCE_S, env={"WORKBENCH_AUTH": "ann:secret"}) as app:
        assert b"secret" not in Path(f"/proc/{app.process.pid}/cmdline").read_bytes()
        with httpx.Client(base_url=app.address, timeout=PATIENCE_S, trust_env=False) as client:
            for path in (
                "config",
                "workbench/changes",
                "gradio_api/info",
                "gradio_api/file=x",
                "gradio_api/queue/status",
            ):
                assert client.get(path).status_code == 401, path
            assert client.post("gradio_api/call/status", json={"data": []}).status_code == 401
            wrong = {"username": "ann", "password": "guess"}
            assert client.post("login", data=wrong).status_code == 400
            assert client.get("config").status_code == 401
            assert client.post("login", data={**wrong, "password": "secret"}).status_code == 200
            assert client.get("config").status_code == 200
