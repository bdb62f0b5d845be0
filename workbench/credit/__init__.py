"""Credit: the self-teacher's judgement of each sampled token, as pure maths. No models, no files, no randomness.

What computes needs torch and is imported on first use: the page is drawn from the tables of contexts and views alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.credit.contexts import CONTEXTS, DEFAULT_CONTEXTS
from workbench.credit.scores import Scores, TopToken
from workbench.credit.views import VIEWS, Range, View, register_view

if TYPE_CHECKING:
    from workbench.credit.attempt_credit import TokenCredit
    from workbench.credit.loss import Distillation, logit_push, sdpo_loss, token_credit
    from workbench.credit.policy_gradient import Targets, grpo_advantage, objective_losses, objective_push
    from workbench.credit.routing import Route, route

__all__ = [
    "CONTEXTS",
    "DEFAULT_CONTEXTS",
    "VIEWS",
    "Distillation",
    "Range",
    "Route",
    "Scores",
    "Targets",
    "TokenCredit",
    "TopToken",
    "View",
    "grpo_advantage",
    "logit_push",
    "objective_losses",
    "objective_push",
    "register_view",
    "route",
    "sdpo_loss",
    "token_credit",
]

_HOMES = {
    "attempt_credit": ("TokenCredit",),
    "loss": ("Distillation", "logit_push", "sdpo_loss", "token_credit"),
    "policy_gradient": ("Targets", "grpo_advantage", "objective_losses", "objective_push"),
    "routing": ("Route", "route"),
}


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
