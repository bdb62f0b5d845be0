"""Pace of a policy on this machine, measured as it is loaded, so that people know before they begin to wait."""

from __future__ import annotations

import time

import torch

from workbench.policy.policy import Policy
from workbench.records import Pace

_ROWS = 8  # of the larger group
_REPEATED = 2  # the first pass of a shape also pays for choosing its kernels


def measure(policy: Policy) -> Pace:
    """Measure single positions of two groups, without a cache: a few passes that each read at most 8 tokens."""
    single_s, group_s = (_seconds(policy, rows) for rows in (1, _ROWS))
    row_s = max(0.0, (group_s - single_s) / (_ROWS - 1))
    return Pace(max(0.0, single_s - row_s), row_s)


def _seconds(policy: Policy, rows: int) -> float:
    ids = torch.zeros((rows, 1), dtype=torch.long, device=policy.device)
    seconds = []
    with torch.inference_mode():
        for _ in range(_REPEATED):
            started = time.perf_counter()
            policy.bare(input_ids=ids, use_cache=False).logits.sum().item()  # waits for the device
            seconds.append(time.perf_counter() - started)
    return min(seconds)
