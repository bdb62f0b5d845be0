"""Checks: the inputs on which a program is judged, chosen so that they distinguish every combination of choices.

A specification is valid only if such inputs exist: otherwise some other convention would pass as well and no
feedback could say what was wrong.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from workbench.tasks.house_rules.world import Specification, Value, draw_specification
from workbench.tasks.sandbox import shown

CHECKS = 6  # inputs per specification
CANDIDATES = 32  # inputs tried for them


def draw_input(specification: Specification, generator: random.Random) -> list[int]:
    """Draw a short list of small numbers that tends to hold what the specification's numbers turn on."""
    shortest = max([3, *(step.k + 1 for step in specification.steps if step.stage in ("take", "drop"))])
    size = min(shortest + generator.randint(0, 1) + max(0, len(specification.open_steps) - 2), 8)
    xs = generator.sample(range(10), size)
    for step in specification.steps:
        if step.stage in ("limit", "clip") and step.k not in xs and generator.random() < 0.7:
            xs[generator.randrange(size)] = step.k
    if any(step.stage == "unique" for step in specification.steps) or generator.random() < 0.1:
        xs[generator.randrange(size)] = generator.choice(xs)
    return xs


def _frozen(value: Value | None) -> object:
    return tuple(value) if isinstance(value, list) else value


def choose_checks(specification: Specification, generator: random.Random) -> tuple[tuple[int, ...], ...] | None:
    """Choose inputs on which any two combinations of choices differ, the most telling first; None if there are none."""
    alternatives = list(specification.alternatives())
    scored = []
    for _ in range(CANDIDATES):
        xs = draw_input(specification, generator)
        outputs = specification.outputs(xs)
        row = tuple(_frozen(outputs[choices]) for choices in alternatives)
        if None in row or () in row:  # nothing left to see: somewhere in the world this check is degenerate
            continue
        scored.append((-len(set(row)), len(xs), tuple(xs), row))
    scored.sort(key=lambda item: item[:2])
    chosen = scored[:CHECKS]
    columns = set(zip(*(row for *_, row in chosen), strict=True))
    if len(chosen) < CHECKS or len(columns) < len(alternatives):
        return None
    return tuple(xs for _, _, xs, _ in chosen)


def draw_valid(
    open_stages: int, generator: random.Random, *, held_out: bool | None = None
) -> tuple[Specification, tuple[tuple[int, ...], ...]]:
    """Draw a valid specification and its checks; `held_out` None takes any, True or False only that side."""
    while True:
        specification = draw_specification(open_stages, generator)
        if held_out is not None and specification.is_held_out != held_out:
            continue
        checks = choose_checks(specification, generator)
        if checks is not None:
            return specification, checks


def example_line(xs: tuple[int, ...], returned: object, expected: object) -> str:
    """One failed example as a checker words it."""
    return f"f({list(xs)}) returned {shown(returned)}, expected {expected}"


def failed_examples(
    specification: Specification,
    right: Sequence[int],
    wrong: Sequence[int],
    checks: Sequence[tuple[int, ...]],
    count: int,
) -> list[str]:
    """The first `count` checks on which `wrong` differs from `right`, as a checker words them."""
    lines = []
    for xs in checks:
        outputs = specification.outputs(list(xs))
        returned, expected = outputs[tuple(wrong)], outputs[tuple(right)]
        if returned != expected:
            lines.append(example_line(xs, returned, expected))
        if len(lines) == count:
            break
    return lines
