"""A program: the workbench on a system without what only Linux has, as far as this one can pretend to be another.

`python -X warn_default_encoding tests/bare_platform.py FOLDER` loads the libraries, which are this system's builds, and
then forks once for each name of PLATFORMS. In the fork `fcntl`, `resource`, `pwd`, /proc, `os.fork` and more are gone
before the first module of the workbench is imported, and `sys.platform` is the name. It imports every module, plays a
whole round in FOLDER/NAME with the sandbox that is left, and prints one line of JSON for each name.

What it cannot show: how another system's own builds of Python and the libraries behave. `os.name` and paths stay this
system's, since `pathlib` refuses to be another's.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.abc
import io
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLATFORMS = ("darwin", "win32")
LIBRARIES = (
    *("torch", "numpy", "scipy.stats", "safetensors.torch", "peft", "peft.tuners.lora", "filelock", "psutil"),
    *("transformers", "transformers.models.auto.modeling_auto", "transformers.models.qwen3.modeling_qwen3"),
    *("transformers.models.auto.tokenization_auto", "transformers.pytorch_utils", "transformers.generation"),
    *("gradio", "plotly.graph_objects", "typer", "rich.console", "rich.table", "httpx", "huggingface_hub"),
    *("multiprocessing.pool", "subprocess", "asyncio", "sqlite3", "hypothesis", "platformdirs"),
    "wasmtime",
)
MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "syslog")
ATTRIBUTES = {  # taken from every platform but Linux here; Apple's system has some of them
    os: ("fork", "forkpty", "memfd_create", "sched_getaffinity", "sched_setaffinity", "posix_fadvise", "O_PATH"),
    signal: ("sigtimedwait", "sigwaitinfo"),
    select: ("epoll",),
}
WINDOWS_LACKS = {
    os: (
        *("O_DIRECTORY", "O_CLOEXEC", "O_NONBLOCK", "O_NOFOLLOW", "O_SYNC", "pread", "pwrite", "fchmod", "fchown"),
        *("chown", "lchown", "chroot", "getuid", "geteuid", "getgid", "getegid", "setuid", "setgid", "setsid"),
        *("getpgid", "setpgid", "killpg", "nice", "uname", "sysconf", "statvfs", "fstatvfs", "mkfifo", "mknod"),
        # WNOHANG stays: the `subprocess` of this system waits with it.
        *("getloadavg", "posix_spawn", "wait", "wait3", "wait4", "register_at_fork", "ctermid"),
    ),
    signal: (
        *("SIGKILL", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE", "alarm", "pause"),
        *("setitimer", "pthread_sigmask", "pthread_kill", "sigwait", "siginterrupt"),
    ),
    select: ("poll", "epoll"),
    socket: ("AF_UNIX", "socketpair", "SO_REUSEPORT"),
}
# What is handed to an interpreter inside the tiers that need Linux.
LINUX_PROGRAMS = {f"workbench.tasks.sandbox.{name}" for name in ("child", "confine")}
# Programs whose source is handed to an interpreter, and a command: they run when they are imported.
NOT_IMPORTED = LINUX_PROGRAMS | {"workbench.tasks.sandbox.wasm.guest", "workbench.__main__"}


class Missing(importlib.abc.MetaPathFinder):
    """Import hook that knows the modules which are not there."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def without_proc(function: Any) -> Any:
    """The function, for which nothing is below /proc; psutil, which is another build elsewhere, keeps it."""

    def guarded(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
        text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        if text == "/proc" or text.startswith("/proc/"):
            caller = sys._getframe(1).f_globals.get("__name__", "")
            if not caller.startswith("psutil"):
                raise FileNotFoundError(2, "No such file or directory", text)
        return function(path, *args, **kwargs)

    return guarded


def take_away(platform: str) -> None:
    """Make this process one of another platform, for all that is imported or called from now on."""
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Missing())
    for owner, names in [*ATTRIBUTES.items(), *(WINDOWS_LACKS.items() if platform == "win32" else ())]:
        for name in names:
            if hasattr(owner, name):
                delattr(owner, name)
    for name in ("open", "listdir", "scandir", "stat", "lstat", "readlink", "access"):
        setattr(os, name, without_proc(getattr(os, name)))
    builtins.open = io.open = without_proc(io.open)  # type: ignore[assignment]
    subprocess._PopenSelector = selectors.SelectSelector  # type: ignore[attr-defined]  # elsewhere it needs no `poll`
    sys.platform = platform


def import_everything() -> int:
    """Import every module of the workbench; return how many there are."""
    package = importlib.import_module("workbench")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, "workbench.")]
    for name in names:
        if name not in NOT_IMPORTED:
            importlib.import_module(name)
    return len(names)


def digest(state: dict[str, Any]) -> str:
    """SHA-256 of a policy's whole state, bit for bit."""
    combined = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        combined.update(name.encode() + tensor.numpy().tobytes())
    return combined.hexdigest()


def play(run: Path) -> dict[str, Any]:
    """A round: attempts, credit, an update and its undo; then the run is opened again, exported and imported."""
    from workbench import Workbench
    from workbench.config import SDPOConfig
    from workbench.errors import RunError
    from workbench.policy.memory import free_bytes

    with Workbench.open(run, device="cpu") as workbench:
        task = workbench.task("house-rules/sort-take-1")
        attempts = workbench.attempt(task, n=4)
        failed = next(attempt for attempt in attempts if not attempt.passed)
        workbench.give_feedback(failed, text="largest first")
        credit = workbench.credit(failed)
        before = digest(workbench.policy.state())
        report = workbench.update(attempts, SDPOConfig(steps=1))
        moved = digest(workbench.policy.state())
        workbench.undo()
        undone = digest(workbench.policy.state())
        try:
            Workbench.open(run, device="cpu")
            refusal = "none"
        except RunError as error:
            refusal = str(error)
        archive = workbench.export_run(run.parent / f"{run.name}.zip")
        free = free_bytes(workbench.policy.device)
    copy = Workbench.import_run(archive, run.parent / f"{run.name}-copy")
    with Workbench.open(copy, device="cpu") as again:
        kept = len(again.attempts()) == len(attempts) and digest(again.policy.state()) == undone
    return {
        "tiers": sorted({attempt.details["tier"] for attempt in attempts}),
        "passed": sum(attempt.passed for attempt in attempts),
        "tokens": len(credit.tokens),
        "update": report.update_id,
        "moved": moved != before,
        "undone": undone == before,
        "refusal": refusal,
        "kept": kept,
        "free": free is not None and free > 0,
        "leftovers": sorted(path.name for path in (run / "blobs").glob("*.tmp")),
    }


def run_as(platform: str, folder: Path) -> dict[str, Any]:
    """Everything, on one platform."""
    take_away(platform)
    outcome: dict[str, Any] = {"platform": sys.platform, "modules": import_everything()}
    from workbench.policy.selfcheck import hardware
    from workbench.tasks.sandbox.wasm import cache

    cache.sys = SimpleNamespace(platform="linux")  # type: ignore[assignment]  # the machine code is this system's

    outcome["cpu"] = hardware()["cpu"]
    return outcome | play(folder / platform)


def main() -> None:
    """Load the libraries, then fork once for each platform."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    sys.path.insert(0, str(ROOT))
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            assert error.name == name, error  # an optional library: nothing of the workbench may need it
    warnings.filterwarnings("error", category=EncodingWarning, module=r"workbench")
    fork, wait = os.fork, os.waitpid
    for platform in PLATFORMS:
        child = fork()
        if child == 0:
            try:
                outcome = run_as(platform, Path(sys.argv[1]))
            except BaseException:
                outcome = {"platform": platform, "traceback": traceback.format_exc()}
            sys.stdout.write(json.dumps(outcome) + "\n")
            sys.stdout.flush()
            os._exit(0)
        wait(child, 0)


if __name__ == "__main__":
    main()
