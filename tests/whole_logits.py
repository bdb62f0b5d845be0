"""Whole tensors of logits, as the model itself gives them: what the scoring path is held against. Shares no code with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.policy import Policy


def completion_logits(
    model: Any, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], temperature: float
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


def teacher_logits(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    teacher: str,
    rate: float,
    temperature: float,
) -> Tensor:
    """Logits (B, T, V) of the self-teacher; the trust region by its closed form, normalised."""

    def scored() -> Tensor:
        return completion_logits(policy.bare, prompts, completions, temperature)[0]

    with torch.no_grad():
        if teacher == "ema":
            with policy.averaged():
                return scored()
        live = scored()
        with policy.base():
            reference = scored()
    if teacher == "trust_region":
        mixed = rate * live.log_softmax(-1) + (1.0 - rate) * reference.log_softmax(-1)
        return mixed.log_softmax(-1)
    return live if teacher == "live" else reference
