"""The whole page over a job queue: the header, the tabs in their order, and the endpoints."""

from __future__ import annotations

from dataclasses import asdict

import gradio as gr

from workbench.config import SamplingConfig, SDPOConfig
from workbench.service.queue import JobQueue
from workbench.tasks.sandbox import PREPARING, confinement
from workbench.ui import api
from workbench.ui.classroom import ClassroomPanel
from workbench.ui.header import HeaderPanel
from workbench.ui.panel import Panel, Selection
from workbench.ui.refresh import Refresh
from workbench.ui.replay import switch_off
from workbench.ui.tabs.compare import ComparePanel
from workbench.ui.tabs.discover import DiscoverPanel
from workbench.ui.tabs.learn import LearnPanel
from workbench.ui.tabs.round.tab import RoundPanel
from workbench.ui.tabs.runs import RunsPanel
from workbench.ui.tabs.settings import SettingsPanel
from workbench.ui.tabs.studies import StudiesPanel

# A tab is its title and the panel inside; a new one is a line here and a file of its own.
TABS: tuple[tuple[str, type[Panel]], ...] = (
    ("Round", RoundPanel),
    ("Discover", DiscoverPanel),
    ("Learn", LearnPanel),
    ("Studies", StudiesPanel),
    ("Compare", ComparePanel),
    ("Runs", RunsPanel),
    ("Settings", SettingsPanel),
)


def build_ui(queue: JobQueue, run: str = "", *, replay: bool = False) -> gr.Blocks:
    """Build the page. `run`: the name shown at the top until the run is open; `replay`: without a model."""
    with gr.Blocks(title="SDPO Workbench", analytics_enabled=False, fill_width=True) as page:
        config, sampling = gr.State(asdict(SDPOConfig())), gr.State(asdict(SamplingConfig()))
        selection = Selection(gr.State(""), gr.State(""), config, sampling, gr.State({}), gr.State({}), gr.State({}))
        confined = confinement()
        if confined.startswith("UNSAFE"):
            gr.Markdown(f"**{confined}**", elem_id="unsafe")
        if confined == PREPARING:
            gr.Markdown(_preparing, elem_id="preparing")  # asked anew for each page that is opened
        panels: list[Panel] = [HeaderPanel(queue, run), ClassroomPanel(queue, selection)]
        for title, panel_class in TABS:
            with gr.Tab(title) as tab:
                panel = panel_class(queue, selection)
            panel.tab = tab
            panels.append(panel)
        Refresh(queue, selection, panels)
        api.build(queue)
        if replay:
            switch_off(page)
    return page


def _preparing() -> str:
    return PREPARING if confinement() == PREPARING else ""
