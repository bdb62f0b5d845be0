"""Comparison of several readings of one attempt: rows of per-token numbers on one scale, and how alike they are.

Rows come from one credit (its views: one attempt under many estimators) or from several credits of the same tokens
(under several teachers, or several feedbacks). Arithmetic on what was scored; knows nothing of models, runs and pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.credit.attempt_credit import TokenCredit
from workbench.credit.statistics import scale_end, spearman
from workbench.credit.views import VIEWS, View
from workbench.errors import CreditError

By = Literal["estimators", "teachers", "feedbacks"]


@dataclass(frozen=True, slots=True)
class Row:
    """One reading of the attempt."""

    name: str
    title: str
    how: str  # how it is read, or what the self-teacher was shown: one sentence
    view: View  # unit and range of the values
    values: tuple[float, ...]  # (T,)
    noise_floor: float  # in the view's unit; 0 for weights and rewards, which are not measured
    summary: str = ""  # what this reading alone says; "" where the rows share one credit

    @property
    def above_noise(self) -> tuple[float, ...]:
        """(T,): how far each value is from the view's centre; 0 up to the noise floor."""
        off = (value - self.view.range.centre for value in self.values)
        return tuple(distance if abs(distance) > self.noise_floor else 0.0 for distance in off)

    @property
    def size(self) -> float:
        """Sum of the absolute values above the noise, in the view's unit."""
        return sum(map(abs, self.above_noise))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows of numbers over the tokens of one attempt."""

    attempt_id: str
    by: By
    tokens: tuple[str, ...]  # display text
    token_ids: tuple[int, ...]
    rows: tuple[Row, ...]
    absent: Mapping[str, str] = field(default_factory=dict)  # row that cannot exist here -> why

    @property
    def limit(self) -> float:
        """Nats: the end of the one scale of all rows in nats, the 99th percentile of their absolute values."""
        return scale_end([abs(value) for row in self.rows if row.view.unit == "nats" for value in row.values])

    @property
    def correlations(self) -> tuple[tuple[float, ...], ...]:
        """Spearman's rho of each pair of rows (R, R); what is below the noise counts as nothing. NaN where a row is
        the same on every token and so ranks nothing."""
        sizes = [row.above_noise for row in self.rows]
        return tuple(tuple(spearman(row, column) for column in sizes) for row in sizes)

    def summary(self) -> str:
        """Summary of the comparison in a sentence or two made from the numbers."""
        if len(self.rows) < 2:
            return "There is only one way to read this attempt here, so there is nothing to compare."
        return _alike(self) if self.by == "estimators" else _moved(self)

    def payload(self) -> dict[str, Any]:
        """JSON-serialisable, in the form in which `workbench.heatmap` takes views; correlations beside them."""
        return {
            "attempt": self.attempt_id,
            "by": self.by,
            "tokens": [{"text": text, "id": i} for text, i in zip(self.tokens, self.token_ids, strict=True)],
            "views": [_drawn(row) for row in self.rows],
            "noise_floor": max((row.noise_floor for row in self.rows), default=0.0),
            "limit": self.limit,
            "correlations": [list(map(_known, line)) for line in self.correlations],
            "absent": dict(self.absent),
            "summary": self.summary(),
        }


def of_estimators(credit: TokenCredit) -> Comparison:
    """One attempt under every view that its credit can be read as; `absent` says what the others lack."""
    rows: list[Row] = []
    absent: dict[str, str] = {}
    for name, view in VIEWS.items():
        try:
            rows.append(Row(name, view.title, view.how_to_read, view, view.of(credit), _floor(view, credit)))
        except CreditError as error:
            absent[name] = str(error)
    return Comparison(credit.attempt_id, "estimators", credit.tokens, credit.token_ids, tuple(rows), absent)


def of_credits(
    by: By,
    credits: Mapping[str, tuple[str, str, TokenCredit]],
    *,
    view: str = "raw",
    absent: Mapping[str, str] | None = None,
) -> Comparison:
    """One view of several credits of the same tokens.

    `credits`: name -> (title, how it came about, credit), at least one. Raises KeyError for an unknown view,
    CreditError where one of the credits cannot be read so, ValueError for credits of different tokens.
    """
    first = next(iter(credits.values()))[2]
    if any(credit.token_ids != first.token_ids for _, _, credit in credits.values()):
        raise ValueError("these credits are of different tokens")
    rows = [
        Row(name, title, how, VIEWS[view], credit.view(view), _floor(VIEWS[view], credit), credit.summary())
        for name, (title, how, credit) in credits.items()
    ]
    return Comparison(first.attempt_id, by, first.tokens, first.token_ids, tuple(rows), dict(absent or {}))


def _floor(view: View, credit: TokenCredit) -> float:
    return credit.noise_floor if view.unit == "nats" else 0.0


def _drawn(row: Row) -> dict[str, Any]:
    ends = (row.view.range.low, row.view.range.high)
    return {
        "name": row.name,
        "title": row.title,
        "how": row.how,
        "unit": row.view.unit,
        "signed": row.view.signed,
        "centre": row.view.range.centre,
        "range": [end if math.isfinite(end) else None for end in ends],
        "formula": row.view.formula,
        "values": list(row.values),
        "noise_floor": row.noise_floor,
        "summary": row.summary,
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _alike(comparison: Comparison) -> str:
    """Say which estimators rank the tokens as the first one does, and which do not."""
    first, *others = comparison.rows
    rho = {row.title: value for row, value in zip(others, comparison.correlations[0][1:], strict=True)}
    ranked = {title: value for title, value in rho.items() if not math.isnan(value)}
    constant = [row.title for row in comparison.rows if len(set(row.above_noise)) <= 1]
    sentences = []
    if ranked:
        near, far = max(ranked, key=ranked.__getitem__), min(ranked, key=ranked.__getitem__)
        sentences.append(
            f"{near} ranks the tokens most like {_lower(first.title)} does (ρ {_digits(ranked[near])}), {_lower(far)} "
            f"least (ρ {_digits(ranked[far])})."
        )
    if constant:
        verb = "gives" if len(constant) == 1 else "give"
        sentences.append(f"{_listed(constant)} {verb} every token the same number here, so no token stands out.")
    return " ".join(sentences)


def _moved(comparison: Comparison) -> str:
    """Say how much credit each row gives, and which rows cannot be distinguished from the first."""
    unit = comparison.rows[0].view.unit
    largest = max(comparison.rows, key=lambda row: row.size)
    if largest.size == 0.0:
        return "Nothing here is above the noise floor, whichever way it is read."
    sizes = ", ".join(f"{_lower(row.title)} {row.size:.2g}" for row in comparison.rows)
    summary = f"Credit over the whole attempt, in {unit}: {sizes}."
    same = [
        row.title
        for row in comparison.rows[1:]
        if all(
            abs(a - b) <= max(row.noise_floor, comparison.rows[0].noise_floor)
            for a, b in zip(row.values, comparison.rows[0].values, strict=True)
        )
    ]
    if same:
        verb = "gives" if len(same) == 1 else "give"
        summary += f" {_listed(same)} {verb} the same credit as {_lower(comparison.rows[0].title)}, up to the noise."
    return summary


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _lower(title: str) -> str:
    """A title within a sentence; abbreviations (RLSD weight) stay as they are."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def _digits(value: float) -> str:
    return f"{value:.2f}".replace("-", "−").replace("0.", ".")
