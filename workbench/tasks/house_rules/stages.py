"""The vocabulary of house rules: stages, the choices that each leaves open, and the Python of every choice.

A stage is one step of a specification ("take 3"); its choices are the conventions that a house fixes ("from the
front" or "from the end"). Choices of one stage are written alike but for one sign or word wherever Python allows,
so that a difference in convention is a difference in few tokens. Knows nothing of houses, checks or prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Value = list[int] | int


@dataclass(frozen=True, slots=True)
class Choice:
    """One convention: its name, how common it is among houses, its line of Python and what that line does."""

    name: str
    weight: float  # probability that a house picks it; the choices of a stage sum to 1
    line: str  # Python, with {k} for the stage's number
    apply: Callable[[list[int], int], Value]  # the meaning of `line`, for the generator (tests hold them together)


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a specification."""

    name: str
    phrase: str  # as it stands in a specification, with {k} for its number
    choices: tuple[Choice, ...]  # one choice: nothing is open
    numbers: tuple[int, ...] = (0,)  # what k can be; (0,) where the phrase has none
    final: bool = False  # returns its value, so nothing can follow

    @property
    def is_open(self) -> bool:
        """True where a house has something to decide."""
        return len(self.choices) > 1


COMMON, RARE = 0.68, 0.32  # a student that knows only how common a convention is passes .56 of single choices

STAGES: tuple[Stage, ...] = (
    Stage(
        "sort",
        "sort",
        (
            Choice("ascending", COMMON, "xs = sorted(xs, reverse=False)", lambda xs, k: sorted(xs)),
            Choice("descending", RARE, "xs = sorted(xs, reverse=True)", lambda xs, k: sorted(xs, reverse=True)),
        ),
    ),
    Stage(
        "take",
        "take {k}",
        (
            Choice("front", COMMON, "xs = xs[:{k}]", lambda xs, k: xs[:k]),
            Choice("end", RARE, "xs = xs[-{k}:]", lambda xs, k: xs[-k:]),
        ),
        numbers=(2, 3, 4),
    ),
    Stage(
        "drop",
        "drop {k}",
        (
            Choice("front", COMMON, "xs = xs[{k}:]", lambda xs, k: xs[k:]),
            Choice("end", RARE, "xs = xs[:-{k}]", lambda xs, k: xs[:-k]),
        ),
        numbers=(1, 2, 3),
    ),
    Stage(
        "parity",
        "pick by parity",
        (
            Choice("even", COMMON, "xs = [x for x in xs if x % 2 == 0]", lambda xs, k: [x for x in xs if x % 2 == 0]),
            Choice("odd", RARE, "xs = [x for x in xs if x % 2 == 1]", lambda xs, k: [x for x in xs if x % 2 == 1]),
        ),
    ),
    Stage(
        "shift",
        "shift by {k}",
        (
            Choice("up", COMMON, "xs = [x + {k} for x in xs]", lambda xs, k: [x + k for x in xs]),
            Choice("down", RARE, "xs = [x - {k} for x in xs]", lambda xs, k: [x - k for x in xs]),
        ),
        numbers=(1, 2, 3, 4, 5, 6),
    ),
    Stage(
        "scale",
        "scale by {k}",
        (
            Choice("multiply", COMMON, "xs = [x * {k} for x in xs]", lambda xs, k: [x * k for x in xs]),
            Choice("divide", RARE, "xs = [x // {k} for x in xs]", lambda xs, k: [x // k for x in xs]),
        ),
        numbers=(2, 3, 4),
    ),
    Stage(
        "limit",
        "limit at {k}",
        (
            Choice("below", 0.5, "xs = [x for x in xs if x < {k}]", lambda xs, k: [x for x in xs if x < k]),
            Choice("at most", 0.3, "xs = [x for x in xs if x <= {k}]", lambda xs, k: [x for x in xs if x <= k]),
            Choice("above", 0.2, "xs = [x for x in xs if x > {k}]", lambda xs, k: [x for x in xs if x > k]),
        ),
        numbers=(3, 4, 5, 6, 7, 8),
    ),
    Stage(
        "clip",
        "clip at {k}",
        (
            Choice("maximum", COMMON, "xs = [min(x, {k}) for x in xs]", lambda xs, k: [min(x, k) for x in xs]),
            Choice("minimum", RARE, "xs = [max(x, {k}) for x in xs]", lambda xs, k: [max(x, k) for x in xs]),
        ),
        numbers=(3, 4, 5, 6, 7, 8),
    ),
    Stage(
        "unique",
        "drop repeats",
        (Choice("first", 1.0, "xs = list(dict.fromkeys(xs))", lambda xs, k: list(dict.fromkeys(xs))),),
    ),
    Stage(
        "best",
        "pick the best",
        (
            Choice("largest", COMMON, "return max(xs)", lambda xs, k: max(xs)),
            Choice("smallest", RARE, "return min(xs)", lambda xs, k: min(xs)),
        ),
        final=True,
    ),
    Stage("total", "add up", (Choice("sum", 1.0, "return sum(xs)", lambda xs, k: sum(xs)),), final=True),
)

STAGE = {stage.name: stage for stage in STAGES}
