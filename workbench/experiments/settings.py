"""Settings of experiments: how much is sampled, measured and spent. Plain data, quick to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

from workbench.config import SDPOConfig
from workbench.errors import ConfigError

DISCOVERY_METHODS = ("sdpo", "best_of_k", "multi_turn", "multi_turn_feedback")
DEFAULT_METHODS = DISCOVERY_METHODS[:3]
# A search makes a few updates and is then undone, so its steps are longer than those that must hold (docs/evidence.md,
# section 2); the limit of the credit is the paper's at test time.
TEST_TIME = SDPOConfig(learning_rate=3e-3, advantage_clip=5.0)
STAGES, SCREENED = (4, 5), 256  # of the candidates for hard tasks; attempts that measure each of them
TEACHERS = ("frozen", "trust_region", "ema", "live")  # whose credit is studied
_ONE_STEP = SDPOConfig(steps=1, kl_limit=None)  # no update is taken back: what large steps do is part of the question
# The losses whose updates the study of updates measures.
LOSSES: Mapping[str, SDPOConfig] = MappingProxyType(
    {
        "reverse KL, top 20": _ONE_STEP,
        "reverse KL, all": replace(_ONE_STEP, distillation_mode="full_logits"),
        "JSD": replace(_ONE_STEP, distillation_alpha=0.5),
        "forward KL": replace(_ONE_STEP, distillation_alpha=0.0),
        "sampled token": replace(_ONE_STEP, distillation_mode="sampled_token"),
        "sequence": replace(_ONE_STEP, distillation_mode="sequence"),
        "blend": replace(_ONE_STEP, method="blend"),
        "srpo": replace(_ONE_STEP, method="srpo"),
        "rlsd": replace(_ONE_STEP, method="rlsd"),
        "grpo": replace(_ONE_STEP, method="grpo"),
    }
)


@dataclass(frozen=True, slots=True)
class LearnSettings:
    """Amounts that a learning run samples and measures."""

    rounds: int = 15
    questions: int = 16  # tasks per round
    attempts: int = 2  # per task, where an arm has no number of its own
    held_out: int = 60  # held-out tasks, one attempt each
    measure_every: int = 1  # rounds between held-out measurements; 0 = only before and after

    def __post_init__(self) -> None:
        for name in ("rounds", "questions", "attempts", "held_out"):
            at_least(name, getattr(self, name), 1)
        at_least("measure_every", self.measure_every, 0)

    @property
    def generations(self) -> int:
        """Attempts per round."""
        return self.questions * self.attempts


@dataclass(frozen=True, slots=True)
class DiscoverySettings:
    """Budget of the search on one task."""

    budget: int = 160  # attempts, of every method
    group: int = 8  # attempts between two updates of test-time SDPO

    def __post_init__(self) -> None:
        for name in ("budget", "group"):
            at_least(name, getattr(self, name), 1)


@dataclass(frozen=True, slots=True)
class CreditStudySettings:
    """Amounts that the study of credit measures."""

    programs: int = 300  # with one wrong stage, for the views
    rounds: int = 5  # that each teacher teaches first
    programs_per_teacher: int = 100
    tests: int = 60  # attempts in which tokens are exchanged, four in each
    continuations: int = 16  # from each of the two tokens

    def __post_init__(self) -> None:
        for field in fields(self):
            at_least(field.name, getattr(self, field.name), 1)

    @property
    def measurements(self) -> int:
        """Total of programs, rounds of learning and attempts."""
        return self.programs + len(TEACHERS) * (self.rounds + self.programs_per_teacher) + self.tests


@dataclass(frozen=True, slots=True)
class UpdateStudySettings:
    """Amounts that the study of updates measures."""

    groups: int = 10  # each is updated on once per loss and learning rate
    attempts: int = 8  # per group
    learning_rates: tuple[float, ...] = (5e-4, 2e-3, 5e-3, 2e-2)

    def __post_init__(self) -> None:
        for name in ("groups", "attempts"):
            at_least(name, getattr(self, name), 1)
        for rate in self.learning_rates:
            SDPOConfig(learning_rate=rate)  # raises for a bad one

    @property
    def updates(self) -> int:
        """Number of updates: groups × losses × learning rates."""
        return self.groups * len(LOSSES) * len(self.learning_rates)


@dataclass(frozen=True, slots=True)
class TemplateStudySettings:
    """Amounts that the study of templates measures."""

    samples: int = 12  # answers per task; there are two tasks of each kind on each side of the split
    max_new_tokens: int = 24

    def __post_init__(self) -> None:
        for field in fields(self):
            at_least(field.name, getattr(self, field.name), 1)


@dataclass(frozen=True, slots=True)
class GateStudySettings:
    """Amounts that the study of the gate measures."""

    updates: int = 40  # that are asked about, each at a task of its own
    attempts: int = 8  # per update
    samples: int = 200  # whole attempts by each side, at least, for the lift that the verdict is compared with

    def __post_init__(self) -> None:
        for field in fields(self):
            at_least(field.name, getattr(self, field.name), 1)


def at_least(name: str, value: int, least: int) -> None:
    """Raise ConfigError for a number below `least`."""
    if value < least:
        raise ConfigError(f"{name} is {value}; it must be at least {least}.")


def check_methods(methods: Sequence[str]) -> None:
    """Raise ConfigError for an unknown method of discovery."""
    for method in methods:
        if method not in DISCOVERY_METHODS:
            raise ConfigError(f"There is no discovery method {method!r}; choose from {', '.join(DISCOVERY_METHODS)}.")


def learning_rates(text: str) -> tuple[float, ...]:
    """Parse learning rates as a person writes them: "0.0005, 0.002". Raises ConfigError."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError("The learning rates must be numbers separated by commas, such as 0.0005, 0.002.") from error


LEARN_DEFAULTS, DISCOVERY_DEFAULTS = LearnSettings(), DiscoverySettings()
ABLATION_SETTINGS = LearnSettings(rounds=4)  # SDPO's recipe passes 90 % of held-out tasks after two
STABILITY_SETTINGS = LearnSettings(rounds=500, questions=4, measure_every=10)
