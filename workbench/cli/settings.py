"""The options of commands that make updates: the fields of `SDPOConfig`, and tokens that a person selects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, get_args

import typer

from workbench.config import DistillationMode, Method, SDPOConfig, Teacher
from workbench.errors import ConfigError

DEFAULTS = SDPOConfig()


def _names(choices: object) -> str:
    return ", ".join(get_args(choices))


MethodOption = Annotated[str, typer.Option("--method", help=f"One of {_names(Method)}.")]
RateOption = Annotated[float, typer.Option("--learning-rate", "--lr", help="Of AdamW on the adapter.")]
TeacherOption = Annotated[str, typer.Option("--teacher", help=f"One of {_names(Teacher)}.")]
ModeOption = Annotated[str, typer.Option("--distillation-mode", help=f"One of {_names(DistillationMode)}.")]
AlphaOption = Annotated[
    float, typer.Option("--distillation-alpha", help="0 forward KL, 1 reverse KL, between generalised JSD.")
]
TopkOption = Annotated[int, typer.Option("--distillation-topk", help="K of the student's likeliest tokens.")]
TailOption = Annotated[
    bool, typer.Option("--tail/--no-tail", help="One bucket for the rest of the vocabulary, in topk_logits.")
]
NormalisedOption = Annotated[
    bool, typer.Option("--normalised", help="Divide by alpha (1 - alpha): no jump at the ends of alpha.")
]
AdvantageClipOption = Annotated[
    float | None, typer.Option("--advantage-clip", help="Nats; limit of the credit per token, alpha 1 only.")
]
GrpoWeightOption = Annotated[float, typer.Option("--grpo-weight", help="blend: share of GRPO's advantage.")]
EntropyBetaOption = Annotated[
    float, typer.Option("--entropy-beta", help="srpo: beta of e^(-beta H), H the teacher's entropy.")
]
EvidenceClipOption = Annotated[
    float, typer.Option("--evidence-clip", help="rlsd: the teacher's weights stay within 1 +- this.")
]
KlLimitOption = Annotated[
    float | None, typer.Option("--kl-limit", help="Nats per token on the probe; an update beyond it is taken back.")
]
SpanOption = Annotated[
    list[str] | None,
    typer.Option("--span", help="ATTEMPT:START:END, the only tokens of it that count, END excluded; repeatable."),
]


def parsed_spans(texts: Sequence[str] | None) -> dict[str, list[tuple[int, int]]]:
    """Attempt id -> its spans, from `--span` options. Raises ConfigError."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for text in texts or ():
        attempt_id, _, numbers = text.partition(":")
        start, _, end = numbers.partition(":")
        if not (start.isdecimal() and end.isdecimal()):
            raise ConfigError(f"--span is {text!r}; write ATTEMPT:START:END with whole numbers, such as a-1f:4:9.")
        spans.setdefault(attempt_id, []).append((int(start), int(end)))
    return spans
