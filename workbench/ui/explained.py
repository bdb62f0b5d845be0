"""Meaning, unit and source of each setting. "The paper" is arXiv 2601.20802. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of `SamplingConfig` or `SDPOConfig`."""

    meaning: str
    unit: str  # "" where it has none
    source: str


EXPLAINED: Mapping[str, Setting] = {
    "temperature": Setting(
        "Divides the logits when sampling, and on both sides in scoring.",
        "",
        "paper, section 3: 1",
    ),
    "max_new_tokens": Setting(
        "An attempt that reaches this is cut off, and marked as cut.",
        "tokens",
        "this project",
    ),
    "method": Setting(
        "SDPO gives each token its own credit; GRPO gives the whole attempt its reward minus the "
        "group's mean; blend adds both; SRPO teaches failures by SDPO and the rest by GRPO; RLSD "
        "weights GRPO's tokens by their credit.",
        "",
        "sdpo, grpo, blend: the paper; srpo: arXiv 2604.02288; rlsd: arXiv 2604.03128",
    ),
    "distillation_mode": Setting(
        "What is compared per token: all logits, the student's top K, or the sampled token.",
        "",
        "paper, section 3 and its granularity ablation",
    ),
    "distillation_alpha": Setting(
        "0 is KL(teacher ‖ student), 1 is KL(student ‖ teacher) as in the paper, in between is a JSD.",
        "0 to 1",
        "paper, Eq. 1: 1 with feedback, 0.5 without",
    ),
    "distillation_topk": Setting(
        "K: how many of the student's most likely tokens are compared.",
        "tokens",
        "paper: 20 with feedback, 100 without",
    ),
    "distillation_add_tail": Setting(
        "Adds one bucket for the rest of the vocabulary.",
        "",
        "the paper's code",
    ),
    "distillation_normalised": Setting(
        "Divides by alpha (1 - alpha), so that the loss does not jump at the ends of alpha.",
        "",
        "this project",
    ),
    "advantage_clip": Setting(
        "Limit on |log teacher - log student| per token; with alpha 1 only; empty means no limit.",
        "nats",
        "paper, at test time: 5",
    ),
    "grpo_weight": Setting(
        "Blend: share of GRPO's advantage; 0 is SDPO, 1 is GRPO.",
        "0 to 1",
        "paper, Eq. 3: 0.9 for small models",
    ),
    "entropy_beta": Setting(
        "SRPO: how much less a token counts where the teacher is unsure; 0 means no less.",
        "per nat",
        "arXiv 2604.02288, section 3.2: 1",
    ),
    "evidence_clip": Setting(
        "RLSD: the teacher's weights stay within 1 plus or minus this.",
        "0 to 1",
        "arXiv 2604.03128: 0.2",
    ),
    "teacher": Setting(
        "The weights that re-read the attempt: the reference policy, the current policy, an average over "
        "updates, or a mixture of the first two.",
        "",
        "paper, section 3 and Table 4",
    ),
    "teacher_update_rate": Setting(
        "The current policy's share in the teacher: rho of the trust region (0 is the reference policy, 1 "
        "the current one), or how far the average moves per update. Empty: 0.5 for the trust region, "
        "0.05 for the average.",
        "0 to 1",
        "paper, for the average: 0.01 with feedback, 0.05 without",
    ),
    "gap_share": Setting(
        "The strength of an update: the share of the gap to the teacher that it may close. It means the same on every "
        "model; learning rate and steps follow from it.",
        "0 to 1",
        "this project; chosen on the embedded policy",
    ),
    "max_kl": Setting(
        "How far one update may move the policy at all, on its own attempts and on the probe: KL(before ‖ after). The "
        "last step is scaled back to it.",
        "nats per token",
        "this project; chosen on the embedded policy",
    ),
    "learning_rate": Setting(
        "Of AdamW on the LoRA adapter. Naming it switches the two settings of strength off. 0.003 shows more after one "
        "update than 0.001, but ruins the embedded policy after about 50; a large model needs a far smaller one.",
        "",
        "empty: follows from the strength; 0.001 where only steps are named",
    ),
    "weight_decay": Setting(
        "Of AdamW.",
        "",
        "paper: 0.01",
    ),
    "max_grad_norm": Setting(
        "Gradients longer than this are scaled down to it.",
        "",
        "paper: 1",
    ),
    "is_clip": Setting(
        "Upper limit of the importance weight; empty means no importance weight.",
        "",
        "the paper's code: 2",
    ),
    "steps": Setting(
        "Optimiser steps per update on the same attempts. Naming them switches the two settings of strength off.",
        "steps",
        "empty: follow from the strength; 8 where only a learning rate is named; the paper takes 1",
    ),
    "kl_limit": Setting(
        "An update that moves the policy further than this on the probe is taken back; empty means no limit.",
        "nats per token",
        "this project",
    ),
    "use_demonstrations": Setting(
        "The teacher of a failed attempt also sees a passed one of the same group.",
        "",
        "paper, Table 2",
    ),
    "feedback_kinds": Setting(
        "The kinds of feedback that the teacher sees; without demonstration, no other attempt either. Answers are "
        "disclosed, to the teacher and on this page, only where answer is switched on. Tool use that is graded as "
        "in the paper gives no other kind: while answer is off, its teacher sees no feedback.",
        "",
        "this project; the paper shows all, in tool use the answer too",
    ),
    "include_failed_attempt": Setting(
        "The teacher sees the failed attempt; the paper finds that this anchors it (Table 6).",
        "",
        "paper, Table 6",
    ),
    "template": Setting(
        "The self-teacher's prompt: the name of a template, or a text with {question} in it; auto is the template that "
        "was measured best for this model, else the paper's.",
        "text",
        "the paper's code; other templates: this project",
    ),
}
