"""The credit of a session: which material each context is made of, scoring, and putting it on disk.

The middle of a session: between its tasks and its rounds. Knows nothing of how a prompt is worded or scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from workbench import evidence
from workbench.config import SDPOConfig
from workbench.credit import DEFAULT_CONTEXTS, VIEWS, TokenCredit, grpo_advantage
from workbench.credit.contexts import Contexts, chosen
from workbench.errors import ConfigError, CreditError, FeedbackError, PromptError
from workbench.policy import Policy
from workbench.policy.contexts import credit_of
from workbench.policy.prompts import Prompt, teacher_prompt
from workbench.records import Attempt, Ledger, Task
from workbench.session import credit_store
from workbench.session.checking import CreditCheck, check
from workbench.session.selection import Spans, selected
from workbench.session.tasks import TaskBook


class CreditBook(TaskBook):
    """A run, its tasks and the policy that gives credit to its attempts."""

    policy: Policy
    _attempts: dict[str, Attempt]
    _stored: set[str]  # what the credits on disk rest on

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
            credit, prompts = self._scored(attempt, self._evidence(attempt, config), config, contexts)
            basis = credit_store.Basis(self.run.head, config.teacher, config.teacher_rate, prompts)
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

    @staticmethod
    def contexts_of(view: str) -> tuple[str, ...]:
        """The contexts to ask `credit` for so that it can be read as this view. Raises ConfigError for another name."""
        if view not in VIEWS:
            raise ConfigError(f"There is no view named {view!r}; there are {', '.join(VIEWS)}.")
        return chosen({*DEFAULT_CONTEXTS, *VIEWS[view].needs})

    def credits(self, attempt: Attempt | None = None) -> list[credit_store.StoredCredit]:
        """Every credit of this run (or of one attempt) with what it was computed from, oldest first."""
        with self._lock:
            return credit_store.stored(self.run, None if attempt is None else self._known(attempt).id)

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

    def ledger(
        self, attempts: Sequence[Attempt], config: SDPOConfig | None = None, *, spans: Spans | None = None
    ) -> tuple[Ledger, ...]:
        """Which attempts give signal to an update, and why not the others; `spans` as in `update`."""
        config = config or SDPOConfig()
        with self._lock:
            known = [self._known(attempt) for attempt in attempts]
            chosen = selected(spans, known)
            return tuple(
                evidence.explain(one, self._evidence(one, config), known, config, chosen.get(one.id)) for one in known
            )

    def _scored(
        self, attempt: Attempt, shown: evidence.Evidence, config: SDPOConfig, contexts: Contexts
    ) -> tuple[TokenCredit, Mapping[str, Sequence[int]]]:
        prompts, absent = self._material(attempt, shown, chosen(contexts))
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
        self, attempt: Attempt, shown: evidence.Evidence, names: Sequence[str]
    ) -> tuple[dict[str, Sequence[int]], dict[str, str]]:
        """(ids by context, why a context cannot exist here): each context with what this run has to show in it."""
        prompts: dict[str, Sequence[int]] = {}
        absent: dict[str, str] = {}
        for name in names:
            if name in ("student", "base"):
                prompts[name] = attempt.prompt_ids
            elif name == "teacher":
                prompts[name] = self._teacher_prompt(attempt, shown).ids
            else:
                try:
                    prompts[name] = self._control_prompt(name, attempt, shown).ids
                except evidence.NothingToShow as reason:
                    absent[name] = str(reason)
                except PromptError:
                    absent[name] = "its prompt does not fit the model's context"
        return prompts, absent

    def _control_prompt(self, name: str, attempt: Attempt, shown: evidence.Evidence) -> Prompt:
        if name == "template_only":
            return self._teacher_prompt(attempt, evidence.Evidence())
        if name == "wrong_feedback":
            others = evidence.nearest_first(attempt, list(self._attempts.values()))
            return self._teacher_prompt(attempt, evidence.with_wrong_feedback(shown, others))
        if name == "mismatched_question":
            task = self.task(attempt.task_id)
            tasks = [*self.tasks(task.id.rpartition("/")[0]), *self._tasks.values()]
            return self._teacher_prompt(attempt, shown, evidence.other_question(task, tasks))
        if not shown.kind:
            raise evidence.NothingToShow("there is neither feedback nor a demonstration to show without the question")
        return self._teacher_prompt(attempt, shown, "")

    def _teacher_prompt(self, attempt: Attempt, shown: evidence.Evidence, question: str | None = None) -> Prompt:
        task: Task = self.task(attempt.task_id)
        return teacher_prompt(
            self.policy,
            task,
            feedback=shown.feedback,
            demonstration=shown.demonstration,
            failed_attempt=shown.failed_attempt,
            question=question,
            max_tokens=self.policy.context_length - max(1, len(attempt.token_ids)),
        )
