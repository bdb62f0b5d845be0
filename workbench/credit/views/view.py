"""`View`: one reading of an attempt's credit, with the facts that a page needs in order to show it.

A view is arithmetic on numbers that were scored once (log-probabilities per context, divergences per token); none
looks at a model again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.credit.contexts import REQUIRED_CONTEXTS
from workbench.credit.scores import Scores
from workbench.errors import CreditError


@dataclass(frozen=True, slots=True)
class Range:
    """The values that a view can take, and the one that means "nothing": where the colours turn."""

    low: float
    centre: float
    high: float

    @property
    def signed(self) -> bool:
        """Values on both sides of the centre: diverging colours."""
        return self.low < self.centre < self.high


ANY = Range(-math.inf, 0.0, math.inf)
FROM_ZERO = Range(0.0, 0.0, math.inf)


@dataclass(frozen=True, slots=True)
class View:
    """One reading of the credit, and how to read it."""

    name: str
    title: str
    unit: str  # "nats" where values are on the scale of the credit, and so have its noise floor
    range: Range
    formula: str  # in one line, for people
    how_to_read: str  # one sentence
    compute: Callable[[Scores], Sequence[float]]  # (T,); ask `TokenCredit.view`, which checks what it needs
    needs: tuple[str, ...] = REQUIRED_CONTEXTS  # names of `workbench.credit.CONTEXTS`
    needs_advantage: bool = False  # the rewards of the attempt's group

    @property
    def signed(self) -> bool:
        """True: diverging colours around `range.centre`; False: from it upwards."""
        return self.range.signed

    def problem(self, scores: Scores) -> str | None:
        """Reason why these scores cannot be read so, and what to do, in one sentence; None where they can."""
        for name in self.needs:
            if name in scores.contexts:
                continue
            if name in scores.absent:
                return f"The view {self.name!r} needs the context {name!r}, which is absent: {scores.absent[name]}."
            return (
                f"The view {self.name!r} needs the context {name!r}, which was not scored; ask for it with "
                f"contexts={name!r} or contexts='all'."
            )
        if self.needs_advantage and scores.advantage is None:
            return (
                f"The view {self.name!r} needs the rewards of the attempt's group; score the attempt through a run "
                "that holds its group."
            )
        return None

    def of(self, scores: Scores) -> tuple[float, ...]:
        """The numbers (T,). Raises CreditError where something that they need was not scored, or the formula fails."""
        problem = self.problem(scores)
        if problem is not None:
            raise CreditError(problem)
        try:
            values = tuple(float(value) for value in self.compute(scores))
        except Exception as error:  # a view may come from outside; a faulty one is a sentence, never a dead page
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise CreditError(f"The view {self.name!r} could not be computed ({why}); correct its formula.") from error
        if len(values) != len(scores.token_ids):
            raise CreditError(
                f"The view {self.name!r} gave {len(values)} numbers for {len(scores.token_ids)} tokens; its formula "
                "must give one for each."
            )
        if not all(map(math.isfinite, values)):
            raise CreditError(f"The view {self.name!r} gave a number that is not finite; correct its formula.")
        return values
