"""The action that compares arms of learning, round after round, on held-out tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from workbench.config import SDPOConfig
from workbench.errors import ConfigError
from workbench.experiments.arms import BY_KIND, Arm, comparison
from workbench.experiments.settings import LEARN_DEFAULTS, LearnSettings
from workbench.service.action import JobContext, action
from workbench.service.actions.tasks import find_split
from workbench.service.checks import DEFAULT_CONFIG, Config, text, whole
from workbench.service.experiment_job import Name, Seed, carry_out, names
from workbench.service.state import PublishedState
from workbench.tasks.drawing import feedback_kinds
from workbench.tasks.house_rules.pack import KINDS, PACK


def _method_names(value: object) -> tuple[str, ...]:
    return ("sdpo", "grpo") if value is None else names("method")(value) if value else ()  # type: ignore[no-any-return]


def learn_plan(
    methods: tuple[str, ...],
    shape: LearnSettings,
    compared: str,
    alike: bool,
    config: SDPOConfig,
    kinds: Sequence[str] = KINDS,
) -> list[Arm]:
    """The arms of a comparison; `kinds` of feedback, where these are compared.

    Raises ConfigError where a round's attempts cannot be divided among groups.
    """
    if compared == "methods" and not methods:
        raise ConfigError("No method is chosen; choose at least one.")
    arms = comparison(compared, config, methods if compared == "methods" else (), alike=alike, kinds=kinds)
    for arm in arms:
        arm.shape(shape)
    return arms


def _shape(values: Mapping[str, Any]) -> LearnSettings:
    return LearnSettings(**{name: values[name] for name in LearnSettings.__slots__})


def _check_arms(state: PublishedState, **values: Any) -> None:
    pack = find_split(state, values["pack"])
    if values["compared"] in BY_KIND:
        feedback_kinds(pack)
    _arms(values)


def _arms(values: Mapping[str, Any]) -> list[Arm]:
    return learn_plan(values["methods"], _shape(values), values["compared"], values["alike"], values["config"])


@action(
    "Start",
    job=lambda **values: f"Learning with {', '.join(arm.name for arm in _arms(values))}",
    python="compare_learning",
    check=_check_arms,
)
def learn(
    context: JobContext,
    pack: Annotated[str, text("The pack")] = PACK,
    methods: Annotated[list[str] | None, _method_names] = None,
    rounds: Annotated[int, whole("rounds", 1, 10_000)] = LEARN_DEFAULTS.rounds,
    questions: Annotated[int, whole("questions", 1, 240)] = LEARN_DEFAULTS.questions,
    attempts: Annotated[int, whole("attempts", 1, 256)] = LEARN_DEFAULTS.attempts,
    held_out: Annotated[int, whole("held_out", 1, 1000)] = LEARN_DEFAULTS.held_out,
    measure_every: Annotated[int, whole("measure_every", 0, 10_000)] = LEARN_DEFAULTS.measure_every,
    seed: Seed = 0,
    name: Name = "",
    alike: bool = False,
    compared: str = "methods",
    config: Config = DEFAULT_CONFIG,
) -> dict[str, Any]:
    """Run learning arms side by side; returns when all are finished or stopped. A known name resumes that experiment.

    alike: all methods with this configuration, instead of each with its own recipe. compared: methods, one of the
    ablations feedback, kinds, teacher, granularity, group and topk, or stability; `methods` is read only by methods.
    """
    shape = LearnSettings(rounds, questions, attempts, held_out, measure_every)
    kinds = feedback_kinds(context.workbench.open_pack(pack)) if compared in BY_KIND else ()
    arms = learn_plan(tuple(methods or ()), shape, compared, alike, config, kinds)
    stem = {"methods": "learn", "stability": "stability"}.get(compared, f"ablate-{compared}")

    def begin(experiment: str) -> Iterator[Any]:
        return context.workbench.compare_learning(
            arms, pack, settings=shape, seed=seed, name=experiment, stop=context.job.stop
        )

    return carry_out(context, stem, name, begin)
