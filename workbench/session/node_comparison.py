"""Two nodes of the timeline side by side: the same attempt re-scored under both, their pass rates, how far apart.

Both states are read from the run and the policy is put back; the head does not move and nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workbench.config import SDPOConfig
from workbench.credit import TokenCredit
from workbench.policy.distance import adapter_distance
from workbench.records import Attempt
from workbench.session.core import SessionCore
from workbench.session.pass_rates import held_out_rates
from workbench.session.scoring import scored
from workbench.session.teaching import context_for
from workbench.statistics import HeldOut


@dataclass(frozen=True, slots=True)
class Node:
    """Facts of one state of the policy."""

    update_id: str
    held_out: HeldOut | None  # on the pack that the run works in; None: never measured at this node
    written: int  # attempts that were sampled there
    passed: int  # of those
    credit: TokenCredit | None  # of the compared attempt under this state; None where none is compared


@dataclass(frozen=True, slots=True)
class NodeComparison:
    """Two nodes, compared."""

    first: Node
    second: Node
    attempt_id: str | None
    distance: float  # see `adapter_distance`

    @property
    def change(self) -> tuple[float, ...]:
        """Log-probability of each token under the second state minus that under the first, nats."""
        if self.first.credit is None or self.second.credit is None:
            return ()
        before, after = (node.credit.contexts["student"] for node in (self.first, self.second) if node.credit)
        return tuple(y - x for x, y in zip(before, after, strict=True))

    def payload(self) -> dict[str, Any]:
        """For `workbench.heatmap`: the change, and the raw credit under each; tokens are [] without an attempt."""
        if self.first.credit is None or self.second.credit is None:
            return {"tokens": [], "views": []}
        base = self.second.credit.payload()
        raw = {name: node.credit.view("raw") for name, node in (("first", self.first), ("second", self.second))}  # type: ignore[union-attr]
        views = [
            _view(
                "change",
                "Change of log-probability",
                "Of each token: under the second state minus the first.",
                self.change,
            ),
            _view("first", f"Credit under {self.first.update_id}", "Raw credit under the first state.", raw["first"]),
            _view(
                "second", f"Credit under {self.second.update_id}", "Raw credit under the second state.", raw["second"]
            ),
        ]
        return {"tokens": base["tokens"], "views": views, "view": "change", "noise_floor": base["noise_floor"]}


def _view(name: str, title: str, how: str, values: Any) -> dict[str, Any]:
    return {"name": name, "title": title, "unit": "nats", "signed": True, "how": how, "values": list(values)}


def compare_nodes(
    session: SessionCore, first: str, second: str, attempt: Attempt | None = None, config: SDPOConfig | None = None
) -> NodeComparison:
    """Compare two updates (ids of the timeline, "root" included); the head stays where it is.

    `attempt` None compares pass rates and adapters only. Raises RunError (an unknown or damaged update),
    FeedbackError, PromptError.
    """
    with session.lock:
        known = None if attempt is None else session.current(attempt)
        states = [session.run.blobs.get(session.run.state_blob(update_id)) for update_id in (first, second)]
        measured = held_out_rates(session).get(session.pack, {})
        before = session.policy.state()
        try:
            nodes = [
                _node(session, update_id, state, measured.get(update_id), known, config or SDPOConfig())
                for update_id, state in zip((first, second), states, strict=True)
            ]
        finally:
            session.policy.load_state(before)
        adapters = [
            {name.removeprefix("adapter/"): tensor for name, tensor in state.items() if name.startswith("adapter/")}
            for state in states
        ]
        return NodeComparison(nodes[0], nodes[1], None if known is None else known.id, adapter_distance(*adapters))


def _node(
    session: SessionCore,
    update_id: str,
    state: Mapping[str, Tensor],
    held_out: HeldOut | None,
    attempt: Attempt | None,
    config: SDPOConfig,
) -> Node:
    session.policy.load_state(state)
    credit = None
    if attempt is not None:
        credit = scored(session, attempt, context_for(session, attempt, config), config, ("student", "teacher"))[0]
    sampled = [attempt for attempt in session.attempts_by_id.values() if attempt.update_id == update_id]
    return Node(update_id, held_out, len(sampled), sum(attempt.passed for attempt in sampled), credit)
