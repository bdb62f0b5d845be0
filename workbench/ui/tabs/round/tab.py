"""The tab "Round": its panels from top to bottom, and the one place that says what is true to all of them.

What a session has chosen is only ever written by a person's own action; `refresh` reads that and the board, and sends
what changed. So nobody's selection moves under their hands, and a reload shows what is true.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import gradio as gr

from workbench.config import SamplingConfig, SDPOConfig
from workbench.service.actions.round import Studio
from workbench.service.checks import make_config
from workbench.service.snapshot import Moment
from workbench.ui.panel import QUIET, Panel, Selection, tab_of
from workbench.ui.replay import still_off
from workbench.ui.tabs.round.attempts import AttemptsPanel
from workbench.ui.tabs.round.credit import CreditPanel, TeacherPanel
from workbench.ui.tabs.round.drawer import DrawerPanel
from workbench.ui.tabs.round.feedback import FeedbackPanel
from workbench.ui.tabs.round.health import HealthPanel
from workbench.ui.tabs.round.own_task import OwnTaskPanel
from workbench.ui.tabs.round.tasks import TaskPanel
from workbench.ui.tabs.round.timeline import TimelinePanel
from workbench.ui.tabs.round.update import UpdatePanel

BUSY_S, IDLE_S = 0.4, 1.5  # how often the page asks what is true


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
        self.timer = gr.Timer(BUSY_S)
        self.panels = (*others, tasks, own, attempts, credit, drawer, feedback, teacher, update, health, timeline)
        self._connect()

    def _connect(self) -> None:
        self.shown = [shown for panel in self.panels for shown in panel.shown]
        sent = gr.State({})
        components = [shown.component for shown in self.shown]
        show: dict[str, Any] = {
            "fn": self.refresh,
            "inputs": [*(getattr(self.selection, item.name) for item in fields(Selection)), sent],
            "outputs": [*components, self.timer, sent],
            # One after the other: of two at once, each would leave out what the other one has not sent yet.
            **{**QUIET, "concurrency_limit": 1, "concurrency_id": "show"},
        }
        self.timer.tick(**show)
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
        """Everything on the tab that differs from what this session was last sent, the pace, and what was sent."""
        desk = self.studio.desk
        stamp = f"{desk.version} {task_id} {chosen} {config} {sampling} {spans} {token} {experiments}"
        if sent.get("stamp") == stamp and desk.current is None:
            return [gr.skip()] * (len(self.shown) + 2)
        made = make_config(SamplingConfig, sampling)
        update = make_config(SDPOConfig, config)
        moment = Moment(self.studio, task_id, chosen, update, made, spans, token, experiments, tab_of(request))
        out, marks = [], {"stamp": stamp}
        for shown in self.shown:
            data = shown.read(moment)
            marks[shown.name] = hashlib.sha256(repr(data).encode()).hexdigest()
            told = gr.skip() if sent.get(shown.name) == marks[shown.name] else shown.render(data)
            out.append(still_off(told) if moment.facts.get("read_only") else told)
        pace = BUSY_S if moment.pending else IDLE_S
        marks["pace"] = str(pace)
        return [*out, gr.skip() if sent.get("pace") == marks["pace"] else gr.Timer(pace), marks]
