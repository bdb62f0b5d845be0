"""The Gradio page: composition, plain handlers, charts as pure functions, theme.

Knows nothing of models and files: it asks a desk (one thread that owns the workbench) and shows what it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr

from workbench.config import SamplingConfig, SDPOConfig
from workbench.service.actions import experiments as experiment_jobs
from workbench.service.actions import tokens as intervention
from workbench.service.actions.round import Studio
from workbench.service.queue import Desk
from workbench.tasks.sandbox import confinement
from workbench.ui import api
from workbench.ui.classroom import ClassroomPanel
from workbench.ui.header import HeaderPanel
from workbench.ui.panel import Selection
from workbench.ui.replay import switch_off
from workbench.ui.server import launch
from workbench.ui.tabs.compare import ComparePanel
from workbench.ui.tabs.discover import DiscoverPanel
from workbench.ui.tabs.learn import LearnPanel
from workbench.ui.tabs.round.tab import Round
from workbench.ui.tabs.runs import RunsPanel
from workbench.ui.tabs.settings import SettingsPanel
from workbench.ui.tabs.studies import StudiesPanel

__all__ = ["build_ui", "launch", "make_desk"]


def make_desk(opener: Callable[[], Any]) -> Desk:
    """A desk to be started; `opener` returns the Workbench and runs in the desk's thread, behind the page."""

    def opened(workbench: Any, desk: Desk) -> None:
        Studio.opened(workbench, desk)
        intervention.opened(workbench, desk)
        experiment_jobs.opened(workbench, desk)

    return Desk(opener, opened, Studio.publish_judges)


def build_ui(desk: Desk, run: str = "", *, replay: bool = False) -> gr.Blocks:
    """The whole page over a desk; `run` is the name shown at the top; `replay`: the desk has no model, only the run."""
    with gr.Blocks(title="SDPO Workbench", analytics_enabled=False, fill_width=True) as page:
        config, sampling = gr.State(asdict(SDPOConfig())), gr.State(asdict(SamplingConfig()))
        selection = Selection(gr.State(""), gr.State(""), config, sampling, gr.State({}), gr.State({}), gr.State({}))
        studio = Studio(desk)
        confined = confinement()
        if confined.startswith("UNSAFE"):
            gr.Markdown(f"**{confined}**", elem_id="unsafe")
        header = HeaderPanel(desk, run)
        classroom = ClassroomPanel(studio, selection)
        with gr.Tab("Round") as round_tab:
            pass
        with gr.Tab("Discover"):
            discover = DiscoverPanel(studio, selection)
        with gr.Tab("Learn"):
            learn = LearnPanel(studio, selection)
        with gr.Tab("Studies"):
            studies = StudiesPanel(studio, selection)
        with gr.Tab("Compare"):
            compare = ComparePanel(studio, selection)
        with gr.Tab("Runs") as runs_tab:
            runs = RunsPanel(studio, selection, runs_tab)
        with gr.Tab("Settings"):
            gr.Markdown(confined, elem_id="confinement")
            settings = SettingsPanel(selection)
        with round_tab:
            Round(studio, selection, (header, classroom, discover, learn, studies, compare, runs, settings))
        api.build(studio)
        if replay:
            switch_off(page)
    return page
