"""`Workbench`, the public API: a session with the experiments on top."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from workbench.config import Method, SDPOConfig
from workbench.experiments.arms import Arm
from workbench.experiments.credit_study import study_credit
from workbench.experiments.discover import DiscoveryPoint, ScreenedTask, discover, screen
from workbench.experiments.journal import Point, Record
from workbench.experiments.learn import LearnPoint, learn
from workbench.experiments.resuming import known, resume
from workbench.experiments.settings import (
    DEFAULT_METHODS,
    DISCOVERY_DEFAULTS,
    SCREENED,
    STAGES,
    TEST_TIME,
    CreditStudySettings,
    DiscoverySettings,
    LearnSettings,
    UpdateStudySettings,
)
from workbench.experiments.update_study import study_update
from workbench.records import Task
from workbench.session import Session
from workbench.session.replay import Replay
from workbench.tasks import Pack


class Workbench(Session):
    """One run directory and one policy. Use `Workbench.open`; see `Session` for the steps of a round.

    Experiments yield their points as they are made, and each is on disk before it is yielded. They share three
    arguments: `seed` of their tasks and random numbers; `name`, which resumes an experiment of this run (None begins
    a new one); `stop`, an event that ends them after the present step of a batch or an update.
    """

    @staticmethod
    def replay(run: str | Path) -> Replay:
        """A stored run to look at, without its model, also while another process writes to it. Raises RunError."""
        return Replay.open(run)

    def learn(
        self,
        pack: str | Pack = "house-rules",
        *,
        method: Method = "sdpo",
        config: SDPOConfig | None = None,
        settings: LearnSettings | None = None,
        seed: int = 0,
        name: str | None = None,
        stop: Event | None = None,
    ) -> Iterator[LearnPoint]:
        """Round after round on a pack, yielding the learning curve as it grows.

        `pack`: a name, the path of a .jsonl or .json file, or a pack; of a file that does not say otherwise, a fifth is
        held out. `config` None takes the defaults of `SDPOConfig`, also for another `method` (see `arms.RECIPES`).
        Raises TaskError for an unknown pack, and for one without held-out tasks.
        """
        config = config or SDPOConfig(method=method)
        return learn(self, pack, [Arm(config.method, config)], settings, seed=seed, name=name, stop=stop)

    def compare_learning(
        self,
        arms: Sequence[Arm],
        pack: str | Pack = "house-rules",
        *,
        settings: LearnSettings | None = None,
        seed: int = 0,
        name: str | None = None,
        stop: Event | None = None,
    ) -> Iterator[LearnPoint]:
        """The learning curves of several arms (`workbench.experiments.arms`), one after the other, from this state.

        Of several arms none stays in force; one alone does. Raises TaskError for an unknown pack.
        """
        return learn(self, pack, arms, settings, seed=seed, name=name, stop=stop)

    def hard_tasks(
        self,
        count: int,
        *,
        feedback: str | None = None,
        stages: Sequence[int] = STAGES,
        attempts: int = SCREENED,
        seed: int = 0,
        name: str | None = None,
        stop: Event | None = None,
        pack: str | Pack | None = None,
    ) -> Iterator[ScreenedTask]:
        """Measures tasks until `count` hard ones are found; yields all (see `is_hard`).

        `pack` None: fresh house-rules tasks of so many `stages`, with failed examples as feedback.
        """
        chosen: dict[str, Any] = {"pack": pack, "feedback": feedback, "stages": stages, "attempts": attempts}
        return screen(self, count, **chosen, seed=seed, name=name, stop=stop)

    def discover(
        self,
        tasks: Task | ScreenedTask | Sequence[Task | ScreenedTask],
        methods: Sequence[str] = DEFAULT_METHODS,
        budget: int = DISCOVERY_DEFAULTS.budget,
        *,
        group: int = DISCOVERY_DEFAULTS.group,
        config: SDPOConfig = TEST_TIME,
        seed: int = 0,
        name: str | None = None,
        stop: Event | None = None,
    ) -> Iterator[DiscoveryPoint]:
        """How soon each method finds a solution of a task (or of several), with at most `budget` attempts.

        `group`: attempts between two updates of test-time SDPO. The policy is afterwards what it was before. Raises
        ConfigError for an unknown method.
        """
        given = [tasks] if isinstance(tasks, Task | ScreenedTask) else list(tasks)
        return discover(self, given, methods, DiscoverySettings(budget, group), config, seed=seed, name=name, stop=stop)

    def experiments(self) -> dict[str, Record]:
        """The experiments of this run by name, with the points that they have so far; see `resuming.how_far`."""
        return known(self)

    def resume(self, name: str, *, stop: Event | None = None) -> Iterator[Any]:
        """An experiment from where it was stopped or killed, with its own settings; yields all of its points again.

        Raises ConfigError for an unknown name, TaskError where a task of it is no longer in this run.
        """
        return resume(self, name, stop=stop)

    def study_credit(
        self,
        settings: CreditStudySettings | None = None,
        *,
        seed: int = 0,
        name: str | None = None,
        stop: Event | None = None,
        pack: str = "house-rules",
    ) -> Iterator[Point]:
        """Where credit lands, by evidence, view and teacher, and whether exchanging the token agrees.

        Raises TaskError for another `pack`: only house rules say which tokens are wrong.
        """
        return study_credit(self, settings, pack=pack, seed=seed, name=name, stop=stop)

    def study_update(
        self,
        settings: UpdateStudySettings | None = None,
        *,
        seed: int = 0,
        name: str | None = None,
        stop: Event | None = None,
        pack: str | Pack | None = None,
    ) -> Iterator[Point]:
        """Predicted against realised, over many updates from this state, by loss and learning rate.

        `pack` None: fresh house-rules tasks.
        """
        return study_update(self, settings, pack=pack, seed=seed, name=name, stop=stop)
