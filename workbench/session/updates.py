"""Updates of the policy as transactions, and the policy's drift from where it began."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from workbench import teacher_context
from workbench.config import SDPOConfig
from workbench.errors import NoSignalError, RunError, UpdateError, WorkbenchError
from workbench.policy.prompts import student_prompt
from workbench.policy.update import OnProgress
from workbench.probe import Probe, side_effects
from workbench.records import Attempt, SideEffects, SignalReport, UpdateReport
from workbench.session import task_book
from workbench.session.core import SessionCore
from workbench.session.scoring import render_teacher_prompt
from workbench.session.selection import Spans, no_signal, selected, update_item
from workbench.session.step import measured_step
from workbench.session.teaching import context_for, ledger
from workbench.session.transaction import transaction
from workbench.tasks import find_pack
from workbench.tasks.house_rules.pack import PACK

PROBE_TASKS = 6


def update(
    session: SessionCore,
    attempts: Sequence[Attempt],
    config: SDPOConfig | None = None,
    *,
    spans: Spans | None = None,
    on_progress: OnProgress | None = None,
    stop: threading.Event | None = None,
) -> UpdateReport:
    """Update the policy on these attempts, as a transaction; on disk when it is returned.

    `spans`: attempt id -> (start, end) or a list of them, tokens counted from 0, `end` excluded: only these tokens
    of the attempt count, none for an empty list; of an attempt that is not named all count.
    `on_progress(done, total)` is called after each micro-batch; setting `stop` takes everything back within a layer.

    Raises NoSignalError (with the ledger's reasons), ConfigError (a span that does not fit), UpdateError
    (cancelled, not finite, out of memory, moved too far), RunError (disk). Whatever is raised, the policy is what
    it was before, and so is the run but for a "failed" event that says why.
    """
    config = config or SDPOConfig()
    with session.lock:
        known = [session.current(attempt) for attempt in {attempt.id: attempt for attempt in attempts}.values()]
        chosen = selected(spans, known)
        entries = ledger(session, known, config, spans=spans)
        if not any(entry.used for entry in entries):
            raise NoSignalError(no_signal(entries))
        prompts = [_taught(session, a, entry, config) for a, entry in zip(known, entries, strict=True)]
        items = [update_item(a, ids, chosen.get(a.id)) for a, ids in zip(known, prompts, strict=True)]
        probe = _get_probe(session, known)
        try:
            stopped = UpdateError("The update was stopped; the policy is exactly what it was before.")
            halt = stop.is_set if stop else None
            with transaction(session.policy, session.run), session.policy.stopping(halt, stopped):
                report = measured_step(
                    session.policy,
                    known,
                    items,
                    entries,
                    config,
                    probe,
                    parent_id=session.head,
                    cancel=halt,
                    on_progress=on_progress,
                )
                session.run.commit_update(report, session.run.blobs.put(session.policy.state()), config=asdict(config))
        except BaseException as error:
            _note_failure(session, known, config, error)
            raise
        session.reports_by_id[report.update_id] = report
        return report


def _note_failure(session: SessionCore, attempts: Sequence[Attempt], config: SDPOConfig, error: BaseException) -> None:
    """Record why an update failed, for later readers of the log; a disk that refuses this too is no second failure."""
    why = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
    data = {"what": "update", "attempts": [attempt.id for attempt in attempts], "method": config.method, "why": why}
    with suppress(RunError):
        session.run.append("failed", data)


def _taught(session: SessionCore, attempt: Attempt, entry: SignalReport, config: SDPOConfig) -> tuple[int, ...] | None:
    """Ids of the teacher's prompt for an attempt, where an update needs one."""
    shown = context_for(session, attempt, config)
    if not (entry.used and teacher_context.is_taught(attempt, shown, config)):
        return None
    return render_teacher_prompt(session, attempt, shown, config).ids


def _get_probe(session: SessionCore, attempts: Sequence[Attempt]) -> Probe:
    if session.probe is None:
        tasks = (
            find_pack(PACK).held_out(PROBE_TASKS)
            if session.config.model == "embedded" or not attempts
            else [task_book.task(session, task_id) for task_id in dict.fromkeys(a.task_id for a in attempts)]
        )
        session.probe = Probe(session.policy, [student_prompt(session.policy, task).ids for task in tasks])
    return session.probe


def drift(session: SessionCore) -> SideEffects:
    """Measure the drift from the reference policy on the probe: KL(reference || now), entropies of both; nats."""
    with session.lock:
        probe = _get_probe(session, list(session.attempts_by_id.values()))
        return side_effects(probe.base, probe.measure(session.policy), probe.base)
