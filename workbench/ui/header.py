"""The line at the top of the page: which run, which policy, what it is doing."""

from __future__ import annotations

import time
from typing import Any

from workbench.ui.worker import PERSON, Desk


def header(desk: Desk, run: str) -> dict[str, Any]:
    """The line at the top: which run, which policy, what it is doing."""
    policy = desk.facts.get("policy", {})
    names = ("model", "parameters", "quantization", "dtype", "device", "attention")
    facts = [amount(policy[name]) for name in names if policy.get(name) not in (None, "", "none")]
    if "lora" in policy:
        variant = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}[policy["lora"]["variant"]]
        facts.append(f"{variant} r{policy['lora']['rank']}")
    job = desk.current
    busy = job if job is not None and job.priority == PERSON else None
    return {
        "run": run,
        "facts": facts,
        "state": "busy" if busy and desk.state == "ready" else desk.state,
        "job": busy.label if busy else "",
        "seconds": int(time.monotonic() - busy.started) if busy else 0,
        "waiting": desk.waiting() - (1 if busy else 0),
        "problem": desk.problem or desk.facts.get("damage", ""),
        "replay": bool(desk.facts.get("read_only")),
    }


def amount(value: Any) -> str:
    """A number of parameters as people say it (3.2 M); anything else as it is."""
    if not isinstance(value, int):
        return str(value)
    return f"{value / 1e9:.1f} G parameters" if value >= 1e9 else f"{value / 1e6:.1f} M parameters"
