"""Data files of installed packages, found and read without importing the package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench.errors import TaskError
from workbench.tasks.files.table import Row, read_rows
from workbench.tasks.files.text import read_bytes


def is_installed(module: str) -> bool:
    """True where a top-level module can be found; it is not imported."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a broken entry among the imported modules
        return False


def rows_of(module: str, *path: str) -> list[Row]:
    """The rows of a file inside a package. Raises TaskError where the file is not there, or cannot be read."""
    spec = find_spec(module)
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    file = Path(*(roots[:1] or [""]), *path)
    if not file.is_file():
        raise TaskError(f"The package {module} has no file {'/'.join(path)}; install the version of docs/tasks.md.")
    # JSON Lines, whatever a package calls them.
    return read_rows(f"{path[-1]}l" if path[-1].endswith(".json") else path[-1], read_bytes(file))


def field(row: Row, name: str, kind: type) -> Any:
    """A field of a row, of this type. Raises TaskError, naming both."""
    value = row.values.get(name)
    if not isinstance(value, kind):
        raise TaskError(f"{row.where}: the field {name!r} is not as expected; install the version of docs/tasks.md.")
    return value
