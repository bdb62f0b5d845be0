"""Learning runs: round after round on the tasks of one pack, with the held-out pass rate after each.

A round draws `questions` training tasks, samples `attempts` of each, and makes one update on all of them (paper,
section 4.1 in small). Arms are compared at equal numbers of attempts, on the same tasks. Knows nothing of pages.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import NoSignalError, UpdateError
from workbench.experiments.arms import Arm
from workbench.experiments.journal import Journal, Point
from workbench.experiments.settings import LearnSettings
from workbench.records import Attempt, Task, UpdateReport
from workbench.session import Session
from workbench.session.health import alarms
from workbench.statistics import HeldOut
from workbench.tasks import Pack
from workbench.tasks.drawing import check_apart, describe, held_out_tasks, pack_settings, train_tasks, with_feedback


@dataclass(frozen=True, slots=True)
class LearnPoint:
    """One round: its attempts, its update, and the policy's pass rate on held-out tasks."""

    arm: str
    round: int  # 0 is before the first update
    generations: int  # attempts sampled so far, held-out ones not counted
    update_id: str
    pass_rate: float | None  # of the round's own attempts, 0 to 1
    tokens: float | None  # mean length of the round's attempts
    loss: float | None  # nats per token, before the step; None where there was no update
    grad_norm: float | None
    refused: str | None  # why there was no update in this round: no signal, or it was taken back
    kl_to_before: float | None  # nats per token on the probe: KL(before || after) of this round's update
    kl_to_base: float  # nats per token on the probe: KL(base || now)
    entropy: float  # nats per token on the probe
    alarms: tuple[str, ...]  # names of the alarms of health that this round's update raised
    seconds_s: float  # of the round, its held-out measurement not counted
    held_out: HeldOut | None


def learn(
    session: Session,
    pack: str | Path | Pack,
    arms: Sequence[Arm],
    settings: LearnSettings | None = None,
    *,
    seed: int = 0,
    name: str | None = None,
    stop: Event | None = None,
) -> Iterator[LearnPoint]:
    """Learn arm by arm; yields a point before the first round and one after each, all of it on disk by then.

    Every arm begins where the policy is now. With several arms the policy is afterwards what it was before; a
    single arm stays in force. A round without
    signal makes no update, nor does one whose update is taken back (not finite, beyond `kl_limit`). `pack`: a name, the
    path of a .jsonl or .json file (its tasks are added to the run, which then no longer needs the file), or a pack; its
    tasks are seen again where there are fewer than the rounds need. `name` resumes an experiment; see `Journal`.

    Raises TaskError for an unknown pack, one without held-out tasks, one that a person judges, or whose environments
    have no such feedback as an arm wants; PolicyError for a judge that cannot be loaded; ConfigError for arms that
    cannot spend the same number of attempts.
    """
    settings = settings or LearnSettings()
    for arm in arms:  # what is wrong is found before anything is written
        arm.shape(settings)
    chosen = session.open_pack(pack)
    tasks = {arm.name: _training_tasks(chosen, arm, settings, seed) for arm in arms}
    measured = held_out_tasks(chosen, settings.held_out)
    for drawn in tasks.values():
        check_apart(chosen, drawn, measured)
        session.prepare_judges([*drawn, *measured])
    recorded = {"arms": [asdict(arm) for arm in arms], **asdict(settings), **pack_settings(chosen)}
    with Journal(session, name, recorded, kind="learn", seed=seed, stays=len(arms) == 1, stop=stop) as journal:
        for arm in arms:
            rounds = _Rounds(journal, chosen, tasks[arm.name], arm, settings)
            for point in journal.run_arm(arm.name, 1 + settings.rounds, rounds.measured):
                yield from_point(point, settings.generations)
            if journal.stop.is_set():
                return


def _training_tasks(pack: Pack, arm: Arm, settings: LearnSettings, seed: int) -> list[Task]:
    """The tasks of all rounds, in order; where the pack has fewer different ones, the rounds begin with them again."""
    questions, _ = arm.shape(settings)
    taught = pack if arm.feedback is None else with_feedback(pack, arm.feedback)
    count, different = settings.rounds * questions, describe(pack).train
    return train_tasks(taught, count if different is None else min(count, max(different, questions)), 1 + seed)


class _Rounds:
    """The rounds of one arm: `measured(0)` is the state before the first."""

    def __init__(self, journal: Journal, pack: Pack, tasks: Sequence[Task], arm: Arm, settings: LearnSettings) -> None:
        self.journal, self.session, self.stop = journal, journal.session, journal.stop
        self.arm, self.config, self.settings = arm.name, arm.config, settings
        self.pack, self.tasks = pack, tasks
        self.questions, self.attempts = arm.shape(settings)

    def measured(self, number: int) -> dict[str, Any]:
        """Make one round, and measure it and the policy after it."""
        sampled: dict[str, Any] = {"pass_rate": None, "tokens": None, "seconds_s": 0.0}
        report, refused = None, None
        if number > 0:
            started = time.monotonic()
            places = range((number - 1) * self.questions, number * self.questions)
            tasks = [self.tasks[place % len(self.tasks)] for place in places]
            group = self.session.attempt_many(tasks, self.attempts, stop=self.stop)
            report, refused = _updated(self.session, group, self.config, self.stop)
            sampled = {
                "pass_rate": sum(attempt.passed for attempt in group) / len(group),
                "tokens": sum(len(attempt.token_ids) for attempt in group) / len(group),
                "seconds_s": time.monotonic() - started,
            }
        drift = self.session.drift()
        return {
            **sampled,
            "loss": report and report.loss_before,
            "grad_norm": report and report.grad_norm,
            "kl_to_before": report and report.side_effects.kl_to_before,
            "refused": refused,
            "alarms": [] if report is None else [alarm.name for alarm in alarms(report, self._history())],
            "kl_to_base": drift.kl_to_base,
            "entropy": drift.entropy_after,
            "held_out": self._held_out(number),
        }

    def _history(self) -> list[UpdateReport]:
        """The reports of the arm's updates so far, oldest first."""
        reports = {node.update_id: node.report for node in self.session.timeline()}
        ids = dict.fromkeys(point.update_id for point in self.journal.points(self.arm))
        return [report for update_id in ids if (report := reports.get(update_id)) is not None]

    def _held_out(self, number: int) -> dict[str, int] | None:
        every = self.settings.measure_every
        if number not in (0, self.settings.rounds) and not (every and number % every == 0):
            return None
        measured = self.session.held_out(self.pack, count=self.settings.held_out)
        counted = {"passed": measured.passed, "total": measured.total}
        return counted | ({"requested": measured.requested} if measured.requested else {})


def _updated(
    session: Session, attempts: list[Attempt], config: SDPOConfig, stop: Event
) -> tuple[UpdateReport | None, str | None]:
    """Update; the report, or None and the reason why there is none: no signal, taken back, or stopped."""
    try:
        return session.update(attempts, config, stop=stop), None
    except (NoSignalError, UpdateError) as error:
        return None, str(error)


def from_point(point: Point, generations: int) -> LearnPoint:
    """Convert a point of the journal into a round; `generations`: attempts per round."""
    data = dict(point.data)
    held_out, raised = data.pop("held_out"), tuple(data.pop("alarms"))
    return LearnPoint(
        arm=point.arm,
        round=point.step,
        generations=point.step * generations,
        update_id=point.update_id,
        alarms=raised,
        held_out=held_out and HeldOut(**held_out),
        **data,
    )


def to_json(point: LearnPoint) -> dict[str, Any]:
    """Convert a point to plain data, the interval spelled out."""
    data = asdict(point)
    return data | {"held_out": point.held_out and point.held_out.to_json()}
