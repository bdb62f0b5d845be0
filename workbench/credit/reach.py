"""Reach: does the loss push at all on what the self-teacher would write?

The divergences weigh an outcome by the student's own probability, except forward KL, and with `topk_logits` a token
outside the student's K is one of many in the tail. So a token to which the student gives 1e-7 is hardly pushed, however
much the teacher wants it. The pushes are `divergence_push`'s; within the tail a push is shared out in proportion to the
student's probabilities (derived here: the tail's logit is the logsumexp of its tokens' logits). Plain arithmetic on
`Scores`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from workbench.config import SDPOConfig
from workbench.credit.divergence import divergence_push, log_softmax, with_tail
from workbench.credit.reading import favourite, pivots, quoted
from workbench.credit.routing import route
from workbench.credit.scores import Scores, TopToken

DIVERGENCES: Mapping[str, float] = {"forward KL": 0.0, "JSD": 0.5, "reverse KL": 1.0}  # distillation_alpha
WANTED = 0.1  # the teacher's probability from which on it wants a token
# A loss hardly reaches a token that it pushes less than this share of what forward KL over all tokens would, q - pi. A
# fact at 1e-7 was not learned (about 1e-6 of it); reverse KL passes this share where the student gives about 5e-6.
HARDLY = 1e-4


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """A place where the loss hardly pushes on what the self-teacher would write."""

    position: int  # from 0
    token: TopToken  # the self-teacher's
    push: float  # on that token's logit, of the loss as it is set, nats per unit of logit
    pushes: Mapping[str, float]  # the same of each divergence, over the same outcomes
    whole: float  # of forward KL over all tokens: q - pi

    def __str__(self) -> str:
        """A sentence for people."""
        numbers = ", ".join(f"{name} {_short(value, 1)}" for name, value in self.pushes.items())
        given = _short(self.token.student, 0)
        return (
            f"The teacher wants {quoted(self.token.text)}, to which the student gives {given}: this loss hardly "
            f"reaches it. Push on it: {numbers}; forward KL over all tokens {self.whole:.2g}."
        )


def _short(value: float, digits: int) -> str:
    """A number as a power of ten: "1e-7"."""
    return f"{value:.{digits}e}".replace("e-0", "e-").replace("e+0", "e+")


def out_of_reach(credit: Scores, position: int, config: SDPOConfig) -> OutOfReach | None:
    """Report where the loss hardly reaches the teacher's token at a position (from 0); None where it does.

    None too where the teacher wants no token in particular (`WANTED`), where its choice is the attempt's own token, and
    where the method distils nothing. Raises IndexError.
    """
    listed, favoured = credit.top(position), favourite(credit, position)
    if favoured is None or favoured.id == credit.token_ids[position] or favoured.teacher < WANTED:
        return None
    taken = route(config.method, passed=False, informed=True, rewarded=True, grpo_weight=config.grpo_weight)
    if taken.distillation == 0.0:
        return None
    pushes = {name: _push(listed, favoured, alpha, config) for name, alpha in DIVERGENCES.items()}
    if config.distillation_mode in ("sampled_token", "sequence"):
        # Policy gradient of the sampled token alone: A (1[v = y] - pi(v)) on the logit of v.
        push = -credit.credit_under("teacher")[position] * favoured.student
    else:
        push = _push(listed, favoured, config.distillation_alpha, config)
    whole = favoured.teacher - favoured.student
    return OutOfReach(position, favoured, push, pushes, whole) if push < HARDLY * whole else None


def places_out_of_reach(credit: Scores, config: SDPOConfig) -> list[OutOfReach]:
    """The places out of reach among those that hold most of an attempt's credit (`pivots`), the strongest first."""
    places = (out_of_reach(credit, pivot.position, config) for pivot in pivots(credit))
    return [place for place in places if place is not None]


def _compared(listed: Sequence[TopToken], config: SDPOConfig) -> list[TopToken]:
    """The listed tokens that the loss compares one by one: those among the student's K likeliest.

    A list holds the student's likeliest tokens for certain in its first half only. A token behind these counts as one
    of the K unless the tokens that are not listed together outweigh it K times.
    """
    ordered = sorted(listed, key=lambda token: -token.student_logp)
    heads = {"topk_logits": config.distillation_topk, "argmax_token": 1}
    if config.distillation_mode not in heads:
        return ordered
    k = heads[config.distillation_mode]
    rest, certain = 1.0 - sum(token.student for token in ordered), (len(ordered) + 1) // 2
    return [token for place, token in enumerate(ordered[:k]) if place < certain or k * token.student >= rest]


def _push(listed: Sequence[TopToken], favoured: TopToken, alpha: float, config: SDPOConfig) -> float:
    """Logit push on a listed token, of the divergence over the outcomes that the loss compares."""
    kept = _compared(listed, config)
    tail = config.distillation_mode != "topk_logits" or config.distillation_add_tail
    finish = with_tail if tail else log_softmax
    student, teacher = (
        finish(torch.tensor([[getattr(token, side) for token in kept]], dtype=torch.float64))
        for side in ("student_logp", "teacher_logp")
    )
    push = divergence_push(student, teacher, alpha)[0].tolist()
    if favoured in kept:
        return float(push[kept.index(favoured)])
    return float(push[-1]) * math.exp(favoured.student_logp - float(student[0, -1])) if tail else 0.0
