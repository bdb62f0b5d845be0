"""Teacher lift: how much oftener the self-teacher would pass than the student, measured before an update is made.

An update can only teach what the self-teacher knows. So it is asked to write attempts itself, with the weights and
under the very prompts with which it would score; the student writes as many. Nothing is recorded or changed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import NoSignalError, TaskError
from workbench.policy.policy import Weights
from workbench.policy.sampling import LIVE, sample
from workbench.policy.teacher import teacher_weights
from workbench.probe import own_randomness
from workbench.records import Attempt
from workbench.session.credit import CreditBook
from workbench.statistics import HeldOut

LONGEST = 256  # tokens of an attempt, where a longer one would only cost time


@dataclass(frozen=True, slots=True)
class TeacherLift:
    """Pass rates at the same tasks, with their intervals; of the attempts that have a teacher to ask."""

    student: HeldOut
    teacher: HeldOut

    @property
    def change(self) -> float:
        """The teacher's pass rate minus the student's, -1 to 1."""
        return self.teacher.rate - self.student.rate


class TeacherLifts(CreditBook):
    """A credit book that can ask what its self-teacher is worth."""

    def teacher_lift(
        self,
        attempts: Sequence[Attempt],
        config: SDPOConfig | None = None,
        *,
        n: int = 4,
        stop: threading.Event | None = None,
    ) -> TeacherLift:
        """Let the self-teacher of each informed attempt write `n` attempts, and the student `n` at the same task.

        Random numbers are its own, the same ones each time; `stop` ends the writing early, and what is there counts.
        Raises NoSignalError (no attempt has feedback or a demonstration), TaskError (a person judges, or `n` < 1),
        PromptError, SandboxError.
        """
        config = config or SDPOConfig()
        if n < 1:
            raise TaskError(f"{n} attempts of each were asked for; ask for at least 1.")
        with self._lock:
            shown = [(one, self._evidence(one, config)) for one in map(self._known, attempts)]
            informed = [(one, known) for one, known in shown if known.kind]
            if not informed:
                raise NoSignalError("No attempt has feedback or a demonstration, so there is no teacher to ask.")
            if any(self.task(one.task_id).environment == "person" for one, _ in informed):
                raise TaskError("A person judges this task, so the teacher's attempts cannot be judged by themselves.")
            self.prepare_judges([self.task(one.task_id) for one, _ in informed])
            prompts = [list(one.prompt_ids) for one, _ in informed]
            taught = [list(self._teacher_prompt(one, known, config).ids) for one, known in informed]
            weights = teacher_weights(config.teacher, config.teacher_rate)
            owners = [one for one, _ in informed]
            return TeacherLift(
                self._passed(owners, prompts, LIVE, n, stop), self._passed(owners, taught, weights, n, stop)
            )

    def _passed(
        self,
        owners: Sequence[Attempt],
        prompts: Sequence[Sequence[int]],
        weights: Mapping[Weights, float],
        n: int,
        stop: threading.Event | None,
    ) -> HeldOut:
        """Pass rate of `n` attempts under each prompt."""
        room = self.policy.context_length - max(map(len, prompts))
        sampling = SamplingConfig(owners[0].temperature, min(LONGEST, max(1, room)))
        with own_randomness(self.policy, 2):
            asked = [prompt for prompt in prompts for _ in range(n)]
            drawn = sample(self.policy, asked, sampling, weights=weights, stop=stop.is_set if stop else None)
        texts = [
            self.policy.tokenizer.decode(
                list(one.token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            for one in drawn
        ]
        tasks = [self.task(owner.task_id) for owner in owners for _ in range(n)]
        verdicts = self.judge_many(list(zip(tasks, texts, strict=True)))
        return HeldOut(sum(verdict.passed for verdict in verdicts), len(verdicts))
