"""Interventions on the real embedded policy: what is forced is there, what is found is counted, all of it is durable.

The task is one that an end token alone decides, so that the pass rates are known whatever the policy can do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workbench import Workbench
from workbench.config import SamplingConfig
from workbench.errors import CreditError, FeedbackError, TaskError
from workbench.policy.scoring import completion_logps
from workbench.records import Attempt, Task
from workbench.runs import Run
from workbench.statistics import newcombe, wilson

SHORT = SamplingConfig(max_new_tokens=12)
PROMPT = "Write f(xs): sort, then take 3."


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench.open(tmp_path_factory.mktemp("intervention") / "run") as workbench:
        yield workbench


def task_of(workbench: Workbench, name: str, pattern: str) -> Task:
    return workbench.add_task(prompt=PROMPT, environment="regex", answer={"pattern": pattern}, name=name)


def first_token(workbench: Workbench, attempt: Attempt) -> str:
    return workbench.policy.tokenizer.decode(attempt.token_ids[:1])


@pytest.fixture(scope="module")
def attempt(shared: Workbench) -> Attempt:
    return shared.attempt(task_of(shared, "any", "never written"), 1, sampling=SHORT)[0]


def test_an_end_token_decides_and_the_test_says_so(shared: Workbench, attempt: Attempt) -> None:
    """Nothing at all passes only with the end token first; something passes only with the attempt's own token."""
    end = shared.policy.eos_ids[0]
    something = shared.attempt(task_of(shared, "something", r"^def"), 1, sampling=SHORT)[0]
    result = shared.test_credit(something, 0, end, n=5, max_new_tokens=6)
    assert (result.passed, result.passed_forced, result.change) == (5, 0, -1.0)
    assert result.interval == newcombe(0, 5, 5, 5) and result.interval[1] < 0
    nothing = shared.attempt(task_of(shared, "nothing", r"^$"), 1, sampling=SHORT)[0]
    turned = shared.test_credit(nothing, 0, end, n=5, max_new_tokens=6)
    assert (turned.passed, turned.passed_forced, turned.change) == (0, 5, 1.0)
    assert (turned.token, turned.token_id) == (first_token(shared, nothing), nothing.token_ids[0])


def test_a_test_draws_anew_each_time_and_leaves_the_policy_alone(shared: Workbench, attempt: Attempt) -> None:
    before = shared.policy.state()
    first = shared.test_credit(attempt, 2, n=3, max_new_tokens=6)
    second = shared.test_credit(attempt, 2, n=3, max_new_tokens=6)
    after = shared.policy.state()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(shared.attempts()) == len({attempt.id for attempt in shared.attempts()})
    assert [event.data["n"] for event in shared.run.events("credit-test")[-2:]] == [3, 3]
    together = shared.credit_tests()[-1]
    assert together == replace(first, n=6, passed=first.passed + second.passed, passed_forced=together.passed_forced)
    assert together.passed_forced == first.passed_forced + second.passed_forced


def test_without_a_token_the_teachers_favourite_other_one_is_forced(shared: Workbench, attempt: Attempt) -> None:
    others = [token for token in shared.credit(attempt).top(3) if token.id != attempt.token_ids[3]]
    favourite = max(others, key=lambda token: token.teacher_logp)
    result = shared.test_credit(attempt, 3, n=1, max_new_tokens=5)
    assert (result.forced_id, result.forced) == (favourite.id, favourite.text)


def test_a_forced_attempt_joins_the_group_and_remembers_its_parent(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "run") as workbench:
        parent = workbench.attempt(task_of(workbench, "any", "never written"), 2, sampling=SHORT)[1]
        other = next(token.id for token in workbench.credit(parent).top(4) if token.id != parent.token_ids[4])
        seen: list[str] = []
        forced = workbench.force_token(parent, 4, other, on_token=lambda index, text: seen.append(text))
        assert forced.token_ids[:5] == (*parent.token_ids[:4], other)
        assert (forced.parent_id, forced.forced_at, forced.group_id) == (parent.id, 4, parent.group_id)
        assert forced.sampling_logps[:4] == parent.sampling_logps[:4]
        scored = completion_logps(workbench.policy, [forced.prompt_ids], [forced.token_ids], 1.0).tolist()
        assert list(forced.sampling_logps) == pytest.approx(scored, abs=1e-4)
        assert seen and forced.text.startswith(seen[0]) and seen[-1] == forced.text
        assert workbench.credit(forced).token_ids == forced.token_ids
        workbench.give_feedback(forced, text="sort descending.")
        forced = workbench.attempts()[-1]
        workbench.update([forced])
        workbench.undo()
        assert workbench.attempts()[-1] == forced
        state = workbench.policy.state()["random/sampling"]
    with Workbench.open(tmp_path / "run") as again:
        assert again.attempts()[-1] == forced
        assert torch.equal(again.policy.state()["random/sampling"], state)
    with Run.open(tmp_path / "run", read_only=True) as witness:
        assert witness.events("attempt")[-1].data["parent_id"] == parent.id


def test_rewards_are_of_what_the_policy_wrote_by_itself(shared: Workbench) -> None:
    task = shared.add_task(prompt=PROMPT, environment="person", name="rewarded")
    first, second = shared.attempt(task, 2, sampling=SHORT)
    shared.give_feedback(first, reward=0.5)
    shared.force_token(first, 0, shared.policy.eos_ids[0])
    shared.attempt(task, 1, sampling=SHORT, turns=[(second.text, "no.")])
    assert shared.rewards(task) == {task.id: {"root": [0.5, 0.0]}}
    assert shared.rewards()[task.id] == {"root": [0.5, 0.0]}


def test_an_end_token_that_is_forced_ends_the_attempt(shared: Workbench, attempt: Attempt) -> None:
    end = shared.policy.eos_ids[0]
    ended = shared.force_token(attempt, 2, end)
    assert ended.token_ids == (*attempt.token_ids[:2], end) and ended.finished


def test_a_stopped_test_records_nothing_and_a_stopped_force_keeps_what_is_there(
    shared: Workbench, attempt: Attempt
) -> None:
    stop = threading.Event()
    stop.set()
    count = len(shared.credit_tests())
    with pytest.raises(CreditError, match="nothing was recorded"):
        shared.test_credit(attempt, 2, n=2, stop=stop)
    assert len(shared.credit_tests()) == count
    kept = shared.force_token(attempt, 2, attempt.token_ids[2], stop=stop)
    assert kept.token_ids == attempt.token_ids[:3] and not kept.finished


def test_mistakes_get_one_sentence(shared: Workbench, attempt: Attempt) -> None:
    sampled_id = attempt.token_ids[0]
    with pytest.raises(CreditError, match=r"no token at position 99; it has 12, counted from 0"):
        shared.test_credit(attempt, 99)
    with pytest.raises(CreditError, match=r"-1 is not the id of a token"):
        shared.force_token(attempt, 0, -1)
    with pytest.raises(CreditError, match=r"is that token already"):
        shared.test_credit(attempt, 0, sampled_id)
    with pytest.raises(CreditError, match=r"ask for 1 to 256"):
        shared.test_credit(attempt, 0, n=0)
    person = shared.add_task(prompt=PROMPT, environment="person", name="person")
    mine = shared.attempt(person, 1, sampling=SHORT)[0]
    with pytest.raises(TaskError, match="judged by a person"):
        shared.test_credit(mine, 0)
    with Workbench.open(shared.run.path.parent / "other") as other, pytest.raises(FeedbackError, match="no attempt"):
        other.force_token(attempt, 0, sampled_id)


def test_the_interval_is_newcombes() -> None:
    """Method 10's published example: 56/70 against 48/80 gives 0.0524 to 0.3339."""
    low, high = newcombe(56, 70, 48, 80)
    assert (low, high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    assert newcombe(0, 16, 16, 16) == (-1.0, pytest.approx(-1.0 + (wilson(0, 16)[1] ** 2 * 2) ** 0.5))
    assert newcombe(1, 2, 0, 0) == (-1.0, 1.0)
