"""The named endpoints: the page's verbs for programs. Each waits for its job and returns plain JSON data."""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import TaskError
from workbench.records import to_json
from workbench.ui.forms import make_config
from workbench.ui.panel import polite
from workbench.ui.studio import Studio, detail, find


def build(studio: Studio) -> None:
    """Declare the endpoints; called inside the `gr.Blocks`."""
    desk = studio.desk

    def wait(job: Any) -> Any:
        return job.future.result()

    def tasks(pack: str = "") -> list:
        """The tasks of a pack, or of all packs."""

        def run(workbench: Any, job: Any) -> list[dict[str, Any]]:
            if pack and pack not in workbench.packs():
                raise TaskError(f"There is no pack {pack!r}; there are {', '.join(workbench.packs())}.")
            return [to_json(task) for task in workbench.tasks(pack or None)]

        return wait(desk.submit("tasks", "Listing tasks", run))

    def sample(task: str, n: int = 8, temperature: float = 1.0, max_new_tokens: int = 96) -> dict:
        """Sample and judge n attempts at a task."""
        sampling = make_config(SamplingConfig, {"temperature": temperature, "max_new_tokens": max_new_tokens})
        return {"attempts": [to_json(attempt) for attempt in wait(studio.sample(task, n, sampling))]}

    def judge(task: str, text: str) -> dict:
        """Judge a text as an answer to a task; nothing is recorded."""
        return to_json(wait(studio.judge(task, text)))

    def feedback(attempt: str, text: str | None = None, reward: float | None = None, mode: str = "replace") -> dict:
        """Give an attempt a person's feedback and/or reward."""
        return to_json(wait(studio.feedback(attempt, text, reward, mode)))

    def credit(attempt: str, config: dict | None = None, contexts: list | None = None) -> dict:
        """The credit of an attempt, token by token, and the teacher's exact prompt; contexts: names, or ["all"]."""
        made = make_config(SDPOConfig, config)
        asked = None if contexts is None else [str(name) for name in contexts]

        def run(workbench: Any, job: Any) -> Any:
            return detail(workbench, find(workbench, attempt), made, asked)

        known = wait(desk.submit("credit", "Colouring", run))
        return {**known.payload, "teacher_prompt": known.teacher_text, "teacher_ids": list(known.teacher_ids)}

    def update(attempts: list, config: dict | None = None) -> dict:
        """One update on these attempts (ids)."""
        return to_json(wait(studio.update(attempts, make_config(SDPOConfig, config))))

    def undo() -> dict:
        """Take the newest update back; the policy is bit for bit what it was before."""
        return {"head": wait(studio.move("undo"))}

    def redo() -> dict:
        """Make the update again that was undone last."""
        return {"head": wait(studio.move("redo"))}

    def checkout(update_id: str) -> dict:
        """Go to any node of the timeline."""
        return {"head": wait(studio.move("checkout", update_id))}

    def held_out() -> dict:
        """Measure the held-out pass rate of the head, with its 95 % interval."""
        return wait(studio.held_out())

    def status() -> dict:
        """What the workbench is doing; never waits for it."""
        job = desk.current
        return {
            "state": desk.state,
            "job": job.label if job else "",
            "waiting": desk.waiting(),
            "head": desk.facts.get("head", ""),
            "problem": desk.problem,
        }

    def stop() -> dict:
        """Ask what runs to stop at its next safe point."""
        return {"stopped": desk.stop()}

    for endpoint in (tasks, sample, judge, feedback, credit, update, undo, redo, checkout, held_out, status, stop):
        gr.api(polite(endpoint), api_name=endpoint.__name__, concurrency_limit=None)
