"""Settings refuse impossible values when they are made, in one sentence that names the setting."""

from __future__ import annotations

import math
from typing import Any

import pytest

from workbench.config import SDPOConfig
from workbench.credit import Distillation
from workbench.errors import ConfigError
from workbench.policy.objective import distillation_of


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "ppo"}, "method is 'ppo'; choose one of sdpo, grpo, blend, srpo, rlsd"),
        ({"distillation_mode": "tokens"}, "distillation_mode is 'tokens'"),
        ({"distillation_alpha": math.nan}, "distillation_alpha is nan"),
        ({"distillation_alpha": -0.1}, "between 0 and 1"),
        ({"distillation_topk": 0}, "distillation_topk is 0; it must be a whole number, at least 1"),
        ({"distillation_topk": 2.5}, "distillation_topk is 2.5"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"grpo_weight": 1.1}, "grpo_weight is 1.1"),
        ({"grpo_weight": math.nan}, "grpo_weight is nan"),
        ({"evidence_clip": -0.1}, "evidence_clip is -0.1"),
        ({"entropy_beta": -1.0}, "entropy_beta is -1.0"),
        ({"entropy_beta": math.inf}, "entropy_beta is inf"),
        ({"advantage_clip": 0.0}, "advantage_clip is 0.0"),
        ({"advantage_clip": math.nan}, "advantage_clip is nan"),
        ({"advantage_clip": 5.0, "distillation_alpha": 0.5}, "advantage_clip is defined for"),
        ({"distillation_mode": "sampled_token", "distillation_alpha": 0.5}, "sampled_token is defined for"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"weight_decay": math.inf}, "weight_decay is inf"),
        ({"max_grad_norm": math.nan}, "max_grad_norm is nan"),
        ({"is_clip": 0.0}, "is_clip is 0.0"),
    ],
)
def test_an_impossible_update_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SDPOConfig(**settings)


def test_every_setting_of_the_divergence_reaches_it() -> None:
    """Fails when two neighbouring fields are swapped on the way."""
    config = SDPOConfig(
        distillation_mode="sequence",
        distillation_alpha=0.25,
        distillation_topk=7,
        distillation_add_tail=False,
        distillation_normalised=True,
        advantage_clip=3.0,
    )
    assert distillation_of(config) == Distillation(
        mode="sequence", alpha=0.25, topk=7, add_tail=False, normalised=True, advantage_clip=3.0
    )
    assert distillation_of(SDPOConfig()) == Distillation()
