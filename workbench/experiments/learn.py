"""Learning runs: round after round on fresh tasks of one house, with the held-out pass rate after each.

A round draws `questions` training tasks, samples `attempts` of each, and makes one update on all of them (paper,
section 4.1 in small). Knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import ConfigError, NoSignalError
from workbench.session import Session
from workbench.statistics import HeldOut
from workbench.tasks.house_rules.pack import house_tasks


@dataclass(frozen=True, slots=True)
class LearnSettings:
    """How much is sampled and measured."""

    rounds: int = 15
    questions: int = 4  # tasks per round
    attempts: int = 8  # per task
    held_out: int = 60  # held-out tasks, one attempt each
    measure_every: int = 1  # rounds between held-out measurements; 0 = only before and after

    def __post_init__(self) -> None:
        for name in ("rounds", "questions", "attempts", "held_out"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")


@dataclass(frozen=True, slots=True)
class LearnPoint:
    """One round: what its attempts were like, what the update did, how the policy does on held-out tasks."""

    round: int  # 0 is before the first update
    generations: int  # attempts sampled so far, held-out ones not counted
    update_id: str
    pass_rate: float | None  # of the round's own attempts, 0 to 1
    tokens: float | None  # mean length of the round's attempts
    loss: float | None  # nats per token, before the step
    entropy: float | None  # nats per token on the probe, after the step
    kl_to_before: float | None  # nats per token on the probe
    held_out: HeldOut | None


def learn(
    session: Session,
    pack: str,
    config: SDPOConfig | None = None,
    settings: LearnSettings | None = None,
    *,
    seed: int = 0,
) -> Iterator[LearnPoint]:
    """Yields a point before the first round and one after each; everything in between is on disk.

    A round in which no attempt gives signal makes no update. Raises TaskError for an unknown pack.
    """
    config, settings = config or SDPOConfig(steps=1), settings or LearnSettings()
    count = settings.rounds * settings.questions
    tasks = house_tasks(pack, count, held_out=False, seed=1 + seed)
    measured = session.held_out(pack, count=settings.held_out)
    yield LearnPoint(0, 0, session.head, None, None, None, None, None, measured)
    for number in range(1, settings.rounds + 1):
        questions = tasks[(number - 1) * settings.questions : number * settings.questions]
        attempts = session.attempt_many(questions, settings.attempts)
        try:
            report = session.update(attempts, config)
        except NoSignalError:
            report = None
        due = settings.measure_every and number % settings.measure_every == 0
        measured_now = session.held_out(pack, count=settings.held_out) if due or number == settings.rounds else None
        yield LearnPoint(
            round=number,
            generations=number * settings.questions * settings.attempts,
            update_id=session.head,
            pass_rate=sum(attempt.passed for attempt in attempts) / len(attempts),
            tokens=sum(len(attempt.token_ids) for attempt in attempts) / len(attempts),
            loss=report.loss_before if report else None,
            entropy=report.side_effects.entropy_after if report else None,
            kl_to_before=report.side_effects.kl_to_before if report else None,
            held_out=measured_now,
        )


def to_json(point: LearnPoint) -> dict[str, Any]:
    """A point as plain data, the interval spelled out."""
    measured = point.held_out
    rates = (
        None
        if measured is None
        else {
            "passed": measured.passed,
            "total": measured.total,
            "rate": measured.rate,
            "low": measured.low,
            "high": measured.high,
        }
    )
    fields = ("round", "generations", "update_id", "pass_rate", "tokens", "loss", "entropy", "kl_to_before")
    return {name: getattr(point, name) for name in fields} | {"held_out": rates}
