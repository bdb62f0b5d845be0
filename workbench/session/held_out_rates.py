"""Held-out pass rates in a run's log, by pack and update. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.runs import Event
from workbench.statistics import HeldOut
from workbench.tasks.house_rules.pack import DEFAULT_HOUSE, PACK

HELD_OUT = "held-out"  # kind of the event
HELD_OUT_TASKS = 60  # that are measured, one attempt each, where nobody says otherwise


def held_out_rates(events: Iterable[Event]) -> dict[str, dict[str, HeldOut]]:
    """Name of the pack -> update id -> the rate measured there last; the pack that was measured last comes last."""
    packs: dict[str, dict[str, HeldOut]] = {}
    for event in events:
        if event.kind == HELD_OUT:
            data = event.data
            # Older runs name the house, the oldest not even that.
            pack = data.get("pack", f"{PACK}@{data.get('house', DEFAULT_HOUSE)}")
            rate = HeldOut(data["passed"], data["total"], data.get("requested", 0))
            packs[pack] = {**packs.pop(pack, {}), data["update_id"]: rate}
    return packs
