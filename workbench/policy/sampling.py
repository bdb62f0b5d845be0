"""Sampling: completions drawn from the policy in one batch, by a loop over a key-value cache.

The loop draws from softmax(logits / temperature) with the policy's own generator and nothing else: no top-k, no
top-p, no repetition penalty (paper, section 3). A sampled end token is kept; a truncated attempt gets none (trap 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from workbench.config import SamplingConfig
from workbench.errors import PolicyError, PromptError
from workbench.policy.policy import Policy, Weights

OnToken = Callable[[int, int], None]  # (index of the prompt, token id), as soon as it is drawn
Stop = Callable[[], bool]  # called at each position and layer; True ends sampling and keeps what has been drawn
LIVE: Mapping[Weights, float] = MappingProxyType({"live": 1.0})
BASE: Mapping[Weights, float] = MappingProxyType({"reference": 1.0})


@dataclass(frozen=True, slots=True)
class Sampled:
    """One completion as it was drawn."""

    token_ids: tuple[int, ...]  # the end token included, if one was drawn
    logps: tuple[float, ...]  # nats, of the tempered distribution, as sampled
    finished: bool  # False: cut at the limit or stopped


def sample(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig,
    *,
    on_token: OnToken | None = None,
    stop: Stop | None = None,
    weights: Mapping[Weights, float] = LIVE,
) -> list[Sampled]:
    """Draw one completion per prompt, in order.

    Equal prompts are read once. The same generator state, prompts and settings give the same completions.
    `weights`: the weights that read, and the share of each in the exponent (`teacher_weights`); several are a mixture
    of their tempered logits, read one after the other. Raises PromptError: an empty prompt, or one that leaves no room
    in the context for `max_new_tokens`; PolicyError: the policy's logits are not finite.
    """
    if not prompts:
        return []
    _check(policy, prompts, config)
    merged = policy.sampling() if weights == LIVE else nullcontext()
    with torch.inference_mode(), policy.stopping(stop, _Stopped()), merged:
        try:
            batch = _Batch(policy, prompts, config, weights)
        except _Stopped:  # while the prompts were read
            return [Sampled((), (), False) for _ in prompts]
        return batch.run(on_token, stop)


def completion_text(policy: Policy, token_ids: Sequence[int]) -> str:
    """Decode a completion without the token that ended it; every other special token stays, by its name.

    A model may open a call of a tool or a thought with a special token: without it nobody could read the rest.
    """
    ids = list(token_ids)
    while ids and ids[-1] in policy.eos_ids:
        ids.pop()
    return str(policy.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


class _Stopped(Exception):
    """Sampling was stopped within a pass of the model."""


class _Batch:
    """The rows that are still being written, and the tokens drawn so far."""

    def __init__(
        self,
        policy: Policy,
        prompts: Sequence[Sequence[int]],
        config: SamplingConfig,
        weights: Mapping[Weights, float],
    ) -> None:
        self.policy, self.config, self.weights = policy, config, weights
        self.rows = torch.arange(len(prompts), device=policy.device)  # (R,) which prompt each live row belongs to
        self.ends = torch.tensor(policy.eos_ids, device=policy.device)
        shape = (len(prompts), config.max_new_tokens)
        self.token_ids = torch.zeros(shape, dtype=torch.long, device=policy.device)
        self.logps = torch.zeros(shape, device=policy.device)
        self.lengths = torch.zeros(len(prompts), dtype=torch.long, device=policy.device)
        self.finished = torch.zeros(len(prompts), dtype=torch.bool, device=policy.device)
        self.caches: dict[Weights, Any] = {}
        read: dict[Weights, Tensor] = {}
        for kind in weights:
            with policy.reading_as(kind):
                logits, cache, self.mask, self.positions = _prefill(policy, prompts, config.max_new_tokens)
            read[kind], self.caches[kind] = logits, cache
        self.logits = self._mixed(read)

    def run(self, on_token: OnToken | None, stop: Stop | None) -> list[Sampled]:
        for step in range(self.config.max_new_tokens):
            if stop is not None and stop():
                break
            ids, live = self._draw(step)
            if on_token is not None:
                self._report(ids, live, on_token)
            if bool(self.finished.all()) or step + 1 == self.config.max_new_tokens:
                break
            ids = self._drop_finished(ids)
            try:
                self._forward(ids)
            except _Stopped:
                break
        return self._results()

    def _draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw one id per row (R,); finished rows draw too, so that no shape changes, but their ids are discarded."""
        logps = (self.logits.float() / self.config.temperature).log_softmax(-1)  # (R, V)
        ids = torch.multinomial(logps.exp(), 1, generator=self.policy.generator)  # (R, 1)
        live = ~self.finished[self.rows]
        self.token_ids[self.rows, step] = ids.squeeze(1)
        self.logps[self.rows, step] = logps.gather(1, ids).squeeze(1)
        self.lengths[self.rows] += live
        self.finished[self.rows] |= live & torch.isin(ids.squeeze(1), self.ends)
        return ids, live

    def _report(self, ids: Tensor, live: Tensor, on_token: OnToken) -> None:
        for row, token_id, is_live in zip(self.rows.tolist(), ids.squeeze(1).tolist(), live.tolist(), strict=True):
            if is_live:
                on_token(row, token_id)

    def _drop_finished(self, ids: Tensor) -> Tensor:
        """Drop finished rows from the batch once they are half of it; copying the cache more often would cost more."""
        keep = (~self.finished[self.rows]).nonzero().squeeze(1)
        if 2 * len(keep) > len(self.rows):
            return ids
        for cache in self.caches.values():
            cache.batch_select_indices(keep)
        self.rows = self.rows[keep]
        if self.mask is not None:
            self.mask, self.positions = self.mask[keep], self.positions[keep]
        return ids[keep]

    def _forward(self, ids: Tensor) -> None:
        options: dict[str, Any] = {}
        if self.mask is not None:
            length = next(iter(self.caches.values())).get_seq_length() + 1
            options = {"attention_mask": self.mask[:, :length], "position_ids": self.positions}
            self.positions = self.positions + 1
        read: dict[Weights, Tensor] = {}
        for kind, cache in self.caches.items():
            with self.policy.reading_as(kind):
                out = self.policy.bare(
                    input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **options
                )
            read[kind] = out.logits[:, -1]
        self.logits = self._mixed(read)

    def _mixed(self, read: Mapping[Weights, Tensor]) -> Tensor:
        """Logits (R, V) of the mixture; normalising its parts would only add a constant to each row."""
        if len(read) == 1:
            return next(iter(read.values()))
        return torch.stack([share * read[kind].float() for kind, share in self.weights.items()]).sum(0)

    def _results(self) -> list[Sampled]:
        if not torch.isfinite(self.logps).all():
            raise PolicyError("The policy's logits are not finite; undo the last update or load the model again.")
        columns = zip(
            self.token_ids.tolist(), self.logps.tolist(), self.lengths.tolist(), self.finished.tolist(), strict=True
        )
        return [Sampled(tuple(ids[:n]), tuple(logps[:n]), finished) for ids, logps, n, finished in columns]


def _check(policy: Policy, prompts: Sequence[Sequence[int]], config: SamplingConfig) -> None:
    if any(len(prompt) == 0 for prompt in prompts):
        raise PromptError("A prompt without tokens cannot be continued; give it at least one token.")
    longest = max(len(prompt) for prompt in prompts)
    if longest + config.max_new_tokens > policy.context_length:
        raise PromptError(
            f"A prompt of {longest} tokens and {config.max_new_tokens} new ones do not fit the model's context of "
            f"{policy.context_length}; shorten the prompt or lower max_new_tokens."
        )


def _prefill(
    policy: Policy, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> tuple[Tensor, Any, Tensor | None, Tensor]:
    """Read the prompts: logits (R, V) of the first new token, the cache, mask and positions.

    Prompts of different lengths are padded on the left, so that all rows grow at the same position; then the mask
    (R, S + max_new_tokens) hides the padding, and positions count real tokens only (trap 7).
    """
    from transformers import DynamicCache

    cache = DynamicCache(config=policy.bare.config)
    shared = all(tuple(prompt) == tuple(prompts[0]) for prompt in prompts)
    read = prompts[:1] if shared else prompts
    width = max(len(prompt) for prompt in read)
    # The padding's id does not matter: the mask alone says what is padding.
    ids = torch.tensor([[*[0] * (width - len(p)), *p] for p in read], dtype=torch.long, device=policy.device)
    padding = torch.tensor([width - len(p) for p in read], device=policy.device)  # (R,)
    options: dict[str, Any] = {}
    mask = None
    if bool(padding.any()):
        places = torch.arange(width + max_new_tokens, device=policy.device)
        mask = (places >= padding.unsqueeze(1)).long()
        options = {
            "attention_mask": mask[:, :width],
            "position_ids": (places[:width] - padding.unsqueeze(1)).clamp(min=0),
        }
    out = policy.bare(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **options)
    logits = out.logits[:, -1]
    if not torch.isfinite(logits).all():
        raise PolicyError("The policy's logits are not finite; undo the last update or load the model again.")
    if shared and len(prompts) > 1:
        cache.batch_repeat_interleave(len(prompts))
        logits = logits.expand(len(prompts), -1)
    return logits, cache, mask, (width - padding).unsqueeze(1)
