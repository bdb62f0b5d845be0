"""Packs by name and as files. Every task of a file is checked before any is used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks.drawing import browsed_tasks, with_feedback
from workbench.tasks.house_rules.house_pack import HouseRules
from workbench.tasks.house_rules.pack import PACK, load_house_pack, parse_name
from workbench.tasks.judging import check_task
from workbench.tasks.pack import Pack
from workbench.tasks.registry import registered_packs
from workbench.tasks.task_pack import TaskPack

BUILT_IN = (PACK,)
FILES = (".jsonl", ".json")
# Values that a row's "split" may have, and the side that each means.
SPLITS: Mapping[str, Literal["train", "held_out"]] = MappingProxyType(
    {"train": "train", "held_out": "held_out", "test": "held_out", "validation": "held_out"}
)


def pack_names() -> list[str]:
    """Names of the built-in packs, and of those that Python code or other packages registered."""
    return [*BUILT_IN, *registered_packs()]


def is_built_in(name: str) -> bool:
    """True where a name is that of a pack that needs no file: house rules, or a registered one."""
    return parse_name(name) is not None or name in registered_packs()


def find_pack(name: str, tasks: Iterable[Task] = ()) -> Pack:
    """Find the pack of a name; no file is ever read, so names may come from anyone.

    `tasks`: those of a run, which are packs as well, by the first part of their ids. NAME:KIND is a pack whose tasks
    give one kind of feedback. Raises TaskError for an unknown name or kind.
    """
    listed = list(tasks)
    pack = _of_name(name, listed)
    if pack is None:
        known = dict.fromkeys([*pack_names(), *(_pack_of(task) for task in listed)])
        raise TaskError(
            f"There is no pack {name!r}; choose one of {', '.join(known)}, {PACK}@SEED or {PACK}@SEED:KIND, or "
            "import a .jsonl or .json file."
        )
    return pack


def open_pack(name_or_path: str, tasks: Iterable[Task] = ()) -> Pack:
    """Open the pack of a name, as `find_pack`, or of a .jsonl or .json file, as `load_pack`; FILE:KIND as well."""
    listed = list(tasks)
    path, colon, kind = name_or_path.rpartition(":")
    if not colon or not path.endswith(FILES):
        path, kind = name_or_path, ""
    if not path.endswith(FILES) or _of_name(name_or_path, listed) is not None:
        return find_pack(name_or_path, listed)
    pack = TaskPack(Path(path).stem, load_pack(path))
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
    listed = [task for task in tasks if _pack_of(task) == name]
    return registered_packs().get(name) or (TaskPack(name, listed) if listed else None)


def _pack_of(task: Task) -> str:
    return task.id.rpartition("/")[0]


def load_pack(name_or_path: str) -> list[Task]:
    """Load the tasks of a pack that is built in (`house-rules`, `house-rules@7:remark`) or registered, or of a file.

    Of a pack that generates its tasks, some are loaded. A row of a .jsonl or .json file is {"prompt",
    "environment", "answer", "name"?, "system"?, "split"?}. Raises TaskError, naming the line and the field, for an
    unknown pack, an unreadable file or a row that cannot be judged.
    """
    if parse_name(name_or_path):
        return load_house_pack(name_or_path)
    if name_or_path in registered_packs():
        return browsed_tasks(registered_packs()[name_or_path])
    path = Path(name_or_path)
    if path.suffix not in FILES:
        raise TaskError(
            f"There is no pack {name_or_path!r}; use {', '.join(pack_names())}, {PACK}@SEED, or the path of a "
            ".jsonl or .json file."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"The pack {name_or_path!r} cannot be read ({error}); check the path.") from error
    return parse_pack(path.name, text)


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


def parse_pack(file_name: str, text: str) -> list[Task]:
    """Parse the tasks in the text of a .jsonl or .json file, after which the pack is named. Errors as `load_pack`."""
    path = Path(file_name)
    if path.suffix not in FILES or not path.stem.strip() or is_built_in(path.stem):
        raise TaskError(
            f"A pack cannot be read from {file_name!r}; name the file NAME.jsonl or NAME.json, after no built-in pack."
        )
    text = text.removeprefix("\ufeff")  # the mark with which some editors on Windows begin a file
    tasks = [_task(path, line, row) for line, row in _rows(path, text)]
    if not tasks:
        raise TaskError(f"{path.name} has no tasks; add at least one row.")
    repeated = [task_id for task_id, count in Counter(task.id for task in tasks).items() if count > 1]
    if repeated:
        raise TaskError(f"{path.name}: two rows have the name {repeated[0]!r}; give each its own name.")
    return tasks


def dump_pack(tasks: Iterable[Task]) -> str:
    """Write tasks as JSON lines that `parse_pack` reads back."""
    rows = []
    for task in tasks:
        row: dict[str, Any] = {"name": task.id.rpartition("/")[2], "prompt": task.prompt}
        row |= {"environment": task.environment, "answer": dict(task.answer)}
        row |= {} if task.system is None else {"system": task.system}
        rows.append(row if task.split is None else {**row, "split": task.split})
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _rows(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    if path.suffix == ".json":
        data = _parsed(path, 1, text)
        yield from enumerate(data if isinstance(data, list) else [data], start=1)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, _parsed(path, number, line)


def _parsed(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = number + error.lineno - 1
        raise TaskError(f"{path.name}, line {line}: this line is not valid JSON ({error.msg}); fix it.") from error


def _task(path: Path, number: int, row: Any) -> Task:
    where = f"{path.name}, row {number}"
    if not isinstance(row, dict):
        raise TaskError(f"{where}: a task is an object with 'prompt', 'environment' and 'answer'.")
    for field, kind in (("prompt", str), ("environment", str)):
        if not isinstance(row.get(field), kind):
            raise TaskError(f"{where}: the field {field!r} is missing or is not text.")
    if not isinstance(row.get("answer", {}), dict):
        raise TaskError(f"{where}: the field 'answer' is not an object.")
    for field in ("name", "system", "split"):
        if not isinstance(row.get(field), str | None):
            raise TaskError(f"{where}: the field {field!r} is not text.")
    split = row.get("split")
    if split is not None and split not in SPLITS:
        raise TaskError(f"{where}: the field 'split' is {split!r}; write one of {', '.join(SPLITS)}.")
    name = f"{path.stem}/{row.get('name') or number}"
    fields = (name, row["prompt"], row["environment"], row.get("answer", {}), row.get("system"))
    try:
        return check_task(Task(*fields, split=None if split is None else SPLITS[split]))
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error
