"""Packs and judgements of house rules: tasks of one house, and its checker's feedback on a program.

A task's `answer` is {"house": seed, "checks": [[int, ...], ...], "feedback": kind}. The program runs for real; the
verdict is made here, from outputs that the house's rules expect.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence

from workbench.errors import TaskError
from workbench.records import FeedbackKind, FeedbackPart, Judgement, Task
from workbench.tasks.environment import JOIN, joined, parse_kinds
from workbench.tasks.house_rules.checks import choose_checks, draw_valid, example_line
from workbench.tasks.house_rules.remarks import remark
from workbench.tasks.house_rules.world import House, Specification, parse_specification
from workbench.tasks.sandbox import SandboxResult

PACK = "house-rules"
# Feedback on a program that runs but fails, each available alone: failed examples, and a reviewer's remark on the rule.
KINDS = ("example", "judge")
DEFAULT_KIND = JOIN.join(KINDS)
DEFAULT_HOUSE = 3
FIRST_FRESH_HOUSE = 200_000  # no setting was chosen on these
EXAMPLES_SHOWN = 2
FIRST_SPECIFICATION = "Write f(xs): sort, then take 3."
_NAME = re.compile(rf"{PACK}(?:@([0-9]{{1,9}}))?(?::([a-z+]+))?")


def parse_name(name: str) -> tuple[House, str] | None:
    """Parse the house and the feedback kind of `house-rules[@SEED][:KIND]`; None for any other name."""
    match = _NAME.fullmatch(name)
    kind = (match and match.group(2)) or DEFAULT_KIND
    try:
        check_kind(kind)
    except TaskError:
        return None
    return (House(int(match.group(1) or DEFAULT_HOUSE)), kind) if match else None


def parse_house(name: str) -> tuple[House, str]:
    """Parse a name as `parse_name` does. Raises TaskError for any other name."""
    parsed = parse_name(name)
    if parsed is None:
        raise TaskError(f"{name!r} is not a house-rules pack; write {PACK}, {PACK}@7 or {PACK}@7:judge.")
    return parsed


def pack_name(house: House, kind: str) -> str:
    """The name that `parse_name` reads."""
    return f"{PACK}@{house.seed}:{kind}"


def fresh_house(seed: int) -> House:
    """A house that nothing was tuned on, for an experiment with this seed."""
    return House(FIRST_FRESH_HOUSE + seed)


def check_kind(kind: str) -> None:
    """Raise TaskError for an unknown kind of feedback; see `environment.parse_kinds`."""
    parse_kinds(kind, KINDS, PACK)


def make_task(
    name: str, specification: Specification, checks: Sequence[Sequence[int]], house: House, kind: str
) -> Task:
    """Make a task of this house."""
    answer = {"house": house.seed, "checks": [list(xs) for xs in checks], "feedback": kind}
    return Task(name, specification.text, PACK, answer)


def make_answer(prompt: str, house: House, kind: str = DEFAULT_KIND) -> dict:
    """Make the answer of a task that a person typed. Raises TaskError where no checks distinguish its conventions."""
    specification = parse_specification(prompt)
    checks = choose_checks(specification, random.Random(f"checks {prompt}"))
    if checks is None:
        raise TaskError(
            "No inputs distinguish every convention of this task from the others (e.g. a sort before 'pick the best'); "
            "leave out a stage or change a number."
        )
    return dict(make_task("", specification, checks, house, kind).answer)


def house_tasks(
    pack: str,
    count: int,
    *,
    held_out: bool,
    stages: Sequence[int] = (1, 2, 3),
    seed: int = 0,
) -> list[Task]:
    """Draw `count` valid tasks of a pack's house, stages in turn; the same arguments give the same tasks.

    Held-out specifications are on the other side of the corpus's split. Raises TaskError for an unknown pack name.
    """
    house, kind = parse_house(pack)
    generator = random.Random(f"{PACK} {house.seed} {held_out} {seed}")
    tasks: list[Task] = []
    names: dict[str, int] = {}
    seen: set[str] = set()
    turn = 0
    while len(tasks) < count:
        specification, checks = draw_valid(stages[turn % len(stages)], generator, held_out=held_out)
        turn += 1
        # Few specifications have one stage: after many turns, repeats (with other inputs) are allowed.
        if specification.text in seen and turn < 20 * count:
            continue
        seen.add(specification.text)
        slug = "-".join(step.stage for step in specification.steps)
        names[slug] = names.get(slug, 0) + 1
        side = "held-out-" if held_out else ""
        tasks.append(make_task(f"{pack}/{side}{slug}-{names[slug]}", specification, checks, house, kind))
    return tasks


def load_house_pack(pack: str) -> list[Task]:
    """Load the built-in pack: a fixed opening task ("sort-take-1"), then 23 of one to three stages."""
    tasks = house_tasks(pack, 23, held_out=False)
    specification = parse_specification(FIRST_SPECIFICATION)
    checks = choose_checks(specification, random.Random("first"))
    assert checks is not None  # a test holds it
    first = make_task(f"{pack}/sort-take-1", specification, checks, *parse_house(pack))
    return [first, *(task for task in tasks if task.id != first.id)]


def calls(task: Task) -> list[dict]:
    """Calls that the sandbox makes for this task: inputs only, no expected value."""
    return [{"function": "f", "args": [xs]} for xs in _checks(task)]


def verdict(task: Task, result: SandboxResult) -> Judgement:
    """Compare a program's outputs with the house's, and word the feedback."""
    specification = parse_specification(task.prompt)
    right = House(int(task.answer["house"])).choices(specification)
    expected = [specification.outputs(xs)[right] for xs in _checks(task)]
    details = {"tier": result.tier, "outputs": list(result.outputs), "expected": expected}
    if result.error is not None:
        kind: FeedbackKind = "timeout" if result.timed_out and result.error.startswith("TimeoutError") else "error"
        return Judgement(0.0, False, result.error, details, (FeedbackPart(kind, result.error),))
    wrong = [
        FeedbackPart("example", example_line(tuple(xs), returned, right_value))
        for xs, returned, right_value in zip(_checks(task), result.outputs, expected, strict=True)
        if not _same(returned, right_value)
    ]
    if not wrong:
        return Judgement(1.0, True, "", details)
    parts = (*wrong[:EXAMPLES_SHOWN], FeedbackPart("judge", remark(specification, right)))
    return Judgement(0.0, False, joined(parts), details, parts)


def _checks(task: Task) -> list[list[int]]:
    checks = task.answer.get("checks")
    if not checks or "house" not in task.answer:
        raise TaskError(f"Task {task.id!r} has no house or no checks; add it through make_answer or a built-in pack.")
    return [list(xs) for xs in checks]


def _same(returned: object, expected: object) -> bool:
    # As text, because True == 1 == 1.0 in Python, also within lists; only exactly these numbers are right.
    return json.dumps(returned) == json.dumps(expected)
