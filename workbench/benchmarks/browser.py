"""The real page in a process of its own, and a real Chromium to look at it. Knows nothing of what is measured."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import ConfigError, WorkbenchError

ROOT = Path(__file__).resolve().parents[2]  # the folder that the package lies in: a checkout, or where it is installed
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_FIRST_PORT, _PORTS = 20_000, 10_000
_numbers = itertools.count(os.getpid() * 97)
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def free_port() -> int:
    """A loopback port that is free now, and that no other process is about to take.

    A page takes seconds to listen on its port. Those of a process follow one another, apart from other processes' and
    below the ones that systems give to outgoing connections.
    """
    while True:
        port = _FIRST_PORT + next(_numbers) % _PORTS
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's browser object over the system's Chromium. ConfigError where either is missing."""
    path = next((path for path in map(shutil.which, CHROMIUM) if path), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise ConfigError("This needs playwright; install requirements-dev.txt (make test does).") from None
    if path is None:
        raise ConfigError("This needs Chromium; install it (on Debian: apt-get install chromium).")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass(frozen=True, slots=True)
class App:
    """A running page."""

    address: str
    process: subprocess.Popen[bytes]
    output: Path  # both of its output streams


@contextmanager
def running(
    run: Path, flags: Sequence[str] = (), *, patience_s: float = 420.0, env: Mapping[str, str] | None = None
) -> Iterator[App]:
    """Start the command `app` on this run and wait until it listens; it ends with the block. `env`: more variables.

    Raises WorkbenchError, with its output, where it ends before it listens or does not listen in time.
    """
    port = free_port()
    command = [sys.executable, "-m", "workbench", "app", "--run", str(run), "--port", str(port), *flags]
    with tempfile.TemporaryDirectory(prefix="app-", ignore_cleanup_errors=True) as folder:
        # Into a file: nobody reads it meanwhile, and a full pipe would stop the program.
        output = Path(folder) / "output.log"
        with output.open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **(env or {})})
        try:
            deadline = time.monotonic() + patience_s
            while not listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    printed = output.read_text(encoding="utf-8", errors="replace").strip()
                    raise WorkbenchError(f"The page did not start; its output: {printed or 'none'}")
                time.sleep(0.05)
            yield App(f"http://127.0.0.1:{port}/", process, output)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@contextmanager
def serving(run: Path, flags: Sequence[str] = (), *, patience_s: float = 420.0) -> Iterator[str]:
    """The address of the page on this run, as by `running`."""
    with running(run, flags, patience_s=patience_s) as app:
        yield app.address


def listens(port: int) -> bool:
    """True where a loopback port accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
