"""The tab "Settings": every field of sampling and of the update, with its default and what it means."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import gradio as gr

from workbench import config as settings
from workbench.config import SamplingConfig, SDPOConfig
from workbench.ui.forms import make_config
from workbench.ui.panel import QUIET, Selection, polite

CHOICES = {
    "method": settings.Method,
    "distillation_mode": settings.DistillationMode,
    "teacher": settings.Teacher,
}
EXPLAINED = {
    "temperature": "Divides the logits when sampling, and on both sides in scoring.",
    "max_new_tokens": "Tokens. An attempt that reaches this is cut and says so.",
    "method": "SDPO gives each token its own credit; GRPO gives the whole attempt its reward minus the group's mean; "
    "blend adds both; SRPO teaches failures by SDPO and the rest by GRPO; RLSD weighs GRPO's tokens by the teacher.",
    "distillation_mode": "What is compared per token: all logits, the student's top K, or the sampled token.",
    "distillation_alpha": "0 is KL(teacher ‖ student), 1 is KL(student ‖ teacher) as in the paper, between is a JSD.",
    "distillation_topk": "K of the student's likeliest tokens.",
    "distillation_add_tail": "One bucket for the rest of the vocabulary.",
    "distillation_normalised": "Divides by alpha (1 - alpha), so that the loss does not jump at the ends of alpha.",
    "advantage_clip": "Nats. Limit of |log teacher - log student| per token; alpha 1 only; empty means no limit.",
    "grpo_weight": "Blend: share of GRPO's advantage; 0 is SDPO, 1 is GRPO.",
    "entropy_beta": "SRPO: how much less a token counts where the teacher is unsure; 0 is not at all.",
    "evidence_clip": "RLSD: the teacher's weights stay within 1 plus or minus this.",
    "teacher": "Which weights re-read the attempt: the start, the current ones, their average over updates, or a "
    "blend of start and current ones.",
    "teacher_update_rate": "The current policy's share in the teacher: rho of the trust region (0 is the start, 1 the "
    "current weights), or how far the average moves per update. Empty: "
    f"{settings.TEACHER_RATES['trust_region']} for the trust region, {settings.TEACHER_RATES['ema']} for the average.",
    "learning_rate": "Of AdamW on the LoRA adapter.",
    "weight_decay": "Of AdamW.",
    "max_grad_norm": "Gradients longer than this are scaled down to it.",
    "is_clip": "Upper clip of the importance weight; empty means no weight.",
    "steps": "Optimiser steps per update on the same attempts.",
    "kl_limit": "Nats per token on fixed probe tokens: an update that moves the policy further is taken back; empty "
    "means no limit.",
    "use_demonstrations": "The teacher of a failed attempt also sees a passed one of the same group.",
    "include_failed_attempt": "The teacher sees the failed attempt; the paper finds that this anchors it (Table 6).",
}


def build(selection: Selection) -> None:
    """Lay the tab out and keep the session's two states in step with it; called inside a `gr.Tab`."""
    for kind, state, title in (
        (SamplingConfig, selection.sampling, "Sampling"),
        (SDPOConfig, selection.config, "Update"),
    ):
        names, inputs = [], []
        gr.Markdown(f"### {title}")
        with gr.Row():
            for item in fields(kind):
                names.append(item.name)
                inputs.append(_field(item.name, item.default))
        code = gr.Code(_code(kind, {}), language="python", label="The same in Python", interactive=False)

        def changed(*values: Any, kind: type = kind, names: list[str] = names) -> tuple[dict[str, Any], str]:
            given = dict(zip(names, values, strict=True))
            make_config(kind, given)  # refuses impossible values before the state changes
            return given, _code(kind, given)

        gr.on([component.change for component in inputs], polite(changed), inputs, [state, code], **QUIET)


def _field(name: str, default: Any) -> Any:
    options: dict[str, Any] = {"label": name, "info": f"{EXPLAINED[name]} Default {default}.", "elem_id": f"set-{name}"}
    options["min_width"] = 260
    if name in CHOICES:
        return gr.Dropdown(list(get_args(CHOICES[name])), value=default, **options)
    if isinstance(default, bool):
        return gr.Checkbox(default, **options)
    return gr.Number(default, precision=0 if type(default) is int else None, **options)


def _code(kind: type, given: dict[str, Any]) -> str:
    defaults = {item.name: item.default for item in fields(kind)}
    changed = [f"{name}={value!r}" for name, value in given.items() if value != defaults[name]]
    return f"{kind.__name__}({', '.join(changed)})"
