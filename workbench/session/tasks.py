"""The tasks of a run: built-in packs, files, and what people type. Knows nothing of models."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task, to_json
from workbench.runs import Run
from workbench.tasks import BUILT_IN, check_task, dump_pack, is_built_in, load_pack, parse_pack
from workbench.tasks.house_rules.pack import PACK, make_answer, parse_name

AD_HOC = "ad-hoc"  # pack of the tasks that people type


class TaskBook:
    """A run and its tasks; the bottom of a session."""

    def __init__(self, run: Run, tasks: Mapping[str, Task]) -> None:
        self.run = run
        self._lock = threading.RLock()
        self._tasks = dict(tasks)

    def packs(self) -> list[str]:
        """Built-in packs and those in use, by name."""
        used = {task.id.rpartition("/")[0] for task in self._tasks.values()}
        return [*BUILT_IN, *sorted(used - set(BUILT_IN))]

    def tasks(self, pack: str | None = None) -> list[Task]:
        """The tasks of one pack, or of all of them. Raises TaskError for an unknown pack."""
        names = self.packs() if pack is None else [pack]
        tasks: dict[str, Task] = {}
        for name in names:
            mine = {task.id: task for task in self._tasks.values() if task.id.rpartition("/")[0] == name}
            built_in = load_pack(name) if parse_name(name) or not mine else []
            tasks |= {task.id: task for task in built_in} | mine
        return list(tasks.values())

    def task(self, task_id: str) -> Task:
        """One task, by "pack/name". Raises TaskError when there is none."""
        if task_id in self._tasks:
            return self._tasks[task_id]
        pack = task_id.rpartition("/")[0]
        if parse_name(pack):
            for task in load_pack(pack):
                if task.id == task_id:
                    return task
        raise TaskError(f"There is no task {task_id!r}; see the list of tasks, or add your own.")

    def load_tasks(self, name_or_path: str) -> list[Task]:
        """Add the tasks of a pack or of a .jsonl or .json file to this run. Raises TaskError naming the row."""
        with self._lock:
            return [self._keep(task) for task in load_pack(name_or_path)]

    def import_tasks(self, file_name: str, text: str) -> list[Task]:
        """Add the tasks in the text of a .jsonl or .json file to this run. Raises TaskError naming line and field."""
        with self._lock:
            return [self._keep(task) for task in parse_pack(file_name, text)]

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
            parsed = parse_name(PACK)
            assert parsed is not None
            answer = make_answer(prompt.strip(), *parsed)
        with self._lock:
            if is_built_in(pack) or not pack.strip() or "/" in pack:
                raise TaskError(f"A task cannot be saved to a pack called {pack!r}; give the pack a name of its own.")
            number = sum(key.startswith(f"{pack}/") for key in self._tasks) + 1
            task_id = f"{pack}/{name or f'task-{number}'}"
            return self._keep(check_task(Task(task_id, prompt.strip(), environment, dict(answer or {}), system)))

    def _keep(self, task: Task) -> Task:
        if self._tasks.get(task.id) != task:
            self.run.append("task", to_json(task))
            self._tasks[task.id] = task
        return task
