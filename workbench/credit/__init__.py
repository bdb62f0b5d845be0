"""Credit: what the self-teacher says of each sampled token, as pure maths. No models, no files, no randomness."""

from __future__ import annotations

from workbench.credit.attempt_credit import TokenCredit, TopToken
from workbench.credit.contexts import CONTEXTS, DEFAULT_CONTEXTS
from workbench.credit.loss import Distillation, logit_push, sdpo_loss, token_credit
from workbench.credit.policy_gradient import Targets, grpo_advantage, objective_losses, objective_push
from workbench.credit.routing import Route, route
from workbench.credit.views import VIEWS, View

__all__ = [
    "CONTEXTS",
    "DEFAULT_CONTEXTS",
    "VIEWS",
    "Distillation",
    "Route",
    "Targets",
    "TokenCredit",
    "TopToken",
    "View",
    "grpo_advantage",
    "logit_push",
    "objective_losses",
    "objective_push",
    "route",
    "sdpo_loss",
    "token_credit",
]
