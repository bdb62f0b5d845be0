"""Packs by name and as files. Every task of a file is checked before any is used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task, name_in_pack, pack_of
from workbench.tasks.drawing import browsed_tasks, with_feedback
from workbench.tasks.files.data_sets import is_hub, read_directory, read_hub
from workbench.tasks.files.imports import graded, read_file, read_table, tasks_of
from workbench.tasks.files.table import FILES, Table, suffix_of
from workbench.tasks.house_rules.house_pack import HouseRules
from workbench.tasks.house_rules.pack import PACK, load_house_pack, parse_name
from workbench.tasks.own_packs import OwnPack
from workbench.tasks.pack import Pack
from workbench.tasks.packages import missing_package, package_packs, package_tasks
from workbench.tasks.paper import check_grading
from workbench.tasks.registry import registered_packs
from workbench.tasks.task_pack import TaskPack

BUILT_IN = (PACK,)


def pack_names() -> list[str]:
    """Names of the packs that come with the workbench, and of those that Python code or other packages registered."""
    return [*BUILT_IN, *registered_packs()]


def offered_packs() -> list[str]:
    """Names of `pack_names`, and of the packs that installed packages hold, which are made when they are asked for."""
    return [*pack_names(), *(name for name in package_packs() if name not in registered_packs())]


def is_built_in(name: str) -> bool:
    """True where a name is that of a pack that needs no file: house rules, a registered one, or a package's."""
    return parse_name(name) is not None or name in registered_packs() or name in package_packs()


def find_pack(name: str, tasks: Iterable[Task] = ()) -> Pack:
    """Find the pack of a name; no file is ever read, so names may come from anyone.

    `tasks`: those of a run, which are packs as well, by the first part of their ids. NAME:KIND is a pack whose tasks
    give one kind of feedback. Raises TaskError for an unknown name or kind.
    """
    listed = list(tasks)
    pack = _of_name(name, listed)
    if pack is None:
        if missing_package(name):
            package_tasks(name)  # raises: it names the package
        known = dict.fromkeys([*pack_names(), *(pack_of(task.id) for task in listed)])
        raise TaskError(
            f"There is no pack {name!r}; choose one of {', '.join(known)}, {PACK}@SEED or {PACK}@SEED:KIND, or one "
            "that an installed package holds, or import a file."
        )
    return pack


def open_pack(name_or_path: str | Path, tasks: Iterable[Task] = ()) -> Pack:
    """Open the pack of a name, as `find_pack`, or of what `read_source` reads; FILE:KIND as well."""
    name_or_path, listed = str(name_or_path), list(tasks)
    if _of_name(name_or_path, listed) is not None:
        return find_pack(name_or_path, listed)
    path, colon, kind = name_or_path.rpartition(":")
    if not colon or not suffix_of(path):
        path, kind = name_or_path, ""
    if not (suffix_of(path) or is_hub(path) or Path(path).is_dir()):
        return find_pack(name_or_path, listed)
    table = read_source(path)
    pack = TaskPack(table.name, tasks_of(table))
    return with_feedback(pack, kind) if kind else pack


def _of_name(name: str, tasks: list[Task]) -> Pack | None:
    if parse_name(name) is not None:
        return HouseRules(name)
    stem, _, kind = name.rpartition(":")
    pack, base = _without_kind(name, tasks), _without_kind(stem, tasks)
    if base is None:
        return pack
    try:
        return with_feedback(base, kind)
    except TaskError:
        if pack is None:
            raise
        return pack  # a name chosen by a person, with a colon in it


def _without_kind(name: str, tasks: list[Task]) -> Pack | None:
    if name in registered_packs():
        return registered_packs()[name]
    listed = package_tasks(name) if name in package_packs() else [task for task in tasks if pack_of(task.id) == name]
    return TaskPack(name, listed) if listed else None


def load_pack(
    name_or_path: str | Path, *, mapping: Mapping[str, str] | None = None, grading: str = "sound"
) -> list[Task]:
    """Load the tasks of a pack that is built in (`house-rules`, `house-rules@7:judge`), registered or a package's, or
    of a file.

    Of a pack that generates its tasks, some are loaded. Files, data set directories and hub ids as `read_source`
    takes them; a row is {"prompt", "environment", "answer", "name"?, "system"?, "split"?}, or `mapping` says which
    columns these are (`workbench.tasks.files.mapping`). A row in a format of `workbench.tasks.published` needs none,
    and is graded as `grading` says: "sound", or "paper". Raises TaskError, naming file, row and field, for an unknown
    pack, an unreadable file or a row that cannot be judged.
    """
    name_or_path = str(name_or_path)
    if not (is_built_in(name_or_path) or missing_package(name_or_path)):
        return tasks_of(read_source(name_or_path, grading=grading), mapping)
    if mapping:
        raise TaskError(f"{name_or_path!r} has no columns to map; leave out the mapping.")
    pack = registered_packs().get(name_or_path)
    if isinstance(pack, OwnPack):
        return pack.tasks(grading)
    if check_grading(grading) != "sound":
        raise TaskError(f"The paper has no grader for {name_or_path!r}; load it without a grading.")
    if pack:
        return browsed_tasks(pack)
    return load_house_pack(name_or_path) if parse_name(name_or_path) else list(package_tasks(name_or_path))


def read_source(path: str | Path, *, grading: str = "sound") -> Table:
    """Read the rows of a file, of a data set's directory, or of a data set on the hub; published rows become own ones.

    The last is named hub:OWNER/NAME[/PART][@REVISION]. Raises TaskError for what is none of these, or cannot be read.
    """
    path = str(path)
    if is_hub(path):
        return _own(read_hub(path), grading)
    if suffix_of(path):
        return _own(read_file(Path(path)), grading)
    if path and "\0" not in path and Path(path).is_dir():
        return _own(read_directory(Path(path)), grading)
    raise TaskError(
        f"There is no pack {path!r}; use {', '.join(pack_names())}, {PACK}@SEED, one that an installed package "
        f"holds, or the path of a file ({', '.join(FILES)}) or of a data set's directory."
    )


def _own(table: Table, grading: str) -> Table:
    if is_built_in(table.name):
        raise TaskError(
            f"A pack cannot be read from {table.origin!r}, which has the name of a built-in pack; rename it."
        )
    return graded(table, grading)


def load_packs() -> tuple[dict[str, list[Task]], list[str]]:
    """Load the tasks of every pack of `pack_names`, by pack; and one sentence for each that failed and is left out."""
    loaded: dict[str, list[Task]] = {}
    problems = []
    for name in pack_names():
        try:
            loaded[name] = load_pack(name)
        except TaskError as error:
            problems.append(str(error))
    return loaded, problems


def parse_pack(
    file_name: str, text: str | bytes, mapping: Mapping[str, str] | None = None, *, grading: str = "sound"
) -> list[Task]:
    """Parse the tasks in a file's text or bytes; the pack is named after the file. Errors as `load_pack`."""
    return tasks_of(parse_table(file_name, text, grading=grading), mapping)


def parse_table(file_name: str, text: str | bytes, *, grading: str = "sound") -> Table:
    """Parse the rows in a file's text or bytes. Raises TaskError, also for the name of a built-in pack."""
    return _own(read_table(file_name, text), grading)


def dump_pack(tasks: Iterable[Task]) -> str:
    """Write tasks as JSON lines that `parse_pack` reads back."""
    rows = []
    for task in tasks:
        row: dict[str, Any] = {"name": name_in_pack(task.id), "prompt": task.prompt}
        row |= {"environment": task.environment, "answer": dict(task.answer)}
        row |= {} if task.system is None else {"system": task.system}
        rows.append(row if task.split is None else {**row, "split": task.split})
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
