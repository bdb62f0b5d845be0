"""The output head of a loaded model, taken out of it so that logits can be computed a few rows at a time.

The steps after the linear layer differ between architectures (a scale, a soft cap). The head found here is compared
with the model's own logits when the policy is loaded; a model that does something else keeps its own head, at the
price of whole tensors of logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from workbench.kernels.projection import Head

# Names that configurations give to a factor of the projection, and whether it divides. `logits_scaling` multiplies in
# some architectures and divides in others: whichever gives the model's logits is right.
_SCALES = (
    ("logit_scale", False),
    ("logits_scaling", True),
    ("logits_scaling", False),
    ("lm_head_multiplier", False),
    ("output_multiplier", False),
)
_PLACES = 8  # tokens on which a head is compared with the model
_UNITS = 8  # units of the logits' own precision by which the two may differ


def final_head(model: Any) -> Head:
    """Find the head that gives this model's logits from its final hidden states; `Head(None)` where there is none."""
    layer = model.get_output_embeddings()
    # A layer of a subclass is quantised or adapted: its weight alone is not what it computes.
    if type(layer) is not torch.nn.Linear or not layer.weight.is_floating_point():
        return Head(None)
    vocabulary = layer.weight.shape[0]
    ids = torch.linspace(0, vocabulary - 1, _PLACES, device=model.device).long().unsqueeze(0)  # (1, 8)
    with torch.no_grad():
        hidden = final_hidden(model, ids)
        logits = model(input_ids=ids, use_cache=False).logits[0].float()  # (8, V)
        if hidden is None:
            return Head(None)
        allowed = _UNITS * torch.finfo(layer.weight.dtype).eps * float(logits.abs().max())
        for scale, softcap in _candidates(model.config.get_text_config()):
            head = Head(layer.weight.detach(), None if layer.bias is None else layer.bias.detach(), scale, softcap)
            if hidden.shape[-1] == layer.in_features and _distance(head, hidden[0], logits) <= allowed:
                return head
    return Head(None)


def final_hidden(model: Any, input_ids: Tensor) -> Tensor | None:
    """Hidden states (B, S, H) before the head, after the last norm; None where the model has no such part."""
    if model.base_model is model:
        return None
    return getattr(model.base_model(input_ids=input_ids, use_cache=False), "last_hidden_state", None)


def _candidates(config: Any) -> Iterator[tuple[float, float | None]]:
    softcap = getattr(config, "final_logit_softcapping", None)
    yield 1.0, softcap
    for name, divides in _SCALES:
        value = getattr(config, name, None)
        if value:
            yield (1.0 / value if divides else float(value)), softcap


def _distance(head: Head, hidden: Tensor, logits: Tensor) -> float:
    return float((head.logits(hidden, 1.0) - logits).abs().max())
