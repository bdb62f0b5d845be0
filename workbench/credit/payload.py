"""Scores as the plain data that `workbench.heatmap` draws. Knows nothing of HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from workbench.credit import reading
from workbench.credit.group import Piece, per_line, per_sentence
from workbench.credit.scores import Scores
from workbench.credit.views import VIEWS, View, readable, values


def payload(credit: Scores, title: str, view: str, *, top: bool) -> dict[str, Any]:
    """See `TokenCredit.payload`."""
    raw = values(credit, "raw")
    values(credit, view)  # raises for a view that cannot be shown first
    return {
        "id": credit.attempt_id,
        "title": title or f"Credit of attempt {credit.attempt_id}",
        "tokens": [{"text": text, "id": i} for text, i in zip(credit.tokens, credit.token_ids, strict=True)],
        "lines": _positions(per_line(credit.tokens, raw, noise_floor=credit.noise_floor)),
        "sentences": _positions(per_sentence(credit.tokens, raw, noise_floor=credit.noise_floor)),
        "reasoning": [list(span) for span in credit.reasoning],
        "views": [_drawn(VIEWS[name], numbers) for name, numbers in readable(credit).items()],
        "numbers": [
            {"name": name.replace("_", " "), "unit": "nats", "values": list(series)}
            for name, series in credit.numbers().items()
        ],
        "noise_floor": credit.noise_floor,
        "top": [next_tokens(credit, place, 1.0) for place in range(len(credit.token_ids))] if top else [],
        "summary": reading.summary(credit),
        "view": view,
    }


def next_tokens(credit: Scores, position: int, distillation_alpha: float) -> dict[str, Any]:
    """See `TokenCredit.next_tokens`."""
    listed, tail = credit.top(position), credit.tail(position)
    return {
        "ids": [token.id for token in listed],
        "texts": [token.text for token in listed],
        "student": [*(token.student for token in listed), tail[0]],
        "teacher": [*(token.teacher for token in listed), tail[1]],
        "push": list(reading.push(credit, position, distillation_alpha)),
    }


def _positions(pieces: Sequence[Piece]) -> list[list[int]]:
    return [list(piece.positions) for piece in pieces]


def _drawn(view: View, numbers: Sequence[float]) -> dict[str, Any]:
    ends = (view.range.low, view.range.high)
    return {
        "name": view.name,
        "title": view.title,
        "unit": view.unit,
        "signed": view.signed,
        "centre": view.range.centre,
        # Open ends are null: the colour scale is then taken from the values.
        "range": [end if math.isfinite(end) else None for end in ends],
        "formula": view.formula,
        "how": view.how_to_read,
        "values": list(numbers),
    }
