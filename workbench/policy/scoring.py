"""Scoring: the hidden states, before the output head, that predict given token ids; with or without gradient.

The ids of an attempt are never decoded and tokenised again (trap 1); the sampling temperature divides the logits of
every side (trap 6). Rows are padded on the right, where a causal model cannot see the padding, so that no mask is
needed and every real token keeps its natural position. Logits of a whole attempt are never computed: the operators of
`workbench.kernels` project a few rows at a time. Log-probabilities are in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.errors import PromptError
from workbench.kernels.projection import Side
from workbench.kernels.two_sided import sampled_logps
from workbench.policy.head import final_hidden
from workbench.policy.policy import Policy

Ids = Sequence[int]
_PAD = 0  # any id will do: no real token sees it, and no id marks padding (it may equal an end token)


@dataclass(frozen=True, slots=True)
class Places:
    """The positions that predict B completions of at most T tokens, N tokens in all."""

    hidden: Tensor  # (B, T, H) final hidden states; carry the gradient where it was enabled
    token_ids: Tensor  # (B, T)
    mask: Tensor  # (B, T) bool: real tokens; values elsewhere are finite and mean nothing

    def rows(self) -> Tensor:
        """Hidden states of the real tokens, one completion after the other: (N, H)."""
        return self.hidden[self.mask]

    def ids(self) -> Tensor:
        """Their token ids: (N,)."""
        return self.token_ids[self.mask]


def completion_places(policy: Policy, prompts: Sequence[Ids], completions: Sequence[Ids]) -> Places:
    """Compute the hidden states that predict each token of each completion after its own prompt.

    Args:
        prompts, completions: B rows of ids; no prompt is empty, a completion may be.

    Raises:
        PromptError: an empty prompt.
    """
    if any(len(prompt) == 0 for prompt in prompts):
        raise PromptError("A prompt without tokens cannot be scored; give it at least one token.")
    device = policy.device
    rows = [[*prompt, *completion] for prompt, completion in zip(prompts, completions, strict=True)]
    longest = max((len(completion) for completion in completions), default=0)
    token_ids, mask = _padded(completions, longest, device)  # (B, T)
    if longest == 0:
        return Places(torch.zeros((len(rows), 0, policy.width), device=device), token_ids, mask)
    width = max(len(row) for row in rows)
    input_ids, _ = _padded(rows, width, device)  # (B, S)
    starts = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device).unsqueeze(1)
    # The token at position p is predicted at position p - 1; positions past a row's end repeat its last one.
    places = (starts + torch.arange(longest, device=device)).clamp(max=width - 1)  # (B, T)
    return Places(torch.take_along_dim(_final(policy, input_ids), places.unsqueeze(-1), dim=1), token_ids, mask)


def _final(policy: Policy, input_ids: Tensor) -> Tensor:
    """Hidden states (B, S) -> (B, S, H); logits take their place where the model keeps its own head."""
    if policy.head.weight is None:
        logits: Tensor = policy.bare(input_ids=input_ids, use_cache=False).logits
        return logits.float()
    hidden = final_hidden(policy.bare, input_ids)
    assert hidden is not None  # the head was found with it
    return hidden


def student_side(policy: Policy, places: Places, temperature: float) -> Side:
    """Rows of the real tokens as a side for the operators; detached."""
    return Side(policy.head, places.rows().detach(), temperature)


def completion_logps(policy: Policy, prompts: Sequence[Ids], completions: Sequence[Ids], temperature: float) -> Tensor:
    """Log-probability of each completion's tokens after its own prompt, one after the other: (N,), no gradient."""
    with torch.no_grad():
        places = completion_places(policy, prompts, completions)
        return sampled_logps(student_side(policy, places, temperature), places.ids())


def null_noise_floor(policy: Policy, prompt: Ids, completion: Ids, temperature: float = 1.0) -> float:
    """Noise floor: the credit that identical prompts already give, nats (trap 8); credit up to it means nothing.

    Scores the completion once alone and once in a batch with a longer row, which changes shapes and the order of
    summation but not the mathematics, and returns twice the largest difference plus 1e-6.
    """
    if not completion:
        return 1e-6
    longer = [*prompt, *list(prompt)[: max(1, policy.context_length - len(prompt) - len(completion))]]
    alone = completion_logps(policy, [prompt], [completion], temperature)
    beside = completion_logps(policy, [longer, prompt, prompt], [completion] * 3, temperature).view(3, -1)
    return 2.0 * float((beside[1:] - alone).abs().max()) + 1e-6


def _padded(rows: Sequence[Ids], width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids (B, width) padded on the right, and the mask of the real ones."""
    ids = torch.tensor([[*row, *[_PAD] * (width - len(row))] for row in rows], dtype=torch.long, device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, torch.arange(width, device=device) < lengths.unsqueeze(1)
