"""Verdicts on answers: by the environments, and by other models, which are loaded here and kept.

Knows nothing of how a model is prompted or of what the sandbox does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.config import model_name
from workbench.policy.judge import load_judge
from workbench.records import Judgement, Task
from workbench.session.core import SessionCore
from workbench.tasks import MODEL, check_task
from workbench.tasks import judge_many as judge_by_environment

PASSES = 0.5  # a probability of yes from here on is a pass


def judge(session: SessionCore, task: Task, text: str) -> Judgement:
    """Judge a text as an answer to a task; nothing is recorded. Raises as `judge_many`."""
    return judge_many(session, [(task, text)])[0]


def judge_many(session: SessionCore, pairs: Sequence[tuple[Task, str]]) -> list[Judgement]:
    """Judge many answers; other models that judge are loaded where they are not yet, and stay loaded.

    Raises TaskError, SandboxError; PolicyError for a judge that cannot be loaded, PromptError for a task that is
    too long for it.
    """
    with session.lock:
        prepare_judges(session, [task for task, _ in pairs])
        others = iter(judge_by_environment([pair for pair in pairs if pair[0].environment != MODEL]))
        return [_by_model(session, *pair) if pair[0].environment == MODEL else next(others) for pair in pairs]


def prepare_judges(session: SessionCore, tasks: Sequence[Task]) -> None:
    """Load the judges that these tasks name, and check that they can read them. Raises as `judge_many`.

    Called before anything is sampled, so that an unusable judge costs nothing.
    """
    with session.lock:
        for task in {task.id: task for task in map(check_task, tasks) if task.environment == MODEL}.values():
            model = str(task.answer["model"])
            if model not in session.judges_by_name:
                session.judges_by_name[model] = load_judge(model, str(session.policy.device))
            session.judges_by_name[model].check(task.prompt, _criteria(task))


def judges(session: SessionCore) -> list[dict[str, Any]]:
    """The other models that are loaded as judges: `model`, and what its weights take (`memory_bytes`)."""
    with session.lock:
        return [{"model": name, "memory_bytes": model.memory_bytes} for name, model in session.judges_by_name.items()]


def _by_model(session: SessionCore, task: Task, text: str) -> Judgement:
    judge = session.judges_by_name[str(task.answer["model"])]
    opinion = judge.opinion(task.prompt, text, _criteria(task))
    details: dict[str, Any] = {"judge": judge.name, "weights": judge.weights, "probability": opinion.probability}
    if opinion.shortened:
        details["shortened"] = "the middle of the answer did not fit into the judge's context"
    if opinion.probability >= PASSES:
        return Judgement(opinion.probability, True, "", details)
    name = model_name(judge.name)  # the self-teacher need not see its directory
    words = f"{name} says that the answer does not meet the task (probability of yes {opinion.probability:.2f})."
    criteria = f" The criteria: {_criteria(task)}" if _criteria(task) else ""
    return Judgement(opinion.probability, False, words + criteria, details)


def _criteria(task: Task) -> str:
    return str(task.answer.get("criteria", "")).strip()
