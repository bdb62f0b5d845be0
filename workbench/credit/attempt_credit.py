"""`TokenCredit`: everything that was scored about one attempt, as plain numbers, and what can be said of them.

Made from logits once, then free of tensors and models: it can be stored, sent to a page, or read in a notebook.
What is said of the numbers is in `reading.py`; drawing is left to `workbench.heatmap`, which is given `payload()`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from workbench.credit import payload, reading
from workbench.credit.views import VIEWS
from workbench.errors import PolicyError
from workbench.kernels.projection import Side
from workbench.kernels.two_sided import TwoSided, sampled_logps, two_sided


@dataclass(frozen=True, slots=True)
class TopToken:
    """One alternative at one place, under both sides."""

    text: str
    id: int
    student_logp: float  # nats
    teacher_logp: float

    @property
    def student(self) -> float:
        """Probability, 0 to 1."""
        return math.exp(self.student_logp)

    @property
    def teacher(self) -> float:
        """Probability, 0 to 1."""
        return math.exp(self.teacher_logp)


@dataclass(frozen=True)
class TokenCredit:
    """The credit of one attempt, token by token. All per-token tuples have length T; everything in nats."""

    attempt_id: str
    tokens: tuple[str, ...]  # display text of each token
    token_ids: tuple[int, ...]
    contexts: Mapping[str, tuple[float, ...]]  # log-probability of the sampled tokens; names in `contexts.CONTEXTS`
    kl: tuple[float, ...]  # KL(pi || q)
    jsd: tuple[float, ...]  # 0 to log 2
    entropy_student: tuple[float, ...]
    entropy_teacher: tuple[float, ...]
    noise_floor: float  # |credit| up to here is what identical prompts already give
    temperature: float  # at which all contexts were scored
    alternatives: tuple[tuple[TopToken, ...], ...]  # per token: union of both sides' top-k, likeliest first
    absent: Mapping[str, str] = field(default_factory=dict)  # context that was asked for -> why it cannot exist here
    advantage: float | None = None  # the attempt's reward minus its group's mean; None where no group is known

    def __post_init__(self) -> None:
        numbers = self.numbers()
        lengths = {"tokens": len(self.tokens), "alternatives": len(self.alternatives)}
        for name, length in (lengths | {name: len(values) for name, values in numbers.items()}).items():
            if length != len(self.token_ids):
                raise ValueError(f"{name} has {length} entries for {len(self.token_ids)} tokens")
        for name, values in numbers.items():
            if not all(math.isfinite(value) for value in values):
                raise PolicyError(
                    f"Attempt {self.attempt_id} cannot be scored: {name} is not a finite number on some token; "
                    "undo the last update, or load the model with another precision."
                )

    @classmethod
    def from_sides(
        cls,
        attempt_id: str,
        tokens: Sequence[str],
        token_ids: Sequence[int],
        student: Side,
        teacher: Side,
        others: Mapping[str, Side],
        *,
        noise_floor: float,
        temperature: float,
        top_k: int = 8,
        decode: Callable[[int], str],
        absent: Mapping[str, str] | None = None,
        advantage: float | None = None,
    ) -> TokenCredit:
        """Scores one attempt from what predicts its tokens under each context.

        Args:
            student, teacher: T rows each, of the same token ids, at `temperature`, which is only recorded here.
            others: the same by name of each further context; only the sampled tokens are read off.
            noise_floor: nats, from the null test of the scoring path.
            decode: token id -> display text, for the alternatives.
            absent, advantage: recorded; see the fields.

        Raises:
            PolicyError: when a log-probability is not finite.
            ValueError: when shapes do not belong together.
        """
        ids = torch.tensor(list(token_ids), dtype=torch.int64, device=student.hidden.device)  # (T,)
        sides = two_sided(student, teacher, ids, top_k=top_k)
        contexts = {"student": _floats(sides.student_logps), "teacher": _floats(sides.teacher_logps)}
        contexts |= {name: _floats(sampled_logps(side, ids)) for name, side in others.items()}
        return cls(
            attempt_id=attempt_id,
            tokens=tuple(tokens),
            token_ids=tuple(int(token_id) for token_id in token_ids),
            contexts=contexts,
            kl=_floats(sides.kl_student_teacher),
            jsd=_floats(sides.jsd),
            entropy_student=_floats(sides.entropy_student),
            entropy_teacher=_floats(sides.entropy_teacher),
            noise_floor=noise_floor,
            temperature=temperature,
            alternatives=_alternatives(sides, decode),
            absent=dict(absent or {}),
            advantage=advantage,
        )

    def numbers(self) -> dict[str, tuple[float, ...]]:
        """Everything that was scored per token (T,), nats: each context by its name, then divergences and entropies."""
        both = ("kl", "jsd", "entropy_student", "entropy_teacher")
        return {**self.contexts, **{name: getattr(self, name) for name in both}}

    def view(self, name: str) -> tuple[float, ...]:
        """The numbers (T,) of one view; `VIEWS` names them and says how they are read.

        Raises KeyError for another name, CreditError where the view needs a context that was not scored.
        """
        if name not in VIEWS:
            raise KeyError(f"no view named {name!r}; there are {', '.join(VIEWS)}")
        return VIEWS[name].of(self)

    def views(self) -> list[str]:
        """The names of the views that what was scored allows."""
        return [name for name, view in VIEWS.items() if view.problem(self) is None]

    def top(self, position: int) -> list[TopToken]:
        """Both sides' likeliest tokens at a position (from 0), the likelier of both probabilities first."""
        if not 0 <= position < len(self.token_ids):
            raise IndexError(f"position {position} of an attempt with {len(self.token_ids)} tokens")
        return list(self.alternatives[position])

    def tail(self, position: int) -> tuple[float, float]:
        """Probability that (student, teacher) leave for tokens that `top(position)` does not list, 0 to 1."""
        listed = self.top(position)
        return (
            max(0.0, 1.0 - sum(token.student for token in listed)),
            max(0.0, 1.0 - sum(token.teacher for token in listed)),
        )

    def push(self, position: int, distillation_alpha: float = 1.0) -> tuple[float, ...]:
        """Minus the gradient of the loss with respect to the logit of each token of `top(position)`, then of the rest.

        + = a descent step raises it. Of the divergence over these tokens and the rest as one bucket, per place: an
        update with `topk_logits` and a tail pushes so where its K ids are these. The pushes add up to 0.
        """
        return reading.push(self, position, distillation_alpha)

    def pivots(self, share: float = reading.PIVOT_SHARE) -> list[reading.Pivot]:
        """The fewest tokens above the noise floor that hold `share` of the credit there, the strongest first."""
        return reading.pivots(self, share)

    def concentration(self) -> reading.Concentration:
        """How much of the credit is on few tokens."""
        return reading.concentration(self)

    def leakage(self) -> float:
        """Cosine of A and A[answer only]: near 1, the credit hardly depends on the question. Raises CreditError."""
        return reading.leakage(self)

    def summary(self) -> str:
        """What the heatmap shows, in a sentence or two made from the numbers. Tokens are counted from 1."""
        return reading.summary(self)

    def next_tokens(self, position: int, distillation_alpha: float = 1.0) -> dict[str, Any]:
        """`top`, `tail` and `push` of a position as JSON-serialisable columns: "ids" and "texts" of the listed tokens;
        "student", "teacher" (probabilities) and "push" with one entry more, for all other tokens together."""
        return payload.next_tokens(self, position, distillation_alpha)

    def payload(self, title: str = "", view: str = "raw", *, top: bool = True) -> dict[str, Any]:
        """What `workbench.heatmap` draws: JSON-serialisable; `view` is shown first.

        Views whose context is missing are not offered. `top` False leaves `next_tokens` out: most of the size, and
        what a host can send of one token when it is asked for. Errors as `view`.
        """
        return payload.payload(self, title, view, top=top)

    def to_html(self, path: str | Path | None = None, theme: Literal["auto", "light", "dark"] = "auto") -> str:
        """One self-contained HTML page of the heatmap; also written to `path` (UTF-8) when one is given."""
        from workbench.heatmap import to_html  # drawing is needed by few, and never by training

        return to_html([self], path, theme)

    def _repr_html_(self) -> str:
        from workbench.heatmap import render_frame

        return render_frame(self.payload())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-serialisable data; `from_json` gives an equal object back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TokenCredit:
        """The inverse of `to_json`, before or after a trip through JSON text; unknown keys raise TypeError."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list | tuple) else value for key, value in data.items()
        }
        fields["contexts"] = {name: tuple(values) for name, values in data["contexts"].items()}
        fields["alternatives"] = tuple(tuple(TopToken(**token) for token in listed) for listed in data["alternatives"])
        return cls(**fields)


def _floats(values: Tensor) -> tuple[float, ...]:
    return tuple(values.tolist())


def _alternatives(sides: TwoSided, decode: Callable[[int], str]) -> tuple[tuple[TopToken, ...], ...]:
    """Union of both sides' top-k per token. Ids that a side rules out entirely (-inf) are left to the tail."""
    columns = (sides.top_ids, sides.top_student_logps, sides.top_teacher_logps)
    listed = []
    for row in zip(*(column.tolist() for column in columns), strict=True):
        union = {i: (s, t) for i, s, t in zip(*row, strict=True) if math.isfinite(s) and math.isfinite(t)}
        ordered = sorted(union.items(), key=lambda item: -max(item[1]))
        listed.append(tuple(TopToken(decode(i), i, s, t) for i, (s, t) in ordered))
    return tuple(listed)
