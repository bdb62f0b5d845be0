"""Serving the page: check the address, show the page at once, open the workbench behind it, run until interrupted.

Gradio is imported only after every check that does not need it.
"""

from __future__ import annotations

import importlib.abc
import os
import signal
import socket
import sys
import tempfile
import time
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
AUTH = "WORKBENCH_AUTH"  # NAME:PASSWORD; unlike an option, it is not visible in the list of processes


@dataclass(frozen=True, slots=True)
class Site:
    """Address of the page, the people it admits, and the names it answers to."""

    host: str  # address to listen on
    port: int
    auth: str | None = None  # NAME:PASSWORD, asked for before anything is shown
    names: tuple[str, ...] = ()  # host names that a proxy answers to, besides the loopback ones
    root_path: str = ""  # of the page behind a proxy: a path, or a whole URL
    embedded_in: tuple[str, ...] = ()  # origins whose pages may show this one in a frame

    @property
    def is_local(self) -> bool:
        """True where only this machine reaches the page, and through no proxy with another name."""
        return self.host in LOOPBACK and not self.names and not urlsplit(self.root_path).netloc

    @property
    def answered(self) -> tuple[str, ...]:
        """The host names that the page answers to; empty for any."""
        proxy = urlsplit(self.root_path).hostname
        names = (*self.names, *((proxy,) if proxy else ()))
        return (*LOOPBACK, *names) if names or self.host in LOOPBACK else ()

    def check(self, *, replay: bool = False, unsafe: bool = False) -> None:
        """Raise ConfigError where the page must not or cannot listen.

        `replay`: the page changes and runs nothing; `unsafe`: it runs unconfined model-written code.
        """
        if self.auth is not None and not all(self.auth.partition(":")):
            raise ConfigError("--auth needs a name and a password, as NAME:PASSWORD.")
        if not (self.is_local or self.auth or replay):
            where = f"Listening on {self.host}" if self.host not in LOOPBACK else "Answering to other names"
            raise ConfigError(
                f"{where} lets others in; add --auth NAME:PASSWORD, show a stored run with --replay, or serve only "
                "this machine."
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
        if self.host == "0.0.0.0" and not _resolves("localhost"):  # by which Gradio asks itself whether it has started
            raise ConfigError(
                "The name localhost is not known on this machine; add the line '127.0.0.1 localhost' to its file of "
                "hosts, or give the address to listen on with --host."
            )
        try:
            with socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET) as probe:
                # Elsewhere SO_REUSEADDR passes over connections that are still closing; on Windows, over listeners.
                exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR if exclusive is None else exclusive, 1)
                probe.bind((self.host, self.port))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"Port {self.port} on {self.host} cannot be used ({error}); choose another with --port."
            ) from None


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


class WithoutStubs(importlib.abc.MetaPathFinder):
    """Import hook that keeps Gradio from writing type stubs of its components into its own folder.

    Gradio writes them for editors whenever it is imported, which takes two fifths of the import's time.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find Gradio's stub writer as usual, but silenced; None for any other module."""
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
    Raises ConfigError before anything starts, and any error that keeps the run from being opened.
    """
    site.check(replay=replay, unsafe=unsafe)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Windows keeps what is still open, such as the last upload; its own clean-up takes it later.
    with tempfile.TemporaryDirectory(prefix="workbench-", ignore_cleanup_errors=True) as private:
        _set_private_environment(private)
        _serve(site, run, policy, replay=replay, unsafe=unsafe)


def _serve(site: Site, run: Path, policy: PolicyConfig, *, replay: bool, unsafe: bool) -> None:
    from workbench.tasks import sandbox

    if unsafe:
        sandbox.allow_unsafe()
    if replay:
        sandbox.forbid()
    sandbox.prepare(lambda sentence: print(sentence, flush=True))
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
        queue.start()  # not earlier: importing torch holds up every other thread, and with them the page
        while not queue.settled.wait(1.0):  # on Windows, Ctrl-C does not end a wait without a limit
            pass
        if queue.failure is not None:
            raise queue.failure
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600.0)  # until a signal comes; unlike a lock's wait, it ends by Ctrl-C on Windows too
    finally:
        page.close()
        queue.close()


def _set_private_environment(private: str) -> None:
    """Set the environment of Gradio and of the hub's client, before they are imported.

    Uploads, caches and temporary files go to `private`, nobody is informed that the page was opened, and no variable
    that Gradio would read (GRADIO_SHARE, GRADIO_ALLOWED_PATHS, ...) opens what the options keep closed.
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
    for name in ("no_proxy", "NO_PROXY"):  # the page asks itself whether it has started; no proxy can answer that
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), *LOOPBACK)))
