"""The tab "Round": one round, from choosing a task to undoing an update, in panels from top to bottom."""

from __future__ import annotations

import gradio as gr

from workbench.service.queue import JobQueue
from workbench.ui.panel import Panel, Selection, Then
from workbench.ui.tabs.round.attempts import AttemptsPanel
from workbench.ui.tabs.round.credit import CreditPanel, TeacherPanel
from workbench.ui.tabs.round.drawer import DrawerPanel
from workbench.ui.tabs.round.feedback import FeedbackPanel
from workbench.ui.tabs.round.health import HealthPanel
from workbench.ui.tabs.round.own_task import OwnTaskPanel
from workbench.ui.tabs.round.pack_files import PackFilesPanel
from workbench.ui.tabs.round.tasks import TaskPanel
from workbench.ui.tabs.round.timeline import TimelinePanel
from workbench.ui.tabs.round.update import UpdatePanel


class RoundPanel(Panel):
    """The panels of a round as one."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        with gr.Row(elem_classes="wb-main"):
            with gr.Column(scale=3, min_width=280):
                tasks = TaskPanel(queue, selection)
                own_task = OwnTaskPanel(queue, selection)
                pack_files = PackFilesPanel(queue, selection)
                attempts = AttemptsPanel(selection)
            with gr.Column(scale=9, min_width=320):
                credit = CreditPanel(selection)
                drawer = DrawerPanel(queue, selection, credit.heat)
                feedback = FeedbackPanel(queue, selection)
                teacher = TeacherPanel(queue, selection)
        with gr.Row(elem_classes="wb-rule"):
            update = UpdatePanel(queue, selection)
        health = HealthPanel(queue)
        with gr.Row(elem_classes="wb-rule"):
            timeline = TimelinePanel(queue, selection)
        left, right = (tasks, own_task, pack_files, attempts), (credit, drawer, feedback, teacher)
        self.panels: tuple[Panel, ...] = (*left, *right, update, health, timeline)
        self.shown = [shown for panel in self.panels for shown in panel.shown]

    def connect(self, then: Then) -> None:
        """Connect every panel."""
        for panel in self.panels:
            panel.connect(then)
