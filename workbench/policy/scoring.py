"""Scoring: the logits under which given token ids are predicted, with or without gradient.

The ids of an attempt are never decoded and tokenised again (trap 1); the temperature of sampling divides the logits
of every side (trap 6). Rows are padded on the right, where a causal model cannot see the padding, so that no mask is
needed and every real token keeps its natural position. Log-probabilities are in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.errors import PromptError
from workbench.policy.policy import Policy

Ids = Sequence[int]
_PAD = 0  # any id will do: nothing ever looks at it, and no id marks padding (it may equal an end token)


def completion_logits(
    model: Any, prompts: Sequence[Ids], completions: Sequence[Ids], temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits that predict each token of each completion after its own prompt.

    Args:
        model: a causal language model (`Policy.bare`), in eval mode.
        prompts, completions: B rows of ids; no prompt is empty, a completion may be.
        temperature: divides the logits, as in sampling.

    Returns:
        logits (B, T, V) float32, token_ids (B, T), mask (B, T) bool; T is the longest completion's length. What
        stands at masked places is finite and means nothing. Gradient flows into the model's trainable parameters
        where it is enabled.

    Raises:
        PromptError: an empty prompt.
    """
    if any(len(prompt) == 0 for prompt in prompts):
        raise PromptError("A prompt without tokens cannot be scored; give it at least one token.")
    device = model.device
    rows = [[*prompt, *completion] for prompt, completion in zip(prompts, completions, strict=True)]
    longest = max((len(completion) for completion in completions), default=0)
    token_ids, mask = _padded(completions, longest, device)  # (B, T)
    if longest == 0:
        vocabulary = model.get_output_embeddings().weight.shape[0]
        return torch.zeros((len(rows), 0, vocabulary), device=device), token_ids, mask
    width = max(len(row) for row in rows)
    input_ids, _ = _padded(rows, width, device)  # (B, S)
    starts = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device).unsqueeze(1)
    # The token at place p is predicted at place p - 1; places past a row's end repeat its last one.
    places = (starts + torch.arange(longest, device=device)).clamp(max=width - 1)  # (B, T)
    logits = _logits_at(model, input_ids, places)
    return logits.float() / temperature, token_ids, mask


def sampled_logps(logits: Tensor, token_ids: Tensor) -> Tensor:
    """Log-probability of each sampled token, nats: logits (..., V), ids (...) -> (...)."""
    chosen = logits.gather(-1, token_ids.unsqueeze(-1)).squeeze(-1)
    return chosen - logits.logsumexp(-1)


def null_noise_floor(policy: Policy, prompt: Ids, completion: Ids, temperature: float = 1.0) -> float:
    """What identical prompts already give as credit, nats (trap 8); credit up to here means nothing.

    Scores the completion once alone and once in a batch beside a longer row, which changes shapes and the order of
    summation but not the mathematics, and returns twice the largest difference plus 1e-6.
    """
    if not completion:
        return 1e-6
    longer = [*prompt, *list(prompt)[: max(1, policy.context_length - len(prompt) - len(completion))]]
    with torch.no_grad():
        alone, ids, _ = completion_logits(policy.bare, [prompt], [completion], temperature)
        beside, _, _ = completion_logits(policy.bare, [longer, prompt, prompt], [completion] * 3, temperature)
    first = sampled_logps(alone[0], ids[0])
    differences = (sampled_logps(beside[1:], ids.expand(2, -1)) - first).abs()
    return 2.0 * float(differences.max()) + 1e-6


def _padded(rows: Sequence[Ids], width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids (B, width) padded on the right, and the mask of the real ones."""
    ids = torch.tensor([[*row, *[_PAD] * (width - len(row))] for row in rows], dtype=torch.long, device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, torch.arange(width, device=device) < lengths.unsqueeze(1)


def _logits_at(model: Any, input_ids: Tensor, places: Tensor) -> Tensor:
    """(B, S), (B, T) -> (B, T, V): the output head is only applied where it is needed."""
    logits = model(input_ids=input_ids, logits_to_keep=places, use_cache=False).logits
    if logits.shape[:2] == places.shape:
        return logits
    # Models that know only one list of places for all rows give another shape; they pay for every place.
    logits = model(input_ids=input_ids, use_cache=False).logits
    return torch.take_along_dim(logits, places.unsqueeze(-1), dim=1)
