"""The tab "Settings": every field of sampling and of the update, with its default and what it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import gradio as gr

from workbench import config as settings
from workbench.config import SamplingConfig, SDPOConfig
from workbench.ui.forms import setter
from workbench.ui.moment import Moment
from workbench.ui.panel import QUIET, Panel, Selection, Then, polite

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


class SettingsPanel(Panel):
    """Every field of sampling and of the update; what is changed here holds for this session of the page."""

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self.fields: list[tuple[type, str, Any, gr.State]] = []
        groups = (
            (SamplingConfig, selection.sampling, "Sampling", lambda moment: moment.sampling),
            (SDPOConfig, selection.config, "Update", lambda moment: moment.config),
        )
        for kind, state, title, read in groups:
            gr.Markdown(f"### {title}")
            with gr.Row():
                for item in fields(kind):
                    made = _field(item.name, item.default)
                    self.fields.append((kind, item.name, made, state))
                    self.follow(f"set {item.name}", made, _value(read, item.name), lambda value: value)
            code = gr.Code(language="python", label="The same in Python", interactive=False)
            self.follow(f"code {title}", code, _code(read), lambda text: text)

    def connect(self, then: Then) -> None:
        """A field changes its one setting: at once, or when a number is left."""
        for kind, name, made, state in self.fields:
            events = [made.submit, made.blur] if isinstance(made, gr.Number) else [made.input]
            then(gr.on(events, polite(setter(kind, name)), [state, made], [state], **QUIET))


def _value(read: Callable[[Moment], Any], name: str) -> Callable[[Moment], Any]:
    return lambda moment: getattr(read(moment), name)


def _code(read: Callable[[Moment], Any]) -> Callable[[Moment], str]:
    return lambda moment: as_code(read(moment))


def _field(name: str, default: Any) -> Any:
    options: dict[str, Any] = {"label": name, "info": f"{EXPLAINED[name]} Default {default}.", "elem_id": f"set-{name}"}
    options["min_width"] = 260
    if name in CHOICES:
        return gr.Dropdown(list(get_args(CHOICES[name])), value=default, **options)
    if isinstance(default, bool):
        return gr.Checkbox(default, **options)
    return gr.Number(default, precision=0 if type(default) is int else None, **options)


def as_code(config: Any) -> str:
    """The Python that makes this configuration: its class, and what differs from the defaults."""
    changed = [
        f"{item.name}={getattr(config, item.name)!r}"
        for item in fields(config)
        if getattr(config, item.name) != item.default
    ]
    return f"{type(config).__name__}({', '.join(changed)})"
