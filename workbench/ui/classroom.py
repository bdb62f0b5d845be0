"""Prepared rounds for a lecture: a task, attempts at it, and feedback for one that failed, at the press of a button.

Each shows one thing that is true of self-teaching whatever the policy's weights are; everything is computed live.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from workbench.config import SamplingConfig
from workbench.errors import TaskError
from workbench.records import Attempt
from workbench.service.actions.round import feedback, sample
from workbench.service.checks import make_config
from workbench.service.job import Job
from workbench.service.queue import JobQueue
from workbench.ui.panel import QUIET, Panel, Selection, Then, chosen_id, polite

ATTEMPTS = 6


@dataclass(frozen=True, slots=True)
class Preset:
    """One prepared round."""

    name: str
    title: str
    shows: str  # what to look at, in one sentence
    task_id: str
    feedback: str | None  # given to the first attempt that did not pass; None: the environment's stays


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "blame",
            "Which token is to blame?",
            "The sandbox says what came out wrong; the teacher finds the token that made it so.",
            "house-rules/sort-take-1",
            None,
        ),
        Preset(
            "words",
            "Two words are enough",
            "A person says only “largest first”; see how much credit these words move, and where.",
            "house-rules/sort-take-1",
            "largest first",
        ),
        Preset(
            "nothing",
            "Words that mean nothing",
            "The feedback has nothing to do with the task: the credit that remains comes from any feedback at all.",
            "house-rules/sort-take-1",
            "The meeting has been moved to Tuesday.",
        ),
    )
}


class ClassroomPanel(Panel):
    """The prepared rounds; the page shows them in classroom mode only."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        rows = [asdict(preset) for preset in PRESETS.values()]
        self.rounds = self.draw("presets", lambda m: {"presets": rows, "off": m.state.read_only})

    def connect(self, then: Then) -> None:
        """A prepared round is started by pressing it; its task becomes the chosen one."""
        chosen = [self.selection.task_id, self.selection.chosen]
        then(self.rounds.select(polite(self.on_preset), [self.selection.sampling], chosen, **QUIET))

    def on_preset(self, sampling: dict[str, Any], event: gr.EventData) -> tuple[str, str]:
        """Sample attempts first; the feedback follows once they are judged."""
        preset = PRESETS.get(chosen_id(event))
        if preset is None:
            raise TaskError(f"There is no such prepared round; choose one of {', '.join(PRESETS)}.")
        start(self.queue, preset, make_config(SamplingConfig, sampling))
        return preset.task_id, ""


def start(queue: JobQueue, preset: Preset, sampling: SamplingConfig) -> Job[list[Attempt]]:
    """Queue the sampling; where the round has feedback, another job follows and gives it."""
    job = sample(queue, preset.task_id, ATTEMPTS, sampling.temperature, sampling.max_new_tokens)
    if preset.feedback is not None:
        job.future.add_done_callback(
            lambda done: None if done.exception() else _give_feedback(queue, preset, done.result())
        )
    return job


def _give_feedback(queue: JobQueue, preset: Preset, attempts: list[Attempt]) -> None:
    failed = next((attempt for attempt in attempts if not attempt.passed), None)
    if failed is not None:
        feedback(queue, failed.id, preset.feedback)
