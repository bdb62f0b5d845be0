"""What people can ask for, as jobs of the desk. Page and API share it; nothing here knows of Gradio.

Every method checks its input before anything is queued (TaskError, FeedbackError, ConfigError), returns the `Job`,
and its job keeps the board's facts true.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import FeedbackError, NoSignalError, TaskError
from workbench.records import Attempt, Task
from workbench.ui.board import find
from workbench.ui.forms import LONGEST_TEXT, checked_text, is_text
from workbench.ui.job import AHEAD, SHOWN, Job
from workbench.ui.run_jobs import RunJobs
from workbench.ui.task_jobs import TaskJobs
from workbench.ui.timeline_jobs import TimelineJobs

Spans = Mapping[str, Sequence[int]]  # attempt id -> (start, end) of the marked tokens, end excluded

MEASURING = "Measuring the held-out tasks"
MOST_ATTEMPTS = 64
MODES = ("replace", "join")
SOURCES = ("person", "judge")  # whose words can be given here


@dataclass(frozen=True, slots=True)
class Detail:
    """What is known of one attempt under one policy, feedback and configuration."""

    payload: dict[str, Any]  # for the heatmap
    teacher_text: str
    teacher_ids: tuple[int, ...]
    shortened: Any
    demonstration: str = ""  # the text that the teacher is shown as a correct solution
    credit: Any = None  # the TokenCredit itself, for what is asked of one token


class Studio(RunJobs, TaskJobs, TimelineJobs):
    """The verbs of one round over a desk."""

    # Attempts ----------------------------------------------------------------------------------------------------
    def sample(self, task_id: str, n: int, sampling: SamplingConfig, *, key: Hashable = None) -> Job:
        """Sample and judge `n` attempts; the job's result is the list of attempts. Stopping keeps what is there.

        `key`: a second call with it while the first waits or runs is the same job (a button pressed twice).
        """
        if not isinstance(task_id, str) or not task_id:
            raise TaskError("Choose a task first.")
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_ATTEMPTS:
            raise TaskError(f"The number of attempts is {n!r}; it must be a whole number from 1 to {MOST_ATTEMPTS}.")

        def run(workbench: Any, job: Job) -> list[Attempt]:
            task = workbench.task(task_id)
            texts, written = [""] * n, [0] * n

            def on_token(index: int, text: str) -> None:
                texts[index] = text
                written[index] += 1
                job.report(max(written), sampling.max_new_tokens, "tokens", at_most=True)
                self.desk.publish(live={"task_id": task_id, "texts": tuple(texts)})

            self.desk.publish(live={"task_id": task_id, "texts": tuple(texts)})
            try:
                attempts = workbench.attempt(task, n=n, sampling=sampling, on_token=on_token, stop=job.stop)
                if attempts:
                    self.publish_group(task_id, tuple(attempts))
                    self.publish_rewards(workbench, task_id)
            finally:
                self.desk.publish(live=None)
            self._measure_ahead(workbench, task)
            return list(attempts)

        return self.desk.submit("sample", f"Sampling {n} attempts", run, key=key)

    def judge(self, task_id: str, text: str) -> Job:
        """Judge a text as if it were an attempt; the job's result is a Judgement. Nothing is recorded."""
        checked_text(text, "The attempt")

        def run(workbench: Any, job: Job) -> Any:
            return workbench.judge(workbench.task(task_id), text)

        return self.desk.submit("judge", "Judging", run)

    def feedback(
        self,
        attempt_id: str,
        text: str | None,
        reward: float | None,
        mode: str = "replace",
        *,
        source: str = "person",
        demonstration_id: str | None = None,
    ) -> Job:
        """Feedback and/or reward, and which attempt is shown as a demonstration; the job's result is the Attempt."""
        if not isinstance(attempt_id, str) or not attempt_id:
            raise FeedbackError("Choose an attempt first.")
        if text is None and reward is None and demonstration_id is None:
            raise FeedbackError("Nothing was said: type a feedback, or set a reward.")
        if text is not None and (not is_text(text) or len(text) > LONGEST_TEXT):
            raise FeedbackError(f"The feedback must be text of at most {LONGEST_TEXT:,} characters.")
        if reward is not None and not (isinstance(reward, (int, float)) and math.isfinite(reward) and 0 <= reward <= 1):
            raise FeedbackError(f"The reward is {reward!r}; it must be a number from 0 to 1.")
        if source not in SOURCES:
            raise FeedbackError(f"The source is {source!r}; choose {' or '.join(SOURCES)}.")
        if mode not in MODES:
            raise FeedbackError(f"The mode is {mode!r}; choose replace or join.")

        def run(workbench: Any, job: Job) -> Attempt:
            shown = None if demonstration_id is None else find(workbench, demonstration_id)
            found = find(workbench, attempt_id)
            changed = workbench.give_feedback(found, text, reward, mode, source=source, demonstration=shown)
            group = tuple(changed if old.id == attempt_id else old for old in self.group(changed.task_id))
            if changed in group:
                self.publish_group(changed.task_id, group)
            self.publish_rewards(workbench, changed.task_id)
            return changed

        return self.desk.submit("feedback", "Recording feedback", run)

    # Credit ------------------------------------------------------------------------------------------------------
    def want_detail(self, attempt: Attempt, config: SDPOConfig, *, shown: bool) -> Detail | Exception | None:
        """The attempt's detail if it is known; otherwise None, and a job that finds it out is in the queue.

        The first colours take what the cheap contexts give; the attempt that is shown then gets all of them, behind
        everything else, and with them the remaining views.
        """
        known = self._want_credit(attempt, config, None, SHOWN if shown else AHEAD)
        if shown and isinstance(known, Detail):
            whole = self._want_credit(attempt, config, "all", AHEAD)
            return whole if isinstance(whole, Detail) else known
        return known

    def _want_credit(self, attempt: Attempt, config: SDPOConfig, contexts: str | None, priority: int) -> Any:
        key = self.key(f"credit {contexts or ''}", attempt.id, config, self.group(attempt.task_id))
        return self.desk.want(
            key,
            "credit",
            "Colouring",
            lambda workbench, job: detail(workbench, find(workbench, attempt.id), config, contexts),
            priority=priority,
        )

    def what_if(self, attempt_id: str, text: str, demonstration_id: str | None, config: SDPOConfig) -> Job:
        """The credit in force and the one under other feedback, side by side; nothing is recorded or changed.

        The job's result: {"before", "after"}, payloads on one scale, and the sums of their raw credit.
        """
        said = checked_text(text, "The feedback")

        def run(workbench: Any, job: Job) -> dict[str, Any]:
            attempt = find(workbench, attempt_id)
            shown = find(workbench, demonstration_id).text if demonstration_id else ""
            names = ("student", "teacher")
            before = workbench.credit(attempt, config, contexts=names)
            after = workbench.what_if(attempt, feedback=said, demonstration=shown, config=config, contexts=names)
            raw = [credit.view("raw") for credit in (before, after)]
            limit = max((abs(value) for values in raw for value in values), default=0.0)
            payloads = [{**credit.payload(), "limits": {"raw": limit}} for credit in (before, after)]
            return {"before": payloads[0], "after": payloads[1], "sums": [sum(values) for values in raw]}

        return self.desk.submit("what-if", "Asking what another feedback would do", run)

    def want_ledger(self, group: Sequence[Attempt], config: SDPOConfig, spans: Spans) -> Any:
        """The ledger of a group if it is known; otherwise None, and a job is in the queue."""
        if not group:
            return None
        spans = {name: marked for name, marked in spans.items() if name in {attempt.id for attempt in group}}
        key = self.key(f"ledger {sorted(spans.items())}", "", config, group)
        return self.desk.want(
            key,
            "ledger",
            "Counting the signal",
            lambda workbench, job: tuple(workbench.ledger(list(group), config, spans=spans)),
        )

    # Updates -----------------------------------------------------------------------------------------------------
    def update(
        self, attempt_ids: Sequence[str], config: SDPOConfig, spans: Spans | None = None, *, key: Hashable = None
    ) -> Job:
        """One update on these attempts; the job's result is the UpdateReport.

        `spans`: the tokens that count; `key` as in `sample`.
        """
        ids = list(attempt_ids)
        if not ids or not all(isinstance(one, str) for one in ids):
            raise NoSignalError("There are no attempts to learn from; sample some first.")

        def run(workbench: Any, job: Job) -> Any:
            every = {attempt.id: attempt for attempt in workbench.attempts()}
            missing = [one for one in ids if one not in every]
            if missing:
                raise FeedbackError(f"There is no attempt {missing[0]!r} in this run; sample or choose another.")
            own = {name: marked for name, marked in (spans or {}).items() if name in ids}
            report = workbench.update(
                [every[one] for one in ids],
                config,
                spans=own,
                on_progress=lambda done, total: job.report(done, total, "micro-batches"),
                stop=job.stop,
            )
            self.publish_timeline(workbench, self.desk)
            self._publish_pace(workbench, [every[one] for one in ids], config, report)
            self._measure_ahead(workbench, workbench.task(every[ids[0]].task_id))
            return report

        return self.desk.submit(
            "update", f"Updating on {len(ids)} attempts", run, key=key, size=len(ids) * config.steps
        )

    def _publish_pace(self, workbench: Any, attempts: Sequence[Attempt], config: SDPOConfig, report: Any) -> None:
        """Seconds per token that an update reads, from the one just made."""
        used = [attempt for attempt in attempts if attempt.id in report.realised]
        reads = sum(
            len(a.prompt_ids) + len(workbench.teacher_prompt(a, config).ids) + 2 * len(a.token_ids) for a in used
        )
        self.desk.publish(pace=report.seconds_s / (config.steps * reads))

    def teacher_lift(self, attempt_ids: Sequence[str], config: SDPOConfig) -> Job:
        """Pass rates of teacher and student at the tasks of these attempts; the job's result is {"student", ...}."""
        ids = list(attempt_ids)
        if not ids or not all(isinstance(one, str) for one in ids):
            raise NoSignalError("There are no attempts to ask the teacher about; sample some first.")

        def run(workbench: Any, job: Job) -> dict[str, Any]:
            found = workbench.teacher_lift([find(workbench, one) for one in ids], config, stop=job.stop)
            return {"student": found.student.to_json(), "teacher": found.teacher.to_json()}

        key = self._lift_key(ids, config)
        return self.desk.submit("lift", "Measuring the teacher lift", run, key=key, size=len(ids))

    def known_lift(self, attempt_ids: Sequence[str], config: SDPOConfig) -> dict[str, Any] | None:
        """What `teacher_lift` has found under the present policy and feedback, or None."""
        found = self.desk.known(self._lift_key(list(attempt_ids), config))
        return found if isinstance(found, dict) else None

    def _lift_key(self, ids: Sequence[str], config: SDPOConfig) -> tuple[Any, ...]:
        groups = self.desk.facts.get("groups", {}).values()
        return self.key("lift", " ".join(ids), config, [a for group in groups for a in group if a.id in ids])

    def held_out(self) -> Job:
        """Measure the held-out pass rate of the head; the job's result is {"passed", "total", "rate", ...}."""
        return self.desk.submit("held-out", MEASURING, self._measure, key=("held-out", object()))

    def _measure_ahead(self, workbench: Any, task: Task) -> None:
        """Let the learning curve grow by itself, behind everything that a person waits for.

        One such job at most waits, and it measures the update that is in force when its turn comes: while people work
        without a pause, it does not come for every update that they pass through.
        """

        def unmeasured(workbench: Any) -> bool:
            return workbench.head not in self.desk.facts["held_out"].get(workbench.pack, {})

        def run(workbench: Any, job: Job) -> None:
            if unmeasured(workbench):
                self._measure(workbench, job)

        if task.environment == "house-rules" and unmeasured(workbench):
            self.desk.submit("held-out", MEASURING, run, priority=AHEAD, key="held-out ahead")

    def _measure(self, workbench: Any, job: Job) -> dict[str, Any]:
        measured: dict[str, Any] = workbench.held_out().to_json()
        pack, known = workbench.pack, self.desk.facts["held_out"]
        by_update = {**known.get(pack, {}), workbench.head: measured}
        self.desk.publish(held_out={**known, pack: by_update}, pack=pack)
        return measured


def detail(workbench: Any, attempt: Attempt, config: SDPOConfig, contexts: str | Sequence[str] | None = None) -> Detail:
    """Score one attempt: its heatmap and the exact prompt that the self-teacher reads.

    `contexts` as in `Workbench.credit`; None takes its default.
    """
    prompt = workbench.teacher_prompt(attempt, config)
    asked = {} if contexts is None else {"contexts": contexts}
    credit = workbench.credit(attempt, config, **asked)
    shown = workbench.shown_to_teacher(attempt, config).demonstration
    return Detail(credit.payload(top=False), prompt.text, tuple(prompt.ids), prompt.shortened, shown, credit)
