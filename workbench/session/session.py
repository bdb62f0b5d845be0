"""The session itself: opening, and every step of a round. Whatever is returned from here is already on disk.

Every call may come from any thread; calls wait for each other. Knows nothing of pages.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Self

from workbench import evidence
from workbench.config import LoraSettings, PolicyConfig, SamplingConfig, SDPOConfig
from workbench.errors import FeedbackError, NoSignalError, RunError, TaskError, WorkbenchError
from workbench.policy import Policy, load_policy
from workbench.policy.adapter import export_adapter
from workbench.policy.judge import ModelJudge
from workbench.policy.merging import export_merged
from workbench.policy.prompts import Prompt, Turn, student_prompt
from workbench.policy.update import OnProgress
from workbench.probe import Probe, side_effects
from workbench.records import Attempt, FeedbackSource, Ledger, SideEffects, Task, UpdateReport, to_json
from workbench.runs import Run
from workbench.runs.archive import import_run
from workbench.runs.store import Listener
from workbench.session.attempts import OnToken, judged, write
from workbench.session.comparison import Comparisons
from workbench.session.credit_store import stored_bases
from workbench.session.held_out import HeldOutRates
from workbench.session.hub import HubModels
from workbench.session.intervention import Interventions
from workbench.session.library import Library
from workbench.session.lift import TeacherLifts
from workbench.session.moves import TimelineMoves
from workbench.session.node_comparison import NodeComparisons
from workbench.session.resuming import RANDOM, enter, resumed
from workbench.session.selection import Spans, no_signal, selected, update_item
from workbench.session.step import measured_step
from workbench.session.transaction import transaction
from workbench.tasks import check_task, find_pack
from workbench.tasks.house_rules.pack import PACK

PROBE_TASKS = 6


class Session(
    Comparisons, HeldOutRates, HubModels, Interventions, Library, NodeComparisons, TeacherLifts, TimelineMoves
):
    """A policy and its run. People use its subclass `Workbench`, which adds the experiments."""

    def __init__(self, run: Run, policy: Policy, config: PolicyConfig) -> None:
        super().__init__(run)
        self.policy, self.config = policy, config
        self._stored = stored_bases(run)
        self._probe: Probe | None = None
        self._judges: dict[str, ModelJudge] = {}

    # Opening and closing -----------------------------------------------------------------------------------------
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

        `model`: "embedded", a local directory, or a hub id; `quantization`: "auto" (NF4 on CUDA, none on CPU),
        "nf4", "int8" or "none"; `lora`: a new adapter's settings, or `adapter`: a PEFT directory to start from;
        `thinking` switches a model's thinking mode, for student and self-teacher alike; see `PolicyConfig` for the
        rest. What is left at its default is what an existing run was made with. `on_event` is called with every event
        once it is durable, as by `run.add_listener`, those of a new run's opening included. Raises ConfigError,
        PolicyError, and RunError (broken, locked, or made with another model or other settings).
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
            enter(policy, opened, config)
            session = cls(opened, policy, config)
        except BaseException:
            opened.close()
            raise
        return session

    def prompt(self, task: Task) -> Prompt:
        """The exact chat prompt under which the policy attempts a task. Raises PromptError."""
        with self._lock:
            return student_prompt(self.policy, task)

    # Attempts and feedback ---------------------------------------------------------------------------------------
    def attempt(
        self,
        task: Task,
        n: int = 8,
        *,
        sampling: SamplingConfig | None = None,
        turns: Sequence[Turn] = (),
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> list[Attempt]:
        """Sample a group of `n` attempts, run and judge them; all are on disk when they are returned.

        `turns`: (attempt, feedback) pairs that stay in the prompt, for a baseline that learns from nothing else.
        `on_token(index, text so far)` is called while they are written; setting `stop` keeps what is there.
        Raises TaskError, PromptError, SandboxError; PolicyError, before anything is sampled, for a judge that cannot
        be loaded.
        """
        return self.attempt_many([task], n, sampling=sampling, turns=[turns], on_token=on_token, stop=stop)

    def attempt_many(
        self,
        tasks: Sequence[Task],
        n: int = 8,
        *,
        sampling: SamplingConfig | None = None,
        turns: Sequence[Sequence[Turn]] = (),
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> list[Attempt]:
        """One group of `n` attempts for each task, sampled in one batch; `turns`: for each task, or none at all."""
        if n < 1:
            raise TaskError(f"{n} attempts were asked for; ask for at least 1.")
        sampling = sampling or SamplingConfig()
        with self._lock:
            tasks = [self._keep(check_task(task)) for task in tasks]
            self.prepare_judges(tasks)
            before = self.policy.generator.get_state()
            try:
                asked = [task for task in tasks for _ in range(n)]
                said = {task.id: of for task, of in zip(tasks, turns or [()] * len(tasks), strict=True)}
                written = write(self.policy, asked, sampling, turns=said, on_token=on_token, stop=stop)
                verdicts = self.judge_many([(one.task, one.text) for one in written])
                attempts = judged(written, verdicts, temperature=sampling.temperature, update_id=self.head)
                random = self.run.blobs.put({RANDOM: self.policy.generator.get_state()})
                last = attempts[-1]
                self.run.append_all([("attempt", to_json(a), (random,) if a is last else ()) for a in attempts])
            except BaseException:
                self.policy.generator.set_state(before)  # nothing was drawn that anyone will see
                raise
            self._attempts |= {attempt.id: attempt for attempt in attempts}
            return attempts

    def give_feedback(
        self,
        attempt: Attempt,
        text: str | None = None,
        reward: float | None = None,
        mode: str = "replace",
        *,
        source: FeedbackSource = "person",
        demonstration: Attempt | None = None,
    ) -> Attempt:
        """A person's words and/or reward for an attempt; they replace the environment's feedback or join it.

        `source`: whose words they are. `demonstration`: another attempt at the task, which the self-teacher is shown
        from now on; the attempt itself takes a former choice back. Returns the attempt as it now stands. Raises
        FeedbackError: unknown attempt, nothing said, a reward outside 0 to 1, a demonstration of another task.
        """
        shown = None if demonstration is None else demonstration.id if demonstration.id != attempt.id else ""
        data = {"attempt_id": attempt.id, "text": text, "reward": reward, "source": source, "mode": mode}
        if shown is not None:
            data["demonstration_id"] = shown
        with self._lock:
            if demonstration is not None and self._known(demonstration).task_id != self._known(attempt).task_id:
                raise FeedbackError("A demonstration must be an attempt at the same task; choose another.")
            self.run.append("feedback", data)
            changed = self.run.state().attempts[attempt.id]
            self._attempts[attempt.id] = changed
            return changed

    # Updates -----------------------------------------------------------------------------------------------------
    def update(
        self,
        attempts: Sequence[Attempt],
        config: SDPOConfig | None = None,
        *,
        spans: Spans | None = None,
        on_progress: OnProgress | None = None,
        stop: threading.Event | None = None,
    ) -> UpdateReport:
        """One update on these attempts, as a transaction; it is on disk when it is returned.

        `spans`: attempt id -> (start, end) or a list of them, tokens counted from 0, `end` excluded: only these tokens
        of the attempt count, none for an empty list; an attempt that is not named counts whole.
        `on_progress(done, total)` is called after each micro-batch; setting `stop` takes everything back at the next.

        Raises NoSignalError (with the ledger's reasons), ConfigError (a span that does not fit), UpdateError
        (cancelled, not finite, out of memory, moved too far), RunError (disk). Whatever is raised, the policy is what
        it was before, and so is the run but for a "failed" event that says why.
        """
        config = config or SDPOConfig()
        with self._lock:
            known = [self._known(attempt) for attempt in {attempt.id: attempt for attempt in attempts}.values()]
            chosen = selected(spans, known)
            entries = self.ledger(known, config, spans=spans)
            if not any(entry.used for entry in entries):
                raise NoSignalError(no_signal(entries))
            prompts = [self._taught(a, entry, config) for a, entry in zip(known, entries, strict=True)]
            items = [update_item(a, ids, chosen.get(a.id)) for a, ids in zip(known, prompts, strict=True)]
            probe = self._get_probe(known)
            try:
                with transaction(self.policy, self.run):
                    report = measured_step(
                        self.policy,
                        known,
                        items,
                        entries,
                        config,
                        probe,
                        parent_id=self.head,
                        cancel=stop.is_set if stop else None,
                        on_progress=on_progress,
                    )
                    self.run.commit_update(report, self.run.blobs.put(self.policy.state()), config=asdict(config))
            except BaseException as error:
                self._note_failure(known, config, error)
                raise
            self._reports[report.update_id] = report
            return report

    def _note_failure(self, attempts: Sequence[Attempt], config: SDPOConfig, error: BaseException) -> None:
        """Why an update failed, for whoever reads the log later; a disk that refuses this too is no second failure."""
        why = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
        data = {"what": "update", "attempts": [one.id for one in attempts], "method": config.method, "why": why}
        with suppress(RunError):
            self.run.append("failed", data)

    def _taught(self, attempt: Attempt, entry: Ledger, config: SDPOConfig) -> tuple[int, ...] | None:
        """The teacher's prompt of an attempt, where an update needs one."""
        shown = self._evidence(attempt, config)
        if not (entry.used and evidence.is_taught(attempt, shown, config)):
            return None
        return self._teacher_prompt(attempt, shown, config).ids

    def _get_probe(self, attempts: Sequence[Attempt]) -> Probe:
        if self._probe is None:
            tasks = (
                find_pack(PACK).held_out(PROBE_TASKS)
                if self.config.model == "embedded" or not attempts
                else [self.task(task_id) for task_id in dict.fromkeys(a.task_id for a in attempts)]
            )
            self._probe = Probe(self.policy, [student_prompt(self.policy, task).ids for task in tasks])
        return self._probe

    def drift(self) -> SideEffects:
        """How far the policy is from its base (adapter off) on the probe: KL(base || now), entropies of both; nats."""
        with self._lock:
            probe = self._get_probe(list(self._attempts.values()))
            return side_effects(probe.base, probe.measure(self.policy), probe.base)

    # Taking things along -----------------------------------------------------------------------------------------
    def export_adapter(self, path: str | Path) -> Path:
        """Write the adapter as a directory that plain PEFT loads. Raises PolicyError where it cannot be written."""
        with self._lock:
            return export_adapter(self.policy.model, Path(path))

    def export_merged(self, path: str | Path) -> Path:
        """Write base and adapter as one unquantised model. Raises PolicyError where it cannot be written."""
        with self._lock:
            return export_merged(self.policy, self.config, Path(path))

    @staticmethod
    def import_run(archive: str | Path, directory: str | Path) -> Path:
        """Make a run directory from an archive; open it with `Workbench.open`. Raises RunError for a bad archive."""
        return import_run(Path(archive), Path(directory))
