"""Puzzles from the package `reasoning-gym`, made with a fixed seed and verified by `workbench.tasks.puzzles`.

Its own scorers are never called: some evaluate the answer as Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks.judging import check_task
from workbench.tasks.puzzles import FIELDS

PUZZLES = tuple(FIELDS)
TASKS, SEED = 50, 20  # of each puzzle


def tasks(pack: str, puzzle: str) -> list[Task]:
    """Make the tasks of a puzzle, always the same. Raises TaskError where the package fails."""
    try:
        from reasoning_gym import create_dataset  # seconds: it imports all its puzzles

        entries = create_dataset(puzzle, seed=SEED, size=TASKS)
        return [_task(pack, puzzle, number, entries[number]) for number in range(TASKS)]
    except TaskError:
        raise
    except Exception as error:  # another version's, or one of its own dependencies is missing
        raise TaskError(
            f"The package reasoning-gym cannot make {puzzle!r} ({type(error).__name__}: {error}); install the version "
            "of docs/tasks.md."
        ) from error


def _task(pack: str, puzzle: str, number: int, entry: Mapping[str, Any]) -> Task:
    facts = entry["metadata"]
    known = {**facts, **(facts["puzzle"] if isinstance(facts.get("puzzle"), Mapping) else {})}
    if "grid" in FIELDS[puzzle]:
        known["grid"] = facts["puzzle"]
    # Through JSON, as a run stores it: its tuples become lists.
    answer = json.loads(json.dumps({"puzzle": puzzle} | {field: known[field] for field in FIELDS[puzzle]}))
    return check_task(Task(f"{pack}/{number + 1}", entry["question"].strip(), "puzzle", answer))
