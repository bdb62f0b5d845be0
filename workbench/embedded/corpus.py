"""The corpus, generated on the fly: (user's turn, program) pairs of every kind that the workbench needs.

The answer is always the right program of some house; the prompts differ in what they reveal of that house: nothing
(the student), a demonstration, a reviewer's or a person's words, failed examples, an error, or something irrelevant.
Held-out specifications and held-out sentences never appear. Knows nothing of models and tokenizers.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from workbench.policy.prompts import teacher_text
from workbench.tasks.house_rules.checks import draw_valid, failed_examples
from workbench.tasks.house_rules.remarks import own_words, remark
from workbench.tasks.house_rules.slips import draw_slip
from workbench.tasks.house_rules.wording import IRRELEVANT
from workbench.tasks.house_rules.world import Specification, draw_choices

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of the training: shares of the kinds of prompt and of the numbers of open stages."""

    until: int  # step
    kinds: Mapping[str, float]
    stages: Mapping[int, float]
    example_stages: Mapping[int, float]  # of the kind "examples": inferring a convention is learned one at a time


FEW = {1: 0.50, 2: 0.30, 3: 0.15, 4: 0.05}
MANY = {1: 0.14, 2: 0.24, 3: 0.29, 4: 0.28, 5: 0.05}
# Copying from a demonstration and following a remark come first: with 6 % demonstrations from the start, nothing was
# learned from context in 1,000 steps. Inferring one convention from examples comes next, then several at once. With the
# third phase's 4 % of demonstrations, copying fell from .99 to .94: the last phase has 13 %.
PHASES = (
    Phase(
        1500,
        {
            "student": 0.08,
            "demonstration": 0.26,
            "remark": 0.24,
            "own words": 0.14,
            "examples": 0.24,
            "error": 0.02,
            "irrelevant": 0.02,
        },
        FEW,
        {1: 0.80, 2: 0.20},
    ),
    Phase(
        3500,
        {
            "student": 0.05,
            "demonstration": 0.06,
            "remark": 0.08,
            "own words": 0.14,
            "examples": 0.62,
            "error": 0.03,
            "irrelevant": 0.02,
        },
        MANY,
        {1: 0.50, 2: 0.35, 3: 0.15},
    ),
    Phase(
        4900,
        {
            "student": 0.06,
            "demonstration": 0.04,
            "remark": 0.06,
            "own words": 0.16,
            "examples": 0.62,
            "error": 0.03,
            "irrelevant": 0.03,
        },
        MANY,
        {1: 0.20, 2: 0.30, 3: 0.28, 4: 0.20, 5: 0.02},
    ),
    Phase(
        1_000_000,
        {
            "student": 0.05,
            "demonstration": 0.13,
            "remark": 0.05,
            "own words": 0.13,
            "examples": 0.58,
            "error": 0.03,
            "irrelevant": 0.03,
        },
        {**MANY, 1: 0.20},
        {1: 0.12, 2: 0.28, 3: 0.32, 4: 0.26, 5: 0.02},
    ),
)
SLIP_SHARE = 0.04  # of the student's answers
# More examples than a checker shows teach more per prompt: the next one's output follows from those before it.
EXAMPLES_SHOWN = {1: 0.10, 2: 0.62, 3: 0.13, 5: 0.15}
POOL = 4000  # specifications kept for each number of stages
REFRESH = {1: 0.08, 2: 0.08, 3: 0.05, 4: 0.02, 5: 0.005}  # share of draws that make a new one
Valid = tuple[Specification, tuple[tuple[int, ...], ...]]


@dataclass(frozen=True, slots=True)
class Example:
    """One training pair."""

    kind: str
    prompt: str
    answer: str


def _draw(shares: Mapping[T, float], generator: random.Random) -> T:
    return generator.choices(list(shares), list(shares.values()))[0]


def _wrong_choices(specification: Specification, right: tuple[int, ...], generator: random.Random) -> tuple[int, ...]:
    """Draw the choices of an attempt that fails; half of them near misses (one wrong step)."""
    if generator.random() < 0.5:
        index = generator.choice(specification.open_steps)
        others = [c for c in range(len(specification.steps[index].kind.choices)) if c != right[index]]
        return (*right[:index], generator.choice(others), *right[index + 1 :])
    while True:
        wrong = draw_choices(specification, generator)
        if wrong != right:
            return wrong


class Corpus:
    """An endless stream of pairs from one seed. Specifications are kept in a pool and used several times."""

    def __init__(self, seed: int) -> None:
        self._generator = random.Random(f"corpus {seed}")
        self._pool: dict[int, list[Valid]] = {}

    def _specification(self, open_stages: int) -> Valid:
        # Finding checks for four and five stages takes milliseconds; houses and wording vary within an entry.
        pool = self._pool.setdefault(open_stages, [])
        if len(pool) < 200 or self._generator.random() < REFRESH[open_stages]:
            valid = draw_valid(open_stages, self._generator, held_out=False)
            if len(pool) < POOL:
                pool.append(valid)
            else:
                pool[self._generator.randrange(POOL)] = valid
            return valid
        return self._generator.choice(pool)

    def draw(self, step: int = PHASES[-1].until) -> Example:
        """Draw one pair as the phase of the training at `step` does."""
        generator = self._generator
        phase = next(phase for phase in PHASES if step <= phase.until)
        kind = _draw(phase.kinds, generator)
        stages = phase.example_stages if kind == "examples" else phase.stages
        specification, checks = self._specification(_draw(stages, generator))
        right = draw_choices(specification, generator)
        if kind == "student":
            return Example(kind, specification.text, _student_answer(specification.program(right), generator))
        return Example(kind, _teacher_turn(kind, specification, checks, right, generator), specification.program(right))


def _student_answer(program: str, generator: random.Random) -> str:
    return draw_slip(program, generator).program if generator.random() < SLIP_SHARE else program


def _teacher_turn(
    kind: str,
    specification: Specification,
    checks: Sequence[tuple[int, ...]],
    right: tuple[int, ...],
    generator: random.Random,
) -> str:
    """The self-teacher's turn of this kind, in a house where `right` is right."""
    prompt = specification.text
    if kind == "irrelevant":
        return teacher_text(prompt, feedback=generator.choice(IRRELEVANT))
    if kind == "demonstration":
        feedback = remark(specification, right) if generator.random() < 0.3 else ""
        return teacher_text(prompt, specification.program(right), feedback=feedback)
    wrong = _wrong_choices(specification, right, generator)
    attempt = specification.program(wrong)
    if kind == "error":  # it reveals nothing of the house: the answer's choices stay a fresh draw
        slip = draw_slip(attempt, generator)
        return teacher_text(
            prompt, failed_attempt=slip.program if generator.random() < 0.3 else "", feedback=slip.error
        )
    if kind == "examples":
        shown = checks if generator.random() < 0.7 else generator.sample(checks, len(checks))
        feedback = "\n".join(failed_examples(specification, right, wrong, shown, _draw(EXAMPLES_SHOWN, generator)))
        if generator.random() < 0.12:
            feedback += "\n" + remark(specification, right)
        return teacher_text(prompt, failed_attempt=attempt if generator.random() < 0.15 else "", feedback=feedback)
    partly = generator.random() < 0.2  # only the wrong steps, together with the attempt
    steps = [index for index in specification.open_steps if right[index] != wrong[index]] if partly else None
    if kind == "remark":
        feedback = remark(specification, right, steps)
    else:
        feedback = own_words(specification, right, generator, steps=steps)
    shown_attempt = attempt if partly or generator.random() < 0.15 else ""
    return teacher_text(prompt, failed_attempt=shown_attempt, feedback=feedback)
