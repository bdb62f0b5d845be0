"""The held-out pass rates that a run's log has: of which house, after which update. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.runs import Event
from workbench.statistics import HeldOut
from workbench.tasks.house_rules.pack import DEFAULT_HOUSE

HELD_OUT = "held-out"  # kind of the event


def held_out_rates(events: Iterable[Event]) -> dict[int, dict[str, HeldOut]]:
    """House -> update id -> the rate measured there last; the house that was measured last comes last."""
    houses: dict[int, dict[str, HeldOut]] = {}
    for event in events:
        if event.kind == HELD_OUT:
            house = event.data.get("house", DEFAULT_HOUSE)  # runs that are older than the field have none
            measured = houses.pop(house, {})
            houses[house] = {**measured, event.data["update_id"]: HeldOut(event.data["passed"], event.data["total"])}
    return houses
