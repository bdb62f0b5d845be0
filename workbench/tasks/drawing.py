"""Drawing tasks from packs, checked here so that a mistake in someone else's pack becomes one sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from workbench.errors import TaskError, WorkbenchError
from workbench.records import Task, name_in_pack, pack_of
from workbench.tasks.judging import check_automatic, check_task
from workbench.tasks.pack import Pack, PackFacts, rate_name
from workbench.tasks.registry import find_environment

T = TypeVar("T")
BROWSED = 24  # tasks shown of a pack that generates its own


def train_tasks(pack: Pack, count: int, seed: int = 0) -> list[Task]:
    """Draw tasks to learn from. Raises TaskError where there are none, or one cannot be judged automatically."""
    tasks = _checked(pack, lambda: pack.train(count, seed), count)
    if not tasks:
        raise TaskError(f"The pack {pack.name!r} has no tasks to learn from; add some, or choose another pack.")
    check_automatic(tasks)
    return tasks


def held_out_tasks(pack: Pack, count: int) -> list[Task]:
    """Draw held-out tasks. Raises TaskError where there are none, or one cannot be judged automatically."""
    if count < 1:
        raise TaskError(f"{count} held-out tasks were asked for; ask for at least 1.")
    tasks = _checked(pack, lambda: pack.held_out(count), count)
    if not tasks:
        raise TaskError(
            f"The pack {pack.name!r} has no held-out tasks, so learning cannot be measured; give it at least two "
            'tasks with different prompts, or mark rows of its file with "split": "held_out".'
        )
    check_automatic(tasks)
    return tasks


def browsed_tasks(pack: Pack) -> list[Task]:
    """Draw some tasks of a pack, to look at and to attempt by hand. Raises TaskError where one cannot be judged."""
    return _checked(pack, lambda: pack.train(BROWSED, 0), BROWSED)


def check_split(pack: Pack) -> None:
    """Raise TaskError where a pack has nothing to learn from, or has no held-out tasks to measure learning by."""
    held_out_tasks(pack, 1)
    train_tasks(pack, 1)


def check_apart(pack: Pack, train: Iterable[Task], held_out: Iterable[Task]) -> None:
    """Raise TaskError where a prompt is on both sides."""
    shared = {task.prompt for task in train} & {task.prompt for task in held_out}
    if shared:
        raise TaskError(
            f"The pack {pack.name!r} trains on a task that it holds out ({min(shared)[:60]!r}), so its held-out rate "
            "would mean nothing; keep the two sides apart."
        )


def describe(pack: Pack) -> PackFacts:
    """Describe a pack. Raises TaskError where it cannot be described."""
    facts = _ask(pack, pack.describe)
    if not isinstance(facts, PackFacts):
        raise TaskError(f"The pack {pack.name!r} does not describe itself; its describe() must return PackFacts.")
    return facts


def pack_settings(pack: Pack) -> dict[str, str]:
    """Settings that identify a pack in an experiment, which is resumed on the same tasks only."""
    digest = describe(pack).digest
    return {"pack": pack.name} | ({"tasks": digest} if digest else {})


def feedback_kinds(pack: Pack) -> tuple[str, ...]:
    """Kinds of feedback, each available alone, that every environment of a pack's tasks can give.

    Raises TaskError where there are none, since an experiment then has nothing to vary.
    """
    names = describe(pack).environments
    kinds = [find_environment(name).feedback_kinds for name in names]
    shared = tuple(kind for kind in kinds[0] if all(kind in other for other in kinds)) if kinds else ()
    if not shared:
        raise TaskError(
            f"The tasks of {pack.name!r} are judged by {', '.join(names) or 'nothing'}, without kinds of feedback to "
            "choose from; compare something else, or use an environment that declares feedback_kinds."
        )
    return shared


def with_feedback(pack: Pack, kind: str) -> Pack:
    """The same pack, whose tasks give one kind of feedback, several ("error+examples") or "none".

    Raises TaskError where an environment of its tasks has no such kind.
    """
    method = getattr(pack, "with_feedback", None)  # of a pack whose name includes the kind
    return method(kind) if method is not None else _WithFeedback(pack, kind)


class _WithFeedback:
    """Another pack's tasks with one kind of feedback, under names of their own."""

    def __init__(self, pack: Pack, kind: str) -> None:
        self.pack, self.kind, self.name = pack, kind, f"{pack.name}:{kind}"
        self.rate_name = rate_name(pack)
        for name in describe(pack).environments:
            find_environment(name).with_feedback(Task("", "", name), kind)  # raises for an unknown kind

    def train(self, count: int, seed: int = 0) -> list[Task]:
        return self._changed(self.pack.train(count, seed))

    def held_out(self, count: int) -> list[Task]:
        return self._changed(self.pack.held_out(count))

    def describe(self) -> PackFacts:
        return self.pack.describe()

    def _changed(self, tasks: Sequence[Task]) -> list[Task]:
        changed = [find_environment(task.environment).with_feedback(task, self.kind) for task in tasks]
        return [dataclasses.replace(task, id=f"{self.name}/{name_in_pack(task.id)}") for task in changed]


def _ask(pack: Pack, ask: Callable[[], T]) -> T:
    """Call a pack, which may be someone else's code. Raises TaskError where it fails."""
    try:
        return ask()
    except WorkbenchError:
        raise
    except Exception as error:
        raise TaskError(f"The pack {pack.name!r} failed ({type(error).__name__}: {error}).") from error


def _checked(pack: Pack, ask: Callable[[], Sequence[Task]], count: int) -> list[Task]:
    tasks = _ask(pack, ask)
    if not isinstance(tasks, list | tuple) or not all(isinstance(task, Task) for task in tasks):
        raise TaskError(f"The pack {pack.name!r} returned something other than a list of tasks.")
    for task in tasks[:count]:
        if pack_of(task.id) != pack.name:
            raise TaskError(
                f"The pack {pack.name!r} returned a task with the id {task.id!r}; ids must be {pack.name}/NAME."
            )
        check_task(task)
    return list(tasks[:count])
