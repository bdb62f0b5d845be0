"""The tasks of a run: built-in packs, files, and what people type. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task, to_json
from workbench.session.core import OpenRun
from workbench.tasks import BUILT_IN, check_task, dump_pack, is_built_in, load_pack, parse_pack
from workbench.tasks.house_rules.pack import PACK, make_answer, parse_name

AD_HOC = "ad-hoc"  # pack of the tasks that people type


def packs(session: OpenRun) -> list[str]:
    """Built-in packs and those in use, by name."""
    used = {task.id.rpartition("/")[0] for task in session.tasks_by_id.values()}
    return [*BUILT_IN, *sorted(used - set(BUILT_IN))]


def tasks(session: OpenRun, pack: str | None = None) -> list[Task]:
    """The tasks of one pack, or of all of them. Raises TaskError for an unknown pack."""
    names = packs(session) if pack is None else [pack]
    listed: dict[str, Task] = {}
    for name in names:
        mine = {task.id: task for task in session.tasks_by_id.values() if task.id.rpartition("/")[0] == name}
        built_in = load_pack(name) if parse_name(name) or not mine else []
        listed |= {task.id: task for task in built_in} | mine
    return list(listed.values())


def task(session: OpenRun, task_id: str) -> Task:
    """One task, by "pack/name". Raises TaskError when there is none."""
    if task_id in session.tasks_by_id:
        return session.tasks_by_id[task_id]
    pack = task_id.rpartition("/")[0]
    if parse_name(pack):
        for built_in in load_pack(pack):
            if built_in.id == task_id:
                return built_in
    raise TaskError(f"There is no task {task_id!r}; see the list of tasks, or add your own.")


def load_tasks(session: OpenRun, name_or_path: str) -> list[Task]:
    """Add the tasks of a pack or of a .jsonl or .json file to this run. Raises TaskError naming the row."""
    with session.lock:
        return [keep(session, task) for task in load_pack(name_or_path)]


def import_tasks(session: OpenRun, file_name: str, text: str) -> list[Task]:
    """Add the tasks in the text of a .jsonl or .json file to this run. Raises TaskError naming line and field."""
    with session.lock:
        return [keep(session, task) for task in parse_pack(file_name, text)]


def export_tasks(session: OpenRun, pack: str) -> str:
    """A pack as JSON lines, which `import_tasks` and `load_tasks` read. Raises TaskError for an unknown pack."""
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
    """A task that a person typed; a house-rules prompt without an answer gets the default house's checks.

    Raises TaskError when it is empty or cannot be judged.
    """
    if not prompt.strip():
        raise TaskError("The task is empty; write what the policy should do.")
    if environment == PACK and not answer:
        parsed = parse_name(PACK)
        assert parsed is not None
        answer = make_answer(prompt.strip(), *parsed)
    with session.lock:
        if is_built_in(pack) or not pack.strip() or "/" in pack:
            raise TaskError(f"A task cannot be saved to a pack called {pack!r}; give the pack a name of its own.")
        number = sum(key.startswith(f"{pack}/") for key in session.tasks_by_id) + 1
        task_id = f"{pack}/{name or f'task-{number}'}"
        return keep(session, check_task(Task(task_id, prompt.strip(), environment, dict(answer or {}), system)))


def keep(session: OpenRun, task: Task) -> Task:
    """Add a task to the run, unless it has it already."""
    if session.tasks_by_id.get(task.id) != task:
        session.run.append("task", to_json(task))
        session.tasks_by_id[task.id] = task
    return task
