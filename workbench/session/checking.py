"""Check of stored credit: every number is recomputed in float64 from the run's data, and compared.

Knows nothing of how either of the two is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.credit import TokenCredit
from workbench.credit.scores import QUANTITIES
from workbench.policy import Policy
from workbench.policy.bruteforce import BOUNDS, Float64Model, Truth, precision_of, recompute
from workbench.runs import Run
from workbench.session.credit_store import StoredCredit


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference of one context or quantity."""

    largest: float  # nats; of "tail" a probability
    position: int  # token, from 0


@dataclass(frozen=True, slots=True)
class CreditCheck:
    """One stored credit, compared."""

    event_id: int
    attempt_id: str
    update_id: str
    precision: str  # a key of BOUNDS
    bound: float  # nats
    dequantised: bool  # the float64 weights are the quantised layers, dequantised
    differences: Mapping[str, Difference]  # by context, then by quantity

    @property
    def largest(self) -> float:
        """The largest difference of all."""
        return max(difference.largest for difference in self.differences.values())

    @property
    def ok(self) -> bool:
        """True where every difference is within the bound."""
        return self.largest <= self.bound


def check(policy: Policy, run: Run, stored: Sequence[StoredCredit]) -> list[CreditCheck]:
    """Recompute and compare; the policy is only read. Raises RunError for a damaged state, PolicyError."""
    quantization, precision = str(policy.facts["quantization"]), precision_of(policy)
    model, checks = Float64Model(policy), []
    for entry in stored:
        basis, credit = entry.basis, entry.credit
        truth = recompute(
            model,
            run.blobs.get(run.state_blob(basis.update_id)),
            basis.prompts,
            credit.token_ids,
            temperature=credit.temperature,
            teacher=basis.teacher,
            rate=basis.rate,
        )
        checks.append(
            CreditCheck(
                event_id=entry.event_id,
                attempt_id=credit.attempt_id,
                update_id=basis.update_id,
                precision=precision,
                bound=BOUNDS[precision],
                dequantised=quantization != "none",
                differences=dict(compare(credit, truth)),
            )
        )
    return checks


def compare(credit: TokenCredit, truth: Truth) -> Iterator[tuple[str, Difference]]:
    """Compare each context and quantity by its largest difference; "top" is the alternatives, "tail" the rest.

    "top" is also how far a side's likeliest token stands above the likeliest one listed: 0 where none is missing.
    """
    for name, values in credit.contexts.items():
        yield name, _largest([abs(a - b) for a, b in zip(values, truth.contexts[name], strict=True)])
    for name in QUANTITIES:
        yield name, _largest([abs(a - b) for a, b in zip(getattr(credit, name), getattr(truth, name), strict=True)])
    top, tail = [], []
    for position, sides in enumerate(zip(truth.student_rows, truth.teacher_rows, strict=True)):
        listed = credit.top(position)
        ids = [token.id for token in listed]
        stored = [[token.student_logp for token in listed], [token.teacher_logp for token in listed]]
        kept = [side[ids] for side in sides]
        off = [
            abs(a - b)
            for stored_logps, true in zip(stored, kept, strict=True)
            for a, b in zip(stored_logps, true.tolist(), strict=True)
        ]
        missing = [float(side.max() - true.max()) for side, true in zip(sides, kept, strict=True)]
        top.append(max([*off, *missing]))
        left = [1.0 - float(true.exp().sum()) for true in kept]
        tail.append(max(abs(a - b) for a, b in zip(credit.tail(position), left, strict=True)))
    yield "top", _largest(top)
    yield "tail", _largest(tail)


def _largest(differences: list[float]) -> Difference:
    place = max(range(len(differences)), key=differences.__getitem__)
    return Difference(differences[place], place)
