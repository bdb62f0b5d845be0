"""The prepared interpreter, kept: compiling takes seconds, reading what was compiled takes a moment.

What is kept is machine code, which a helper process will execute, so it is used only where its seal is right: an
HMAC-SHA256 under a key that lies in another folder, is random for each person and readable by nobody else. The threat
is somebody, or something, that can write to the cache but not to the rest of a home: a cache on a shared volume, one
restored from elsewhere, a disk that flips bits. Whoever can write to both folders can as well change the files of
Python itself. The bytes that are checked are the bytes that are used; the file is not read a second time.

Where nothing can be kept, as in a read-only home, each process compiles for itself, in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import platformdirs

from workbench.errors import SandboxError
from workbench.tasks.sandbox.wasm import interpreter
from workbench.tasks.sandbox.wasm.command import parts, worker_process

_NAME = "sdpo-workbench"
_SEAL_BYTES = _KEY_BYTES = 32
_PATIENCE_S = 1800.0  # for another process that compiles, and for compiling on a busy machine
_KEPT = 6  # files, the newest ones, of other versions too
_CODE_SOURCES = ("binary.py", "interpreter.py")
_START_SOURCES = (*_CODE_SOURCES, "worker.py", "wasi.py", "guest.py", "../program.py", "../candidate.py")

compiling = threading.Event()  # set while this process compiles, or waits for another that does


def prepared(*, anew: bool = False) -> tuple[bytes, bytes]:
    """Read the compiled code and the memory of a started interpreter; what is not there, as it was left, is made.

    Compiling takes seconds, starting a moment; the code is compiled again only for another wasmtime or interpreter.
    `anew`: what is there cannot be used. Raises SandboxError where the interpreter is missing or cannot be compiled.
    """
    key = _key()
    code = _kept(
        cache_folder() / f"code-{_version(_CODE_SOURCES)}.bin",
        key,
        lambda: _helper("compile", interpreter.read()),
        anew=anew,
    )
    started = _kept(
        cache_folder() / f"start-{_version(_START_SOURCES)}.bin",
        key,
        lambda: _helper("start", code, interpreter.read()),
        anew=anew,
    )
    return code, started


def _kept(path: Path, key: bytes | None, make: Callable[[], bytes], *, anew: bool) -> bytes:
    """Read a file of the cache, or make and keep it."""
    if key is not None and not anew and (kept := _read(path, key)) is not None:
        return kept
    compiling.set()
    try:
        with _locked(path):
            if key is not None and not anew and (kept := _read(path, key)) is not None:
                return kept  # another process was quicker
            made = make()
            if key is not None:
                _keep(path, key, made)
            return made
    finally:
        compiling.clear()


def cache_folder() -> Path:
    """Folder of the prepared interpreters."""
    return platformdirs.user_cache_path(_NAME) / "wasm"


def key_file() -> Path:
    """File of the key that seals them: outside the cache."""
    return platformdirs.user_data_path(_NAME) / "cache.key"


def _version(sources: Sequence[str]) -> str:
    """What a file of the cache depends on, as a name; the processor is checked when it is loaded."""
    facts = [interpreter.SHA256, interpreter.runtime_version(), sys.platform, platform.machine()]
    here = Path(__file__).parent
    facts += [hashlib.sha256((here / name).read_bytes()).hexdigest() for name in sources]
    return hashlib.sha256(" ".join(facts).encode()).hexdigest()[:32]


def _helper(command: str, *given: bytes) -> bytes:
    """Have a helper process make something. Raises SandboxError."""
    try:
        done = subprocess.run(**worker_process(command), input=parts(*given), capture_output=True, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxError(f"The WebAssembly interpreter could not be compiled ({error}); try again.") from None
    if done.returncode or not done.stdout:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"]
        raise SandboxError(
            f"The WebAssembly interpreter could not be compiled ({reason[-1][:300]}); install wasmtime anew, or use "
            "tasks that run no code."
        )
    return done.stdout


def _key() -> bytes | None:
    """The key, made where there is none that only this user can read; None where it cannot be kept."""
    path = key_file()
    try:
        if _is_private(path) and len(key := path.read_bytes()) == _KEY_BYTES:
            return key
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, secrets.token_bytes(_KEY_BYTES))
        return path.read_bytes()  # of two processes that make one, the last one's counts
    except OSError:
        return None


def _is_private(path: Path) -> bool:
    """True for a file that is this user's and closed to all others; where a system has no such modes, for any file."""
    if not hasattr(os, "geteuid"):
        return path.is_file()
    with suppress(OSError):
        status = path.lstat()
        return status.st_uid == os.geteuid() and not status.st_mode & 0o077 and path.is_file()
    return False


def _seal(key: bytes, version: str, data: bytes) -> bytes:
    return hmac.new(key, version.encode() + b"\0" + data, hashlib.sha256).digest()


def _read(path: Path, key: bytes) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    seal, data = content[:_SEAL_BYTES], content[_SEAL_BYTES:]
    return data if hmac.compare_digest(seal, _seal(key, path.stem, data)) else None


def _keep(path: Path, key: bytes, data: bytes) -> None:
    with suppress(OSError):  # a full disk, for instance: then it is compiled again
        _replace(path, _seal(key, path.stem, data) + data)
        others = sorted(path.parent.glob("*.bin"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in others[_KEPT:]:
            old.unlink()
            Path(f"{old}.lock").unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    """Write a file that only this user can read, in one step."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except OSError:
        with suppress(OSError):
            os.unlink(name)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time compile; without a lock where none can be had."""
    lock = filelock.FileLock(f"{path}.lock", timeout=_PATIENCE_S)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
    except (OSError, filelock.Timeout, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()
