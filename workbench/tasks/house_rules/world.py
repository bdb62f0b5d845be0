"""Houses, specifications and programs: the world that the embedded policy lives in.

A *house* fixes one choice for every open stage; a *specification* is a list of stages that says nothing about the
choices; its *program* under given choices is Python. A world is a seed. Knows nothing of checks and prompts.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from workbench.errors import TaskError
from workbench.tasks.house_rules.stages import STAGE, STAGES, Choice, Stage, Value

OPENING = "Write f(xs): "
HELD_OUT_SHARE = 8  # one specification in eight is never in the corpus


@dataclass(frozen=True, slots=True)
class Step:
    """A stage with its number."""

    stage: str
    k: int = 0

    @property
    def kind(self) -> Stage:
        return STAGE[self.stage]

    @property
    def phrase(self) -> str:
        return self.kind.phrase.format(k=self.k)

    def line(self, choice: int) -> str:
        """The Python of this step under its choice number `choice`."""
        return self.kind.choices[choice].line.format(k=self.k)


@dataclass(frozen=True, slots=True)
class Specification:
    """Steps in order; `choices` of it are one number per step (0 where nothing is open)."""

    steps: tuple[Step, ...]

    @property
    def text(self) -> str:
        """The prompt: `Write f(xs): sort, then take 3.`"""
        return OPENING + ", then ".join(step.phrase for step in self.steps) + "."

    @property
    def open_steps(self) -> tuple[int, ...]:
        """Indices of the steps that leave something open."""
        return tuple(index for index, step in enumerate(self.steps) if step.kind.is_open)

    @property
    def is_held_out(self) -> bool:
        """True where the corpus never shows this specification.

        Decided by a hash of its text; of single stages, each stage's second number. Without any number nothing is
        held out: such specifications are few, and each would be a large part of either side.
        """
        if len(self.steps) == 1:
            return self.steps[0].k != 0 and self.steps[0].k == self.steps[0].kind.numbers[1]
        if not any(step.k for step in self.steps):
            return False
        return hashlib.sha256(self.text.encode()).digest()[0] % HELD_OUT_SHARE == 0

    def alternatives(self) -> Iterator[tuple[int, ...]]:
        """Every combination of choices."""
        return product(*(range(len(step.kind.choices)) for step in self.steps))

    def program(self, choices: Sequence[int]) -> str:
        """The Python function that these choices make."""
        lines = [step.line(choice) for step, choice in zip(self.steps, choices, strict=True)]
        if not self.steps[-1].kind.final:
            lines.append("return xs")
        return "def f(xs):" + "".join(f"\n    {line}" for line in lines)

    def outputs(self, xs: list[int]) -> dict[tuple[int, ...], Value | None]:
        """Outputs of every combination of choices for `xs`; None where it raises (max of nothing)."""
        values: dict[tuple[int, ...], Value | None] = {(): xs}
        for step in self.steps:
            values = {
                (*chosen, number): _apply(choice, value, step.k)
                for chosen, value in values.items()
                for number, choice in enumerate(step.kind.choices)
            }
        return values


def _apply(choice: Choice, value: Value | None, k: int) -> Value | None:
    if not isinstance(value, list):
        return None
    try:
        return choice.apply(value, k)
    except ValueError:  # max() or min() of an empty list
        return None


@dataclass(frozen=True, slots=True)
class House:
    """One choice for every open stage, drawn from the choices' weights by the house's seed."""

    seed: int

    @property
    def rules(self) -> dict[str, int]:
        """Stage name → number of its choice."""
        # A string seed is hashed by the generator itself, so neighbouring seeds give unrelated houses.
        generator = random.Random(f"house {self.seed}")
        return {stage.name: draw_choice(stage, generator) for stage in STAGES}

    def choices(self, specification: Specification) -> tuple[int, ...]:
        """The right choices for a specification in this house."""
        rules = self.rules
        return tuple(rules[step.stage] for step in specification.steps)


def draw_choice(stage: Stage, generator: random.Random) -> int:
    """Draw a choice's number as houses do."""
    return generator.choices(range(len(stage.choices)), [choice.weight for choice in stage.choices])[0]


def draw_choices(specification: Specification, generator: random.Random) -> tuple[int, ...]:
    """Draw a choice for each step, as a fresh house would."""
    return tuple(draw_choice(step.kind, generator) for step in specification.steps)


def draw_specification(open_stages: int, generator: random.Random) -> Specification:
    """Draw a random specification with this many open stages, no stage twice; not yet checked for validity."""
    open_kinds = [stage for stage in STAGES if stage.is_open]
    if not 1 <= open_stages <= len(open_kinds):
        raise TaskError(f"{open_stages} stages were asked for; choose 1 to {len(open_kinds)}.")
    kinds = generator.sample(open_kinds, open_stages)
    if generator.random() < 0.15:
        kinds.append(STAGE["unique"])
    generator.shuffle(kinds)
    middle = [stage for stage in kinds if not stage.final]
    final = [stage for stage in kinds if stage.final]
    if not final and generator.random() < 0.06:
        final = [STAGE["total"]]
    return Specification(tuple(Step(stage.name, generator.choice(stage.numbers)) for stage in middle + final))


def parse_specification(text: str) -> Specification:
    """Parse the specification in a prompt. Raises TaskError for text outside the language of house rules."""
    body = text.strip()
    if not body.startswith(OPENING.strip()):
        raise TaskError(f"A house-rules task starts with {OPENING.strip()!r}; this one is {text[:60]!r}.")
    phrases = re.split(r",\s*(?:then\s+)?", body[len(OPENING.strip()) :].strip().rstrip("."))
    steps = tuple(_parse_phrase(phrase.strip()) for phrase in phrases)
    if any(step.kind.final for step in steps[:-1]):
        raise TaskError("Only the last stage of a house-rules task can return a number ('pick the best', 'add up').")
    return Specification(steps)


def _parse_phrase(phrase: str) -> Step:
    for stage in STAGES:
        match = re.fullmatch(re.escape(stage.phrase).replace(r"\{k\}", r"(\d{1,2})"), phrase)
        if match:
            return Step(stage.name, int(match.group(1)) if match.groups() else 0)
    known = ", ".join(repr(stage.phrase.format(k=stage.numbers[0])) for stage in STAGES)
    raise TaskError(f"House rules have no stage {phrase!r}; the stages are {known}.")
