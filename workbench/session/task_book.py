"""The tasks of a run: built-in packs, files, and tasks that people type. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task, pack_of, to_json
from workbench.runs.store import Entry
from workbench.session.core import OpenRun
from workbench.tasks import (
    Pack,
    TaskPack,
    check_task,
    dump_pack,
    is_built_in,
    load_pack,
    load_packs,
    pack_names,
    parse_table,
    read_source,
)
from workbench.tasks import open_pack as read_pack
from workbench.tasks.files.imports import PackSource, source_of, tasks_of
from workbench.tasks.files.plain import problem
from workbench.tasks.files.table import Table
from workbench.tasks.house_rules.pack import PACK, make_answer, parse_house

AD_HOC = "ad-hoc"  # pack of the tasks that people type


def packs(session: OpenRun) -> list[str]:
    """List the built-in and registered packs and those in use, by name."""
    used = {pack_of(task.id) for task in session.tasks_by_id.values()}
    return [*pack_names(), *sorted(used - set(pack_names()))]


def tasks(session: OpenRun, pack: str | None = None) -> list[Task]:
    """The tasks of one pack, or of all of them. Raises TaskError for an unknown pack."""
    if pack is None:
        return [task for listed in tasks_by_pack(session).values() for task in listed]
    mine = _tasks_of(session, pack)
    built_in = load_pack(pack) if is_built_in(pack) or not mine else []
    return list(({task.id: task for task in built_in} | mine).values())


def tasks_by_pack(session: OpenRun) -> dict[str, list[Task]]:
    """The tasks of every pack of `packs`, by pack; of a registered pack that fails, those that the run has."""
    loaded, _ = load_packs()
    offered = {name: {task.id: task for task in loaded.get(name, ())} for name in packs(session)}
    return {name: list((listed | _tasks_of(session, name)).values()) for name, listed in offered.items()}


def open_pack(session: OpenRun, pack: str | Path | Pack) -> Pack:
    """Open the pack of a name, or of a file or a data set, whose tasks are added to this run; return a pack as it is.

    The tasks of this run are packs too. Raises TaskError for an unknown name, or naming the row for a file that cannot
    be used.
    """
    with session.lock:
        chosen = read_pack(pack, session.tasks_by_id.values()) if isinstance(pack, str | Path) else pack
        listed = getattr(chosen, "pack", chosen)  # the pack beneath one with a single kind of feedback
        if isinstance(listed, TaskPack):
            keep_all(session, listed.tasks)
        return chosen


def task(session: OpenRun, task_id: str) -> Task:
    """Find a task by "pack/name". Raises TaskError where there is none."""
    if task_id in session.tasks_by_id:
        return session.tasks_by_id[task_id]
    pack = pack_of(task_id)
    if is_built_in(pack):
        for built_in in load_pack(pack):
            if built_in.id == task_id:
                return built_in
    raise TaskError(f"There is no task {task_id!r}; see the list of tasks, or add your own.")


def load_tasks(
    session: OpenRun, name_or_path: str | Path, *, mapping: Mapping[str, str] | None = None, grading: str = "sound"
) -> list[Task]:
    """Add the tasks of a pack, a file, a data set's directory or one on the hub (hub:OWNER/NAME) to this run.

    `mapping`: which columns its fields come from (`workbench.tasks.files.mapping`). `grading`: of rows in a published
    format, "sound", or "paper" for the paper's own graders (docs/graders.md). All tasks are added, or none.
    Raises TaskError naming file, row and field.
    """
    if is_built_in(str(name_or_path)):
        with session.lock:
            return keep_all(session, load_pack(name_or_path, mapping=mapping, grading=grading))
    return _imported(session, read_source(name_or_path, grading=grading), mapping, grading)


def import_tasks(
    session: OpenRun,
    file_name: str,
    text: str | bytes,
    *,
    mapping: Mapping[str, str] | None = None,
    grading: str = "sound",
) -> list[Task]:
    """Add the tasks in the text or the bytes of a file to this run: all of them, or none.

    `mapping` and `grading` as `load_tasks`. Raises TaskError naming file, row and field.
    """
    return _imported(session, parse_table(file_name, text, grading=grading), mapping, grading)


def pack_sources(session: OpenRun) -> dict[str, PackSource]:
    """Sources of the packs that were imported into this run, by pack: the newest import of each, the newest last."""
    sources: dict[str, PackSource] = {}
    for event in session.run.events("pack"):
        sources.pop(event.data["pack"], None)
        sources[event.data["pack"]] = PackSource(**event.data)
    return sources


def _imported(session: OpenRun, table: Table, mapping: Mapping[str, str] | None, grading: str) -> list[Task]:
    tasks = tasks_of(table, mapping)
    with session.lock:
        return keep_all(session, tasks, source_of(table, mapping, len(tasks), grading))


def export_tasks(session: OpenRun, pack: str) -> str:
    """Write a pack as JSON lines, which `import_tasks` and `load_tasks` read. Raises TaskError for an unknown pack."""
    return dump_pack(tasks(session, pack))


def add_task(
    session: OpenRun,
    *,
    prompt: str,
    environment: str = "person",
    answer: Mapping[str, Any] | None = None,
    system: str | None = None,
    name: str | None = None,
    pack: str = AD_HOC,
) -> Task:
    """Add a task that a person typed; one of house rules gets the checks of its house, by default the usual one.

    Raises TaskError where it is empty or cannot be judged.
    """
    if not prompt.strip():
        raise TaskError("The task is empty; write what the policy should do.")
    if environment == PACK and (answer or {}).keys() <= {"house"}:
        house = f"{PACK}@{answer['house']}" if answer else PACK
        answer = make_answer(prompt.strip(), *parse_house(house))
    with session.lock:
        if is_built_in(pack) or not pack.strip() or "/" in pack:
            raise TaskError(f"A task cannot be saved to a pack named {pack!r}; choose another name for the pack.")
        number = sum(key.startswith(f"{pack}/") for key in session.tasks_by_id) + 1
        task_id = f"{pack}/{name or f'task-{number}'}"
        unfit = problem(answer or {}, "answer")
        if unfit is not None:
            raise TaskError(f"The task cannot be stored: in {unfit[0]!r}, {unfit[1]}.")
        return keep(session, check_task(Task(task_id, prompt.strip(), environment, dict(answer or {}), system)))


def keep(session: OpenRun, task: Task) -> Task:
    """Add a task to the run, unless it has it already."""
    return keep_all(session, [task])[0]


def keep_all(session: OpenRun, tasks: Sequence[Task], source: PackSource | None = None) -> list[Task]:
    """Add tasks to the run, those that it does not have yet in one commit, with the source of their pack."""
    added = {task.id: task for task in tasks if session.tasks_by_id.get(task.id) != task}
    if added:
        entries: list[Entry] = [("task", to_json(task), ()) for task in added.values()]
        session.run.append_all([*entries, *([] if source is None else [("pack", to_json(source), ())])])
        session.tasks_by_id |= added
    return list(tasks)


def _tasks_of(session: OpenRun, pack: str) -> dict[str, Task]:
    return {task.id: task for task in session.tasks_by_id.values() if pack_of(task.id) == pack}
