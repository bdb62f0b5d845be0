"""The specification of house rules that comes closest to what a person typed, for a policy that speaks nothing else."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from workbench.errors import TaskError
from workbench.tasks.house_rules.stages import STAGES, Stage
from workbench.tasks.house_rules.world import Specification, Step, parse_specification

MOST_STAGES = 3
ALIKE = 0.75  # likeness of two words from which on one stands for the other
DEFAULT = "sort"  # where nothing is recognised


def speaks(prompt: str) -> bool:
    """Whether a prompt is within the language of house rules."""
    try:
        parse_specification(prompt)
    except TaskError:
        return False
    return True


def closest(prompt: str) -> Specification:
    """Stages whose first words occur in the prompt, in its order, with its numbers where a stage can have them.

    A guess from words, for a person to accept or not; a single "sort" where nothing is recognised.
    """
    words = re.findall(r"[a-z]+|\d+", prompt.lower())
    found: dict[str, Step] = {}
    for place, word in enumerate(words):
        stage = _stage_like(word)
        if stage is not None and stage.name not in found:
            number = next((int(later) for later in words[place + 1 : place + 4] if later.isdigit()), None)
            found[stage.name] = Step(stage.name, _number(stage, number))
    steps = [step for step in found.values() if not step.kind.final][:MOST_STAGES]
    final = [step for step in found.values() if step.kind.final][:1]
    return Specification((*steps, *final) or (Step(DEFAULT),))


def _stage_like(word: str) -> Stage | None:
    """The stage whose phrase begins with such a word."""
    best, stage = max(((_likeness(word, one.phrase.split()[0]), one) for one in STAGES), key=lambda pair: pair[0])
    return stage if best >= ALIKE else None


def _likeness(word: str, first: str) -> float:
    """1 where a word continues the first one (sorting, sort), else how many of their letters agree."""
    return 1.0 if word.startswith(first) else SequenceMatcher(None, word, first).ratio()


def _number(stage: Stage, wanted: int | None) -> int:
    """The number that a stage can have nearest to the wanted one."""
    return min(stage.numbers, key=lambda number: abs(number - (wanted or stage.numbers[0])))
