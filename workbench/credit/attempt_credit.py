"""`TokenCredit`: everything that was scored about one attempt, as plain numbers, and what can be said of them.

Made from logits once, then free of tensors and models: it can be stored, sent to a page, or read in a notebook.
Drawing is left to `workbench.heatmap`, which is given `payload()`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from workbench.credit.divergence import sampled_logps
from workbench.credit.statistics import top_share
from workbench.credit.views import VIEWS
from workbench.errors import PolicyError
from workbench.kernels.projection import given
from workbench.kernels.two_sided import TwoSided, two_sided

_NUMBERS = ("kl", "jsd", "entropy_student", "entropy_teacher")  # (T,) fields beside the contexts


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
    contexts: Mapping[str, tuple[float, ...]]  # log-probability of the sampled tokens: "student", "teacher", ("base")
    kl: tuple[float, ...]  # KL(pi || q)
    jsd: tuple[float, ...]  # 0 to log 2
    entropy_student: tuple[float, ...]
    entropy_teacher: tuple[float, ...]
    noise_floor: float  # |credit| up to here is what identical prompts already give
    temperature: float  # at which both sides were scored
    alternatives: tuple[tuple[TopToken, ...], ...]  # per token: union of both sides' top-k, likeliest first

    def __post_init__(self) -> None:
        numbers = {**self.contexts, **{name: getattr(self, name) for name in _NUMBERS}}
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
    def from_logits(
        cls,
        attempt_id: str,
        tokens: Sequence[str],
        token_ids: Sequence[int],
        student_logits: Tensor,
        teacher_logits: Tensor,
        base_logits: Tensor | None,
        *,
        noise_floor: float,
        temperature: float,
        top_k: int = 8,
        decode: Callable[[int], str],
    ) -> TokenCredit:
        """Scores one attempt from the logits that predict its tokens under each context.

        Args:
            student_logits, teacher_logits, base_logits: (T, V), same token ids in all; already divided by
                `temperature`, which is only recorded here.
            noise_floor: nats, from the null test of the scoring path.
            decode: token id -> display text, for the alternatives.

        Raises:
            PolicyError: when a log-probability is not finite.
            ValueError: when shapes do not belong together.
        """
        ids = torch.tensor(list(token_ids), dtype=torch.int64, device=student_logits.device)  # (T,)
        sides = two_sided(given(student_logits), given(teacher_logits), ids, top_k=top_k)
        contexts = {"student": _floats(sides.student_logps), "teacher": _floats(sides.teacher_logps)}
        if base_logits is not None:
            contexts["base"] = _floats(sampled_logps(base_logits.detach(), ids))
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
        )

    def view(self, name: str) -> tuple[float, ...]:
        """The numbers (T,) of one view; `VIEWS` names them and says how they are read. KeyError for another name."""
        if name not in VIEWS:
            raise KeyError(f"no view named {name!r}; there are {', '.join(VIEWS)}")
        return VIEWS[name].compute(self)

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

    def summary(self) -> str:
        """What the heatmap shows, in a sentence or two made from the numbers. Tokens are counted from 1."""
        credit = self.view("raw")
        if not credit:
            return "This attempt has no tokens."
        place = max(range(len(credit)), key=lambda position: abs(credit[position]))
        if abs(credit[place]) <= self.noise_floor:
            return f"Nothing here is above the noise floor ({self.noise_floor:.2g} nats)."
        share, count = top_share(credit)
        return f"{self._strongest(place)} {100 * share:.0f} % of the credit is on {count} of {len(credit)} tokens."

    def _strongest(self, place: int) -> str:
        teacher, student = (math.exp(self.contexts[name][place]) for name in ("teacher", "student"))
        sentence = (
            f"The teacher disagrees most at token {place + 1} ({_quoted(self.tokens[place])}): "
            f"it gives {_probability(teacher)} where the student gave {_probability(student)}"
        )
        if not self.alternatives[place]:
            return f"{sentence}."
        favourite = max(self.alternatives[place], key=lambda token: token.teacher_logp)
        if favourite.id == self.token_ids[place]:
            return f"{sentence}, and would write it too."
        return f"{sentence}, and would write {_quoted(favourite.text)}."

    def payload(self, title: str = "", view: str = "raw") -> dict[str, Any]:
        """What `workbench.heatmap` draws: JSON-serialisable; `view` is shown first. KeyError for an unknown view."""
        self.view(view)
        numbers = {**self.contexts, **{name.replace("_", " "): getattr(self, name) for name in _NUMBERS}}
        return {
            "title": title or f"Credit of attempt {self.attempt_id}",
            "tokens": [{"text": text, "id": i} for text, i in zip(self.tokens, self.token_ids, strict=True)],
            "views": [
                {
                    "name": shown.name,
                    "title": shown.title,
                    "unit": shown.unit,
                    "signed": shown.signed,
                    "how": shown.how_to_read,
                    "values": list(shown.compute(self)),
                }
                for shown in VIEWS.values()
            ],
            "numbers": [{"name": name, "unit": "nats", "values": list(values)} for name, values in numbers.items()],
            "noise_floor": self.noise_floor,
            "top": [
                [{"text": t.text, "id": t.id, "student": t.student, "teacher": t.teacher} for t in listed]
                for listed in self.alternatives
            ],
            "summary": self.summary(),
            "view": view,
        }

    def to_html(self, path: str | Path | None = None, theme: Literal["auto", "light", "dark"] = "auto") -> str:
        """One self-contained HTML page of the heatmap; also written to `path` (UTF-8) when one is given."""
        from workbench.heatmap import render_page  # drawing is needed by few, and never by training

        page = render_page(self.payload(), theme)
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def _repr_html_(self) -> str:
        from workbench.heatmap import render_fragment

        return render_fragment(self.payload())

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


def _quoted(text: str) -> str:
    """A token in backticks, with its white space visible."""
    return "`" + text.replace("\n", "⏎").replace("\t", "⇥").replace("`", "´") + "`"


def _probability(value: float) -> str:
    """Short form of a probability: .71, .001, "under .001", 1."""
    if value < 0.0005:
        return "under .001"
    if value < 0.01:
        return f"{value:.3f}"[1:]
    return f"{value:.2f}"[1:] if value < 0.995 else "1"
