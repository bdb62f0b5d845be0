"""What can be set of an experiment: how much is sampled, measured and spent. Plain data, quick to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.config import SDPOConfig
from workbench.errors import ConfigError

DISCOVERY_METHODS = ("sdpo", "best_of_k", "multi_turn", "multi_turn_feedback")
DEFAULT_METHODS = DISCOVERY_METHODS[:3]
TEST_TIME = SDPOConfig(advantage_clip=5.0)  # the paper's limit of the credit at test time
STAGES, SCREENED = (4, 5), 256  # of tasks among which hard ones are looked for; attempts that measure each of them


@dataclass(frozen=True, slots=True)
class LearnSettings:
    """How much a learning run samples and measures."""

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
    """How much is spent on a task that is searched."""

    budget: int = 160  # attempts, of every method
    group: int = 8  # attempts between two updates of test-time SDPO

    def __post_init__(self) -> None:
        for name in ("budget", "group"):
            at_least(name, getattr(self, name), 1)


def at_least(name: str, value: int, least: int) -> None:
    """Raises ConfigError for a number below `least`."""
    if value < least:
        raise ConfigError(f"{name} is {value}; it must be at least {least}.")


def check_methods(methods: Sequence[str]) -> None:
    """Raises ConfigError for an unknown way of discovering."""
    for method in methods:
        if method not in DISCOVERY_METHODS:
            raise ConfigError(
                f"There is no way of discovering called {method!r}; there are {', '.join(DISCOVERY_METHODS)}."
            )


LEARN_DEFAULTS, DISCOVERY_DEFAULTS = LearnSettings(), DiscoverySettings()
