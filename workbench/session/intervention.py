"""Interventions: another token is forced at one place of an attempt, and the policy goes on from there.

A credit is a claim about a token. *Testing* it puts the self-teacher's alternative in the token's place, continues
many times from both, judges what comes out, and gives the change of the pass rate with its interval: cause, not
correlation. *Forcing* makes one such continuation an attempt of the group. Knows nothing of pages.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import CreditError, TaskError
from workbench.policy.contexts import token_strings, token_text
from workbench.policy.sampling import Sampled
from workbench.policy.scoring import completion_logps
from workbench.probe import own_randomness
from workbench.records import Attempt, to_json
from workbench.session.attempts import OnToken, continued, judged
from workbench.session.credit import CreditBook
from workbench.session.credit_test import KIND, CreditTest
from workbench.session.resuming import RANDOM

MOST_CONTINUATIONS = 256  # of each side


class Interventions(CreditBook):
    """A credit book whose claims can be tried out."""

    def test_credit(
        self,
        attempt: Attempt,
        position: int,
        token_id: int | None = None,
        n: int = 16,
        *,
        config: SDPOConfig | None = None,
        max_new_tokens: int | None = None,
        stop: threading.Event | None = None,
    ) -> CreditTest:
        """Does this token decide whether the attempt passes? On disk when it is returned.

        The current policy continues `n` times after the attempt's tokens before `position` (from 0) and its own token
        there, and `n` times with `token_id` instead; all are judged, and none becomes an attempt. `token_id` None
        takes the self-teacher's likeliest other token under `config`. `max_new_tokens` bounds a whole attempt (None:
        96, or the attempt's length where that is more). Random numbers are its own, new ones at each test; the
        policy's are left alone.

        Raises CreditError (no such place or token, the attempt's own token, a bad `n`, stopped), TaskError (a person
        judges this task), FeedbackError (no such attempt), PromptError, SandboxError, RunError.
        """
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_CONTINUATIONS:
            raise CreditError(f"{n!r} continuations were asked for; ask for 1 to {MOST_CONTINUATIONS}.")
        with self._lock:
            attempt = self._known(attempt)
            self._check_place(attempt, position)
            task = self.task(attempt.task_id)
            if task.environment == "person":
                raise TaskError(
                    f"Task {task.id!r} is judged by a person, so continuations cannot be verified; force the token and "
                    "judge what comes of it."
                )
            own = attempt.token_ids[position]
            forced = self._alternative(attempt, position, config) if token_id is None else token_id
            self._check_token(forced)
            if forced == own:
                raise CreditError(
                    f"Token {position + 1} of attempt {attempt.id} is that token already; choose another one to force."
                )
            self.prepare_judges([task])
            with own_randomness(self.policy, 1 + len(self.run.events(KIND))):
                written = [
                    one
                    for token in (own, forced)
                    for one in continued(
                        self.policy,
                        task,
                        attempt.prompt_ids,
                        self._beginning(attempt, position, token),
                        _sampling(attempt, max_new_tokens),
                        n,
                        stop=stop,
                    )
                ]
            if stop is not None and stop.is_set():
                raise CreditError("The test was stopped before its continuations were complete; nothing was recorded.")
            passed = [judgement.passed for judgement in self.judge_many([(task, one.text) for one in written])]
            found = CreditTest(
                attempt.id,
                position,
                self.run.head,
                own,
                token_strings(self.policy.tokenizer, attempt.token_ids)[position],
                forced,
                token_text(self.policy.tokenizer, forced),
                n,
                sum(passed[:n]),
                sum(passed[n:]),
            )
            self.run.append(KIND, to_json(found))
            return found

    def force_token(
        self,
        attempt: Attempt,
        position: int,
        token_id: int,
        *,
        max_new_tokens: int | None = None,
        on_token: OnToken | None = None,
        stop: threading.Event | None = None,
    ) -> Attempt:
        """A new attempt of the same group: the attempt's tokens before `position`, then `token_id`, then the policy.

        It is judged, remembers its parent (`parent_id`, `forced_at`) and is on disk when it is returned; setting
        `stop` keeps what is there. `max_new_tokens` as in `test_credit`. The forced token was not drawn from the
        policy: a method that learns from rewards alone (GRPO) counts it as if it had been.

        Raises CreditError (no such place or token), FeedbackError (no such attempt), PromptError, SandboxError,
        RunError.
        """
        with self._lock:
            attempt = self._known(attempt)
            self._check_place(attempt, position)
            self._check_token(token_id)
            self.prepare_judges([self.task(attempt.task_id)])
            before = self.policy.generator.get_state()
            try:
                written = continued(
                    self.policy,
                    self.task(attempt.task_id),
                    attempt.prompt_ids,
                    self._beginning(attempt, position, token_id),
                    _sampling(attempt, max_new_tokens),
                    1,
                    on_token=on_token,
                    stop=stop,
                )
                judgements = self.judge_many([(one.task, one.text) for one in written])
                (alone,) = judged(written, judgements, temperature=attempt.temperature, update_id=self.run.head)
                forced = replace(alone, group_id=attempt.group_id, parent_id=attempt.id, forced_at=position)
                random = self.run.blobs.put({RANDOM: self.policy.generator.get_state()})
                self.run.append("attempt", to_json(forced), (random,))
            except BaseException:
                self.policy.generator.set_state(before)  # nothing was drawn that anyone will see
                raise
            self._attempts[forced.id] = forced
            return forced

    def _alternative(self, attempt: Attempt, position: int, config: SDPOConfig | None) -> int:
        own = attempt.token_ids[position]
        others = [token for token in self.credit(attempt, config).top(position) if token.id != own]
        return max(others, key=lambda token: token.teacher_logp).id

    def _beginning(self, attempt: Attempt, position: int, token_id: int) -> Sampled:
        """The attempt's tokens up to `position` with `token_id` there, which may end it."""
        ids = (*attempt.token_ids[:position], token_id)
        logps = completion_logps(self.policy, [attempt.prompt_ids], [ids], attempt.temperature)
        return Sampled(
            ids, (*attempt.sampling_logps[:position], float(logps[-1])), finished=token_id in self.policy.eos_ids
        )

    @staticmethod
    def _check_place(attempt: Attempt, position: int) -> None:
        count = len(attempt.token_ids)
        if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < count:
            raise CreditError(
                f"Attempt {attempt.id} has no token at position {position!r}; it has {count}, counted from 0."
            )

    def _check_token(self, token_id: int) -> None:
        size = int(self.policy.facts["vocabulary"])
        if isinstance(token_id, bool) or not isinstance(token_id, int) or not 0 <= token_id < size:
            raise CreditError(f"{token_id!r} is not the id of a token; the vocabulary has {size}, counted from 0.")


def _sampling(attempt: Attempt, max_new_tokens: int | None) -> SamplingConfig:
    default = max(SamplingConfig().max_new_tokens, len(attempt.token_ids))
    return SamplingConfig(attempt.temperature, default if max_new_tokens is None else max_new_tokens)
