"""The tasks of a run: built-in packs, files, and what people type. Knows nothing of models."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task, to_json
from workbench.runs import Run
from workbench.tasks import (
    Pack,
    TaskPack,
    check_task,
    dump_pack,
    is_built_in,
    load_pack,
    load_packs,
    open_pack,
    pack_names,
    parse_pack,
)
from workbench.tasks.house_rules.pack import PACK, make_answer, parse_house

AD_HOC = "ad-hoc"  # pack of the tasks that people type


class TaskBook:
    """A run and its tasks; the bottom of a session."""

    def __init__(self, run: Run, tasks: Mapping[str, Task]) -> None:
        self.run = run
        self._lock = threading.RLock()
        self._tasks = dict(tasks)

    def packs(self) -> list[str]:
        """Built-in and registered packs and those in use, by name."""
        used = {task.id.rpartition("/")[0] for task in self._tasks.values()}
        return [*pack_names(), *sorted(used - set(pack_names()))]

    def tasks(self, pack: str | None = None) -> list[Task]:
        """The tasks of one pack, or of all of them. Raises TaskError for an unknown pack."""
        if pack is None:
            return [task for tasks in self.tasks_by_pack().values() for task in tasks]
        mine = self._tasks_of(pack)
        given = load_pack(pack) if is_built_in(pack) or not mine else []
        return list(({task.id: task for task in given} | mine).values())

    def tasks_by_pack(self) -> dict[str, list[Task]]:
        """The tasks of every pack of `packs`, by pack; of a registered pack that fails, those that the run has."""
        loaded, _ = load_packs()
        given = {name: {task.id: task for task in loaded.get(name, ())} for name in self.packs()}
        return {name: list((tasks | self._tasks_of(name)).values()) for name, tasks in given.items()}

    def open_pack(self, pack: str | Pack) -> Pack:
        """The pack of a name, or of a .jsonl or .json file, whose tasks are added to this run; a pack as it is.

        The tasks of this run are packs too. Raises TaskError for an unknown name, or naming the row for a file that
        cannot be used.
        """
        with self._lock:
            chosen = open_pack(pack, self._tasks.values()) if isinstance(pack, str) else pack
            listed = getattr(chosen, "pack", chosen)  # of a pack with one kind of feedback, that without
            if isinstance(listed, TaskPack):
                self._keep_all(listed.tasks)
            return chosen

    def task(self, task_id: str) -> Task:
        """One task, by "pack/name". Raises TaskError when there is none."""
        if task_id in self._tasks:
            return self._tasks[task_id]
        pack = task_id.rpartition("/")[0]
        if is_built_in(pack):
            for task in load_pack(pack):
                if task.id == task_id:
                    return task
        raise TaskError(f"There is no task {task_id!r}; see the list of tasks, or add your own.")

    def load_tasks(self, name_or_path: str) -> list[Task]:
        """Add the tasks of a pack or of a .jsonl or .json file to this run. Raises TaskError naming the row."""
        with self._lock:
            return self._keep_all(load_pack(name_or_path))

    def import_tasks(self, file_name: str, text: str) -> list[Task]:
        """Add the tasks in the text of a .jsonl or .json file to this run. Raises TaskError naming line and field."""
        with self._lock:
            return self._keep_all(parse_pack(file_name, text))

    def export_tasks(self, pack: str) -> str:
        """A pack as JSON lines, which `import_tasks` and `load_tasks` read. Raises TaskError for an unknown pack."""
        return dump_pack(self.tasks(pack))

    def add_task(
        self,
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
            answer = make_answer(prompt.strip(), *parse_house(PACK))
        with self._lock:
            if is_built_in(pack) or not pack.strip() or "/" in pack:
                raise TaskError(f"A task cannot be saved to a pack called {pack!r}; give the pack a name of its own.")
            number = sum(key.startswith(f"{pack}/") for key in self._tasks) + 1
            task_id = f"{pack}/{name or f'task-{number}'}"
            return self._keep(check_task(Task(task_id, prompt.strip(), environment, dict(answer or {}), system)))

    def _tasks_of(self, pack: str) -> dict[str, Task]:
        return {task.id: task for task in self._tasks.values() if task.id.rpartition("/")[0] == pack}

    def _keep(self, task: Task) -> Task:
        return self._keep_all([task])[0]

    def _keep_all(self, tasks: Sequence[Task]) -> list[Task]:
        """Tasks that the run does not have yet are committed together."""
        added = {task.id: task for task in tasks if self._tasks.get(task.id) != task}
        if added:
            self.run.append_all([("task", to_json(task), ()) for task in added.values()])
            self._tasks |= added
        return list(tasks)
