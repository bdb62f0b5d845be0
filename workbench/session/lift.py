"""Teacher lift: how much more often the self-teacher would pass than the student, measured before an update.

An update can only teach what the self-teacher knows, and does harm where the teacher is worse than the student. So both
write, in pairs, under the very prompts with which an update would score, and the task's environment judges. By default
they go on from the first token that the teacher blames, and stop as soon as the question whether the teacher is better
is answered; or each writes a number of whole attempts. Nothing is recorded or changed.

Why the early answer can be trusted: the pairs in which just one of the two passes are bets (`statistics.evidence`).
In a round each attempt is continued equally often, and bets are counted at the ends of rounds only. By the inequality
of means such a round is expected to gain no more than if its pairs had been drawn from all attempts at random; so the
limit on false answers holds for the mean over the attempts, although some are easier than others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from workbench.config import MOST_PAIRS, PAIRS_AT_ONCE, SamplingConfig, SDPOConfig
from workbench.errors import NoSignalError, TaskError
from workbench.policy.policy import Weights
from workbench.policy.prompts import student_prompt, teacher_prompt
from workbench.policy.sampling import LIVE, completion_text, sample
from workbench.policy.teacher import teacher_weights
from workbench.probe import own_randomness
from workbench.records import Attempt, Task
from workbench.session import task_book
from workbench.session.core import SessionCore
from workbench.session.doubts import Informed, doubts, first_blamed
from workbench.session.judging import judge_many, prepare_judges
from workbench.session.scoring import render_teacher_prompt, scored
from workbench.session.teaching import context_for
from workbench.statistics import HeldOut, evidence
from workbench.teacher_context import is_taught

Verdict = Literal["better", "not better", "unknown"]
OnPairs = Callable[[int, int], None]  # (pairs so far, pairs at most)

FALSE_ANSWERS = 0.05  # at most, whatever the truth is


@dataclass(frozen=True, slots=True)
class TeacherLift:
    """Pass rates of pairs of completions by student and self-teacher, each pair from one place of one attempt."""

    student: HeldOut
    teacher: HeldOut
    won: int  # pairs in which the teacher alone passed
    lost: int  # pairs in which the student alone passed
    tokens: int  # written by both
    attempts: int  # that the pairs begin in
    doubts: tuple[str, ...] = ()  # why the teacher may be no better, and what helps: a sentence each

    @property
    def change(self) -> float:
        """The teacher's pass rate minus the student's, -1 to 1."""
        return self.teacher.rate - self.student.rate

    @property
    def verdict(self) -> Verdict:
        """Answer to the question whether the teacher is better; false at most `FALSE_ANSWERS` of the time."""
        if evidence(self.won, self.lost) >= 1 / FALSE_ANSWERS:
            return "better"
        return "not better" if evidence(self.lost, self.won) >= 1 / FALSE_ANSWERS else "unknown"

    def to_json(self) -> dict[str, Any]:
        """Plain data, the intervals and the verdict spelled out."""
        rates = {"student": self.student.to_json(), "teacher": self.teacher.to_json()}
        counts = {name: getattr(self, name) for name in ("won", "lost", "tokens", "attempts")}
        return {**rates, **counts, "verdict": self.verdict, "doubts": list(self.doubts), "sentence": str(self)}

    def __str__(self) -> str:
        rates = (
            f"teacher {self.teacher.passed} of {self.teacher.total}, student {self.student.passed} of "
            f"{self.student.total}"
        )
        answers = {
            "better": "the teacher is better here",
            "not better": "the teacher is not better here",
            "unknown": "that does not tell whether the teacher is better",
        }
        return f"{rates}: {answers[self.verdict]}"


def teacher_lift(
    session: SessionCore,
    attempts: Sequence[Attempt],
    config: SDPOConfig | None = None,
    *,
    n: int | None = None,
    whole: bool = False,
    on_progress: OnPairs | None = None,
    stop: threading.Event | None = None,
) -> TeacherLift:
    """Measure whether the self-teacher passes oftener than the student at the tasks of these attempts.

    For each attempt that an update would ask the teacher about, both continue it from the first token that the teacher
    blames (`doubts.first_blamed`). `n`: pairs of each attempt; None: until the verdict is known, at most `MOST_PAIRS`
    in all (or one of each). `whole`: both write whole attempts instead. `on_progress(pairs so far, at most)` is called
    after each round. Random numbers are its own, the same ones each time; `stop` ends the measurement at the next
    token, and the rounds that are complete count.

    Raises NoSignalError (the update would ask no teacher), TaskError (a person judges, `n` < 1, or stopped before the
    first round was complete), PromptError, SandboxError.
    """
    config = config or SDPOConfig()
    if n is not None and n < 1:
        raise TaskError(f"{n} pairs of each attempt were asked for; ask for at least 1.")
    with session.lock:
        informed = _informed(session, [session.current(attempt) for attempt in attempts], config, whole)
        pairs = _Pairs(session, informed, config, stop)
        most = n or max(1, MOST_PAIRS // len(informed))  # of each attempt
        step = -(-(PAIRS_AT_ONCE if n is None else MOST_PAIRS) // len(informed))  # of each attempt, in one round
        lift = TeacherLift(HeldOut(0, 0), HeldOut(0, 0), 0, 0, 0, len(informed))
        with own_randomness(session.policy, 2):
            for done in range(0, most, step):
                more = pairs.played(min(step, most - done))
                if more is None:
                    break
                lift = _added(lift, more)
                if on_progress is not None:
                    on_progress(lift.teacher.total, most * len(informed))
                if n is None and lift.verdict != "unknown":
                    break
        if not lift.teacher.total:
            raise TaskError("The measurement was stopped before its first pairs were complete; nothing was measured.")
        return lift if lift.verdict == "better" else replace(lift, doubts=doubts(informed, config, lift.change))


def _informed(session: SessionCore, attempts: Sequence[Attempt], config: SDPOConfig, whole: bool) -> list[Informed]:
    """The attempts that an update would ask the teacher about, with what it is shown and where both begin."""
    shown = [(attempt, context_for(session, attempt, config)) for attempt in attempts]
    taught = [(attempt, context) for attempt, context in shown if is_taught(attempt, context, config)]
    if not taught:
        raise NoSignalError(
            f"An update with the method {config.method} asks no self-teacher about these attempts, so there is none to "
            "measure; choose sdpo."
            if any(context.kind for _, context in shown)
            else "No attempt has feedback or a demonstration, so there is no teacher to measure; give feedback to one."
        )
    tasks = [task_book.task(session, attempt.task_id) for attempt, _ in taught]
    if any(task.environment == "person" for task in tasks):
        raise TaskError("A person judges this task, so the teacher's attempts cannot be judged automatically.")
    prepare_judges(session, tasks)
    informed = []
    for attempt, context in taught:
        credit, _ = scored(session, attempt, context, config, ())
        prompt = render_teacher_prompt(session, attempt, context, config)
        informed.append(Informed(attempt, context, credit, tuple(prompt.ids), 0 if whole else first_blamed(credit)))
    return informed


class _Pairs:
    """Pairs of completions by student and teacher that begin at the same places, and their verdicts."""

    def __init__(
        self, session: SessionCore, informed: Sequence[Informed], config: SDPOConfig, stop: threading.Event | None
    ) -> None:
        self.session, self.informed, self.stop = session, informed, stop
        self.weights = teacher_weights(config.teacher, config.teacher_rate)
        self.tasks = [task_book.task(session, each.attempt.task_id) for each in informed]
        self.verdicts: dict[tuple[str, str], bool] = {}  # by task and text: many completions are alike
        # Both sides may write as much: what an attempt may by default, or what these took, where both prompts allow it.
        longest = max(SamplingConfig().max_new_tokens, *(len(each.attempt.token_ids) for each in informed))
        read = max(max(len(each.attempt.prompt_ids), len(each.teacher_ids)) + each.start for each in informed)
        room = min(longest - min(each.start for each in informed), session.policy.context_length - read)
        self.sampling = SamplingConfig(informed[0].attempt.temperature, max(1, room))

    def played(self, count: int) -> TeacherLift | None:
        """`count` pairs of each attempt; None where it was stopped before they were complete."""
        student, of_student = self._passed([each.attempt.prompt_ids for each in self.informed], LIVE, count)
        teacher, of_teacher = self._passed([each.teacher_ids for each in self.informed], self.weights, count)
        if self.stop is not None and self.stop.is_set():
            return None
        won = sum(taught and not alone for taught, alone in zip(teacher, student, strict=True))
        lost = sum(alone and not taught for taught, alone in zip(teacher, student, strict=True))
        passed_alone, passed_taught = (HeldOut(sum(passed), len(passed)) for passed in (student, teacher))
        return TeacherLift(passed_alone, passed_taught, won, lost, of_student + of_teacher, len(self.informed))

    def _passed(
        self, prompts: Sequence[Sequence[int]], weights: Mapping[Weights, float], count: int
    ) -> tuple[list[bool], int]:
        """Verdicts on `count` completions under each prompt, and the number of tokens written."""
        beginnings = [each.attempt.token_ids[: each.start] for each in self.informed for _ in range(count)]
        read = [prompt for prompt in prompts for _ in range(count)]
        drawn = sample(
            self.session.policy,
            [[*prompt, *beginning] for prompt, beginning in zip(read, beginnings, strict=True)],
            self.sampling,
            weights=weights,
            stop=self.stop.is_set if self.stop else None,
        )
        if self.stop is not None and self.stop.is_set():
            return [], 0
        texts = [
            completion_text(self.session.policy, (*beginning, *sampled.token_ids))
            for beginning, sampled in zip(beginnings, drawn, strict=True)
        ]
        passed = self._judged([task for task in self.tasks for _ in range(count)], texts)
        return passed, sum(len(sampled.token_ids) for sampled in drawn)

    def _judged(self, tasks: Sequence[Task], texts: Sequence[str]) -> list[bool]:
        keys = [(task.id, text) for task, text in zip(tasks, texts, strict=True)]
        answers = dict(zip(keys, zip(tasks, texts, strict=True), strict=True))
        new = {key: answer for key, answer in answers.items() if key not in self.verdicts}
        judgements = judge_many(self.session, list(new.values()), sampled=True)
        self.verdicts |= {key: judgement.passed for key, judgement in zip(new, judgements, strict=True)}
        return [self.verdicts[key] for key in keys]


def _added(lift: TeacherLift, more: TeacherLift) -> TeacherLift:
    return replace(
        lift,
        student=HeldOut(lift.student.passed + more.student.passed, lift.student.total + more.student.total),
        teacher=HeldOut(lift.teacher.passed + more.teacher.passed, lift.teacher.total + more.teacher.total),
        won=lift.won + more.won,
        lost=lift.lost + more.lost,
        tokens=lift.tokens + more.tokens,
    )


def answers_with(
    session: SessionCore,
    shown: Sequence[tuple[Task, str]],
    config: SDPOConfig | None = None,
    *,
    n: int = 4,
    max_new_tokens: int,
    stop: threading.Event | None = None,
) -> HeldOut:
    """Pass rate of `n` answers to each task, written with a remark on it in the prompt, which is the self-teacher's.

    `shown`: tasks with their remarks; "" gives the student's own prompt. The weights are the policy's own; nothing is
    recorded. Raises PromptError, SandboxError.
    """
    with session.lock:
        policy = session.policy
        prompts = [
            teacher_prompt(policy, task, feedback=remark, config=config) if remark else student_prompt(policy, task)
            for task, remark in shown
        ]
        sampling = SamplingConfig(max_new_tokens=max_new_tokens)
        repeated = [list(prompt.ids) for prompt in prompts for _ in range(n)]
        drawn = sample(policy, repeated, sampling, stop=stop.is_set if stop else None)
        texts = [completion_text(policy, sampled.token_ids) for sampled in drawn]
        tasks = [task for task, _ in shown for _ in range(n)]
        verdicts = judge_many(session, list(zip(tasks, texts, strict=True)), sampled=True)
        return HeldOut(sum(verdict.passed for verdict in verdicts), len(verdicts))
