"""Credit: what the self-teacher says of each sampled token, as pure maths. No models, no files, no randomness."""

from __future__ import annotations

from workbench.credit.attempt_credit import TokenCredit, TopToken
from workbench.credit.loss import grpo_advantage, grpo_loss, grpo_push, logit_push, sdpo_loss, token_credit
from workbench.credit.views import VIEWS, View

__all__ = [
    "VIEWS",
    "TokenCredit",
    "TopToken",
    "View",
    "grpo_advantage",
    "grpo_loss",
    "grpo_push",
    "logit_push",
    "sdpo_loss",
    "token_credit",
]
