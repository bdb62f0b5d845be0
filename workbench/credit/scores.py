"""`Scores`: everything that was scored about one attempt, as plain numbers with simple accessors.

Free of tensors and models: it can be stored, sent to a page, or read in a notebook. Everything that reads the numbers
(`views`, `reading`, `payload`) rests on this module; `TokenCredit`, at the top, gives them to people as methods.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from workbench.errors import PolicyError

QUANTITIES = ("kl", "jsd", "entropy_student", "entropy_teacher")  # per token, of both sides together


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
class Scores:
    """The scores of one attempt, token by token. All per-token tuples have length T; everything in nats.

    Raises ValueError for lengths that do not belong together, PolicyError for a number that is not finite.
    """

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
    reasoning: tuple[tuple[int, int], ...] = ()  # ranges [start, end) of tokens that were not judged

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

    def numbers(self) -> dict[str, tuple[float, ...]]:
        """All scores per token (T,), nats: each context by its name, then divergences and entropies."""
        return {**self.contexts, **{name: getattr(self, name) for name in QUANTITIES}}

    def credit_under(self, context: str) -> tuple[float, ...]:
        """A_t[context] = log q(y_t | context) - log pi(y_t), nats: credit as a context gives it; "teacher": raw."""
        pairs = zip(self.contexts[context], self.contexts["student"], strict=True)
        return tuple(teacher - student for teacher, student in pairs)

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

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-serialisable data; `from_json` gives an equal object back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`, before or after a trip through JSON text; unknown keys raise TypeError."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list | tuple) else value for key, value in data.items()
        }
        fields["contexts"] = {name: tuple(values) for name, values in data["contexts"].items()}
        fields["alternatives"] = tuple(tuple(TopToken(**token) for token in listed) for listed in data["alternatives"])
        fields["reasoning"] = tuple((start, end) for start, end in data.get("reasoning", ()))
        return cls(**fields)
