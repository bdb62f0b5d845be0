"""The named endpoints of the tabs of experiments. `api` declares them."""

from __future__ import annotations

from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import ConfigError
from workbench.experiments.settings import (
    DEFAULT_METHODS,
    DISCOVERY_DEFAULTS,
    LEARN_DEFAULTS,
    SCREENED,
    CreditStudySettings,
    UpdateStudySettings,
)
from workbench.service.actions import experiments as experiment_jobs
from workbench.service.actions import studies as study_jobs
from workbench.service.actions.round import Studio
from workbench.service.checks import make_config
from workbench.tasks.house_rules.pack import PACK
from workbench.ui.endpoints import Endpoint
from workbench.ui.tabs.experiments import described
from workbench.ui.tabs.studies import RATES

CREDIT, UPDATE = CreditStudySettings(), UpdateStudySettings()


def endpoints(studio: Studio, result: Endpoint) -> tuple[Endpoint, ...]:
    """The endpoints; `result(job)` waits for a job without holding a thread."""

    async def learn(
        pack: str = PACK,
        methods: list | None = None,
        rounds: int = LEARN_DEFAULTS.rounds,
        questions: int = LEARN_DEFAULTS.questions,
        attempts: int = LEARN_DEFAULTS.attempts,
        held_out: int = LEARN_DEFAULTS.held_out,
        measure_every: int = LEARN_DEFAULTS.measure_every,
        seed: int = 0,
        name: str = "",
        alike: bool = False,
        compared: str = "methods",
        config: dict | None = None,
    ) -> dict:
        """Learning runs side by side; returns when they are finished or stopped. A known name goes on with that one.

        alike: all methods with this configuration, instead of each with what it learned best with. compared: methods,
        one of the ablations feedback, teacher, granularity, group and topk, or stability; only methods reads `methods`.
        """
        shape = {"rounds": rounds, "questions": questions, "attempts": attempts}
        shape |= {"held_out": held_out, "measure_every": measure_every}
        made = make_config(SDPOConfig, config)
        chosen = ["sdpo", "grpo"] if methods is None else methods
        asked: dict[str, Any] = {"compared": compared, "alike": alike, "seed": seed, "name": name}
        return await result(experiment_jobs.learn(studio, pack, chosen, shape, made, **asked))

    async def hard_tasks(
        count: int = 3, feedback: str = "examples", attempts: int = SCREENED, seed: int = 0, name: str = ""
    ) -> dict:
        """Measure fresh tasks until `count` hard ones are found; the tasks with their pass rates."""
        job = experiment_jobs.find_hard(studio, count, feedback=feedback, attempts=attempts, seed=seed, name=name)
        found = await result(job)
        hard = experiment_jobs.hard_tasks(studio.desk.facts.get("experiments", {}))
        tasks = [{"id": key, "prompt": one.task.prompt, **one.pass_rate.to_json()} for key, one in hard.items()]
        return {**found, "tasks": tasks}

    async def discover(
        tasks: list,
        methods: list | None = None,
        budget: int = DISCOVERY_DEFAULTS.budget,
        group: int = DISCOVERY_DEFAULTS.group,
        seed: int = 0,
        name: str = "",
        config: dict | None = None,
    ) -> dict:
        """The race of these methods on tasks (ids); returns when it is finished or stopped."""
        spent: dict[str, Any] = {"budget": budget, "group": group, "seed": seed, "name": name}
        chosen = list(DEFAULT_METHODS) if methods is None else methods
        return await result(experiment_jobs.discover(studio, tasks, chosen, make_config(SDPOConfig, config), **spent))

    async def study_credit(
        programs: int = CREDIT.programs,
        rounds: int = CREDIT.rounds,
        programs_per_teacher: int = CREDIT.programs_per_teacher,
        tests: int = CREDIT.tests,
        continuations: int = CREDIT.continuations,
        seed: int = 0,
        name: str = "",
    ) -> dict:
        """Where credit lands in programs with one wrong stage; returns when the study is finished or stopped."""
        shape = {"programs": programs, "rounds": rounds, "programs_per_teacher": programs_per_teacher}
        shape |= {"tests": tests, "continuations": continuations}
        return await result(study_jobs.study(studio, study_jobs.credit_settings(shape), seed=seed, name=name))

    async def study_update(
        groups: int = UPDATE.groups,
        attempts: int = UPDATE.attempts,
        learning_rates: str = RATES,
        seed: int = 0,
        name: str = "",
    ) -> dict:
        """What an update does, by loss and learning rate; returns when the study is finished or stopped."""
        settings = study_jobs.update_settings({"groups": groups, "attempts": attempts}, learning_rates)
        return await result(study_jobs.study(studio, settings, seed=seed, name=name))

    async def resume_experiment(name: str) -> dict:
        """An experiment from where it was stopped or killed; returns when it is finished or stopped again."""
        return await result(experiment_jobs.resume(studio, name))

    async def experiments() -> list:
        """The experiments of this run: how far each is, and which one runs; never waits."""
        facts = studio.desk.facts
        return [
            {**experiment_jobs.plain(one), "running": name == facts["experiment"], "what": described(one.settings)}
            for name, one in facts.get("experiments", {}).items()
        ]

    async def experiment(name: str) -> dict:
        """What one experiment has found so far: its tables, and the points that they were made of; never waits."""
        from workbench.experiments.findings import make_report  # brings the models: not with the page

        record: Any = studio.desk.facts.get("experiments", {}).get(name)
        if record is None:
            raise ConfigError(f"There is no experiment {name!r} in this run; see the list of them.")
        return make_report([record], {}).to_json()

    studies = study_credit, study_update
    return learn, hard_tasks, discover, *studies, resume_experiment, experiments, experiment
