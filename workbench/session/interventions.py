"""Interventions: another token is forced at one place of an attempt, and the policy goes on from there.

A credit is a claim about a token. *Testing* it puts the self-teacher's alternative in the token's place, continues
many times from both, judges the results, and gives the change of the pass rate with its interval: cause, not
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
from workbench.session import task_book
from workbench.session.core import OpenRun, SessionCore
from workbench.session.credit_test import KIND, CreditTest, tests_in
from workbench.session.judging import judge_many, prepare_judges
from workbench.session.resuming import RANDOM
from workbench.session.scoring import credit
from workbench.session.writing import OnToken, continued, judged

MOST_CONTINUATIONS = 256  # of each side


def test_credit(
    session: SessionCore,
    attempt: Attempt,
    position: int,
    token_id: int | None = None,
    n: int = 16,
    *,
    config: SDPOConfig | None = None,
    max_new_tokens: int | None = None,
    stop: threading.Event | None = None,
) -> CreditTest:
    """Test whether a token decides if the attempt passes. On disk when it is returned.

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
    with session.lock:
        attempt = session.current(attempt)
        _check_place(attempt, position)
        task = task_book.task(session, attempt.task_id)
        if task.environment == "person":
            raise TaskError(
                f"Task {task.id!r} is judged by a person, so continuations cannot be judged automatically; force "
                "the token and judge the new attempt yourself."
            )
        sampled_id = attempt.token_ids[position]
        forced = _alternative(session, attempt, position, config) if token_id is None else token_id
        _check_token(session, forced)
        if forced == sampled_id:
            raise CreditError(
                f"Token {position + 1} of attempt {attempt.id} is that token already; choose another one to force."
            )
        prepare_judges(session, [task])
        with own_randomness(session.policy, 1 + len(session.run.events(KIND))):
            written = [
                completion
                for token in (sampled_id, forced)
                for completion in continued(
                    session.policy,
                    task,
                    attempt.prompt_ids,
                    _beginning(session, attempt, position, token),
                    _sampling(attempt, max_new_tokens),
                    n,
                    stop=stop,
                )
            ]
        if stop is not None and stop.is_set():
            raise CreditError("The test was stopped before its continuations were complete; nothing was recorded.")
        passed = [
            judgement.passed
            for judgement in judge_many(session, [(task, completion.text) for completion in written], sampled=True)
        ]
        result = CreditTest(
            attempt.id,
            position,
            session.run.head,
            sampled_id,
            token_strings(session.policy.tokenizer, attempt.token_ids)[position],
            forced,
            token_text(session.policy.tokenizer, forced),
            n,
            sum(passed[:n]),
            sum(passed[n:]),
        )
        session.run.append(KIND, to_json(result))
        return result


def force_token(
    session: SessionCore,
    attempt: Attempt,
    position: int,
    token_id: int,
    *,
    max_new_tokens: int | None = None,
    on_token: OnToken | None = None,
    stop: threading.Event | None = None,
) -> Attempt:
    """Make a new attempt of the same group: the attempt's tokens before `position`, `token_id`, then the policy.

    It is judged, remembers its parent (`parent_id`, `forced_at`) and is on disk when it is returned; setting
    `stop` keeps what is there. `max_new_tokens` as in `test_credit`. The forced token was not drawn from the
    policy: a method that learns from rewards alone (GRPO) counts it as if it had been.

    Raises CreditError (no such place or token), FeedbackError (no such attempt), PromptError, SandboxError,
    RunError.
    """
    with session.lock:
        attempt = session.current(attempt)
        _check_place(attempt, position)
        _check_token(session, token_id)
        prepare_judges(session, [task_book.task(session, attempt.task_id)])
        before = session.policy.generator.get_state()
        try:
            written = continued(
                session.policy,
                task_book.task(session, attempt.task_id),
                attempt.prompt_ids,
                _beginning(session, attempt, position, token_id),
                _sampling(attempt, max_new_tokens),
                1,
                on_token=on_token,
                stop=stop,
            )
            judgements = judge_many(
                session, [(completion.task, completion.text) for completion in written], sampled=True
            )
            (alone,) = judged(written, judgements, temperature=attempt.temperature, update_id=session.run.head)
            forced = replace(alone, group_id=attempt.group_id, parent_id=attempt.id, forced_at=position)
            random = session.run.blobs.put({RANDOM: session.policy.generator.get_state()})
            session.run.append("attempt", to_json(forced), (random,))
        except BaseException:
            session.policy.generator.set_state(before)  # nobody will see what was drawn
            raise
        session.attempts_by_id[forced.id] = forced
        return forced


def _alternative(session: SessionCore, attempt: Attempt, position: int, config: SDPOConfig | None) -> int:
    sampled_id = attempt.token_ids[position]
    others = [token for token in credit(session, attempt, config).top(position) if token.id != sampled_id]
    return max(others, key=lambda token: token.teacher_logp).id


def _beginning(session: SessionCore, attempt: Attempt, position: int, token_id: int) -> Sampled:
    """The attempt's tokens up to `position` with `token_id` there, which may end it."""
    ids = (*attempt.token_ids[:position], token_id)
    logps = completion_logps(session.policy, [attempt.prompt_ids], [ids], attempt.temperature)
    return Sampled(
        ids, (*attempt.sampling_logps[:position], float(logps[-1])), finished=token_id in session.policy.eos_ids
    )


def _check_place(attempt: Attempt, position: int) -> None:
    count = len(attempt.token_ids)
    if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < count:
        raise CreditError(
            f"Attempt {attempt.id} has no token at position {position!r}; it has {count}, counted from 0."
        )


def _check_token(session: SessionCore, token_id: int) -> None:
    size = int(session.policy.facts["vocabulary"])
    if isinstance(token_id, bool) or not isinstance(token_id, int) or not 0 <= token_id < size:
        raise CreditError(f"{token_id!r} is not the id of a token; the vocabulary has {size}, counted from 0.")


def _sampling(attempt: Attempt, max_new_tokens: int | None) -> SamplingConfig:
    default = max(SamplingConfig().max_new_tokens, len(attempt.token_ids))
    return SamplingConfig(attempt.temperature, default if max_new_tokens is None else max_new_tokens)


def credit_tests(session: OpenRun) -> list[CreditTest]:
    """Results of testing credits in this run, oldest first; tests of the same two tokens are added up."""
    with session.lock:
        return tests_in(session.run)
