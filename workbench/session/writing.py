"""Writing and judging a group of attempts. Knows nothing of runs and their files."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from workbench.config import SamplingConfig
from workbench.policy import Policy
from workbench.policy.prompts import Earlier, conversation_prompt, student_prompt
from workbench.policy.sampling import Sampled, completion_text, sample
from workbench.records import Attempt, Judgement, Task
from workbench.tasks import is_rubric

OnToken = Callable[[int, str], None]  # (index of the attempt, its text so far)


@dataclass(frozen=True, slots=True)
class Written:
    """One completion of a task's prompt, not yet judged."""

    task: Task
    prompt_ids: tuple[int, ...]
    sampled: Sampled
    text: str


def write(
    policy: Policy,
    tasks: Sequence[Task],
    sampling: SamplingConfig,
    *,
    turns: Mapping[str, Sequence[Earlier]] = MappingProxyType({}),
    on_token: OnToken | None = None,
    stop: threading.Event | None = None,
) -> list[Written]:
    """Sample one completion for each task (a task may occur several times), in one batch.

    `turns`: by task id, earlier attempts that stay in the prompt, the oldest left out where they do not fit.
    Raises PromptError when a prompt cannot be rendered or does not fit.
    """
    room = policy.context_length - sampling.max_new_tokens
    prompts = {
        task.id: conversation_prompt(policy, task, earlier, max_tokens=room)
        if (earlier := turns.get(task.id))
        else student_prompt(policy, task)
        for task in tasks
    }
    drawn = sample(
        policy,
        [prompts[task.id].ids for task in tasks],
        sampling,
        on_token=_reporter(policy, [[] for _ in tasks], on_token),
        stop=stop.is_set if stop else None,
    )
    return [
        Written(task, prompts[task.id].ids, completion, completion_text(policy, completion.token_ids))
        for task, completion in zip(tasks, drawn, strict=True)
    ]


def continued(
    policy: Policy,
    task: Task,
    prompt_ids: Sequence[int],
    beginning: Sampled,
    sampling: SamplingConfig,
    n: int,
    *,
    on_token: OnToken | None = None,
    stop: threading.Event | None = None,
) -> list[Written]:
    """Sample `n` completions of a prompt that begin with the same tokens, at most `sampling.max_new_tokens` with them.

    Nothing is drawn where the beginning ends the attempt or fills the limit. Raises PromptError when they do not fit.
    """
    left = sampling.max_new_tokens - len(beginning.token_ids)
    drawn = [Sampled((), (), beginning.finished)] * n
    if left > 0 and not beginning.finished:
        drawn = sample(
            policy,
            [[*prompt_ids, *beginning.token_ids]] * n,
            replace(sampling, max_new_tokens=left),
            on_token=_reporter(policy, [list(beginning.token_ids) for _ in drawn], on_token),
            stop=stop.is_set if stop else None,
        )
    completions = [
        Sampled((*beginning.token_ids, *sampled.token_ids), (*beginning.logps, *sampled.logps), sampled.finished)
        for sampled in drawn
    ]
    return [
        Written(task, tuple(prompt_ids), sampled, completion_text(policy, sampled.token_ids)) for sampled in completions
    ]


def judged(
    written: Sequence[Written], judgements: Sequence[Judgement], *, temperature: float, update_id: str
) -> list[Attempt]:
    """Make attempts of completions and their judgements; those at one task are one group.

    `update_id`: the policy's state that wrote them.
    """
    groups = {completion.task.id: f"g-{uuid.uuid4().hex[:10]}" for completion in written}
    return [
        Attempt(
            id=f"a-{uuid.uuid4().hex[:10]}",
            task_id=completion.task.id,
            group_id=groups[completion.task.id],
            update_id=update_id,
            prompt_ids=completion.prompt_ids,
            token_ids=completion.sampled.token_ids,
            text=completion.text,
            sampling_logps=completion.sampled.logps,
            finished=completion.sampled.finished,
            temperature=temperature,
            reward=judgement.reward,
            passed=judgement.passed,
            feedback=judgement.feedback,
            feedback_source="judge" if is_rubric(completion.task) else "environment",
            details=judgement.details,
            parts=judgement.parts,
        )
        for completion, judgement in zip(written, judgements, strict=True)
    ]


def _reporter(policy: Policy, so_far: list[list[int]], on_token: OnToken | None) -> Callable[[int, int], None] | None:
    """Callback of `sample` for each id: passes the text of the attempt so far on to `on_token`."""
    if on_token is None:
        return None

    def report(index: int, token_id: int) -> None:
        so_far[index].append(token_id)
        on_token(index, completion_text(policy, so_far[index]))

    return report
