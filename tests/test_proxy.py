"""The page behind a real nginx, with the configurations of docs/deployment.md and with none at all."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from forked import serving
from gradio_client import Client

from workbench import Workbench
from workbench.benchmarks.browser import free_port
from workbench.benchmarks.client import Page

ROOT = Path(__file__).resolve().parents[1]
ARCHIVE = ROOT / "tests" / "fixtures" / "run-eac016f.zip"
NGINX = shutil.which("nginx") or next(iter(map(str, Path("/usr/sbin").glob("nginx"))), None)
NAME = "workbench.example.org"
PATIENCE_S = 240.0
PROMPT_S = 10.0  # a first event that takes longer was held back; the next heartbeat comes after 15 s

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (on Debian: apt-get install nginx-light)")

AROUND = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""
NO_LINES = "server {{ listen 80; location {path} {{ proxy_pass http://127.0.0.1:7860/; }} }}"


def documented(heading: str) -> str:
    """The nginx configuration under a heading of docs/deployment.md."""
    section = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8").partition(f"### {heading}\n")[2]
    block = re.search(r"```nginx\n(.*?)```", section.partition("\n### ")[0], re.DOTALL)
    assert block is not None, heading
    return block[1]


@contextmanager
def proxy(folder: Path, server: str, page: str, port: int) -> Iterator[None]:
    """nginx on loopback with this `server { ... }`, in front of a page; ended with the block."""
    server = server.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(
        "http://127.0.0.1:7860", page.rstrip("/")
    )
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, server=server))
    command = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=PATIENCE_S)
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(process.communicate(timeout=10)[1]) from None
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def replay(run: Path, *flags: str) -> Iterator[str]:
    with serving(run, ["--replay", str(run), *flags]) as address:
        yield address


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Workbench.import_run(ARCHIVE, tmp_path_factory.mktemp("proxy") / "run")


@pytest.fixture(scope="module")
def page(run: Path) -> Iterator[str]:
    """The address of a page that answers to another name as well, without a path of its own."""
    with replay(run, "--name", NAME) as address:
        yield address


def works(address: str, **headers: str) -> None:
    """A browser's way to the page and one endpoint: its files, a call from its origin, the answer as a stream."""
    origin = "/".join(address.split("/")[:3])
    with httpx.Client(trust_env=False, timeout=PATIENCE_S, headers=headers, follow_redirects=True) as browser:
        html = browser.get(address)
        assert html.status_code == 200
        root = browser.get(f"{address}config").json()["root"]
        public = f"http://{headers['host']}" if "host" in headers else origin
        assert root == (public + address.removeprefix(origin)).rstrip("/")
        scripts = re.findall(r'(?:src|href)="([^"]+\.(?:js|css))"', html.text)
        assert scripts
        for script in scripts[:5]:
            where = httpx.URL(f"{root}/").join(script)
            assert str(where).startswith(root), where
            assert browser.get(str(where).replace(public, origin, 1)).status_code == 200, where
        called = browser.post(f"{address}gradio_api/call/status", json={"data": []}, headers={"origin": public})
        assert called.status_code == 200, called.text
        answer = browser.get(f"{address}gradio_api/call/status/{called.json()['event_id']}")
        assert "event: complete" in answer.text and '"state"' in answer.text
        other = browser.post(f"{address}gradio_api/call/status", json={"data": []}, headers={"origin": "http://evil"})
        assert other.status_code == 403


def streams(address: str) -> float:
    """Seconds until the first event of a stream that stays open."""
    started = time.monotonic()
    with httpx.stream("GET", f"{address}gradio_api/heartbeat/s1", trust_env=False, timeout=PATIENCE_S) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "ALIVE" in next(stream.iter_text())
    return time.monotonic() - started


def test_the_documented_lines_serve_a_name_of_its_own(page: str, tmp_path: Path) -> None:
    port = free_port()
    with proxy(tmp_path / "nginx", documented("A name of its own"), page, port):
        address = f"http://127.0.0.1:{port}/"
        works(address)
        works(address, host=NAME)
        assert streams(address) < PROMPT_S
        refused = httpx.get(address, headers={"host": "evil.example"}, trust_env=False)
        assert refused.status_code == 421 and "--name NAME" in refused.text
        forged = {"host": "evil.example", "x-forwarded-host": NAME}  # nginx hands on what a client forges
        assert httpx.get(address, headers=forged, trust_env=False).status_code == 421
        client = Client(address, verbose=False)
        assert client.predict(api_name="/status")["state"] in ("loading", "ready")


def test_the_documented_lines_serve_a_path_of_another_site(run: Path, tmp_path: Path) -> None:
    port = free_port()
    with (
        replay(run, "--root-path", "/workbench") as page,
        proxy(tmp_path / "nginx", documented("A path of another site"), page, port),
    ):
        address = f"http://127.0.0.1:{port}/workbench/"
        works(address)
        assert streams(address) < PROMPT_S
        with Page(address, PATIENCE_S) as program:
            assert program.ask("status")["state"] in ("loading", "ready")
        assert Client(address, verbose=False).predict(api_name="/timeline")


def test_default_headers_are_refused_with_a_sentence_until_the_whole_url_is_named(
    run: Path, page: str, tmp_path: Path
) -> None:
    port = free_port()
    with proxy(tmp_path / "refused", NO_LINES.format(path="/"), page, port):
        origin = f"http://127.0.0.1:{port}"
        refused = httpx.post(f"{origin}/gradio_api/call/status", json={"data": []}, headers={"origin": origin})
        assert refused.status_code == 403
        assert "let it pass on Host and X-Forwarded-Proto" in refused.text and "--root-path" in refused.text
    address = f"http://127.0.0.1:{port}/deep/path/"
    with (
        replay(run, "--root-path", address.rstrip("/")) as direct,
        proxy(tmp_path / "works", NO_LINES.format(path="/deep/path/"), direct, port),
    ):
        works(address)
        assert streams(address) < PROMPT_S
