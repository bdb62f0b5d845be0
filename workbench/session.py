"""A session: one run directory, one policy, one lock; every step of a round as a method.

Whatever is returned from here is already on disk. Every call may come from any thread; calls wait for each other.
Knows nothing of pages.
"""

from __future__ import annotations

import platform
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from workbench import evidence
from workbench.config import PolicyConfig, SamplingConfig, SDPOConfig
from workbench.credit import TokenCredit
from workbench.errors import FeedbackError, RunError, TaskError
from workbench.policy import Policy, load_policy
from workbench.policy.contexts import credit_of
from workbench.policy.prompts import Prompt, student_prompt, teacher_prompt
from workbench.policy.sampling import Sampled, sample
from workbench.policy.update import StepResult, UpdateItem, sdpo_step
from workbench.probe import Probe, divergence, entropy, own_randomness
from workbench.records import Attempt, Ledger, SideEffects, Task, UpdateReport, to_json
from workbench.runs import Event, Run
from workbench.runs.archive import export_run, import_run
from workbench.statistics import HeldOut, agreement
from workbench.tasks import BUILT_IN, check_task, judge_many, load_pack
from workbench.tasks.house_rules.pack import PACK, house_tasks, make_answer, parse_name

OnToken = Callable[[int, str], None]  # (index of the attempt, its text so far)
AD_HOC = "ad-hoc"  # pack of the tasks that people type
PROBE_TASKS = 6
HELD_OUT_TASKS = 60


@dataclass(frozen=True, slots=True)
class TimelineNode:
    """One state of the policy in the tree of updates."""

    update_id: str
    parent_id: str | None
    name: str  # the branch
    created: str  # UTC, ISO 8601
    is_head: bool
    report: UpdateReport | None  # None for the root


class Session:
    """A policy and its run. People use its subclass `Workbench`, which adds the experiments."""

    def __init__(self, run: Run, policy: Policy, config: PolicyConfig) -> None:
        self.run, self.policy, self.config = run, policy, config
        self._lock = threading.RLock()
        state = run.state()
        self._tasks: dict[str, Task] = dict(state.tasks)
        self._attempts: dict[str, Attempt] = dict(state.attempts)
        self._reports: dict[str, UpdateReport] = dict(state.reports)
        self._probe: Probe | None = None

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
    ) -> Self:
        """Open a run, or start one where nothing is; an existing run resumes where it was.

        `model`: "embedded", a local directory, or a hub id; `quantization`: "auto" (NF4 on CUDA, none on CPU),
        "nf4", "int8" or "none". Raises ConfigError, PolicyError, and RunError (broken, locked, or made with another
        model).
        """
        config = PolicyConfig(model=model, quantization=quantization, device=device, seed=seed)  # type: ignore[arg-type]
        opened = Run.open(run)
        try:
            made_with = opened.state().opened
            if made_with is not None and made_with["config"]["model"] != model:
                raise RunError(
                    f"The run in {run} was made with the model {made_with['config']['model']!r}, not {model!r}; "
                    "open it with that model, or choose another run directory."
                )
            policy = load_policy(config)
            session = cls(opened, policy, config)
            session._resume()
        except BaseException:
            opened.close()
            raise
        return session

    def _resume(self) -> None:
        import torch

        versions = {"python": platform.python_version(), "torch": torch.__version__}
        if not self.run.events("root"):
            self.run.append("opened", {"config": asdict(self.config), "versions": versions, "seed": self.config.seed})
            self.run.commit_root(self.run.blobs.put(self.policy.state()))
            return
        self._load_head()
        # Attempts advance the random state beyond the head's; each group's last attempt carries it.
        for event in reversed(self.run.events()):
            if event.kind == "attempt" and event.blobs:
                self.policy.generator.set_state(self.run.blobs.get(event.blobs[0])["random/sampling"])
                break
            if event.kind in ("update", "head", "root"):
                break

    def _load_head(self) -> None:
        self.policy.load_state(self.run.blobs.get(self.run.state_blob(self.run.head)))

    def close(self) -> None:
        """Give the run back; a second call does nothing."""
        with self._lock:
            self.run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Tasks -------------------------------------------------------------------------------------------------------
    def packs(self) -> list[str]:
        """Built-in packs and those in use, by name."""
        used = {task.id.rpartition("/")[0] for task in self._tasks.values()}
        return [*BUILT_IN, *sorted(used - set(BUILT_IN))]

    def tasks(self, pack: str | None = None) -> list[Task]:
        """The tasks of one pack, or of all of them. Raises TaskError for an unknown pack."""
        names = self.packs() if pack is None else [pack]
        tasks: dict[str, Task] = {}
        for name in names:
            mine = {task.id: task for task in self._tasks.values() if task.id.rpartition("/")[0] == name}
            built_in = load_pack(name) if parse_name(name) or not mine else []
            tasks |= {task.id: task for task in built_in} | mine
        return list(tasks.values())

    def task(self, task_id: str) -> Task:
        """One task, by "pack/name". Raises TaskError when there is none."""
        if task_id in self._tasks:
            return self._tasks[task_id]
        pack = task_id.rpartition("/")[0]
        if parse_name(pack):
            for task in load_pack(pack):
                if task.id == task_id:
                    return task
        raise TaskError(f"There is no task {task_id!r}; see the list of tasks, or add your own.")

    def load_tasks(self, name_or_path: str) -> list[Task]:
        """Add the tasks of a pack or of a .jsonl or .json file to this run. Raises TaskError naming the row."""
        with self._lock:
            return [self._keep(task) for task in load_pack(name_or_path)]

    def add_task(
        self,
        *,
        prompt: str,
        environment: str = "person",
        answer: Mapping[str, Any] | None = None,
        system: str | None = None,
        name: str | None = None,
    ) -> Task:
        """A task that a person typed; a house-rules prompt without an answer gets the default house's checks.

        Raises TaskError when it is empty or cannot be judged.
        """
        if not prompt.strip():
            raise TaskError("The task is empty; write what the policy should do.")
        if environment == PACK and not answer:
            parsed = parse_name(PACK)
            assert parsed is not None
            answer = make_answer(prompt.strip(), *parsed)
        with self._lock:
            task_id = f"{AD_HOC}/{name or f'task-{sum(key.startswith(AD_HOC) for key in self._tasks) + 1}'}"
            return self._keep(check_task(Task(task_id, prompt.strip(), environment, dict(answer or {}), system)))

    def _keep(self, task: Task) -> Task:
        if self._tasks.get(task.id) != task:
            self.run.append("task", to_json(task))
            self._tasks[task.id] = task
        return task

    # Attempts and feedback ---------------------------------------------------------------------------------------
    def attempt(
        self,
        task: Task,
        n: int = 8,
        *,
        sampling: SamplingConfig | None = None,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> list[Attempt]:
        """Sample a group of `n` attempts, run and judge them; all are on disk when they are returned.

        `on_token(index, text so far)` is called while they are written; setting `stop` keeps what is there.
        Raises TaskError, PromptError, SandboxError.
        """
        return self.attempt_many([task], n, sampling=sampling, on_token=on_token, stop=stop)

    def attempt_many(
        self,
        tasks: Sequence[Task],
        n: int = 8,
        *,
        sampling: SamplingConfig | None = None,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> list[Attempt]:
        """One group of `n` attempts for each task, sampled in one batch."""
        if n < 1:
            raise TaskError(f"{n} attempts were asked for; ask for at least 1.")
        sampling = sampling or SamplingConfig()
        with self._lock:
            tasks = [self._keep(check_task(task)) for task in tasks]
            rows = [task for task in tasks for _ in range(n)]
            drawn, prompts = self._sample(rows, sampling, on_token, stop)
            texts = [self._text(one.token_ids) for one in drawn]
            judgements = judge_many(list(zip(rows, texts, strict=True)))
            groups = {task.id: f"g-{uuid.uuid4().hex[:10]}" for task in tasks}
            attempts = [
                Attempt(
                    id=f"a-{uuid.uuid4().hex[:10]}",
                    task_id=task.id,
                    group_id=groups[task.id],
                    update_id=self.head,
                    prompt_ids=prompt.ids,
                    token_ids=one.token_ids,
                    text=text,
                    sampling_logps=one.logps,
                    finished=one.finished,
                    temperature=sampling.temperature,
                    reward=judgement.reward,
                    passed=judgement.passed,
                    feedback=judgement.feedback,
                    details=judgement.details,
                )
                for task, prompt, one, text, judgement in zip(rows, prompts, drawn, texts, judgements, strict=True)
            ]
            random = self.run.blobs.put({"random/sampling": self.policy.generator.get_state()})
            for attempt in attempts:
                self.run.append("attempt", to_json(attempt), (random,) if attempt is attempts[-1] else ())
                self._attempts[attempt.id] = attempt
            return attempts

    def _sample(
        self,
        rows: Sequence[Task],
        sampling: SamplingConfig,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> tuple[list[Sampled], list[Prompt]]:
        prompts = {task.id: student_prompt(self.policy, task) for task in rows}
        written: list[list[int]] = [[] for _ in rows]

        def tell(index: int, token_id: int) -> None:
            written[index].append(token_id)
            assert on_token is not None
            on_token(index, self._text(written[index]))

        drawn = sample(
            self.policy,
            [prompts[task.id].ids for task in rows],
            sampling,
            on_token=tell if on_token else None,
            stop=stop.is_set if stop else None,
        )
        return drawn, [prompts[task.id] for task in rows]

    def _text(self, token_ids: Sequence[int]) -> str:
        decoded = self.policy.tokenizer.decode(
            list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(decoded)

    def attempts(self, task: Task | None = None) -> list[Attempt]:
        """All attempts with the feedback in force, or those at one task; the newest last."""
        with self._lock:
            return [a for a in self._attempts.values() if task is None or a.task_id == task.id]

    def give_feedback(
        self, attempt: Attempt, text: str | None = None, reward: float | None = None, mode: str = "replace"
    ) -> Attempt:
        """A person's words and/or reward for an attempt; they replace the environment's feedback or join it.

        Returns the attempt as it now stands. Raises FeedbackError: unknown attempt, nothing said, a reward
        outside 0 to 1.
        """
        data = {"attempt_id": attempt.id, "text": text, "reward": reward, "source": "person", "mode": mode}
        with self._lock:
            self.run.append("feedback", data)
            changed = self.run.state().attempts[attempt.id]
            self._attempts[attempt.id] = changed
            return changed

    # Credit ------------------------------------------------------------------------------------------------------
    def _known(self, attempt: Attempt) -> Attempt:
        if attempt.id not in self._attempts:
            raise FeedbackError(f"There is no attempt {attempt.id!r} in this run; sample or choose another.")
        return self._attempts[attempt.id]

    def _group(self, attempt: Attempt) -> list[Attempt]:
        return [other for other in self._attempts.values() if other.group_id == attempt.group_id]

    def _evidence(self, attempt: Attempt, config: SDPOConfig) -> evidence.Evidence:
        return evidence.gather(attempt, self._group(attempt), config)

    def teacher_prompt(self, attempt: Attempt, config: SDPOConfig | None = None) -> Prompt:
        """The exact prompt under which the self-teacher re-scores an attempt. Raises FeedbackError, PromptError."""
        with self._lock:
            attempt = self._known(attempt)
            return self._teacher_prompt(attempt, self._evidence(attempt, config or SDPOConfig()))

    def _teacher_prompt(self, attempt: Attempt, shown: evidence.Evidence) -> Prompt:
        return teacher_prompt(
            self.policy,
            self.task(attempt.task_id),
            feedback=shown.feedback,
            demonstration=shown.demonstration,
            failed_attempt=shown.failed_attempt,
            max_tokens=self.policy.context_length - max(1, len(attempt.token_ids)),
        )

    def credit(self, attempt: Attempt, config: SDPOConfig | None = None) -> TokenCredit:
        """What the self-teacher thinks of each token of an attempt. Raises FeedbackError, PromptError."""
        config = config or SDPOConfig()
        with self._lock:
            attempt = self._known(attempt)
            return self._credit(attempt, self._evidence(attempt, config), config)

    def what_if(
        self, attempt: Attempt, *, feedback: str = "", demonstration: str = "", config: SDPOConfig | None = None
    ) -> TokenCredit:
        """The credit that an attempt would get under other evidence; nothing is recorded or changed."""
        with self._lock:
            shown = evidence.Evidence(feedback, demonstration)
            return self._credit(self._known(attempt), shown, config or SDPOConfig())

    def _credit(self, attempt: Attempt, shown: evidence.Evidence, config: SDPOConfig) -> TokenCredit:
        return credit_of(
            self.policy,
            attempt,
            attempt.prompt_ids,
            self._teacher_prompt(attempt, shown),
            temperature=attempt.temperature,
            teacher=config.teacher,
            rate=config.teacher_update_rate,
        )

    def ledger(self, attempts: Sequence[Attempt], config: SDPOConfig | None = None) -> tuple[Ledger, ...]:
        """Which attempts give signal to an update, and why not the others."""
        config = config or SDPOConfig()
        with self._lock:
            known = [self._known(attempt) for attempt in attempts]
            return tuple(
                evidence.explain(attempt, self._evidence(attempt, config), self._group(attempt), config)
                for attempt in known
            )

    # Updates -----------------------------------------------------------------------------------------------------
    def update(
        self, attempts: Sequence[Attempt], config: SDPOConfig | None = None, *, stop: threading.Event | None = None
    ) -> UpdateReport:
        """One update on these attempts, as a transaction; it is on disk when it is returned.

        Raises NoSignalError (with the ledger's reasons), UpdateError (cancelled, not finite, out of memory),
        RunError (disk). Whatever is raised, policy and run are what they were before.
        """
        config = config or SDPOConfig()
        with self._lock:
            started = time.monotonic()
            known = [self._known(attempt) for attempt in attempts]
            entries = self.ledger(known, config)
            items = [self._item(a, entry, config) for a, entry in zip(known, entries, strict=True)]
            probe = self._get_probe(known)
            before_state, before = self.policy.state(), probe.measure(self.policy)
            temperature = known[0].temperature if known else 1.0
            result = sdpo_step(self.policy, items, config, temperature, cancel=stop.is_set if stop else None)
            try:
                after = probe.measure(self.policy)
                effects = SideEffects(divergence(before, after), entropy(before), entropy(after))
                report = self._report(known, result, config, effects, entries, time.monotonic() - started)
                self.run.commit_update(report, self.run.blobs.put(self.policy.state()))
            except BaseException:
                self.policy.load_state(before_state)
                raise
            self._reports[report.update_id] = report
            return report

    def _item(self, attempt: Attempt, entry: Ledger, config: SDPOConfig) -> UpdateItem:
        prompt = self.teacher_prompt(attempt, config).ids if entry.used else None
        return UpdateItem(attempt.prompt_ids, prompt, attempt.token_ids, attempt.reward, attempt.group_id)

    def _report(
        self,
        attempts: Sequence[Attempt],
        result: StepResult,
        config: SDPOConfig,
        effects: SideEffects,
        entries: tuple[Ledger, ...],
        seconds_s: float,
    ) -> UpdateReport:
        ids = [attempts[index].id for index in result.used]
        predicted = {one: tuple(push.tolist()) for one, push in zip(ids, result.predicted, strict=True)}
        realised = {one: tuple(change.tolist()) for one, change in zip(ids, result.realised, strict=True)}
        share, rank = agreement(predicted, realised)
        return UpdateReport(
            update_id=f"u-{uuid.uuid4().hex[:10]}",
            parent_id=self.head,
            method=config.method,
            loss_before=result.loss_before,
            loss=result.loss_after,
            grad_norm=result.grad_norm,
            predicted=predicted,
            realised=realised,
            agreement=share,
            rank_correlation=rank,
            side_effects=effects,
            ledger=entries,
            seconds_s=seconds_s,
        )

    def _get_probe(self, attempts: Sequence[Attempt]) -> Probe:
        if self._probe is None:
            pack = self._held_out_pack()
            tasks = (
                house_tasks(pack, PROBE_TASKS, held_out=True)
                if self.config.model == "embedded"
                else [self.task(task_id) for task_id in dict.fromkeys(a.task_id for a in attempts)]
            )
            self._probe = Probe(self.policy, [student_prompt(self.policy, task).ids for task in tasks])
        return self._probe

    # Held-out pass rate ------------------------------------------------------------------------------------------
    def _held_out_pack(self) -> str:
        packs = [task.id.rpartition("/")[0] for task in self._tasks.values() if parse_name(task.id.rpartition("/")[0])]
        return packs[-1] if packs else PACK

    def held_out(self, pack: str | None = None, *, count: int = HELD_OUT_TASKS) -> HeldOut:
        """Pass rate of the current policy on held-out tasks of a house, one attempt each, with its 95 % interval.

        The same tasks and the same random numbers each time; the policy's own random state is left alone.
        """
        with self._lock:
            tasks = house_tasks(pack or self._held_out_pack(), count, held_out=True)
            with own_randomness(self.policy, 1):
                drawn, _ = self._sample(tasks, SamplingConfig())
            texts = [self._text(one.token_ids) for one in drawn]
            passed = sum(judgement.passed for judgement in judge_many(list(zip(tasks, texts, strict=True))))
            measured = HeldOut(passed, len(tasks))
            self.run.append("held-out", {"update_id": self.head, "passed": passed, "total": len(tasks)})
            return measured

    # Timeline ----------------------------------------------------------------------------------------------------
    @property
    def head(self) -> str:
        """The id of the update in force; "root" before the first."""
        return self.run.head

    def events(self) -> list[Event]:
        """The log, oldest first."""
        return self.run.events()

    def timeline(self) -> list[TimelineNode]:
        """The tree of updates, oldest first."""
        with self._lock:
            timeline = self.run.timeline
            return [
                TimelineNode(
                    node.id, node.parent, node.name, node.created, node.id == timeline.head, self._reports.get(node.id)
                )
                for node in timeline.nodes.values()
            ]

    def undo(self) -> str:
        """Back to the state before the last update, bit for bit; returns the new head. Raises RunError at the root."""
        return self._moved(self.run.undo)

    def redo(self) -> str:
        """Forward to the update last undone; returns the new head. Raises RunError when there is none."""
        return self._moved(self.run.redo)

    def checkout(self, update_id: str) -> str:
        """To any update (or branch) of the timeline; returns the new head. Raises RunError when it is unknown."""
        return self._moved(lambda: self.run.checkout(update_id))

    def _moved(self, move: Callable[[], str]) -> str:
        with self._lock:
            head = move()
            self._load_head()
            return head

    def branch(self, name: str) -> None:
        """Updates from here on carry this name. Raises RunError when the name is empty or taken."""
        with self._lock:
            self.run.branch(name)

    # Taking things along -----------------------------------------------------------------------------------------
    def export_adapter(self, path: str | Path) -> Path:
        """Write the adapter as a directory that plain PEFT loads."""
        with self._lock:
            self.policy.model.save_pretrained(str(path), safe_serialization=True)
            return Path(path)

    def export_run(self, path: str | Path) -> Path:
        """Write the run as one archive."""
        with self._lock:
            return export_run(self.run, Path(path))

    @staticmethod
    def import_run(archive: str | Path, directory: str | Path) -> Path:
        """Make a run directory from an archive; open it with `Workbench.open`. Raises RunError for a bad archive."""
        return import_run(Path(archive), Path(directory))
