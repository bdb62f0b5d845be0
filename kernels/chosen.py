"""Log-probabilities of chosen ids of each row of logits: all that most losses need of a distribution.

Tensors in, tensors out: knows nothing of losses. The one dispatch point: PyTorch everywhere, a Triton kernel on CUDA.
Carries a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor
from workbench.kernels.projection import takes_triton, working_dtype


def chosen_logps(logits: Tensor, ids: Tensor) -> Tensor:
    """log p(v) of the chosen ids: logits (n, V), ids (n, K) int64 -> (n, K), nats, fp32, or fp64 for fp64 logits.

    The ids of a row are distinct.
    """
    if takes_triton(logits):
        from workbench.kernels.triton_learning import ChosenLogps

        return ChosenLogps.apply(logits, ids)
    return torch.log_softmax(logits, dim=-1, dtype=working_dtype(logits)).gather(-1, ids)
