"""Teacher contexts of a run's attempts, and which attempts therefore give signal. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Sequence

from workbench import teacher_context
from workbench.config import SDPOConfig
from workbench.records import Attempt, SignalReport
from workbench.session.core import OpenRun
from workbench.session.selection import Spans, selected
from workbench.teacher_context import TeacherContext


def shown_to_teacher(session: OpenRun, attempt: Attempt, config: SDPOConfig | None = None) -> TeacherContext:
    """Teacher context of an attempt: what the self-teacher is shown beside the question. Raises FeedbackError."""
    with session.lock:
        return context_for(session, session.current(attempt), config or SDPOConfig())


def context_for(session: OpenRun, attempt: Attempt, config: SDPOConfig) -> TeacherContext:
    """Teacher context of an attempt that is current; the caller holds the lock."""
    chosen = session.attempts_by_id.get(attempt.demonstration_id or "")
    group = session.group_of(attempt)
    return teacher_context.gather(attempt, group if chosen is None or chosen in group else [*group, chosen], config)


def ledger(
    session: OpenRun, attempts: Sequence[Attempt], config: SDPOConfig | None = None, *, spans: Spans | None = None
) -> tuple[SignalReport, ...]:
    """Report which attempts give signal to an update, and why the others do not; `spans` as in `update`."""
    config = config or SDPOConfig()
    with session.lock:
        known = [session.current(attempt) for attempt in attempts]
        chosen = selected(spans, known)
        return tuple(
            teacher_context.explain(
                attempt, context_for(session, attempt, config), known, config, chosen.get(attempt.id)
            )
            for attempt in known
        )
