"""The page as a program: check where it listens, show it at once, open the workbench behind it, stay until interrupted.

Imports Gradio only once everything that can be refused without it was checked.
"""

from __future__ import annotations

import importlib.abc
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from workbench.config import PolicyConfig
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.session.replay import Replay

LOOPBACK = ("127.0.0.1", "localhost", "::1")
AUTH = "WORKBENCH_AUTH"  # NAME:PASSWORD; unlike an option, the list of processes does not show it


@dataclass(frozen=True, slots=True)
class Site:
    """Where the page is served, to whom, and under which names."""

    host: str  # address to listen on
    port: int
    auth: str | None = None  # NAME:PASSWORD, asked for before anything is shown
    names: tuple[str, ...] = ()  # host names that a proxy answers to, besides the loopback ones
    root_path: str = ""  # where a proxy has it: a path, or a whole URL
    embedded_in: tuple[str, ...] = ()  # origins whose pages may show this one in a frame

    @property
    def is_local(self) -> bool:
        """Only this machine reaches it, and by no proxy that answers to another name."""
        return self.host in LOOPBACK and not self.names and not urlsplit(self.root_path).netloc

    @property
    def answered(self) -> tuple[str, ...]:
        """The host names under which it answers; empty for any."""
        own = urlsplit(self.root_path).hostname
        names = (*self.names, *((own,) if own else ()))
        return (*LOOPBACK, *names) if names or self.host in LOOPBACK else ()

    def check(self, *, replay: bool = False, unsafe: bool = False) -> None:
        """Raise ConfigError where the page must not or cannot listen.

        `replay`: it changes and runs nothing; `unsafe`: it runs model-written code that nothing confines.
        """
        if self.auth is not None and not all(self.auth.partition(":")):
            raise ConfigError("--auth needs a name and a password, as NAME:PASSWORD.")
        if not (self.is_local or self.auth or replay):
            where = f"Listening on {self.host}" if self.host not in LOOPBACK else "Answering to other names"
            raise ConfigError(
                f"{where} lets others in; add --auth NAME:PASSWORD, show a stored run with --replay, or serve this "
                "machine alone."
            )
        if not self.is_local and unsafe:
            raise ConfigError("A page that others can reach forbids --allow-unsafe-exec; leave one of the two out.")
        for name in self.names:
            if not name or set(name) & set("/:@ "):
                raise ConfigError(f"--name is {name!r}; give a host's name alone, such as workbench.example.org.")
        url = urlsplit(self.root_path)
        if self.root_path and not (self.root_path.startswith("/") or (url.scheme in ("http", "https") and url.netloc)):
            raise ConfigError(
                f"--root-path is {self.root_path!r}; give a path such as /workbench, or a whole URL such as "
                "https://example.org/workbench."
            )
        for origin in self.embedded_in:
            url = urlsplit(origin)
            if url.scheme not in ("http", "https") or not url.netloc or origin != f"{url.scheme}://{url.netloc}":
                raise ConfigError(f"--embedded-in is {origin!r}; give an origin such as https://huggingface.co.")
        try:
            with socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((self.host, self.port))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"Port {self.port} on {self.host} cannot be used ({error}); choose another with --port."
            ) from None


class WithoutStubs(importlib.abc.MetaPathFinder):
    """Keeps Gradio from writing type stubs of its components into the folder where it is installed.

    It does so whenever it is imported, for editors; it is two fifths of the time that the import takes.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Gradio's maker of stubs as it is found anyway, silenced; None for any other module."""
        spec = PathFinder.find_spec(name, path, target) if name == "gradio.component_meta" else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def silenced(module: ModuleType) -> None:
            execute(module)
            vars(module)["create_or_modify_pyi"] = lambda *_: None

        spec.loader.exec_module = silenced  # type: ignore[method-assign]
        return spec


def serve(site: Site, run: Path, policy: PolicyConfig, *, replay: bool = False, unsafe: bool = False) -> None:
    """Serve the page of a run until the process is interrupted or terminated.

    `replay`: the run is shown without its model; `unsafe`: model-written code runs even where nothing confines it.
    Raises ConfigError before anything starts, and whatever error keeps the run from being opened.
    """
    site.check(replay=replay, unsafe=unsafe)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="workbench-") as private:
        _be_private(private)
        _serve(site, run, policy, replay=replay, unsafe=unsafe)


def _serve(site: Site, run: Path, policy: PolicyConfig, *, replay: bool, unsafe: bool) -> None:
    from workbench.tasks import sandbox

    if unsafe:
        sandbox.allow_unsafe()
    print(sandbox.confinement(), flush=True)
    sys.meta_path.insert(0, WithoutStubs())
    from workbench.service import make_queue
    from workbench.ui import build_ui, launch  # Gradio takes seconds to import

    public = replay and not (site.is_local or site.auth)

    def opener() -> Workbench | Replay:
        from workbench import Workbench

        if replay:
            return Workbench.replay(run, public=public)
        return Workbench.open(run, **policy.arguments())

    queue = make_queue(opener)
    page = build_ui(queue, run.absolute().name, replay=replay)
    try:
        address = launch(
            page,
            queue,
            site.host,
            site.port,
            auth=tuple(site.auth.split(":", 1)) if site.auth else None,  # type: ignore[arg-type]  # checked above
            names=site.answered,
            root_path=site.root_path,
            embedded_in=site.embedded_in,
            uploads=not replay,
        )
        print(f"SDPO Workbench is at {address}", flush=True)
        queue.start()  # not before: importing torch holds up every other thread, and so the page
        queue.settled.wait()
        if queue.failure is not None:
            raise queue.failure
        with suppress(KeyboardInterrupt):
            threading.Event().wait()  # for a signal, asleep
    finally:
        page.close()
        queue.close()


def _be_private(private: str) -> None:
    """Environment of Gradio and the hub's client, set before they are imported.

    Uploads, caches and temporary files go to `private`, no one is told that the page was opened, and no variable that
    Gradio would read (GRADIO_SHARE, GRADIO_ALLOWED_PATHS, ...) opens what the options keep closed.
    """
    tempfile.tempdir = private
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    os.environ |= {
        "GRADIO_TEMP_DIR": private,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }
