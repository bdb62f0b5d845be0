"""A stored run without its model: everything on disk can be read, nothing can be changed.

Needs no lock, so that it works while another process writes to the run; shows what was on disk when it was opened.
Knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from workbench.config import SDPOConfig
from workbench.credit import DEFAULT_CONTEXTS, TokenCredit
from workbench.credit.comparison import By, Comparison, of_estimators
from workbench.credit.contexts import Contexts, chosen
from workbench.errors import CreditError, RunError
from workbench.policy.prompts import Prompt
from workbench.records import Attempt
from workbench.runs import Run
from workbench.session import exports, history, interventions, library, pass_rates, rounds, scoring, task_book, teaching
from workbench.session.core import OpenRun
from workbench.session.credit_store import StoredCredit, lost
from workbench.session.session import Session


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """Facts of the policy that the run was made with."""

    facts: Mapping[str, Any]


class Replay(OpenRun):
    """A run, read-only. Whatever needs the model is refused with one sentence (RunError).

    Each method of `Session` that needs no model is here too, under its name.
    """

    def __init__(self, run: Run, live: type[Session] = Session) -> None:
        super().__init__(run)
        self._live = live
        self.policy = StoredPolicy(dict((run.state().opened or {}).get("policy", {})))

    @classmethod
    def open(cls, run: str | Path, live: type[Session] = Session) -> Self:
        """Open a run to look at it. Raises RunError where there is none, or it is damaged.

        `live`: what opens it with its model; methods of that which are not here are refused with one sentence.
        """
        return cls(Run.open(run, read_only=True), live)

    # Tasks
    packs = task_book.packs
    open_pack = task_book.open_pack
    tasks = task_book.tasks
    tasks_by_pack = task_book.tasks_by_pack
    task = task_book.task
    add_task = task_book.add_task
    load_tasks = task_book.load_tasks
    import_tasks = task_book.import_tasks
    export_tasks = task_book.export_tasks
    pack_sources = task_book.pack_sources

    # Attempts, and which of them give signal
    attempts = rounds.attempts
    rewards = rounds.rewards
    shown_to_teacher = teaching.shown_to_teacher
    ledger = teaching.ledger

    # Stored measurements
    credits = scoring.credits
    contexts_of = staticmethod(scoring.contexts_of)
    credit_tests = interventions.credit_tests
    held_out_rates = pass_rates.held_out_rates

    # Timeline
    timeline = history.timeline
    alarms = history.alarms
    events = history.events
    verify = history.verify

    # Other runs; taking things along
    runs = library.runs
    runs_beside = library.runs_beside
    compare_runs = library.compare_runs
    share = exports.share
    export_run = exports.export_run

    # What a session computes and a replay looks up
    def judges(self) -> list[dict[str, Any]]:
        """Models that are loaded as judges: none, since a replay loads no model."""
        return []

    def credit(
        self, attempt: Attempt, config: SDPOConfig | None = None, *, contexts: Contexts = DEFAULT_CONTEXTS
    ) -> TokenCredit:
        """Look up the stored credit of an attempt that is nearest to the request, the newest of several such.

        Nearest: scored under the head, by the same self-teacher, under as many of the contexts as possible. Raises
        CreditError where none is stored, ConfigError for an unknown context.
        """
        return self._nearest(attempt, config or SDPOConfig(), set(chosen(contexts))).credit

    def teacher_prompt(self, attempt: Attempt, config: SDPOConfig | None = None) -> Prompt:
        """The self-teacher's prompt of the credit that `credit` gives. Raises CreditError where none is stored."""
        basis = self._nearest(attempt, config or SDPOConfig(), set(DEFAULT_CONTEXTS)).basis
        return Prompt(tuple(basis.prompts["teacher"]), basis.teacher_text)

    def compare(
        self, attempt: Attempt, by: By = "estimators", *, config: SDPOConfig | None = None, **_: object
    ) -> Comparison:
        """The estimators of a stored credit side by side; other comparisons need the model (RunError)."""
        if by != "estimators":
            raise _needs_model(f"comparing {by}")
        return of_estimators(self.credit(attempt, config, contexts="all"))

    def _nearest(self, attempt: Attempt, config: SDPOConfig, names: set[str]) -> StoredCredit:
        def nearness(stored: StoredCredit) -> tuple[bool, bool, int, int]:
            basis = stored.basis
            same = (basis.teacher, basis.rate) == (config.teacher, config.teacher_rate)
            return basis.update_id == self.head, same, len(names & stored.credit.contexts.keys()), stored.event_id

        candidates = self.credits(attempt)
        if not candidates:
            what = (
                f"The stored credit of attempt {attempt.id} is damaged"
                if lost(self.run, attempt.id)
                else f"No credit of attempt {attempt.id} is stored in this run"
            )
            raise CreditError(f"{what}; open the run with its model to score it.")
        return max(candidates, key=nearness)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        # Only what is not defined here comes this way: the methods of a session that need its policy.
        if name.startswith("_") or not callable(getattr(self._live, name, None)):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def refuse(*_: object, **__: object) -> NoReturn:
            raise _needs_model(name.replace("_", " "))

        return refuse


def _needs_model(what: str) -> RunError:
    return RunError(f"This is a replay of a stored run, without its model: {what} needs it; open the run itself.")
