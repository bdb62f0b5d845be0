"""More named endpoints: what the panels around the heatmap can do. `api` declares them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from workbench.config import SDPOConfig
from workbench.errors import RunError, TaskError
from workbench.records import to_json
from workbench.service.actions import compare as compare_jobs
from workbench.service.actions.round import Studio
from workbench.service.actions.runs import NO_ARCHIVE
from workbench.service.actions.tasks import AD_HOC
from workbench.service.checks import checked_text, make_config
from workbench.service.rewards import by_policy
from workbench.service.snapshot import path_to
from workbench.tasks.sandbox import shown
from workbench.ui.tabs.round.own_task import advice

Endpoint = Callable[..., Awaitable[Any]]


def endpoints(studio: Studio, result: Endpoint) -> tuple[Endpoint, ...]:
    """The endpoints; `result(job)` waits for a job without holding a thread."""

    async def teacher_lift(attempts: list, config: dict | None = None) -> dict:
        """Pass rates of the self-teacher's own attempts and of the student's, with 95 % intervals."""
        return await result(studio.teacher_lift(attempts, make_config(SDPOConfig, config)))

    async def alarms() -> dict:
        """What is worrying about the update in force, a sentence each."""
        return {"alarms": list(studio.desk.facts.get("alarms", ()))}

    async def rewards(task: str) -> list:
        """How the attempts at a task were rewarded, policy by policy from the start to the head."""
        if studio.task(task) is None:
            raise TaskError(f"There is no task {shown(task)} in this run; see the endpoint tasks.")
        facts = studio.desk.facts
        return by_policy(facts["rewards"].get(task, {}), path_to(facts["timeline"], facts["head"]))

    async def branch(name: str) -> dict:
        """Updates from here on carry this name."""
        return {"branch": await result(studio.branch(name))}

    async def compare_nodes(first: str, second: str, attempt: str = "", config: dict | None = None) -> dict:
        """Two updates side by side: pass rates, distance of the adapters, and an attempt re-scored under both."""
        made = make_config(SDPOConfig, config)
        return await result(studio.compare_nodes(first, second, attempt or None, made))

    async def compare(
        attempt: str,
        by: str = "estimators",
        config: dict | None = None,
        view: str = "raw",
        feedback: str = "",
        demonstration: str = "",
    ) -> dict:
        """An attempt under several estimators, teachers or feedbacks, on one scale, with rank correlations."""
        made = make_config(SDPOConfig, config)
        job = compare_jobs.compare(studio, attempt, by, made, view=view, feedback=feedback, demonstration=demonstration)
        return await result(job)

    async def compare_runs(other: str) -> dict:
        """This run beside another one of the same directory: pass rates, learning curves, settings that differ."""
        return await result(compare_jobs.compare_runs(studio, other))

    async def prompt(task: str) -> dict:
        """The exact chat prompt of a task: its text, and its token ids."""
        text, ids = await result(studio.prompt(task))
        return {"text": text, "ids": list(ids)}

    async def closest_task(prompt: str) -> dict:
        """Whether the policy speaks a prompt's language; where it does not, the closest task that it can do."""
        found = advice(studio, checked_text(prompt, "The prompt"))
        return {"speaks": not found, "closest": found.get("closest", "")}

    async def add_task(
        prompt: str, environment: str = "person", answer: dict | None = None, pack: str = AD_HOC
    ) -> dict:
        """A task of one's own, kept in a pack."""
        return to_json(await result(studio.add_task(prompt, environment, answer, None, pack)))

    async def import_pack(file_name: str, text: str) -> list:
        """The tasks in the text of a .jsonl or .json file; mistakes name the line and the field."""
        return [to_json(task) for task in await result(studio.import_pack(file_name, text))]

    async def export_pack(pack: str) -> dict:
        """A pack as JSON lines."""
        return {"file_name": f"{pack}.jsonl", "text": await result(studio.export_pack(pack))}

    async def hub_models() -> list:
        """Hub models worth trying on this machine, with their sizes and whether they fit."""
        return await result(studio.hub_models())

    async def runs() -> list:
        """The runs beside this one: name, model, counts of attempts and updates, newest event."""
        return await result(studio.runs())

    async def open_run(name: str) -> dict:
        """Go on with another run, or begin one of a new name; the one that was open is closed, with all that it has."""
        return {"run": await result(studio.open_run(name))}

    async def import_run(archive: dict) -> dict:
        """A run's archive, an uploaded ZIP file, becomes a run of its file's name beside the open one."""
        file = uploaded(archive)
        return {"run": await result(studio.import_run(file, file.stem))}

    async def share() -> dict:
        """One self-contained HTML page of this run's newest scored attempts in colour."""
        return {"html": await result(studio.share())}

    async def what_if(attempt: str, feedback: str = "", demonstration: str = "", config: dict | None = None) -> dict:
        """The credit in force and the one under other feedback, on one scale; nothing is recorded or changed."""
        made = make_config(SDPOConfig, config)
        return await result(studio.what_if(attempt, feedback, demonstration or None, made))

    return (
        teacher_lift,
        alarms,
        rewards,
        branch,
        compare_nodes,
        compare,
        compare_runs,
        what_if,
        prompt,
        closest_task,
        add_task,
        import_pack,
        export_pack,
        hub_models,
        runs,
        open_run,
        import_run,
        share,
    )


def uploaded(file: dict) -> Path:
    """Where a file that a program has uploaded lies. Raises RunError for what is none: no other file is read."""
    path = file.get("path")
    folder = Path(get_upload_folder()).resolve()
    if isinstance(path, str) and "\0" not in path and Path(path).resolve().is_relative_to(folder):
        return Path(path)
    raise RunError(NO_ARCHIVE)
