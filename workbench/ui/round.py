"""The tab "Round": its panels from top to bottom, and the one place that says what is true to all of them.

What a session has chosen is only ever written by a person's own action; `refresh` reads that and the board, and sends
what changed: after such an action, and whenever the page's script has heard of a change (changes.py). So nobody's
selection moves under their hands, and a reload shows what is true.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import gradio as gr

from workbench.config import SamplingConfig, SDPOConfig
from workbench.ui import changes
from workbench.ui.attempts import AttemptsPanel
from workbench.ui.credit import CreditPanel, TeacherPanel
from workbench.ui.drawer import DrawerPanel
from workbench.ui.feedback import FeedbackPanel
from workbench.ui.forms import make_config
from workbench.ui.health import HealthPanel
from workbench.ui.moment import Moment
from workbench.ui.own_task import OwnTaskPanel
from workbench.ui.panel import QUIET, Panel, Selection, Shown, numbered, tab_of
from workbench.ui.replay import still_off
from workbench.ui.studio import Studio
from workbench.ui.tasks import TaskPanel
from workbench.ui.timeline import TimelinePanel
from workbench.ui.update import UpdatePanel


class Round:
    """The tab and its refreshing; made inside its `gr.Tab`. `others`: panels elsewhere, kept in step with it."""

    def __init__(self, studio: Studio, selection: Selection, others: Sequence[Panel]) -> None:
        self.studio, self.selection = studio, selection
        with gr.Row(elem_classes="wb-main"):
            with gr.Column(scale=3, min_width=280):
                tasks = TaskPanel(studio, selection)
                own = OwnTaskPanel(studio, selection)
                attempts = AttemptsPanel(selection)
            with gr.Column(scale=9, min_width=320):
                credit = CreditPanel(selection)
                drawer = DrawerPanel(studio, selection, credit.heat)
                feedback = FeedbackPanel(studio, selection)
                teacher = TeacherPanel(selection)
        with gr.Row(elem_classes="wb-rule"):
            update = UpdatePanel(studio, selection)
        health = HealthPanel(studio)
        with gr.Row(elem_classes="wb-rule"):
            timeline = TimelinePanel(studio, selection)
        self.trigger = changes.trigger()
        self.panels = (*others, tasks, own, attempts, credit, drawer, feedback, teacher, update, health, timeline)
        self._connect()

    def _connect(self) -> None:
        version = Shown("version", self.trigger, lambda moment: {"version": moment.version}, numbered)
        self.shown = [version, *(shown for panel in self.panels for shown in panel.shown)]
        sent = gr.State({})
        components = [shown.component for shown in self.shown]
        show: dict[str, Any] = {
            "fn": self.refresh,
            "inputs": [*(getattr(self.selection, item.name) for item in fields(Selection)), sent],
            "outputs": [*components, sent],
            # One after the other: of two at once, each would leave out what the other one has not sent yet.
            **{**QUIET, "concurrency_limit": 1, "concurrency_id": "show"},
            # Gradio would run a clock for each output, frame by frame, also where it shows none.
            "show_progress_on": self.trigger,
        }
        self.trigger.input(**show, trigger_mode="always_last")
        for panel in self.panels:
            panel.connect(lambda event: event.then(**show))

    def refresh(
        self,
        task_id: str,
        chosen: str,
        config: dict[str, Any],
        sampling: dict[str, Any],
        spans: dict[str, list[int]],
        token: dict[str, Any],
        experiments: dict[str, str],
        sent: dict[str, str],
        request: gr.Request,
    ) -> list[Any]:
        """Everything on the tab that differs from what this session was last sent, and what was sent."""
        desk = self.studio.desk
        stamp = f"{desk.version} {task_id} {chosen} {config} {sampling} {spans} {token} {experiments}"
        if sent.get("stamp") == stamp and desk.current is None:
            return [gr.skip()] * (len(self.shown) + 1)
        made = make_config(SamplingConfig, sampling)
        update = make_config(SDPOConfig, config)
        moment = Moment(self.studio, task_id, chosen, update, made, spans, token, experiments, tab_of(request))
        out, marks = [], {"stamp": stamp}
        for shown in self.shown:
            data = shown.read(moment)
            marks[shown.name] = hashlib.sha256(repr(data).encode()).hexdigest()
            told = gr.skip() if sent.get(shown.name) == marks[shown.name] else shown.render(data)
            out.append(still_off(told) if moment.facts.get("read_only") else told)
        return [*out, marks]
