"""The line at the top of the page: the run, the policy, what is running, and what is waiting.

Each running or waiting job can be stopped from here; after a failure the run is reopened from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from workbench.config import model_name
from workbench.errors import RunError
from workbench.service.actions.status import listed
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot
from workbench.ui.panel import QUIET, Panel, Then, polite


class HeaderPanel(Panel):
    """The line above the tabs. `run`: the name shown until the run is open."""

    def __init__(self, queue: JobQueue, run: str) -> None:
        super().__init__()
        self.queue = queue
        self.line = self.draw("header", lambda snapshot: header(snapshot, run))

    def connect(self, then: Then) -> None:
        """Let the drawn line stop a job, or reopen the run."""
        then(self.line.select(polite(self.on_press), None, None, **QUIET))

    def on_press(self, event: gr.EventData) -> None:
        """Stop a job by its number, or reopen the run. Raises RunError where there is no such job or failure."""
        if getattr(event, "id", "") == "reopen":
            self.queue.reopen()
            return
        job = getattr(event, "job", None)
        if not isinstance(job, int) or not self.queue.stop(job):
            raise RunError("This job no longer exists: it ended before it could be stopped.")


def header(snapshot: Snapshot, run: str) -> dict[str, Any]:
    """Data of the line at the top, as one tab sees it."""
    queue, state = snapshot.queue, snapshot.state
    policy, judges = state.policy, state.judges
    models = [str(policy.get("model", "")), *(judge["model"] for judge in judges)]
    jobs = listed(queue)
    busy = bool(jobs) and queue.status == "ready"
    return {
        "run": state.run or run,
        "facts": [*map(judge_fact, judges), *policy_facts(policy)],  # the end may be cut off
        "directories": [model for model in models if model_name(model) != model],
        "state": "busy" if busy else queue.status,
        "jobs": jobs,
        "tab": snapshot.tab,
        "problem": queue.problem,
        "problem_for": queue.problem_for,
        "damage": state.damage,
        "replay": state.read_only,
    }


def policy_facts(policy: Mapping[str, Any]) -> list[str]:
    """Facts about the policy, a few words each: size, precision, device, adapter."""
    names = ("parameters", "quantization", "dtype", "device", "attention")
    facts = [amount(policy[name]) for name in names if policy.get(name) not in (None, "", "none")]
    if "model" in policy:
        facts.insert(0, model_name(policy["model"]))
    if "lora" in policy:
        variant = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}[policy["lora"]["variant"]]
        facts.append(f"{variant} r{policy['lora']['rank']}")
    return facts


def judge_fact(judge: Mapping[str, Any]) -> str:
    """Describe a judge that is in memory, with the size of its weights."""
    size = judge["memory_bytes"]
    amount_used = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.2g} MB"
    return f"judge {model_name(judge['model'])} ({amount_used})"


def amount(value: Any) -> str:
    """Format a number of parameters (3.2 M parameters); anything else is unchanged."""
    if not isinstance(value, int):
        return str(value)
    return f"{value / 1e9:.1f} G parameters" if value >= 1e9 else f"{value / 1e6:.1f} M parameters"
