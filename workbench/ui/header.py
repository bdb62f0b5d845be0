"""The line at the top of the page: which run, which policy, what it is doing, and who waits for it.

What runs and what waits can be stopped from here, each by itself; after a failure the run is opened again from here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import gradio as gr

from workbench.config import model_name
from workbench.errors import RunError
from workbench.service.queue import Desk
from workbench.service.snapshot import Moment
from workbench.ui.panel import QUIET, Panel, Then, polite


class HeaderPanel(Panel):
    """The line above the tabs. `run`: its name until the run is open and says it itself."""

    def __init__(self, desk: Desk, run: str) -> None:
        super().__init__()
        self.desk = desk
        self.line = self.draw("header", lambda moment: header(moment, run))

    def connect(self, then: Then) -> None:
        """The drawn line asks to stop a job, or to open the run again."""
        then(self.line.select(polite(self.on_press), None, None, **QUIET))

    def on_press(self, event: gr.EventData) -> None:
        """Stop a job by its number, or open the run again. Raises RunError where there is nothing to do that to."""
        if getattr(event, "id", "") == "reopen":
            self.desk.reopen()
            return
        job = getattr(event, "job", None)
        if not isinstance(job, int) or not self.desk.stop(job):
            raise RunError("There is no such job any more: it ended before it could be stopped.")


def header(moment: Moment, run: str) -> dict[str, Any]:
    """The line at the top as one tab sees it."""
    desk, facts = moment.desk, moment.facts
    policy, judges = facts.get("policy", {}), facts.get("judges", ())
    models = [str(policy.get("model", "")), *(judge["model"] for judge in judges)]
    jobs = queue(desk)
    busy = bool(jobs) and desk.state == "ready"
    return {
        "run": facts.get("run", run),
        "facts": [*map(judge_fact, judges), *policy_facts(policy)],  # what is at the end may be cut
        "directories": [model for model in models if model_name(model) != model],
        "state": "busy" if busy else desk.state,
        "jobs": jobs,
        "tab": moment.tab,
        "problem": desk.problem,
        "problem_for": desk.problem_for,
        "damage": facts.get("damage", ""),
        "replay": bool(facts.get("read_only")),
    }


def queue(desk: Desk) -> list[dict[str, Any]]:
    """What people asked for, in the order in which it is done: position 0 runs, 1 is next.

    What runs also says `seconds` so far, `left` (seconds, None where nothing tells) and `progress`, where it counts.
    """
    line, running = desk.line(), desk.current
    first = 0 if line and line[0] is running else 1
    jobs = []
    for position, job in enumerate(line, first):
        entry = {"id": job.number, "kind": job.kind, "label": job.label, "by": job.by, "position": position}
        if job is running:
            left, far = job.left_s(), job.progress
            entry |= {"seconds": round(job.seconds()), "left": None if left is None else round(left)}
            entry["progress"] = None if far is None else asdict(far)
        jobs.append(entry)
    return jobs


def policy_facts(policy: dict[str, Any]) -> list[str]:
    """What the policy is, a few words each."""
    names = ("parameters", "quantization", "dtype", "device", "attention")
    facts = [amount(policy[name]) for name in names if policy.get(name) not in (None, "", "none")]
    if "model" in policy:
        facts.insert(0, model_name(policy["model"]))
    if "lora" in policy:
        variant = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}[policy["lora"]["variant"]]
        facts.append(f"{variant} r{policy['lora']['rank']}")
    return facts


def judge_fact(judge: dict[str, Any]) -> str:
    """A judge that is in memory, and how much its weights take of it."""
    size = judge["memory_bytes"]
    taken = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.2g} MB"
    return f"judge {model_name(judge['model'])} ({taken})"


def amount(value: Any) -> str:
    """A number of parameters as people say it (3.2 M); anything else as it is."""
    if not isinstance(value, int):
        return str(value)
    return f"{value / 1e9:.1f} G parameters" if value >= 1e9 else f"{value / 1e6:.1f} M parameters"
