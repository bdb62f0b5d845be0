"""The line at the top of the page: which run, which policy, what it is doing, and who waits for it.

What runs and what waits can be stopped from here, each by itself; after a failure the run is opened again from here.
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
    """The line above the tabs. `run`: its name until the run is open and says it itself."""

    def __init__(self, queue: JobQueue, run: str) -> None:
        super().__init__()
        self.queue = queue
        self.line = self.draw("header", lambda snapshot: header(snapshot, run))

    def connect(self, then: Then) -> None:
        """The drawn line asks to stop a job, or to open the run again."""
        then(self.line.select(polite(self.on_press), None, None, **QUIET))

    def on_press(self, event: gr.EventData) -> None:
        """Stop a job by its number, or open the run again. Raises RunError where there is nothing to do that to."""
        if getattr(event, "id", "") == "reopen":
            self.queue.reopen()
            return
        job = getattr(event, "job", None)
        if not isinstance(job, int) or not self.queue.stop(job):
            raise RunError("There is no such job any more: it ended before it could be stopped.")


def header(snapshot: Snapshot, run: str) -> dict[str, Any]:
    """The line at the top as one tab sees it."""
    queue, state = snapshot.queue, snapshot.state
    policy, judges = state.policy, state.judges
    models = [str(policy.get("model", "")), *(judge["model"] for judge in judges)]
    jobs = listed(queue)
    busy = bool(jobs) and queue.status == "ready"
    return {
        "run": state.run or run,
        "facts": [*map(judge_fact, judges), *policy_facts(policy)],  # what is at the end may be cut
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
    """The policy in a few words each: size, precision, device, adapter."""
    names = ("parameters", "quantization", "dtype", "device", "attention")
    facts = [amount(policy[name]) for name in names if policy.get(name) not in (None, "", "none")]
    if "model" in policy:
        facts.insert(0, model_name(policy["model"]))
    if "lora" in policy:
        variant = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}[policy["lora"]["variant"]]
        facts.append(f"{variant} r{policy['lora']['rank']}")
    return facts


def judge_fact(judge: Mapping[str, Any]) -> str:
    """A judge that is in memory, and how much its weights take of it."""
    size = judge["memory_bytes"]
    taken = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.2g} MB"
    return f"judge {model_name(judge['model'])} ({taken})"


def amount(value: Any) -> str:
    """A number of parameters as people say it (3.2 M); anything else as it is."""
    if not isinstance(value, int):
        return str(value)
    return f"{value / 1e9:.1f} G parameters" if value >= 1e9 else f"{value / 1e6:.1f} M parameters"
