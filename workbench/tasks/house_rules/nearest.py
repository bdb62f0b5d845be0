"""The specification of house rules that comes closest to what a person typed, for a policy that speaks nothing else."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from workbench.errors import TaskError
from workbench.tasks.house_rules.stages import STAGES, Stage
from workbench.tasks.house_rules.world import Specification, Step, parse_specification

MOST_STAGES = 3
ALIKE = 0.75  # likeness from which on one word stands for another
DEFAULT = "sort"  # where nothing is recognised


def speaks(prompt: str) -> bool:
    """True where a prompt is in the language of house rules."""
    try:
        parse_specification(prompt)
    except TaskError:
        return False
    return True


def closest(prompt: str) -> Specification:
    """Guess a specification: stages whose first words occur in the prompt, in its order, with numbers they can have.

    For a person to accept or reject; a single "sort" where nothing is recognised.
    """
    words = re.findall(r"[a-z]+|\d+", prompt.lower())
    steps_by_name: dict[str, Step] = {}
    for place, word in enumerate(words):
        stage = _stage_like(word)
        if stage is not None and stage.name not in steps_by_name:
            number = next((int(later) for later in words[place + 1 : place + 4] if later.isdigit()), None)
            steps_by_name[stage.name] = Step(stage.name, _number(stage, number))
    steps = [step for step in steps_by_name.values() if not step.kind.final][:MOST_STAGES]
    final = [step for step in steps_by_name.values() if step.kind.final][:1]
    return Specification((*steps, *final) or (Step(DEFAULT),))


def _stage_like(word: str) -> Stage | None:
    """The stage whose phrase begins with such a word."""
    best, stage = max(((_likeness(word, stage.phrase.split()[0]), stage) for stage in STAGES), key=lambda pair: pair[0])
    return stage if best >= ALIKE else None


def _likeness(word: str, first: str) -> float:
    """Likeness of two words: 1 where one continues the other (sorting, sort), else the share of letters that agree."""
    return 1.0 if word.startswith(first) else SequenceMatcher(None, word, first).ratio()


def _number(stage: Stage, typed: int | None) -> int:
    """The number nearest to the typed one that a stage can have."""
    return min(stage.numbers, key=lambda number: abs(number - (typed or stage.numbers[0])))
