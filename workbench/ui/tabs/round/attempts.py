"""The panel of attempts: a card for each, while they stream and once they are judged, and their common scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.records import Attempt, FeedbackKind, SignalReport
from workbench.service.actions.round import AttemptDetail
from workbench.service.snapshot import Snapshot
from workbench.service.state import LiveGroup
from workbench.ui.panel import NEWEST, Panel, Selection, Then, chosen_id
from workbench.ui.tabs.round.credit import is_long


class AttemptsPanel(Panel):
    """The group of attempts at the chosen task."""

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self.selection = selection
        self.cards = self.draw("cards", _cards)

    def connect(self, then: Then) -> None:
        """Connect the cards: pressing one chooses it."""
        then(self.cards.select(chosen_id, None, [self.selection.chosen], **NEWEST))


def _cards(snapshot: Snapshot) -> dict[str, Any]:
    entries = snapshot.ledger if isinstance(snapshot.ledger, tuple) else None
    chosen = snapshot.attempt.id if snapshot.attempt else None
    limit, kinds = pooled_limit(snapshot.details), snapshot.config.feedback_kinds
    return cards(snapshot.group, snapshot.live, chosen, snapshot.details, entries, limit, kinds)


def pooled_limit(details: Sequence[AttemptDetail | None]) -> float | None:
    """99th percentile of |raw credit| over all attempts shown (nats); None until every attempt is scored."""
    sizes: list[float] = []
    for detail in details:
        if detail is None:
            return None
        raw = next((view for view in detail.payload["views"] if view["name"] == "raw"), None)
        sizes += [abs(value) for value in raw["values"]] if raw else []
    if not sizes:
        return None
    sizes.sort()
    return sizes[min(len(sizes) - 1, -(-99 * len(sizes) // 100) - 1)] or None


def cards(
    group: Sequence[Attempt],
    live: LiveGroup | None,
    chosen: str | None,
    details: Sequence[AttemptDetail | None],
    ledger: Sequence[SignalReport] | None,
    limit: float | None,
    kinds: Sequence[FeedbackKind],
) -> dict[str, Any]:
    """Data of the cards: the text while attempts are sampled, then verdict, feedback and a strip of credit.

    `kinds`: of the feedback that is shown.
    """
    if live is not None:
        rows = [{"text": text, "number": i + 1} for i, text in enumerate(live.texts)]
        return {"rows": rows, "live": True, "chosen": None}
    signal = {entry.attempt_id: entry for entry in ledger or ()}
    rows = []
    for i, (attempt, known) in enumerate(zip(group, details, strict=True)):
        row: dict[str, Any] = {
            "id": attempt.id,
            "number": i + 1,
            "text": attempt.text,
            "passed": attempt.passed,
            "reward": attempt.reward,
            "finished": attempt.finished,
            "read_as": None if is_long(read := attempt.details.get("read_as")) else read,
            "forced": forced_from(attempt, group),
            "feedback": attempt.feedback_of(kinds) or _without_verdict(attempt),
            "strip": strip(known, limit),
            "floor": known.payload["noise_floor"] / limit if known and limit else 0,
        }
        if attempt.id in signal:
            row["used"], row["why"] = signal[attempt.id].used, signal[attempt.id].reason
        rows.append(row)
    empty = "" if rows else "No attempts yet. Choose a task and press Sample: the policy answers it several times."
    return {"rows": rows, "live": False, "chosen": chosen, "empty": empty}


def _without_verdict(attempt: Attempt) -> str:
    """Say why an attempt has no verdict: a person has yet to judge it, or its program could not be run; else ""."""
    return str(attempt.details.get("waiting") or attempt.details.get("refused") or attempt.details.get("problem", ""))


def forced_from(attempt: Attempt, group: Sequence[Attempt]) -> str:
    """Describe where an attempt was branched off; "" for one that was sampled from the start."""
    if attempt.forced_at is None:
        return ""
    number = next((i for i, other in enumerate(group, start=1) if other.id == attempt.parent_id), None)
    return f"from {number or 'an earlier attempt'}, token {attempt.forced_at + 1} forced"


def strip(known: AttemptDetail | None, limit: float | None) -> list[float]:
    """Raw credit per token as a share of the scale, -1 to 1, with two digits: enough for a strip of colour."""
    if known is None or not limit:
        return []
    raw: list[float] = next((view["values"] for view in known.payload["views"] if view["name"] == "raw"), [])
    return [round(max(-1.0, min(1.0, value / limit)), 2) for value in raw]
