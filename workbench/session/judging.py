"""Verdicts on answers: by the environments, and by other models, which are loaded here and kept.

Knows nothing of how a model is prompted or of what the sandbox does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.config import model_name
from workbench.policy.judge import load_judge
from workbench.policy.prompts import reply_opening
from workbench.records import FeedbackPart, Judgement, Task
from workbench.session.core import SessionCore
from workbench.tasks import check_task, criteria_of, is_rubric, opens_reasoning, split_reasoning, with_reasoning
from workbench.tasks import judge_many as judge_by_environment

PASSES = 0.5  # a probability of yes from here on is a pass


def judge(session: SessionCore, task: Task, text: str) -> Judgement:
    """Judge a text as an answer to a task; nothing is recorded. Raises as `judge_many`."""
    return judge_many(session, [(task, text)])[0]


def judge_many(session: SessionCore, pairs: Sequence[tuple[Task, str]], *, sampled: bool = False) -> list[Judgement]:
    """Judge many answers; other models that judge are loaded where they are not yet, and stay loaded.

    `sampled`: the policy wrote them; where its template opens a thought, one that does not end it has no answer.
    Raises TaskError, SandboxError; PolicyError for a judge that cannot be loaded, PromptError for a task that is
    too long for it.
    """
    with session.lock:
        prepare_judges(session, [task for task, _ in pairs])
        opened = sampled and opens_reasoning(reply_opening(session.policy))
        others = iter(judge_by_environment([pair for pair in pairs if not is_rubric(pair[0])], opened=opened))
        return [_by_model(session, *pair, opened) if is_rubric(pair[0]) else next(others) for pair in pairs]


def prepare_judges(session: SessionCore, tasks: Sequence[Task]) -> None:
    """Load the judges that these tasks name, and check that they can read them. Raises as `judge_many`.

    Called before anything is sampled, so that an unusable judge costs nothing.
    """
    with session.lock:
        for task in {task.id: task for task in map(check_task, tasks) if is_rubric(task)}.values():
            model = str(task.answer["model"])
            if model not in session.judges_by_name:
                session.judges_by_name[model] = load_judge(model, str(session.policy.device))
            for criterion in criteria_of(task):
                session.judges_by_name[model].check(task.prompt, criterion.text)


def judges(session: SessionCore) -> list[dict[str, Any]]:
    """The other models that are loaded as judges: `model`, and what its weights take (`memory_bytes`)."""
    with session.lock:
        return [{"model": name, "memory_bytes": model.memory_bytes} for name, model in session.judges_by_name.items()]


def _by_model(session: SessionCore, task: Task, text: str, opened: bool) -> Judgement:
    """Weigh the judge's opinions on each criterion; of an answer that fails, it says what is wrong."""
    judge, criteria = session.judges_by_name[str(task.answer["model"])], criteria_of(task)
    split = split_reasoning(text, opened=opened)
    opinions = [judge.opinion(task.prompt, split.answer, criterion.text) for criterion in criteria]
    weighed = sum(item.weight * opinion.probability for item, opinion in zip(criteria, opinions, strict=True))
    reward = weighed / sum(item.weight for item in criteria)
    details: dict[str, Any] = {"judge": judge.name, "weights": judge.weights, "probability": reward}
    if len(criteria) > 1:
        details["criteria"] = [
            {"criterion": item.text, "weight": item.weight, "probability": opinion.probability}
            for item, opinion in zip(criteria, opinions, strict=True)
        ]
    if any(opinion.shortened for opinion in opinions):
        details["shortened"] = "the middle of the answer did not fit into the judge's context"
    if reward >= PASSES:
        return with_reasoning(Judgement(reward, True, "", details), split)
    failed = [item.text for item, opinion in zip(criteria, opinions, strict=True) if opinion.probability < PASSES]
    unmet = "\n".join(text for text in failed if text)
    name = model_name(judge.name)  # the self-teacher need not see its directory
    words = f"{name} says that the answer does not meet the task (probability of yes {reward:.2f})."
    parts = [FeedbackPart("outcome", f"{words} The criteria: {unmet}" if unmet else words)]
    if task.answer.get("critique", True):
        critique = split_reasoning(judge.critique(task.prompt, split.answer, unmet)).answer.strip()
        parts += [FeedbackPart("judge", critique)] if critique else []
    feedback = "\n".join(part.text for part in parts)
    return with_reasoning(Judgement(reward, False, feedback, details, tuple(parts)), split)
