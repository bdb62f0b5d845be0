"""Selection for an update: the tokens that a person marked, and the sentence for when no attempt gives signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.credit.weights import Span, span_mask
from workbench.errors import ConfigError
from workbench.policy.update import UpdateItem
from workbench.records import Attempt, SignalReport

Spans = Mapping[str, Span | Sequence[Span]]  # attempt id -> its selected tokens, one span or several


def selected(spans: Spans | None, attempts: Sequence[Attempt]) -> dict[str, tuple[Span, ...]]:
    """Map attempt id -> its spans. Raises ConfigError for an unknown attempt, or a span that does not fit."""
    lengths = {attempt.id: len(attempt.token_ids) for attempt in attempts}
    chosen: dict[str, tuple[Span, ...]] = {}
    for attempt_id, requested in (spans or {}).items():
        if attempt_id not in lengths:
            raise ConfigError(f"There is a span for {attempt_id!r}, which is not among the attempts of this update.")
        try:
            several = [requested] if requested and isinstance(requested[0], int) else requested
            chosen[attempt_id] = tuple((int(start), int(end)) for start, end in several)  # type: ignore[arg-type, misc]
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError(
                f"The spans of {attempt_id!r} are {requested!r}; write (start, end), or a list of such pairs."
            ) from error
        span_mask(chosen[attempt_id], lengths[attempt_id])  # raises for a span outside of the attempt
    return chosen


def update_item(
    attempt: Attempt, teacher_prompt_ids: tuple[int, ...] | None, spans: tuple[Span, ...] | None
) -> UpdateItem:
    """Convert an attempt for the policy's update; `spans` None = all tokens."""
    return UpdateItem(
        prompt_ids=attempt.prompt_ids,
        teacher_prompt_ids=teacher_prompt_ids,
        token_ids=attempt.token_ids,
        reward=attempt.reward,
        group_id=attempt.group_id,
        passed=attempt.passed,
        spans=spans,
    )


def no_signal(entries: Sequence[SignalReport]) -> str:
    """Join the ledger's reasons, each once, in one sentence."""
    reasons = "; ".join(dict.fromkeys(entry.reason for entry in entries)) or "none was chosen"
    return f"No attempt gives any signal ({reasons}); give feedback to one, or sample more."
