"""`Session`: opening a run with its policy, and the table of everything that can then be done with it.

Whatever is returned from here is already on disk. Every call may come from any thread; calls wait for each other.
Knows nothing of pages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from workbench.config import LoraSettings, PolicyConfig
from workbench.policy import load_policy
from workbench.runs import Run
from workbench.runs.store import Listener
from workbench.session import (
    comparison,
    exports,
    history,
    hub,
    interventions,
    judging,
    library,
    lift,
    node_comparison,
    pass_rates,
    rounds,
    scoring,
    task_book,
    teaching,
    updates,
)
from workbench.session.core import SessionCore
from workbench.session.resuming import initialise_policy, resumed


class Session(SessionCore):
    """A policy and its run. People use its subclass `Workbench`, which adds the experiments.

    Each method is a function of the module that it is taken from, where it is written and documented; `run`, `policy`,
    `config`, `head`, `pack` and `close` are `SessionCore`'s.
    """

    @classmethod
    def open(
        cls,
        run: str | Path,
        *,
        model: str = "embedded",
        quantization: str = "auto",
        device: str = "auto",
        seed: int = 0,
        lora: LoraSettings | None = None,
        adapter: str | Path | None = None,
        thinking: bool | None = None,
        revision: str | None = None,
        gradient_checkpointing: str = "auto",
        on_event: Listener | None = None,
    ) -> Self:
        """Open a run, or start one where nothing is; an existing run resumes where it was.

        `model`: "embedded", "smollm2", a local directory, a GGUF file or a hub id; `quantization`: "auto" (NF4 on
        CUDA, none on CPU), "nf4", "int8" or "none"; `lora`: a new adapter's settings, or `adapter`: a PEFT directory
        to start from; `thinking` switches a model's thinking mode, for student and self-teacher alike; see
        `PolicyConfig` for the rest. A setting left at its default takes the value that an existing run was made with.
        `on_event` is called with every event once it is durable, as by `run.add_listener`, those of a new run's
        opening included.
        Raises ConfigError, PolicyError, and RunError (broken, locked, or made with another model or other settings).
        """
        start = None if adapter is None else str(adapter)
        settings = (model, quantization, device, lora or LoraSettings(), revision, seed, start, thinking)
        config = PolicyConfig(*settings, gradient_checkpointing)  # type: ignore[arg-type]  # it checks them itself
        opened = Run.open(run)
        if on_event is not None:
            opened.add_listener(on_event)
        try:
            config = resumed(config, opened)
            policy = load_policy(config)
            initialise_policy(policy, opened, config)
            session = cls(opened, policy, config)
        except BaseException:
            opened.close()
            raise
        return session

    # Tasks
    packs = task_book.packs
    tasks = task_book.tasks
    tasks_by_pack = task_book.tasks_by_pack
    open_pack = task_book.open_pack
    task = task_book.task
    add_task = task_book.add_task
    load_tasks = task_book.load_tasks
    import_tasks = task_book.import_tasks
    export_tasks = task_book.export_tasks
    pack_sources = task_book.pack_sources

    # Attempts and feedback
    prompt = rounds.prompt
    attempt = rounds.attempt
    attempt_many = rounds.attempt_many
    attempts = rounds.attempts
    give_feedback = rounds.give_feedback
    rewards = rounds.rewards

    # Judges
    judge = judging.judge
    judge_many = judging.judge_many
    prepare_judges = judging.prepare_judges
    judges = judging.judges

    # Teacher context, and credit
    shown_to_teacher = teaching.shown_to_teacher
    teacher_prompt = scoring.teacher_prompt
    credit = scoring.credit
    credits = scoring.credits
    what_if = scoring.what_if
    contexts_of = staticmethod(scoring.contexts_of)
    check_credit = scoring.check_credit
    compare = comparison.compare
    teacher_lift = lift.teacher_lift
    answers_with = lift.answers_with

    # Interventions: another token in an attempt's place
    test_credit = interventions.test_credit
    credit_tests = interventions.credit_tests
    force_token = interventions.force_token

    # Updates
    ledger = teaching.ledger
    update = updates.update
    drift = updates.drift
    held_out = pass_rates.held_out
    held_out_rates = pass_rates.held_out_rates

    # Timeline
    timeline = history.timeline
    undo = history.undo
    redo = history.redo
    checkout = history.checkout
    branch = history.branch
    compare_nodes = node_comparison.compare_nodes
    alarms = history.alarms
    events = history.events
    verify = history.verify

    # Other runs and other models
    runs = library.runs
    runs_beside = library.runs_beside
    compare_runs = library.compare_runs
    hub_models = hub.hub_models

    # Exports
    share = exports.share
    export_run = exports.export_run
    import_run = staticmethod(exports.import_run)
    export_adapter = exports.export_adapter
    export_merged = exports.export_merged
