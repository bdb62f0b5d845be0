"""Sampling from a copy of the weights with the adapter merged in: the same policy, whatever has changed it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from policy_factory import make_model_dir, make_policy, nudge

from workbench.config import LoraSettings, PolicyConfig, SamplingConfig
from workbench.policy import load_policy
from workbench.policy.policy import Policy
from workbench.policy.sampling import sample

PROMPT = (5, 9, 2, 7)
DRAW = SamplingConfig(max_new_tokens=12)


def drawn(policy: Policy) -> tuple[Any, ...]:
    policy.generator.manual_seed(3)
    return tuple(sample(policy, [PROMPT] * 4, DRAW))


@contextmanager
def beside(policy: Policy) -> Iterator[None]:
    """Sample with the adapter beside the weights, as on devices that merge nothing."""
    merged, policy._merged = policy._merged, None
    yield
    policy._merged = merged


def check_same(policy: Policy) -> None:
    with beside(policy):
        expected = drawn(policy)
    for ours, theirs in zip(drawn(policy), expected, strict=True):
        assert ours.token_ids == theirs.token_ids
        assert ours.logps == pytest.approx(theirs.logps, abs=2e-5)


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])  # the latter's layers hold their weights transposed
@pytest.mark.parametrize("variant", ["lora", "rslora", "dora"])
def test_it_is_the_policy_after_every_change(tmp_path: Path, family: Any, variant: Any) -> None:
    lora = LoraSettings(rank=4, lora_alpha=8, variant=variant)
    model = str(make_model_dir(tmp_path, family))
    policy = load_policy(PolicyConfig(model=model, quantization="none", device="cpu", lora=lora))
    assert policy.facts["merged_sampling"]
    check_same(policy)
    start, first = policy.state(), drawn(policy)
    nudge(policy)  # in place, as an optimiser does
    check_same(policy)
    assert drawn(policy) != first
    policy.load_state(start)
    check_same(policy)
    assert drawn(policy) == first


def test_nothing_of_the_policy_is_touched(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    nudge(policy)
    weights = {name: (p.data_ptr(), p.clone()) for name, p in policy.model.named_parameters()}
    before = policy.fingerprint()
    drawn(policy)
    assert policy.fingerprint() == before
    for name, parameter in policy.model.named_parameters():
        place, value = weights[name]
        assert parameter.data_ptr() == place and torch.equal(parameter, value)
    with pytest.raises(ZeroDivisionError), policy.sampling():
        raise ZeroDivisionError
    assert policy.fingerprint() == before


def test_quantised_weights_are_never_merged(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    assert not make_policy(tmp_path, quantization="nf4").facts["merged_sampling"]
