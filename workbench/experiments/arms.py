"""Arms: the ways of learning that are compared with each other, and the tables of the paper's ablations.

Every arm of a table spends the same number of attempts per round. Knows nothing of how an arm is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import get_args

from workbench.config import FEEDBACK_KINDS, Method, SDPOConfig
from workbench.errors import ConfigError
from workbench.experiments.settings import ABLATION_SETTINGS, LEARN_DEFAULTS, STABILITY_SETTINGS, LearnSettings
from workbench.tasks.environment import JOIN, NO_FEEDBACK
from workbench.tasks.house_rules.pack import KINDS

METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings under which a method learns best."""

    attempts: int  # per task
    steps: int  # of the optimiser, per update
    learning_rate: float


# The settings with which each learned best in 15 rounds of 32 attempts in house 11, of which no result is reported
# (docs/evidence.md, section 1); the defaults of `SDPOConfig` have to hold longer. Credit by feedback
# needs no group, so many tasks with few attempts teach it more; a reward needs a group to stand out from.
RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "sdpo": Recipe(2, 8, 3e-3),
        "grpo": Recipe(8, 4, 2e-3),
        "blend": Recipe(2, 8, 3e-3),
        "srpo": Recipe(2, 8, 3e-3),
        "rlsd": Recipe(8, 4, 2e-3),
    }
)


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of learning."""

    name: str
    config: SDPOConfig
    feedback: str | None = None  # kind of feedback that the pack's environments give; None = the pack's own
    attempts: int | None = None  # per task, with as many tasks as give the same number in all; None = the settings'

    def shape(self, settings: LearnSettings) -> tuple[int, int]:
        """(tasks per round, attempts per task). Raises ConfigError where a round's attempts cannot be split so."""
        attempts = self.attempts or settings.attempts
        if settings.generations % attempts:
            raise ConfigError(
                f"{settings.generations} attempts a round cannot be split into groups of {attempts} ({self.name}); "
                "change the number of questions or attempts."
            )
        return settings.generations // attempts, attempts


def methods(config: SDPOConfig, names: tuple[str, ...] = METHODS, *, alike: bool = False) -> list[Arm]:
    """Arms of the methods, each with its recipe, or `alike` but for the method. Raises ConfigError if unknown."""
    arms = [Arm(name, replace(config, method=name)) for name in names]  # type: ignore[arg-type]  # it checks itself
    return arms if alike else [_at_its_best(arm) for arm in arms]


def _at_its_best(arm: Arm) -> Arm:
    recipe = RECIPES[arm.config.method]
    config = replace(arm.config, steps=recipe.steps, learning_rate=recipe.learning_rate)
    return replace(arm, config=config, attempts=recipe.attempts)


def _feedback(config: SDPOConfig, kinds: Sequence[str]) -> list[Arm]:
    """Vary the teacher context (paper, Table 6); the first kind is also tried together with the failed attempt."""
    with_own, without = replace(config, use_demonstrations=True), replace(config, use_demonstrations=False)
    arms = [Arm("own solution", with_own, NO_FEEDBACK)]
    for kind in kinds:
        arms += [Arm(kind, without, kind), Arm(f"{kind} and own solution", with_own, kind)]
        if kind == kinds[0]:
            with_failed = replace(with_own, include_failed_attempt=True)
            arms.append(Arm("the same and the failed attempt", with_failed, kind))
    return arms


def _kinds(config: SDPOConfig, kinds: Sequence[str]) -> list[Arm]:
    """Vary the mixture of kinds of feedback: all of them, all but one, none."""
    arms = [Arm(f"without {kind}", config, JOIN.join(other for other in kinds if other != kind)) for kind in kinds]
    several = arms if len(kinds) > 1 else []
    return [Arm("all kinds", config, JOIN.join(kinds)), *several, Arm("no feedback", config, NO_FEEDBACK)]


def _teacher(config: SDPOConfig) -> list[Arm]:
    """Vary the teacher (paper, Table 4)."""
    names = ("live", "frozen", "ema", "trust_region")
    return [Arm(name, replace(config, teacher=name, teacher_update_rate=None)) for name in names]  # type: ignore[arg-type]


def _granularity(config: SDPOConfig) -> list[Arm]:
    """Vary the granularity of credit: the whole distribution, one token, one number per attempt, the reward alone."""
    modes = {"logit": "full_logits", "top-k logit": "topk_logits", "token": "argmax_token"}
    modes |= {"sampled token": "sampled_token", "sequence": "sequence"}
    arms = [Arm(name, replace(config, distillation_mode=mode)) for name, mode in modes.items()]  # type: ignore[arg-type]
    return [*arms, Arm("grpo", replace(config, method="grpo"))]


def _group(config: SDPOConfig) -> list[Arm]:
    """Vary the size of a group, with credit by feedback and by reward, each with its recipe otherwise."""
    sizes = {"sdpo": (1, 2, 4, 8, 32), "grpo": (2, 4, 8, 32)}
    arms = methods(config, tuple(sizes))
    return [replace(arm, name=f"{arm.name}, G = {G}", attempts=G) for arm in arms for G in sizes[arm.name]]


def _topk(config: SDPOConfig) -> list[Arm]:
    """Vary K, the number of tokens whose probabilities the distillation sees beside the tail."""
    return [Arm(f"K = {k}", replace(config, distillation_topk=k)) for k in (1, 5, 20, 100)]


def stability(config: SDPOConfig) -> list[Arm]:
    """Arms of the stability study: these settings, a learning rate that is too high, a live teacher (Table 4)."""
    longer = replace(config, learning_rate=3 * config.rate, steps=config.most_steps)
    live = replace(config, teacher="live", kl_limit=None)
    return [Arm("defaults", config), Arm(f"learning rate {longer.rate:g}", longer), Arm("live teacher", live)]


_ABLATIONS: Mapping[str, Callable[[SDPOConfig], list[Arm]]] = MappingProxyType(
    {"teacher": _teacher, "granularity": _granularity, "group": _group, "topk": _topk}
)
BY_KIND: Mapping[str, Callable[[SDPOConfig, Sequence[str]], list[Arm]]] = MappingProxyType(
    {"feedback": _feedback, "kinds": _kinds}
)
ABLATIONS = (*BY_KIND, *_ABLATIONS)
COMPARISONS = ("methods", *ABLATIONS, "stability")


def ablation(name: str, config: SDPOConfig, *, kinds: Sequence[str] = KINDS) -> list[Arm]:
    """The arms of one table. `kinds`: of feedback, in the tables `BY_KIND` (see `tasks.drawing.feedback_kinds`).

    A kind that the settings hide from the teacher is not among those that are compared. Raises ConfigError for an
    unknown table, and where all are hidden.
    """
    if name not in ABLATIONS:
        raise ConfigError(f"There is no ablation {name!r}; choose one of {', '.join(ABLATIONS)}.")
    if name in BY_KIND:
        hidden = set(FEEDBACK_KINDS) - set(config.feedback_kinds)
        seen = [kind for kind in kinds if kind not in hidden]
        if not seen:
            raise ConfigError(f"The settings hide {', '.join(kinds)} from the teacher; switch a kind of feedback on.")
        return BY_KIND[name](config, seen)
    return _ABLATIONS[name](config)


def comparison(
    name: str,
    config: SDPOConfig,
    names: tuple[str, ...] = METHODS,
    *,
    alike: bool = False,
    kinds: Sequence[str] = KINDS,
) -> list[Arm]:
    """The arms of "methods" (of these `names`), of "stability" or of an ablation, `kinds` as there.

    Raises ConfigError for an unknown one.
    """
    if name not in COMPARISONS:
        raise ConfigError(f"There is no comparison {name!r}; choose one of {', '.join(COMPARISONS)}.")
    if name == "methods":
        return methods(config, names, alike=alike)
    return stability(config) if name == "stability" else ablation(name, config, kinds=kinds)


def usual_settings(name: str) -> LearnSettings:
    """Usual length of a comparison's learning runs."""
    return {"methods": LEARN_DEFAULTS, "stability": STABILITY_SETTINGS}.get(name, ABLATION_SETTINGS)
