"""Where credit lands: on failed attempts with one wrong stage, does negative credit find the wrong tokens?

The truth is known in house rules: the tokens of the attempt that differ from the house's own program. A constant per
attempt, as in GRPO, gives an AUROC of 0.5. Attempts are the student's own; houses are chosen so that one stage of
each is wrong. Knows nothing of pages.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from workbench.config import SDPOConfig
from workbench.credit.statistics import auroc
from workbench.errors import ConfigError
from workbench.records import Attempt, Task
from workbench.session import Session
from workbench.tasks.house_rules.checks import draw_valid, failed_examples
from workbench.tasks.house_rules.pack import EXAMPLES_SHOWN, PACK, make_task
from workbench.tasks.house_rules.remarks import remark
from workbench.tasks.house_rules.world import House, Specification

KINDS = ("remark", "demonstration", "examples")
STAGES = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Located:
    """One program: how well its wrong tokens are found."""

    auroc: float  # of minus the raw credit, wrong tokens against right ones; 0.5 = chance
    worst_is_wrong: bool  # the token with the most negative credit is a wrong one


def wrong_tokens(attempt_ids: Sequence[int], right_ids: Sequence[int]) -> list[bool]:
    """Which tokens of an attempt differ from the right program, by alignment.

    Where the right program has more tokens in between, the token that stands in their place counts as wrong.
    """
    wrong = [False] * len(attempt_ids)
    for tag, start, end, _, _ in SequenceMatcher(None, attempt_ids, right_ids, autojunk=False).get_opcodes():
        if tag == "insert" and start < len(wrong):
            wrong[start] = True
        elif tag != "equal":
            wrong[start:end] = [True] * (end - start)
    return wrong


def localise(session: Session, kind: str, *, count: int = 300, seed: int = 0) -> dict[str, float]:
    """{"auroc", "worst_is_wrong", "programs"}: means over `count` programs.

    `kind`: "remark", "demonstration" or "examples" (two failed ones). Nothing is updated. Raises ConfigError for an
    unknown kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"{kind!r} is no kind of evidence; choose one of {', '.join(KINDS)}.")
    found = [located for _, located in zip(range(count), _each(session, kind, seed), strict=False)]
    return {
        "auroc": sum(one.auroc for one in found) / len(found),
        "worst_is_wrong": sum(one.worst_is_wrong for one in found) / len(found),
        "programs": len(found),
    }


def _each(session: Session, kind: str, seed: int) -> Iterator[Located]:
    generator = random.Random(f"localise {seed}")
    while True:
        cases = [draw_valid(STAGES[turn % 3], generator, held_out=True) for turn in range(24)]
        # Unique names: two specifications may read alike and differ in their checks.
        tasks = [
            make_task(f"{PACK}@0/localise-{generator.getrandbits(48):x}", specification, checks, House(0), "examples")
            for specification, checks in cases
        ]
        attempts = session.attempt_many(tasks, 1)
        for task, attempt, (specification, checks) in zip(tasks, attempts, cases, strict=True):
            written = _choices(specification, attempt.text)
            if written is None:
                continue  # a slip: not a wrong convention
            right = _one_other(specification, written, generator)
            located = _locate(session, task, attempt, specification, checks, written, right, kind)
            if located is not None:
                yield located


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


def _locate(
    session: Session,
    task: Task,
    attempt: Attempt,
    specification: Specification,
    checks: Sequence[tuple[int, ...]],
    written: tuple[int, ...],
    right: tuple[int, ...],
    kind: str,
) -> Located | None:
    program = specification.program(right)
    config = SDPOConfig(teacher="frozen", use_demonstrations=kind == "demonstration")
    if kind == "demonstration":
        credit = session.what_if(attempt, feedback="", demonstration=program, config=config)
    elif kind == "remark":
        credit = session.what_if(attempt, feedback=remark(specification, right), config=config)
    else:
        lines = failed_examples(specification, right, written, checks, EXAMPLES_SHOWN)
        credit = session.what_if(attempt, feedback="\n".join(lines), config=config)
    right_ids = session.policy.tokenizer(program)["input_ids"]
    body = [i for i in attempt.token_ids if i not in session.policy.eos_ids]
    wrong = wrong_tokens(body, right_ids)
    blame = [-float(value) for value in credit.view("raw")][: len(body)]
    if not any(wrong) or all(wrong):
        return None
    worst = max(range(len(blame)), key=blame.__getitem__)
    return Located(auroc(blame, wrong), wrong[worst])
