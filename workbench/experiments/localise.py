"""Localisation of credit: on failed attempts with one wrong stage, does negative credit find the wrong tokens?

The truth is known in house rules: the tokens of the attempt that differ from the house's own program. A constant per
attempt, as in GRPO, gives an AUROC of 0.5. Attempts are the student's own; houses are chosen so that one stage of
each is wrong. Knows nothing of pages.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from workbench.config import SDPOConfig
from workbench.credit.statistics import auroc
from workbench.errors import ConfigError
from workbench.records import Attempt
from workbench.session import Session
from workbench.tasks.house_rules.checks import draw_valid, failed_examples
from workbench.tasks.house_rules.pack import EXAMPLES_SHOWN, PACK, make_task
from workbench.tasks.house_rules.remarks import own_words, remark
from workbench.tasks.house_rules.world import House, Specification

KINDS = ("remark", "demonstration", "examples")
EVERY_KIND = (*KINDS, "own words")
STAGES = (1, 2, 3)
DRAWN = 24  # attempts that are sampled at once


@dataclass(frozen=True, slots=True)
class Located:
    """Scores of a blame (one number per token): how well it finds the wrong tokens."""

    auroc: float  # wrong tokens against right ones; 0.5 = chance
    worst_is_wrong: float  # chance that the most blamed token is a wrong one; equal blames share it
    worst_is_first: float  # the same for the first wrong token
    # AUROC among the tokens in which a convention is chosen, wrong choices against right ones. All other tokens are
    # certain, so mere doubt already tells them apart; None where all choices are wrong.
    auroc_choices: float | None = None


@dataclass(frozen=True, slots=True)
class OneWrong:
    """An attempt of which exactly one stage is wrong, and the program that would have been right."""

    attempt: Attempt
    specification: Specification
    checks: tuple[tuple[int, ...], ...]
    written: tuple[int, ...]
    right: tuple[int, ...]

    def evidence(self, kind: str) -> dict[str, str]:
        """Arguments of `what_if` that show this kind of evidence. Raises ConfigError for an unknown kind."""
        if kind == "remark":
            return {"feedback": remark(self.specification, self.right)}
        if kind == "demonstration":
            return {"demonstration": self.specification.program(self.right)}
        if kind == "examples":
            lines = failed_examples(self.specification, self.right, self.written, self.checks, EXAMPLES_SHOWN)
            return {"feedback": "\n".join(lines)}
        if kind == "own words":
            generator = random.Random(f"own words {self.attempt.text} {self.right}")
            return {"feedback": own_words(self.specification, self.right, generator, held_out=True)}
        raise ConfigError(f"There is no kind of evidence {kind!r}; choose one of {', '.join(EVERY_KIND)}.")

    def wrong(self, session: Session) -> list[bool]:
        """Mask of the wrong tokens, those that end the attempt left out."""
        return self._differing(session, self.right)

    def choices(self, session: Session) -> list[bool]:
        """Mask of the tokens that choose a convention: those that another choice at one stage would change."""
        marked = [False] * len(self.wrong(session))
        for index in self.specification.open_steps:
            for choice in range(len(self.specification.steps[index].kind.choices)):
                other = (*self.written[:index], choice, *self.written[index + 1 :])
                differs = self._differing(session, other)
                marked = [already or differ for already, differ in zip(marked, differs, strict=True)]
        return marked

    def _differing(self, session: Session, choices: tuple[int, ...]) -> list[bool]:
        ids = session.policy.tokenizer(self.specification.program(choices))["input_ids"]
        return wrong_tokens([i for i in self.attempt.token_ids if i not in session.policy.eos_ids], ids)


def wrong_tokens(attempt_ids: Sequence[int], right_ids: Sequence[int]) -> list[bool]:
    """Mask of the tokens of an attempt that differ from the right program, by alignment.

    Where the right program has more tokens in between, the token that stands in their place counts as wrong.
    """
    wrong = [False] * len(attempt_ids)
    for tag, start, end, _, _ in SequenceMatcher(None, attempt_ids, right_ids, autojunk=False).get_opcodes():
        if tag == "insert" and start < len(wrong):
            wrong[start] = True
        elif tag != "equal":
            wrong[start:end] = [True] * (end - start)
    return wrong


def locate(blame: Sequence[float], wrong: Sequence[bool], choices: Sequence[bool] = ()) -> Located:
    """Score how well a blame finds the wrong tokens; there must be wrong tokens and others.

    `choices`: the tokens in which a convention is chosen; without them `auroc_choices` stays None.
    """
    worst = [place for place, value in enumerate(blame) if value == max(blame)]
    hits = sum(wrong[place] for place in worst)
    places = [place for place, chosen in enumerate(choices) if chosen]
    among = auroc([blame[place] for place in places], [wrong[place] for place in places])
    return Located(
        auroc(blame, wrong),
        hits / len(worst),
        (list(wrong).index(True) in worst) / len(worst),
        None if math.isnan(among) else among,
    )


def localise(session: Session, kind: str, *, count: int = 300, seed: int = 0) -> dict[str, float]:
    """Measure {"auroc", "worst_is_wrong", "programs"}: means over `count` programs.

    `kind`: "remark", "demonstration" or "examples" (two failed ones). Nothing is updated. Raises ConfigError for an
    unknown kind.
    """
    if kind not in EVERY_KIND:
        raise ConfigError(f"There is no kind of evidence {kind!r}; choose one of {', '.join(EVERY_KIND)}.")
    config = SDPOConfig(teacher="frozen", use_demonstrations=kind == "demonstration")
    generator = random.Random(f"localise {seed}")
    located: list[Located] = []
    while len(located) < count:
        for case in draw_one_wrong(session, generator):
            wrong = case.wrong(session)
            raw = session.what_if(case.attempt, **case.evidence(kind), config=config).view("raw")
            located.append(locate([-value for value in raw][: len(wrong)], wrong))
    located = located[:count]
    return {
        "auroc": sum(scores.auroc for scores in located) / len(located),
        "worst_is_wrong": sum(scores.worst_is_wrong for scores in located) / len(located),
        "programs": len(located),
    }


def draw_one_wrong(session: Session, generator: random.Random, drawn: int = DRAWN) -> Iterator[OneWrong]:
    """Sample `drawn` attempts, and choose a house for each in which one stage of it is wrong; slips are left out."""
    cases = [draw_valid(STAGES[turn % len(STAGES)], generator, held_out=True) for turn in range(drawn)]
    # Unique names: two specifications may read alike and differ in their checks.
    tasks = [
        make_task(f"{PACK}@0/localise-{generator.getrandbits(48):x}", specification, checks, House(0), "example")
        for specification, checks in cases
    ]
    attempts = session.attempt_many(tasks, 1)
    for attempt, (specification, checks) in zip(attempts, cases, strict=True):
        written = _choices(specification, attempt.text)
        if written is None:
            continue  # a slip: not a wrong convention
        case = OneWrong(attempt, specification, checks, written, _one_other(specification, written, generator))
        wrong = case.wrong(session)
        if any(wrong) and not all(wrong):
            yield case


def _choices(specification: Specification, text: str) -> tuple[int, ...] | None:
    for choices in specification.alternatives():
        if specification.program(choices) == text:
            return choices
    return None


def _one_other(specification: Specification, written: tuple[int, ...], generator: random.Random) -> tuple[int, ...]:
    """Choices of a house in which exactly one stage of what was written is wrong."""
    index = generator.choice(specification.open_steps)
    others = [c for c in range(len(specification.steps[index].kind.choices)) if c != written[index]]
    return (*written[:index], generator.choice(others), *written[index + 1 :])
