"""`TokenCredit`: the scores of one attempt with everything that can be read from them, as methods.

Made from logits once, then plain numbers. The record is `scores.py`; the readers are `views`, `reading` and `payload`,
which know only the record; drawing is left to `workbench.heatmap`, which is given `payload()`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.config import SDPOConfig
from workbench.credit import payload, reach, reading, views
from workbench.credit.scores import Scores, TopToken
from workbench.heatmap import Theme, render_frame, to_html
from workbench.kernels.projection import Side
from workbench.kernels.two_sided import TwoSided, sampled_logps, two_sided


class TokenCredit(Scores):
    """The credit of one attempt, token by token; the numbers are those of `Scores`."""

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
        """Score one attempt from what predicts its tokens under each context.

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

    def view(self, name: str) -> tuple[float, ...]:
        """The numbers (T,) of one view; `VIEWS` names them and says how they are read.

        Raises KeyError for another name, CreditError where the view needs a context that was not scored.
        """
        return views.values(self, name)

    def views(self) -> list[str]:
        """The names of the views that what was scored allows."""
        return list(views.readable(self))

    def push(self, position: int, distillation_alpha: float = 1.0) -> tuple[float, ...]:
        """Logit push: minus the gradient of the loss by the logit of each token of `top(position)`, then of the rest.

        + = a descent step raises it. Of the divergence over these tokens and the rest as one bucket, per place: an
        update with `topk_logits` and a tail pushes so where its K ids are these. The pushes add up to 0.
        """
        return reading.push(self, position, distillation_alpha)

    def out_of_reach(self, config: SDPOConfig | None = None) -> list[reach.OutOfReach]:
        """Places among the pivots where this loss hardly pushes on what the self-teacher would write."""
        return reach.places_out_of_reach(self, config or SDPOConfig())

    def pivots(self, share: float = reading.PIVOT_SHARE) -> list[reading.Pivot]:
        """The fewest tokens above the noise floor that hold `share` of the credit there, the strongest first."""
        return reading.pivots(self, share)

    def concentration(self) -> reading.Concentration:
        """Concentration of the credit on few tokens."""
        return reading.concentration(self)

    def leakage(self) -> float:
        """Cosine of A and A[answer only]: near 1, the credit hardly depends on the question. Raises CreditError."""
        return reading.leakage(self)

    def summary(self) -> str:
        """Summary of the heatmap in a sentence or two made from the numbers. Tokens are counted from 1."""
        return reading.summary(self)

    def next_tokens(self, position: int, distillation_alpha: float = 1.0) -> dict[str, Any]:
        """`top`, `tail` and `push` of a position as JSON-serialisable columns: "ids" and "texts" of the listed tokens;
        "student", "teacher" (probabilities) and "push" with one entry more, for all other tokens together."""
        return payload.next_tokens(self, position, distillation_alpha)

    def payload(self, title: str = "", view: str = "raw", *, top: bool = True) -> dict[str, Any]:
        """Payload for `workbench.heatmap`: JSON-serialisable; `view` is shown first.

        Views whose context is missing are not offered. `top` False leaves `next_tokens` out: most of the size, and
        which a host can send of one token on request. Errors as `view`.
        """
        return payload.payload(self, title, view, top=top)

    def to_html(self, path: str | Path | None = None, theme: Theme = "auto") -> str:
        """One self-contained HTML page of the heatmap; also written to `path` (UTF-8) when one is given."""
        return to_html([self], path, theme)

    def _repr_html_(self) -> str:
        return render_frame(self.payload())


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
