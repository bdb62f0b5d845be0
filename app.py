"""The page: flags -> build_ui(...) -> launch(...), and Workbench.open(...) behind it."""

from __future__ import annotations

import argparse
import importlib.abc
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.errors import ConfigError, WorkbenchError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
AUTH = "WORKBENCH_AUTH"  # NAME:PASSWORD; unlike a flag, the list of processes does not show it


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags; an unknown one ends with status 2, as every mistake of a person does."""
    flags = argparse.ArgumentParser(description="SDPO Workbench: see, apply, test and undo reinforcement learning.")
    flags.add_argument("--host", default="127.0.0.1", help="address to listen on; any but loopback needs --auth")
    flags.add_argument("--port", type=int, default=7860)
    flags.add_argument(
        "--auth",
        metavar="NAME:PASSWORD",
        default=os.environ.pop(AUTH, None),
        help=f"ask for these before showing the page; others on this machine see flags, so rather set {AUTH}",
    )
    flags.add_argument("--run", metavar="DIR", default="runs/demo", help="directory of the run; resumed if it exists")
    flags.add_argument("--replay", metavar="DIR", help="look at a stored run, without its model and without a lock")
    flags.add_argument("--model", default="embedded", help="'embedded', a local directory or a hub id")
    flags.add_argument("--quantization", default="auto", choices=["auto", "nf4", "int8", "none"])
    flags.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument(
        "--allow-unsafe-exec",
        action="store_true",
        help="run model-written code with limits only, where this machine cannot confine it; on loopback only",
    )
    return flags.parse_args(arguments)


def check_address(flags: argparse.Namespace) -> None:
    """Raise ConfigError where the page must not or cannot listen."""
    host, port, auth = flags.host, flags.port, flags.auth
    if auth is not None and not all(auth.partition(":")):
        raise ConfigError("--auth needs a name and a password, as NAME:PASSWORD.")
    if host not in LOOPBACK and not auth:
        raise ConfigError(f"Listening on {host} lets others in; add --auth NAME:PASSWORD, or leave --host away.")
    if host not in LOOPBACK and flags.allow_unsafe_exec:
        raise ConfigError(f"Listening on {host} forbids --allow-unsafe-exec; leave one of the two away.")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise ConfigError(f"Port {port} on {host} cannot be used ({error}); choose another with --port.") from None


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


def serve(flags: argparse.Namespace) -> None:
    """Show the page at once, open the workbench behind it, and stay until interrupted."""
    check_address(flags)
    from workbench.tasks import sandbox

    if flags.allow_unsafe_exec:
        sandbox.allow_unsafe()
    print(sandbox.confinement(), flush=True)
    sys.meta_path.insert(0, WithoutStubs())
    from workbench.ui import build_ui, launch, make_desk  # Gradio takes seconds to import

    def opener() -> Any:
        from workbench import Workbench

        if flags.replay:
            return Workbench.replay(flags.replay)
        return Workbench.open(
            flags.run, model=flags.model, quantization=flags.quantization, device=flags.device, seed=flags.seed
        )

    desk = make_desk(opener)
    page = build_ui(desk, Path(flags.replay or flags.run).absolute().name, replay=bool(flags.replay))
    try:
        auth = tuple(flags.auth.split(":", 1)) if flags.auth else None
        names = LOOPBACK if flags.host in LOOPBACK else ()
        address = launch(page, desk, flags.host, flags.port, auth, names)  # type: ignore[arg-type]
        print(f"SDPO Workbench is at {address}", flush=True)
        desk.start()  # not before: importing torch holds up every other thread, and so the page
        desk.settled.wait()
        if desk.failure is not None:
            raise desk.failure
        with suppress(KeyboardInterrupt):
            threading.Event().wait()  # for a signal, asleep
    finally:
        page.close()
        desk.close()


def be_private(private: str) -> None:
    """Environment of Gradio and the hub's client, set before they are imported.

    Uploads, caches and temporary files go to `private`, no one is told that the page was opened, and no variable that
    Gradio would read (GRADIO_SHARE, GRADIO_ALLOWED_PATHS, ...) opens what the flags keep closed.
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


def main(arguments: list[str] | None = None) -> int:
    """0, or 2 with one sentence on stderr where a person can act on it; a bug keeps its traceback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="workbench-") as private:
        be_private(private)
        try:
            serve(parse(arguments))
        except WorkbenchError as error:
            print(error, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
