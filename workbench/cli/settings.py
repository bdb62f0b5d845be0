"""The options of commands that make updates: the fields of `SDPOConfig`, and tokens that a person selects."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args

import typer

from workbench.config import TEACHERS, DistillationMode, Method, SDPOConfig, Teacher
from workbench.errors import ConfigError
from workbench.records import FeedbackKind
from workbench.templates import OWN, TEMPLATES

Command = TypeVar("Command", bound=Callable[..., Any])


def names(choices: object) -> str:
    """Values of a Literal, for an option's help."""
    return ", ".join(get_args(choices))


def _default_rates() -> str:
    return " and ".join(f"{facts.default_rate:g} for {name}" for name, facts in TEACHERS.items() if facts.adjustable)


KINDS = "feedback_kinds"
KindsOption = Annotated[
    str, typer.Option(help=f"Kinds of feedback that the teacher sees: some of {names(FeedbackKind)}; or none.")
]
ALL_KINDS = ",".join(SDPOConfig().feedback_kinds)
TeacherOption = Annotated[str, typer.Option(help=f"One of {names(Teacher)}.")]

# Field of SDPOConfig -> its option. The fields that are absent here have no option.
CONFIG_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "method": Annotated[str, typer.Option(help=f"One of {names(Method)}.")],
        "gap_share": Annotated[
            float, typer.Option(help="Share of the gap to the teacher that one update may close, above 0 to 1.")
        ],
        "max_kl": Annotated[
            float, typer.Option(help="Limit of KL(before || after) of one update, nats per token: it ends there.")
        ],
        "learning_rate": Annotated[
            float | None,
            typer.Option(
                "--learning-rate",
                "--lr",
                help="Of AdamW, for --steps steps; without both, gap share and max KL decide.",
            ),
        ],
        "steps": Annotated[
            int | None, typer.Option(help="Optimiser steps per update, on the same attempts; as --learning-rate.")
        ],
        "distillation_mode": Annotated[str, typer.Option(help=f"One of {names(DistillationMode)}.")],
        "distillation_alpha": Annotated[
            float, typer.Option(help="0: forward KL, 1: reverse KL, in between: generalised JSD.")
        ],
        "distillation_topk": Annotated[
            int, typer.Option(help="K: how many of the student's most likely tokens are compared.")
        ],
        "distillation_add_tail": Annotated[
            bool,
            typer.Option("--tail/--no-tail", help="With topk_logits: the rest of the vocabulary as one more outcome."),
        ],
        "distillation_normalised": Annotated[
            bool,
            typer.Option(
                "--normalised",
                help="Divide by alpha (1 - alpha), so that the loss does not jump where alpha is 0 or 1.",
            ),
        ],
        "advantage_clip": Annotated[
            float | None, typer.Option(help="Limit on the size of a token's credit, nats; alpha 1 only.")
        ],
        "grpo_weight": Annotated[float, typer.Option(help="blend: GRPO's share, lambda.")],
        "entropy_beta": Annotated[float, typer.Option(help="srpo: beta of e^(-beta H), H the teacher's entropy.")],
        "evidence_clip": Annotated[float, typer.Option(help="rlsd: token weights stay within 1 +- this.")],
        "teacher": TeacherOption,
        "teacher_update_rate": Annotated[
            float | None,
            typer.Option(help=f"The live policy's share in the teacher; default: {_default_rates()}."),
        ],
        "kl_limit": Annotated[
            float | None,
            typer.Option(help="Limit of KL to before, nats per token on the probe; an update beyond it is taken back."),
        ],
        "use_demonstrations": Annotated[
            bool,
            typer.Option("--demonstrations/--no-demonstrations", help="Show the teacher passed attempts of the group."),
        ],
        KINDS: KindsOption,
        "include_failed_attempt": Annotated[
            bool, typer.Option("--failed-attempt", help="Show the teacher the failed attempt itself.")
        ],
        "template": Annotated[
            str,
            typer.Option(help=f"The teacher's prompt: {', '.join([OWN, *TEMPLATES])}, or a text with {{question}}."),
        ],
    }
)

SpanOption = Annotated[
    list[str] | None,
    typer.Option(
        "--span", help="ATTEMPT:START:END: of this attempt only these tokens count, END excluded; repeatable."
    ),
]


def takes(
    parameter: str, options: Mapping[str, Any], defaults: Mapping[str, Any], build: Callable[..., Any]
) -> Callable[[Command], Command]:
    """Give a command `options` (name -> annotation) in place of one parameter, whose value `build` makes from them.

    `build` runs, and raises, before the command begins.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        parameters = [p for name, p in signature.parameters.items() if name != parameter]
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=option)
            for name, option in options.items()
        ]

        @functools.wraps(command)
        def run(**arguments: Any) -> Any:
            value = build(**{name: arguments.pop(name) for name in options})
            return command(**{parameter: value}, **arguments)

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
        run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        return run  # type: ignore[return-value]

    return decorate


def takes_config(defaults: SDPOConfig | None = None) -> Callable[[Command], Command]:
    """Give a command the options of an update, as its `config: SDPOConfig`; `defaults` None: those of the class.

    A bad value raises ConfigError.
    """
    values = asdict(defaults or SDPOConfig())
    build = lambda **given: SDPOConfig(**{**given, KINDS: parsed_kinds(given[KINDS])})  # noqa: E731
    return takes("config", CONFIG_OPTIONS, {**values, KINDS: ",".join(values[KINDS])}, build)


def parsed_kinds(text: str) -> tuple[FeedbackKind, ...]:
    """Parse `--feedback-kinds`: names with commas between them, or "none". `SDPOConfig` checks them."""
    parts = [part.strip() for part in text.split(",")]
    return tuple(part for part in parts if part not in ("", "none"))  # type: ignore[misc]  # not checked yet


def parsed_spans(texts: Sequence[str] | None) -> dict[str, list[tuple[int, int]]]:
    """Parse `--span` options: attempt id -> its spans. Raises ConfigError."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for text in texts or ():
        attempt_id, _, numbers = text.partition(":")
        start, _, end = numbers.partition(":")
        if not (start.isdecimal() and end.isdecimal()):
            raise ConfigError(f"--span is {text!r}; write ATTEMPT:START:END with whole numbers, such as a-1f:4:9.")
        spans.setdefault(attempt_id, []).append((int(start), int(end)))
    return spans
