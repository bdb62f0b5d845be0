"""Refreshing: the one place that brings every panel up to date.

A session's selection is only ever written by a person's own action; `refresh` reads it and the published state, and
sends what changed. So nobody's selection moves under their hands, and a reload shows the current state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import gradio as gr

from workbench.config import SamplingConfig, SDPOConfig
from workbench.service.checks import make_config
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot
from workbench.ui import changes
from workbench.ui.panel import QUIET, Panel, Selection, Shown, numbered, tab_of
from workbench.ui.replay import still_off


class Refresh:
    """Keeps all panels in step with the published state; created inside the `gr.Blocks`, after the last panel."""

    def __init__(self, queue: JobQueue, selection: Selection, panels: Sequence[Panel]) -> None:
        self.queue = queue
        trigger, sent = changes.trigger(), gr.State({})
        version = Shown("version", trigger, lambda snapshot: {"version": snapshot.version}, numbered)
        self.shown = [version, *(shown for panel in panels for shown in panel.shown)]
        show: dict[str, Any] = {
            "fn": self.refresh,
            "inputs": [*(getattr(selection, item.name) for item in fields(Selection)), sent],
            "outputs": [*(shown.component for shown in self.shown), sent],
            # One at a time: of two at once, each would leave out what the other has not sent yet.
            **{**QUIET, "concurrency_limit": 1, "concurrency_id": "show"},
            # Gradio would run a clock for each output, frame by frame, also where it shows none.
            "show_progress_on": trigger,
        }
        trigger.input(**show, trigger_mode="always_last")
        for panel in panels:
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
        """Updates of everything that differs from what this session was last sent, and a record of what was sent."""
        queue = self.queue
        stamp = f"{queue.version} {task_id} {chosen} {config} {sampling} {spans} {token} {experiments}"
        if sent.get("stamp") == stamp and queue.current is None:
            return [gr.skip()] * (len(self.shown) + 1)
        settings = make_config(SDPOConfig, config), make_config(SamplingConfig, sampling)
        snapshot = Snapshot(queue, task_id, chosen, *settings, spans, token, experiments, tab_of(request))
        out, marks = [], {"stamp": stamp}
        for shown in self.shown:
            data = shown.read(snapshot)
            marks[shown.name] = hashlib.sha256(repr(data).encode()).hexdigest()
            update = gr.skip() if sent.get(shown.name) == marks[shown.name] else shown.render(data)
            out.append(still_off(update) if snapshot.state.read_only else update)
        return [*out, marks]
