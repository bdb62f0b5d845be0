"""Rewards of the attempts at a task, policy by policy along a branch. Pure functions of plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.session.history import TimelineNode

BINS = 11  # around 0, .1, ..., 1: what failed and what passed have bins of their own
EMPTY = "No attempts at this task on this branch yet: sample some, and their rewards are drawn here."


def by_policy(rewards: Mapping[str, Sequence[float]], path: Sequence[TimelineNode]) -> list[dict[str, Any]]:
    """One entry for each policy on a path that has attempts, the oldest first.

    `rewards`: 0 to 1, by the update id of the policy that wrote the attempts; `path`: nodes of the timeline from the
    root on. An entry: `update_id`, `updates` (made before), `rewards`, their `mean`, and `counts` in bins around
    0, .1, ..., 1.
    """
    return [
        {
            "update_id": node.update_id,
            "updates": number,
            "rewards": list(values),
            "mean": sum(values) / len(values),
            "counts": counts(values),
        }
        for number, node in enumerate(path)
        if (values := rewards.get(node.update_id))
    ]


def counts(rewards: Sequence[float]) -> list[int]:
    """Count the rewards nearest to 0, .1, ..., 1; one halfway counts as the higher."""
    histogram = [0] * BINS
    for reward in rewards:
        histogram[int(reward * (BINS - 1) + 0.5)] += 1
    return histogram
