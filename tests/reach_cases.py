"""Attempts of one token whose self-teacher wants another one, of a probability that a test chooses."""

from __future__ import annotations

import torch

from workbench.credit import TokenCredit, TopToken

WANTED, OWN, VOCABULARY = 7, 0, 40


def scored(student: torch.Tensor, teacher: torch.Tensor, listed: int = VOCABULARY) -> TokenCredit:
    """An attempt of one token, `OWN`, whose distributions come from these logits (V,)."""
    sides = [torch.log_softmax(logits.double(), -1) for logits in (student, teacher)]
    ids = sorted({int(i) for side in sides for i in side.topk(listed).indices})
    top = tuple(TopToken(f" t{i}", i, float(sides[0][i]), float(sides[1][i])) for i in ids)
    contexts = {"student": (float(sides[0][OWN]),), "teacher": (float(sides[1][OWN]),)}
    return TokenCredit("a", ("t",), (OWN,), contexts, (0.0,), (0.0,), (0.0,), (0.0,), 0.01, 1.0, (top,))


def logits(probability: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A student that gives the wanted token this probability, and a teacher that gives it .9."""
    spread = torch.linspace(4.0, -4.0, VOCABULARY, dtype=torch.float64)
    made = []
    for wanted in (probability, 0.9):
        others = torch.softmax(spread[torch.arange(VOCABULARY) != WANTED], -1) * (1.0 - wanted)
        made.append(torch.cat([others[:WANTED], torch.tensor([wanted], dtype=torch.float64), others[WANTED:]]).log())
    return made[0], made[1]
