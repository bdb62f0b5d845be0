"""The credit of a session: which material each context is made of, scoring, and putting it on disk.

Between what a run holds and its rounds. Knows nothing of how a prompt is worded or scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from workbench import evidence
from workbench.config import SDPOConfig
from workbench.credit import DEFAULT_CONTEXTS, TokenCredit, grpo_advantage
from workbench.credit.contexts import Contexts, chosen
from workbench.errors import CreditError, PromptError
from workbench.policy.contexts import credit_of
from workbench.policy.prompts import Prompt, teacher_prompt
from workbench.records import Attempt, Task
from workbench.session import credit_store
from workbench.session.checking import CreditCheck, check
from workbench.session.judging import Judging


class CreditBook(Judging):
    """A run and the policy that gives credit to its attempts."""

    _stored: dict[str, str]  # what the credits on disk rest on, and the SHA-256 of each one's blob

    def teacher_prompt(self, attempt: Attempt, config: SDPOConfig | None = None) -> Prompt:
        """The exact prompt under which the self-teacher re-scores an attempt. Raises FeedbackError, PromptError."""
        with self._lock:
            attempt = self._known(attempt)
            config = config or SDPOConfig()
            return self._teacher_prompt(attempt, self._evidence(attempt, config), config)

    def credit(
        self, attempt: Attempt, config: SDPOConfig | None = None, *, contexts: Contexts = DEFAULT_CONTEXTS
    ) -> TokenCredit:
        """What the self-teacher thinks of each token of an attempt; on disk when it is returned.

        `contexts`: "all", or the names of `workbench.credit.CONTEXTS` to score, all in one pass; student and teacher
        always are. One that cannot exist here is left out, and `absent` of the credit says why. Raises
        FeedbackError, PromptError, ConfigError (an unknown context), RunError (disk).
        """
        config = config or SDPOConfig()
        with self._lock:
            attempt = self._known(attempt)
            shown = self._evidence(attempt, config)
            credit, prompts = self._scored(attempt, shown, config, contexts)
            said = self._teacher_prompt(attempt, shown, config).text
            basis = credit_store.Basis(self.run.head, config.teacher, config.teacher_rate, prompts, said)
            credit_store.put(self.run, credit, basis, self._stored)
            return credit

    def what_if(
        self,
        attempt: Attempt,
        *,
        feedback: str = "",
        demonstration: str = "",
        config: SDPOConfig | None = None,
        contexts: Contexts = DEFAULT_CONTEXTS,
    ) -> TokenCredit:
        """The credit that an attempt would get under other evidence; nothing is recorded or changed."""
        with self._lock:
            shown = evidence.Evidence(feedback.strip(), demonstration)
            return self._scored(self._known(attempt), shown, config or SDPOConfig(), contexts)[0]

    def check_credit(self, attempt: Attempt | None = None) -> list[CreditCheck]:
        """Recompute the stored credits (or those of one attempt) in float64, token by token, and compare.

        The policy is left alone. Raises CreditError when nothing is stored, PolicyError for an adapter that cannot be
        applied by hand, RunError for a damaged state.
        """
        with self._lock:
            found = self.credits(attempt)
            if not found:
                of = "this run" if attempt is None else f"attempt {attempt.id}"
                raise CreditError(f"There is no stored credit of {of}; score an attempt with 'credit' first.")
            return check(self.policy, self.run, found)

    def _scored(
        self, attempt: Attempt, shown: evidence.Evidence, config: SDPOConfig, contexts: Contexts
    ) -> tuple[TokenCredit, Mapping[str, Sequence[int]]]:
        prompts, absent = self._material(attempt, shown, config, chosen(contexts))
        group = self._group(attempt)
        rewards = torch.tensor([other.reward for other in group], dtype=torch.float64)
        credit = credit_of(
            self.policy,
            attempt,
            prompts,
            temperature=attempt.temperature,
            teacher=config.teacher,
            rate=config.teacher_rate,
            absent=absent,
            advantage=float(grpo_advantage(rewards)[group.index(attempt)]),
        )
        return credit, prompts

    def _material(
        self, attempt: Attempt, shown: evidence.Evidence, config: SDPOConfig, names: Sequence[str]
    ) -> tuple[dict[str, Sequence[int]], dict[str, str]]:
        """(ids by context, why a context cannot exist here): each context with what this run has to show in it."""
        prompts: dict[str, Sequence[int]] = {}
        absent: dict[str, str] = {}
        for name in names:
            if name in ("student", "base"):
                prompts[name] = attempt.prompt_ids
            elif name == "teacher":
                prompts[name] = self._teacher_prompt(attempt, shown, config).ids
            else:
                try:
                    prompts[name] = self._control_prompt(name, attempt, shown, config).ids
                except evidence.NothingToShow as reason:
                    absent[name] = str(reason)
                except PromptError:
                    absent[name] = "its prompt does not fit the model's context"
        return prompts, absent

    def _control_prompt(self, name: str, attempt: Attempt, shown: evidence.Evidence, config: SDPOConfig) -> Prompt:
        if name == "template_only":
            return self._teacher_prompt(attempt, evidence.Evidence(), config)
        if name == "wrong_feedback":
            others = evidence.nearest_first(attempt, list(self._attempts.values()))
            return self._teacher_prompt(attempt, evidence.with_wrong_feedback(shown, others), config)
        if name == "mismatched_question":
            task = self.task(attempt.task_id)
            tasks = [*self.tasks(task.id.rpartition("/")[0]), *self._tasks.values()]
            return self._teacher_prompt(attempt, shown, config, evidence.other_question(task, tasks))
        if not shown.kind:
            raise evidence.NothingToShow("there is neither feedback nor a demonstration to show without the question")
        return self._teacher_prompt(attempt, shown, config, "")

    def _teacher_prompt(
        self, attempt: Attempt, shown: evidence.Evidence, config: SDPOConfig, question: str | None = None
    ) -> Prompt:
        task: Task = self.task(attempt.task_id)
        return teacher_prompt(
            self.policy,
            task,
            feedback=shown.feedback,
            demonstration=shown.demonstration,
            failed_attempt=shown.failed_attempt,
            question=question,
            config=config,
            max_tokens=self.policy.context_length - max(1, len(attempt.token_ids)),
        )
