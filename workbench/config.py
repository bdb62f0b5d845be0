"""Settings: small, frozen, validated on construction, serialisable. Each field states its unit and source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

from workbench.errors import ConfigError
from workbench.records import FeedbackKind
from workbench.templates import OWN, read_template

Quantization = Literal["auto", "nf4", "int8", "none"]
LoraVariant = Literal["lora", "rslora", "dora"]
Switch = Literal["auto", "on", "off"]
DistillationMode = Literal["full_logits", "topk_logits", "argmax_token", "sampled_token", "sequence"]
Teacher = Literal["frozen", "live", "ema", "trust_region"]
Method = Literal["sdpo", "grpo", "blend", "srpo", "rlsd"]
MOST_PAIRS = 64  # of a measurement of teacher lift that stops when the question is answered
PAIRS_AT_ONCE = 8  # of such a measurement at least: a batch of one takes as long
MOST_STEPS = 8  # optimiser steps of an update, where none are named
FIXED_RATE = 1e-3  # learning rate where only steps are named
FEEDBACK_KINDS: tuple[FeedbackKind, ...] = get_args(FeedbackKind)
MODEL_NAMES = "'embedded', 'smollm2', a local directory, a GGUF file or a hub id"  # what can be named as a model


def model_name(model: str) -> str:
    """Display name of a model: a hub id unchanged, a directory or file by its last component."""
    return model if model.count("/") < 2 else model.rstrip("/").rpartition("/")[2]


def _check(ok: bool, sentence: str) -> None:
    if not ok:
        raise ConfigError(sentence)


def _check_choice(name: str, value: str, choices: object) -> None:
    allowed = get_args(choices)
    _check(value in allowed, f"{name} is {value!r}; choose one of {', '.join(allowed)}.")


@dataclass(frozen=True, slots=True)
class TeacherFacts:
    """Settings and words of one self-teacher; which weights it reads with is `policy.teacher`'s."""

    meaning: str  # whose distribution it is, for people; "{rate}" stands for the rate in force
    why: str  # when one would choose it
    default_rate: float  # of `SDPOConfig.teacher_update_rate`
    adjustable: bool = False  # `teacher_update_rate` may be another
    averaged: bool = False  # reads the average of the weights, which moves by the rate once per update made under it


TEACHERS: Mapping[Teacher, TeacherFacts] = MappingProxyType(
    {
        "frozen": TeacherFacts(
            "The reference policy: the model with its adapter off, as it was before any update.",
            "To be safe over many updates: it never drifts, and never gets better either.",
            0.0,
        ),
        "live": TeacherFacts(
            "The policy as it is now.",
            "For one or a few updates: it knows all that was learned; over many it diverges in the paper.",
            1.0,
        ),
        "trust_region": TeacherFacts(
            "A blend of reference policy and present policy: q ∝ q_ref^(1 − ρ) q_now^ρ, ρ = {rate:g}.",
            "The paper's best: between start and present, so it gets better without running away.",
            0.5,
            adjustable=True,
        ),
        "ema": TeacherFacts(
            "The average of the policy's weights over the updates that were made under it.",
            "For long runs: it follows the policy slowly, averaged over the updates.",
            0.05,
            adjustable=True,
            averaged=True,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """The low-rank adapter: its variant, its size, and the layers that carry it."""

    rank: int = 16
    lora_alpha: float = 32.0  # scale of the adapter: lora_alpha / rank; of rslora: lora_alpha / sqrt(rank)
    variant: LoraVariant = "lora"  # only variants that start as the reference policy, on NF4 too
    # "all-linear" = every linear layer but the output head; or names of layers, or suffixes of their names
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"

    def __post_init__(self) -> None:
        _check(self.rank >= 1, f"LoRA rank is {self.rank}; it must be at least 1.")
        _check(
            math.isfinite(self.lora_alpha) and self.lora_alpha > 0,
            f"lora_alpha is {self.lora_alpha}; it must be a finite number above 0.",
        )
        _check_choice("The LoRA variant", self.variant, LoraVariant)
        if self.target_modules != "all-linear":
            names = [self.target_modules] if isinstance(self.target_modules, str) else list(self.target_modules)
            _check(
                bool(names) and all(isinstance(name, str) and name for name in names),
                "target_modules is empty; give names of layers, or 'all-linear'.",
            )
            object.__setattr__(self, "target_modules", tuple(names))  # JSON brings a list, or a single name


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """The model, its device, and the precision of its weights."""

    model: str = "embedded"  # one of MODEL_NAMES
    quantization: Quantization = "auto"  # auto: NF4 on CUDA, none elsewhere
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:1", "mps"
    lora: LoraSettings = field(default_factory=LoraSettings)
    revision: str | None = None  # hub revision, pinned and recorded
    seed: int = 0  # of the adapter's initialisation and of sampling
    adapter: str | None = None  # directory of a PEFT adapter to start from; it brings its own LoRA settings
    thinking: bool | None = None  # the chat template's `enable_thinking`; None = as the template has it
    gradient_checkpointing: Switch = "auto"  # auto: where one pass would need more than half of the free memory

    def __post_init__(self) -> None:
        _check(bool(self.model.strip()), f"No model was named; give {MODEL_NAMES}.")
        _check_choice("quantization", self.quantization, Quantization)
        _check_choice("gradient_checkpointing", self.gradient_checkpointing, Switch)
        _check(
            self.adapter is None or self.lora == LoraSettings(),
            "Both an adapter and LoRA settings were given; an adapter brings its own, so give one of the two.",
        )

    def arguments(self) -> dict[str, Any]:
        """The settings by name, as `Workbench.open` takes them."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}


# Beyond these the logits, divided by the temperature, leave the range in which float32 can compare them.
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-6, 1e6


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """Settings of sampling. The paper samples at temperature 1 without truncating the distribution (section 3)."""

    temperature: float = 1.0  # also divides the logits of both sides in scoring
    max_new_tokens: int = 96

    def __post_init__(self) -> None:
        _check(
            MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE,  # False for what is no number, too
            f"temperature is {self.temperature}; it must be a number from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}.",
        )
        _check(self.max_new_tokens >= 1, f"max_new_tokens is {self.max_new_tokens}; it must be at least 1.")


def _kinds(given: object) -> tuple[FeedbackKind, ...]:
    """Kinds of feedback in their usual order, each once. Raises ConfigError."""
    known = ", ".join(FEEDBACK_KINDS)
    _check(isinstance(given, list | tuple), f"feedback_kinds is {given!r}; give a list of {known}.")
    assert isinstance(given, list | tuple)
    for kind in given:
        _check(kind in FEEDBACK_KINDS, f"feedback_kinds has {kind!r}; choose from {known}.")
    return tuple(kind for kind in FEEDBACK_KINDS if kind in given)


@dataclass(frozen=True, slots=True)
class SDPOConfig:
    """Settings of one update. Defaults follow the paper's rich-feedback setting, with a learning rate for LoRA."""

    method: Method = "sdpo"
    distillation_mode: DistillationMode = "topk_logits"
    distillation_alpha: float = 1.0  # 0 = forward KL(q||pi), 1 = reverse KL(pi||q), between = generalised JSD
    distillation_topk: int = 20  # K of the student's most likely tokens
    distillation_add_tail: bool = True  # one bucket for the rest of the vocabulary
    distillation_normalised: bool = False  # divides by alpha (1 - alpha): no jump of the loss at the ends of alpha
    advantage_clip: float | None = None  # nats, limit of |log q - log pi| (paper, at test time: 5); None = no limit
    grpo_weight: float = 0.9  # lambda of blend: A = lambda A_GRPO + (1 - lambda) A_SDPO (paper, for small models: 0.9)
    entropy_beta: float = 1.0  # beta of SRPO's weights e^(-beta H) of the teacher's entropy; 0 = equal weights
    evidence_clip: float = 0.2  # RLSD's weights stay within 1 +- this
    teacher: Teacher = "trust_region"
    # The share of the current policy in the teacher. trust_region: rho, 0 = the reference, 1 = the live policy; ema:
    # how far the average moves per update (paper: 0.01 with feedback, 0.05 without). None = the teacher's own default
    # (TEACHERS); frozen and live have no other.
    teacher_update_rate: float | None = None
    # How far one update goes: it may close this share of the gap to the teacher, and move the policy by at most this
    # KL(before || after), nats per token, on its own attempts and on the probe. Learning rate and steps follow from it.
    gap_share: float = 0.3
    max_kl: float = 0.03
    # Naming either of these switches that off; the other is then FIXED_RATE, MOST_STEPS.
    learning_rate: float | None = None  # of AdamW on the adapter
    # Optimiser steps on the same attempts. The paper takes one; per-token credit tolerates more, and then needs several
    # times fewer attempts (docs/evidence.md, section 1).
    steps: int | None = None
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    is_clip: float | None = 2.0  # upper clip of the importance weight; None = no weight
    # Limit of KL(before || after) on the probe, nats per token: an update that moves the policy further is taken back.
    # Typical updates of the embedded policy move it by 0.001 to 0.05. None = no limit.
    kl_limit: float | None = 1.0
    use_demonstrations: bool = True  # show the teacher another attempt of the group that passed
    # The kinds of feedback that the teacher sees ("demonstration": another attempt too). Answers are for those who ask.
    feedback_kinds: tuple[FeedbackKind, ...] = tuple(kind for kind in FEEDBACK_KINDS if kind != "answer")
    include_failed_attempt: bool = False  # show the teacher the failed attempt too; anchors it (paper, Table 6)
    # Of the teacher's prompt: a name of `templates.TEMPLATES`, a text with {question} in it, or "auto": the one that
    # was measured best for this model (`OWN_TEMPLATES`), else the paper's.
    template: str = OWN

    def __post_init__(self) -> None:
        _check_choice("method", self.method, Method)
        _check_choice("distillation_mode", self.distillation_mode, DistillationMode)
        _check_choice("teacher", self.teacher, Teacher)
        for name in ("distillation_alpha", "grpo_weight", "evidence_clip"):
            value = getattr(self, name)
            _check(0.0 <= value <= 1.0, f"{name} is {value}; it must lie between 0 and 1.")
        _check(0.0 < self.gap_share <= 1.0, f"gap_share is {self.gap_share}; it must lie above 0, and be 1 at most.")
        _check(
            math.isfinite(self.max_kl) and self.max_kl > 0,
            f"max_kl is {self.max_kl}; it must be a finite number above 0.",
        )
        for name in ("distillation_topk", "steps"):
            value = getattr(self, name)
            _check(
                (name == "steps" and value is None) or (isinstance(value, int) and value >= 1),
                f"{name} is {value}; it must be a whole number, at least 1.",
            )
        object.__setattr__(self, "feedback_kinds", _kinds(self.feedback_kinds))
        read_template(self.template)
        rate = self.teacher_rate
        _check(0.0 <= rate <= 1.0, f"teacher_update_rate is {rate}; it must lie between 0 and 1.")
        _check(
            not TEACHERS[self.teacher].averaged or rate > 0.0,
            f"teacher_update_rate is 0, so the average would never move; give {self.teacher} a rate above 0, or choose "
            "frozen.",
        )
        _check(
            self.learning_rate is None or (math.isfinite(self.learning_rate) and self.learning_rate > 0),
            f"learning_rate is {self.learning_rate}; it must be a finite number above 0.",
        )
        _check(
            math.isfinite(self.weight_decay) and self.weight_decay >= 0,
            f"weight_decay is {self.weight_decay}; it must be a finite number, 0 or above.",
        )
        _check(self.max_grad_norm > 0, f"max_grad_norm is {self.max_grad_norm}; it must be above 0.")
        _check(self.is_clip is None or self.is_clip > 0, f"is_clip is {self.is_clip}; it must be above 0, or None.")
        _check(
            math.isfinite(self.entropy_beta) and self.entropy_beta >= 0,
            f"entropy_beta is {self.entropy_beta}; it must be a finite number, 0 or above.",
        )
        _check(self.kl_limit is None or self.kl_limit > 0, f"kl_limit is {self.kl_limit}; it must be above 0, or None.")
        if self.distillation_mode == "sampled_token":
            _check(self.distillation_alpha == 1.0, "sampled_token is defined for distillation_alpha = 1 only.")
        if self.advantage_clip is not None:
            _check(self.advantage_clip > 0, f"advantage_clip is {self.advantage_clip}; it must be above 0, or None.")
            _check(
                self.distillation_alpha == 1.0 or self.distillation_mode == "sequence",
                "advantage_clip is defined for distillation_alpha = 1 only; leave one of them out.",
            )

    @property
    def teacher_rate(self) -> float:
        """The rate in force: `teacher_update_rate`, or the chosen teacher's default."""
        facts = TEACHERS[self.teacher]
        given = self.teacher_update_rate if facts.adjustable else None
        return facts.default_rate if given is None else given

    @property
    def by_strength(self) -> bool:
        """True where an update ends by what it did to the policy, not after a number of steps at a learning rate."""
        return self.learning_rate is None and self.steps is None

    @property
    def rate(self) -> float:
        """Learning rate of AdamW: the named one, or where only steps were named the former default."""
        return FIXED_RATE if self.learning_rate is None else self.learning_rate

    @property
    def most_steps(self) -> int:
        """Optimiser steps of an update, by strength at most."""
        return MOST_STEPS if self.steps is None else self.steps
