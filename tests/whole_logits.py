"""Whole tensors of logits, which the workbench itself never makes.

`completion_logits` asks the model itself, row by row: the independent source. `scored_logits` and `teacher_logits`
lay out what the workbench's own sides give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from workbench.kernels.projection import Side

from workbench.policy import Policy
from workbench.policy.scoring import completion_places, student_side
from workbench.policy.teacher import teacher_side

Rows = Sequence[Sequence[int]]


def completion_logits(
    model: Any, prompts: Rows, completions: Rows, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, T, V), ids (B, T) and mask (B, T): one pass per row, nothing padded; zeros where there is no token."""
    vocabulary, device = model.get_output_embeddings().weight.shape[0], model.device
    longest = max((len(completion) for completion in completions), default=0)
    ids = torch.zeros((len(prompts), longest), dtype=torch.long, device=device)
    mask = torch.zeros((len(prompts), longest), dtype=torch.bool, device=device)
    rows = []
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        ids[row, : len(completion)] = torch.tensor(completion, dtype=torch.long)
        mask[row, : len(completion)] = True
        logits = torch.zeros((0, vocabulary), device=device)
        if completion:
            whole = torch.tensor([[*prompt, *completion]], device=device)
            logits = model(input_ids=whole, use_cache=False).logits[0, len(prompt) - 1 : -1].float() / temperature
        rows.append(torch.nn.functional.pad(logits, (0, 0, 0, longest - len(completion))))
    return torch.stack(rows), ids, mask


def sampled_logps(logits: Tensor, token_ids: Tensor) -> Tensor:
    """Log-probability of each sampled token, nats: logits (..., V), ids (...) -> (...)."""
    return logits.log_softmax(-1).gather(-1, token_ids.unsqueeze(-1)).squeeze(-1)


def scored_logits(
    policy: Policy, prompts: Rows, completions: Rows, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As `completion_logits`, by the workbench's own path, padded batch and all; no gradient."""
    with torch.no_grad():
        places = completion_places(policy, prompts, completions)
        return _laid_out(student_side(policy, places, temperature), places.mask), places.token_ids, places.mask


def teacher_logits(
    policy: Policy, prompts: Rows, completions: Rows, *, teacher: Any, rate: float, temperature: float
) -> Tensor:
    """Logits (B, T, V) of the workbench's own self-teacher, normalised; zeros where there is no token."""
    side = teacher_side(policy, prompts, completions, teacher=teacher, rate=rate, temperature=temperature)
    lengths = torch.tensor([len(completion) for completion in completions])
    return _laid_out(side, torch.arange(int(lengths.max())) < lengths.unsqueeze(1)).log_softmax(-1)


def _laid_out(side: Side, mask: Tensor) -> Tensor:
    logits = torch.zeros((*mask.shape, side.vocabulary))
    logits[mask] = side.logits(torch.arange(len(side.hidden)))
    return logits
