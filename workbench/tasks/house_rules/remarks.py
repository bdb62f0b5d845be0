"""Remarks on conventions, by reviewers and other people: canonical ones, paraphrases, and held-out paraphrases.

A reviewer's remark is the house's rule in the world's own words ("sort descending. take from the end."). People
say the same thing in many ways; `HELD_OUT` ways are never in the corpus, so that understanding them is measured.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from workbench.tasks.house_rules.wording import (
    FRAMED_SHARE,
    FRAMES,
    HELD_OUT,
    JOINERS,
    MEANINGS,
    OPENINGS,
    PARAPHRASES,
    REMARKS,
)
from workbench.tasks.house_rules.world import Specification, Step


def _sentence(step: Step, choice: int, generator: random.Random, *, held_out: bool) -> str:
    rule = (step.stage, step.kind.choices[choice].name)
    if held_out:
        return generator.choice(HELD_OUT[rule]).format(k=step.k)
    sentence = generator.choice(PARAPHRASES[rule])
    if generator.random() < FRAMED_SHARE:
        framed = generator.choice(FRAMES).replace("{stage}", step.stage)
        framed = framed.replace("{meaning}", generator.choice(MEANINGS[rule]))
        sentence = sentence if any(kept in framed for kept in HELD_OUT[rule]) else framed
    return sentence.format(k=step.k)


def remark(specification: Specification, choices: Sequence[int], steps: Sequence[int] | None = None) -> str:
    """Write the reviewer's remark: the rule of each open step (or only of `steps`), in the specification's order."""
    named = specification.open_steps if steps is None else steps
    sentences = []
    for index in named:
        step = specification.steps[index]
        sentences.append(REMARKS[step.stage, step.kind.choices[choices[index]].name] + ".")
    return " ".join(sentences)


def own_words(
    specification: Specification,
    choices: Sequence[int],
    generator: random.Random,
    *,
    held_out: bool = False,
    steps: Sequence[int] | None = None,
) -> str:
    """Write the same rules as a person might; `held_out` uses only sentences that are never in the corpus."""
    named = specification.open_steps if steps is None else steps
    sentences = [_sentence(specification.steps[i], choices[i], generator, held_out=held_out) for i in named]
    joiner = generator.choice(JOINERS[:4] if held_out else JOINERS)
    text = generator.choice(OPENINGS) + joiner.join(sentences)
    if generator.random() < 0.3:
        text = text[0].upper() + text[1:]
    return text + generator.choice((".", ".", "", "!"))
