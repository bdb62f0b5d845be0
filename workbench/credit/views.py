"""Views: ways of reading one attempt's credit, each with the facts that a page needs in order to show it.

A view is arithmetic on numbers that were scored once (log-probabilities per context, divergences per token); none
looks at a model again. The formulas are in `view_formulas.py`; sources: docs/algorithm.md, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from workbench.credit import view_formulas as formulas
from workbench.credit.contexts import REQUIRED_CONTEXTS
from workbench.errors import CreditError

if TYPE_CHECKING:
    from workbench.credit.attempt_credit import TokenCredit


@dataclass(frozen=True, slots=True)
class Range:
    """The values that a view can take, and the one that means "nothing": where the colours turn."""

    low: float
    centre: float
    high: float

    @property
    def signed(self) -> bool:
        """Whether values lie on both sides of the centre: diverging colours."""
        return self.low < self.centre < self.high


ANY = Range(-math.inf, 0.0, math.inf)
FROM_ZERO = Range(0.0, 0.0, math.inf)


@dataclass(frozen=True, slots=True)
class View:
    """One reading of the credit, and how to read it."""

    name: str
    title: str
    unit: str
    range: Range
    formula: str  # in one line, for people
    how_to_read: str  # one sentence
    compute: Callable[[TokenCredit], tuple[float, ...]]  # (T,); ask `TokenCredit.view`, which checks what it needs
    needs: tuple[str, ...] = REQUIRED_CONTEXTS
    needs_advantage: bool = False  # the rewards of the attempt's group

    @property
    def signed(self) -> bool:
        """True: diverging colours around `range.centre`; False: from it upwards."""
        return self.range.signed

    def problem(self, credit: TokenCredit) -> str | None:
        """Why this credit cannot be read so, and what to do, in one sentence; None where it can."""
        for name in self.needs:
            if name in credit.contexts:
                continue
            if name in credit.absent:
                return f"The view {self.name!r} needs the context {name!r}, which is absent: {credit.absent[name]}."
            return (
                f"The view {self.name!r} needs the context {name!r}, which was not scored; ask for it with "
                f"contexts={name!r} or contexts='all'."
            )
        if self.needs_advantage and credit.advantage is None:
            return (
                f"The view {self.name!r} needs the rewards of the attempt's group; score the attempt through a run "
                "that holds its group."
            )
        return None

    def of(self, credit: TokenCredit) -> tuple[float, ...]:
        """The numbers (T,). Raises CreditError where something that they need was not scored."""
        problem = self.problem(credit)
        if problem is not None:
            raise CreditError(problem)
        return self.compute(credit)


VIEWS: Mapping[str, View] = MappingProxyType(
    {
        view.name: view
        for view in (
            View(
                "raw",
                "Raw credit",
                "nats",
                ANY,
                "A = log q − log π",
                "Positive: having seen the feedback, the teacher wants more of this token; negative: less of it.",
                formulas.raw,
            ),
            View(
                "centred",
                "Centred credit",
                "nats",
                ANY,
                "A + KL(π ‖ q)",
                "Raw credit plus the divergence at this place: zero means as welcome to the teacher as the student's "
                "average token here.",
                formulas.centred,
            ),
            View(
                "divergence",
                "Divergence",
                "nats",
                FROM_ZERO,
                "KL(π ‖ q)",
                "How far teacher and student disagree at this place over all tokens, whichever one was sampled.",
                lambda credit: credit.kl,
            ),
            View(
                "jsd",
                "Jensen-Shannon divergence",
                "nats",
                Range(0.0, 0.0, math.log(2.0)),
                "½ KL(π ‖ ½(π+q)) + ½ KL(q ‖ ½(π+q))",
                "The same disagreement on a bounded scale: 0 is agreement, log 2 is no common token at all.",
                lambda credit: credit.jsd,
            ),
            View(
                "entropy_student",
                "Entropy of the student",
                "nats",
                FROM_ZERO,
                "−Σ π log π",
                "How undecided the student was at this place.",
                lambda credit: credit.entropy_student,
            ),
            View(
                "entropy_teacher",
                "Entropy of the teacher",
                "nats",
                FROM_ZERO,
                "−Σ q log q",
                "How undecided the teacher is at this place: where it is high, its credit says little.",
                lambda credit: credit.entropy_teacher,
            ),
            View(
                "evidence",
                "Evidence curve",
                "nats",
                ANY,
                "Σ A up to this token",
                "What the attempt so far says of the feedback: its end is how much likelier the whole attempt is to "
                "the teacher than to the student.",
                formulas.evidence,
            ),
            View(
                "contrastive",
                "Contrastive credit",
                "nats",
                ANY,
                f"A − {formulas.CONTRASTIVE_WEIGHT:g} · log q[mismatched question]",
                "Raw credit, with a bonus for tokens that this feedback would not make likely under another question.",
                formulas.contrastive,
                (*REQUIRED_CONTEXTS, "mismatched_question"),
            ),
            View(
                "control",
                "Control: minus no feedback",
                "nats",
                ANY,
                "A − A[template only]",
                "Credit that is due to the feedback itself: what the self-teacher's wording alone gives is taken away.",
                formulas.control,
                (*REQUIRED_CONTEXTS, "template_only"),
            ),
            View(
                "control_wrong",
                "Control: minus wrong feedback",
                "nats",
                ANY,
                "A − A[wrong feedback]",
                "Credit that is due to this feedback and not to just any: what another attempt's feedback gives is "
                "taken away.",
                formulas.control_wrong,
                (*REQUIRED_CONTEXTS, "wrong_feedback"),
            ),
            View(
                "rlsd",
                "RLSD weight",
                "weight",
                Range(1.0 - formulas.DEFAULTS.evidence_clip, 1.0, 1.0 + formulas.DEFAULTS.evidence_clip),
                "exp(sign(A_seq) · A), clipped",
                "How much of the attempt's reward each token gets: above 1 more than its share, below 1 less.",
                formulas.rlsd,
                needs_advantage=True,
            ),
            View(
                "srpo",
                "SRPO weight",
                "weight",
                Range(0.0, 1.0, math.inf),
                "exp(−β H[q]) / mean",
                "How much a token counts in the distillation: above 1 where the teacher is sure, below 1 where it is "
                "not.",
                formulas.srpo,
            ),
            View(
                "grpo",
                "GRPO advantage",
                "reward",
                Range(-1.0, 0.0, 1.0),
                "r − mean(r)",
                "What a method without feedback gives: the same number to every token of the attempt.",
                formulas.grpo,
                needs_advantage=True,
            ),
            View(
                "null",
                "Null",
                "",
                Range(-1.0, 0.0, 1.0),
                f"{formulas.NULL_ADVANTAGE:g}",
                "A fixed negative number on every token: credit that cannot do better than this says nothing.",
                formulas.null,
            ),
        )
    }
)
