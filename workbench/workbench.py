"""`Workbench`, the public API: a session with the experiments on top."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from workbench.config import Method, SDPOConfig
from workbench.experiments import credit_study, gate_study, resuming, template_study, update_study
from workbench.experiments.arms import Arm
from workbench.experiments.discover import DiscoveryPoint, ScreenedTask, discover, screen
from workbench.experiments.journal import Record
from workbench.experiments.learn import LearnPoint, learn
from workbench.experiments.resuming import known
from workbench.experiments.settings import (
    DEFAULT_METHODS,
    DISCOVERY_DEFAULTS,
    TEST_TIME,
    DiscoverySettings,
    LearnSettings,
)
from workbench.records import Task
from workbench.session import Session
from workbench.session.public_replay import PublicReplay
from workbench.session.replay import Replay
from workbench.tasks import Pack


class Workbench(Session):
    """One run directory and one policy. Use `Workbench.open`; `Session` is the table of the steps of a round.

    Experiments yield their points as they are made, and each is on disk before it is yielded. They share three
    arguments: `seed` of their tasks and random numbers; `name`, which resumes an experiment of this run (None begins
    a new one); `stop`, an event that ends them after the present step of a batch or an update.
    """

    @staticmethod
    def replay(run: str | Path, *, public: bool = False) -> Replay:
        """Open a stored run to read, without its model, also while another process writes to it. Raises RunError.

        `public`: nothing of the runs beside it is shown, and no archive is written.
        """
        return (PublicReplay if public else Replay).open(run, Workbench)

    def learn(
        self,
        pack: str | Path | Pack = "house-rules",
        *,
        method: Method = "sdpo",
        config: SDPOConfig | None = None,
        settings: LearnSettings | None = None,
        seed: int = 0,
        name: str | None = None,
        stop: Event | None = None,
    ) -> Iterator[LearnPoint]:
        """Learn round after round on a pack, yielding the learning curve as it grows.

        `pack`: a name, the path of a .jsonl or .json file, or a pack; of a file that does not say otherwise, a fifth is
        held out. `config` None takes the defaults of `SDPOConfig`, also for another `method` (see `arms.RECIPES`).
        Raises TaskError for an unknown pack, and for one without held-out tasks.
        """
        config = config or SDPOConfig(method=method)
        return learn(self, pack, [Arm(config.method, config)], settings, seed=seed, name=name, stop=stop)

    def compare_learning(
        self,
        arms: Sequence[Arm],
        pack: str | Path | Pack = "house-rules",
        *,
        settings: LearnSettings | None = None,
        seed: int = 0,
        name: str | None = None,
        stop: Event | None = None,
    ) -> Iterator[LearnPoint]:
        """Learn with several arms (`workbench.experiments.arms`), one after the other, each from this state.

        With several arms the policy is afterwards what it was before; a single arm stays in force. Raises TaskError for
        an unknown pack.
        """
        return learn(self, pack, arms, settings, seed=seed, name=name, stop=stop)

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
        """Measure how soon each method solves a task (or several), with at most `budget` attempts.

        `group`: attempts between two updates of test-time SDPO. The policy is afterwards what it was before. Raises
        ConfigError for an unknown method.
        """
        listed = [tasks] if isinstance(tasks, Task | ScreenedTask) else list(tasks)
        return discover(
            self, listed, methods, DiscoverySettings(budget, group), config, seed=seed, name=name, stop=stop
        )

    def experiments(self) -> dict[str, Record]:
        """The experiments of this run by name, with their points so far; see `resuming.how_far`."""
        return known(self)

    resume = resuming.resume
    hard_tasks = screen
    study_credit = credit_study.study_credit
    study_update = update_study.study_update
    study_templates = template_study.study_templates
    study_gate = gate_study.study_gate
