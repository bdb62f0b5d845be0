"""Jobs of tasks: typing one, opening a pack, packs as files, models that speak more. Knows nothing of Gradio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task
from workbench.service.checks import LONGEST_PACK, check_name, checked_text, is_text
from workbench.service.job import SHOWN, Job
from workbench.service.state import Board
from workbench.tasks import is_built_in

AD_HOC = "ad-hoc"  # pack of the tasks that people type, where they name no other
HUB_MODELS = "hub models"  # key of the job and of its result
FITTING = "Looking at what fits this machine"


class TaskJobs(Board):
    """What people do with tasks and packs."""

    def add_task(
        self,
        prompt: str,
        environment: str,
        answer: Mapping[str, Any] | None,
        system: str | None,
        pack: str = AD_HOC,
    ) -> Job:
        """A task that a person typed; the job's result is the Task."""
        if not checked_text(prompt, "The prompt").strip():
            raise TaskError("The prompt is empty; type a question first.")
        if not isinstance(environment, str) or not environment:
            raise TaskError("Say how the task is judged: choose one of the listed ways.")
        check_name(pack, "A pack")

        def run(workbench: Any, job: Job) -> Task:
            task = workbench.add_task(
                prompt=prompt, environment=environment, answer=answer or {}, system=system or None, pack=pack
            )
            self._publish_tasks([task])
            return task

        return self.desk.submit("task", "Adding a task", run)

    def open_pack(self, name: str) -> Job:
        """The tasks of a built-in pack that is not on the board yet; the job's result is the tuple of them.

        Not those of a file: whoever can reach the page could read the machine's files by their paths.
        """
        if not is_built_in(checked_text(name, "The pack")):
            raise TaskError("Name a built-in pack, such as house-rules or house-rules@7:remark.")

        def run(workbench: Any, job: Job) -> tuple[Task, ...]:
            tasks = tuple(workbench.tasks(name))
            self.desk.publish(tasks={**self.desk.facts["tasks"], name: tasks})
            return tasks

        return self.desk.submit("pack", "Opening a pack", run)

    def import_pack(self, file_name: str, text: str) -> Job:
        """The tasks in the text of a .jsonl or .json file; the job's result is the tuple of them."""
        if not is_text(file_name) or not is_text(text):
            raise TaskError("A pack is imported from its file's name and its text.")
        if len(text) > LONGEST_PACK:
            raise TaskError(f"The pack has {len(text):,} characters; at most {LONGEST_PACK:,} are taken at once.")

        def run(workbench: Any, job: Job) -> tuple[Task, ...]:
            tasks = tuple(workbench.import_tasks(file_name, text))
            self._publish_tasks(tasks)
            return tasks

        return self.desk.submit("pack", "Importing a pack", run)

    def export_pack(self, pack: str) -> Job:
        """The job's result is the pack as JSON lines."""
        checked_text(pack, "The pack")
        return self.desk.submit("pack", "Exporting a pack", lambda workbench, job: workbench.export_tasks(pack))

    def prompt(self, task_id: str) -> Job:
        """The job's result is the exact chat prompt of a task: its text, and its token ids."""
        checked_text(task_id, "The task")
        return self.desk.submit("prompt", "Writing out the prompt", _prompt(task_id))

    def known_prompt(self, task_id: str) -> tuple[str, tuple[int, ...]] | None:
        """The same, or None while that is being found out, and where there is no model to ask."""
        found = self.desk.want(("prompt", task_id), "prompt", "Writing out the prompt", _prompt(task_id))
        return found if isinstance(found, tuple) else None

    def hub_models(self) -> Job:
        """Hub models with their sizes and whether they fit here; the job's result is a list of plain data."""
        return self.desk.submit(HUB_MODELS, FITTING, _hub_models, priority=SHOWN, key=HUB_MODELS)

    def known_hub_models(self) -> list[dict[str, Any]] | None:
        """What `hub_models` found, or None while that is being found out."""
        found = self.desk.want(HUB_MODELS, HUB_MODELS, FITTING, _hub_models)
        return found if isinstance(found, list) else None

    def _publish_tasks(self, added: Sequence[Task]) -> None:
        tasks = dict(self.desk.facts["tasks"])
        for task in added:
            pack = task.id.rpartition("/")[0]
            tasks[pack] = (*(old for old in tasks.get(pack, ()) if old.id != task.id), task)
        self.desk.publish(tasks=tasks)


def _prompt(task_id: str) -> Callable[[Any, Job], tuple[str, tuple[int, ...]]]:
    def run(workbench: Any, job: Job) -> tuple[str, tuple[int, ...]]:
        prompt = workbench.prompt(workbench.task(task_id))
        return prompt.text, tuple(prompt.ids)

    return run


def _hub_models(workbench: Any, job: Job) -> list[dict[str, Any]]:
    return [asdict(candidate) for candidate in workbench.hub_models()]
