"""Packs: named lists of tasks, built in or from a file. Every task of a file is checked before any is used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks.environments import check_task
from workbench.tasks.house_rules.pack import PACK, load_house_pack, parse_name

BUILT_IN = (PACK,)


def is_built_in(name: str) -> bool:
    """Whether a name is that of a built-in pack, for which no file is read."""
    return parse_name(name) is not None


def load_pack(name_or_path: str) -> list[Task]:
    """The tasks of a built-in pack (`house-rules`, `house-rules@7:remark`) or of a .jsonl or .json file.

    A row of a file is {"prompt", "environment", "answer", "name"?, "system"?}. Raises TaskError, naming the line and
    the field, for an unknown pack, an unreadable file or a row that cannot be judged.
    """
    if parse_name(name_or_path):
        return load_house_pack(name_or_path)
    path = Path(name_or_path)
    if path.suffix not in (".jsonl", ".json"):
        raise TaskError(
            f"There is no pack {name_or_path!r}; use {PACK}, {PACK}@SEED, or the path of a .jsonl or .json file."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"The pack {name_or_path!r} cannot be read ({error}); check the path.") from error
    return parse_pack(path.name, text)


def parse_pack(file_name: str, text: str) -> list[Task]:
    """The tasks in the text of a .jsonl or .json file; the pack is called as the file. Errors as `load_pack`."""
    path = Path(file_name)
    if path.suffix not in (".jsonl", ".json") or not path.stem.strip() or is_built_in(path.stem):
        raise TaskError(
            f"A pack cannot be read from {file_name!r}; name it NAME.jsonl or NAME.json, not as a built-in."
        )
    tasks = [_task(path, line, row) for line, row in _rows(path, text)]
    if not tasks:
        raise TaskError(f"{path.name} holds no tasks; add at least one row.")
    twice = [task_id for task_id, count in Counter(task.id for task in tasks).items() if count > 1]
    if twice:
        raise TaskError(f"{path.name}: two rows have the name {twice[0]!r}; give each its own.")
    return tasks


def dump_pack(tasks: Iterable[Task]) -> str:
    """The tasks as JSON lines that `parse_pack` reads back."""
    rows = []
    for task in tasks:
        row: dict[str, Any] = {"name": task.id.rpartition("/")[2], "prompt": task.prompt}
        row |= {"environment": task.environment, "answer": dict(task.answer)}
        rows.append(row if task.system is None else {**row, "system": task.system})
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _rows(path: Path, text: str) -> Iterable[tuple[int, Any]]:
    try:
        if path.suffix == ".json":
            data = json.loads(text)
            yield from enumerate(data if isinstance(data, list) else [data], start=1)
            return
    except json.JSONDecodeError as error:
        raise TaskError(f"{path.name}, line {error.lineno}: this is not JSON ({error.msg}); mend the line.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise TaskError(
                    f"{path.name}, line {number}: this is not JSON ({error.msg}); mend the line."
                ) from error


def _task(path: Path, number: int, row: Any) -> Task:
    where = f"{path.name}, row {number}"
    if not isinstance(row, dict):
        raise TaskError(f"{where}: a task is an object with 'prompt', 'environment' and 'answer'.")
    for field, kind in (("prompt", str), ("environment", str)):
        if not isinstance(row.get(field), kind):
            raise TaskError(f"{where}: the field {field!r} is missing or is not text.")
    if not isinstance(row.get("answer", {}), dict):
        raise TaskError(f"{where}: the field 'answer' is not an object.")
    for field in ("name", "system"):
        if not isinstance(row.get(field), str | None):
            raise TaskError(f"{where}: the field {field!r} is not text.")
    name = f"{path.stem}/{row.get('name') or number}"
    try:
        return check_task(Task(name, row["prompt"], row["environment"], row.get("answer", {}), row.get("system")))
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error
