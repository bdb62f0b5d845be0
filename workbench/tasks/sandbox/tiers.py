"""Tiers of confinement, in the order in which they are tried, and the command line of those that Linux confines.

Each of those also has what `child.py` applies to itself: resource limits, no capabilities, no new processes or threads,
no sockets, no signals. None of the three that confine leaves a place to write: it would outlive the call, and
carry what one call saw to the next. What differs is the view of the file system and of other processes:

- bubblewrap: own namespaces; only the interpreter and /usr exist, read-only.
- landlock: the real file system, of which only the interpreter and /usr can be read and nothing can be written.
- wasm: no file system and no system at all (`wasm/`); on any system, but several times slower.
- rlimits: the real file system, with the rights of the person who runs the workbench. Not a boundary: it is used
  only where a person allows it.
"""

from __future__ import annotations

import marshal
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from workbench.errors import SandboxError, TaskError
from workbench.tasks.sandbox import wasm
from workbench.tasks.sandbox.results import Tier
from workbench.tasks.sandbox.wasm.interpreter import VERSION

TIERS: tuple[Tier, ...] = ("bubblewrap", "landlock", "wasm", "rlimits")
BOUNDARIES = TIERS[:3]
_ON_LINUX = sys.platform == "linux"
_FASTER = "; to run it faster, install bubblewrap (apt install bubblewrap) and start again." if _ON_LINUX else "."
DESCRIPTIONS: dict[Tier, str] = {  # for people, with how to reach a better tier
    "bubblewrap": "Model-written code runs in bubblewrap, the strongest tier: namespaces and a file system of its own.",
    "landlock": "Model-written code runs under Landlock and a system-call filter, the second tier: it can read /usr "
    "and this Python; for a file system of its own, install bubblewrap (apt install bubblewrap) and start again.",
    "wasm": f"Model-written code runs in WebAssembly ({VERSION} by wasmtime): no files, no network, no processes; "
    f"programs take 4 to 15 times as long as natively{_FASTER}",
    "rlimits": "UNSAFE: model-written code runs with limits only and can read and write your files; install "
    "bubblewrap (apt install bubblewrap) and start again without --allow-unsafe-exec.",
}
PREPARING = (
    "Model-written code will run in WebAssembly; its interpreter is being compiled for this machine, once, which takes "
    "about twenty seconds. Attempts that need it wait for it."
)


# Packages that a task may ask for: the folders of each, and of what it imports, side by side where it is installed.
PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "numpy": ("numpy", "numpy.libs"),
        "scipy": ("scipy", "scipy.libs", "numpy", "numpy.libs"),
        "sympy": ("sympy", "mpmath"),
        "networkx": ("networkx",),
        "sortedcontainers": ("sortedcontainers",),
    }
)
_BOOT = "import marshal, sys; exec(marshal.loads(bytes.fromhex(sys.argv.pop(1))))"


@lru_cache(maxsize=1)
def _harness() -> list[str]:
    """The harness and its parts, compiled here once: the same Python runs them, and each start would compile again."""
    names = ("child.py", "program.py", "candidate.py", "confine.py")
    sources = [(name, Path(__file__).with_name(name).read_text(encoding="utf-8")) for name in names]
    return [marshal.dumps(compile(text, name, "exec", dont_inherit=True, optimize=2)).hex() for name, text in sources]


def package_paths(packages: Sequence[str]) -> list[str]:
    """Folders of packages on this machine, none of which is imported here.

    Raises TaskError for a package that programs may not use, SandboxError for one that is not installed.
    """
    paths: list[str] = []
    for name in packages:
        if name not in PACKAGES:
            raise TaskError(f"Programs cannot use the package {name!r}; they can use {', '.join(PACKAGES)}.")
        for folder in PACKAGES[name]:
            places = (os.path.join(parent or ".", folder) for parent in sys.path)
            place = next(filter(os.path.isdir, places), None)
            if place is not None:
                paths.append(os.path.realpath(place))
            elif not folder.endswith(".libs"):
                raise SandboxError(
                    f"This task's programs use the package {name!r}, and {folder!r} is not installed here; install it, "
                    "or leave the task out."
                )
    return list(dict.fromkeys(paths))


def _system_folders() -> list[str]:
    """Folders that an interpreter needs to read: its own prefix and the system's libraries."""
    prefix = os.path.realpath(sys.base_prefix)
    folders = ["/usr"] if Path(prefix).is_relative_to("/usr") else ["/usr", prefix]
    return [folder for folder in folders if os.path.isdir(folder)]


def python_command() -> list[str]:
    """A bare interpreter that runs the harness: no site packages, nothing from the working directory."""
    # Not -I: it would ignore PYTHONHASHSEED, and a verdict must not depend on the order of a set.
    return [os.path.realpath(sys.executable), "-P", "-s", "-S", "-B", "-X", "utf8", "-c", _BOOT, *_harness()]


def bubblewrap_command(packages: Sequence[str] = ()) -> list[str]:
    """The same interpreter in fresh namespaces, with an almost empty file system."""
    command = [
        shutil.which("bwrap") or "bwrap",
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--new-session",
        "--die-with-parent",
    ]
    command += ["--cap-drop", "ALL", "--clearenv", "--setenv", "PYTHONHASHSEED", "0"]
    for folder in (*_system_folders(), *packages):
        command += ["--ro-bind", folder, folder]
    for name in ("/lib", "/lib64", "/bin"):
        if os.path.islink(name):
            command += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            command += ["--ro-bind", name, name]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--", *python_command()]


def command_for(tier: Tier, packages: Sequence[str] = ()) -> list[str]:
    """The command line that starts the harness in `tier`; `packages`: folders of packages that can be read there."""
    return bubblewrap_command(packages) if tier == "bubblewrap" else python_command()


def readable_folders(tier: Tier, packages: Sequence[str] = ()) -> list[str] | None:
    """The folders that `child.py` leaves open for reading in the landlock tier; None in the others."""
    if tier != "landlock":
        return None
    return [*_system_folders(), *packages, *(name for name in ("/lib", "/lib64") if os.path.isdir(name))]


def why_not(tier: Tier) -> str | None:
    """One sentence on what a tier lacks here; None where trying it makes sense: the canary decides whether it holds."""
    if tier == "wasm":
        return wasm.missing()
    if not _ON_LINUX:
        return f"The tier {tier} needs Linux; choose wasm."
    if tier == "bubblewrap" and shutil.which("bwrap") is None:
        return "bubblewrap is not installed; install it with: apt install bubblewrap"
    return None


# Tries what a program of its tier must not be able to do and returns the names of what worked.
CANARY = """
import os

def probe(secret, landmark, check_files):
    open_doors = []
    def attempt(name, action):
        try:
            action()
        except (OSError, AttributeError, ImportError):  # refused, or not even there
            return
        open_doors.append(name)
    attempt("start a process", lambda: os.fork())
    attempt("signal a process", lambda: os.kill(os.getppid(), 0))
    attempt("limit another process", lambda: __import__("resource").prlimit(os.getppid(), 4))
    attempt("open a socket", lambda: __import__("_socket").socket())
    attempt("change a mode", lambda: os.chmod(".", 0o700) or os.stat("."))
    if check_files:
        attempt("read a file outside", lambda: os.open(secret, os.O_RDONLY))
        attempt("write a file outside", lambda: os.open(landmark, os.O_RDWR | os.O_CREAT))
        attempt("read another process", lambda: os.open("/proc/1/environ", os.O_RDONLY))
        attempt("write below /usr", lambda: os.open("/usr/.landmark", os.O_RDWR | os.O_CREAT))
    if os.environ:
        open_doors.append("read the environment")
    return open_doors
"""
