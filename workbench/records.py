"""The frozen records that flow between the parts of the workbench.

Knows nothing of models, files or pages: plain data, convertible to and from JSON. Log-probabilities are
in nats; `_ids` are token ids; `_s` are seconds. Everything that a person sees was one of these first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FeedbackSource = Literal["environment", "person", "demonstration", "judge"]  # judge: another model
FeedbackKind = Literal[
    "format",  # what was wrong with the form of the answer; never the answer
    "outcome",  # that it is wrong, without the answer
    "example",  # an input, the output, what was expected
    "error",  # an exception's type and message, its line, the last input
    "timeout",
    "diff",  # of tool calls: which call, which argument differs
    "answer",  # discloses the right answer
    "judge",  # a critique in words
    "person",
    "demonstration",
]
# The kind of a text that comes without one, by its source.
KIND_OF_SOURCE: Mapping[FeedbackSource, FeedbackKind] = {
    "environment": "outcome",
    "person": "person",
    "demonstration": "demonstration",
    "judge": "judge",
}


@dataclass(frozen=True, slots=True)
class Task:
    """One question, and how answers to it are judged."""

    id: str  # "pack/name", unique within a run; see `pack_of`
    prompt: str  # the user's turn, as text
    environment: str  # how it is judged: "python", "exact", "person" or another of `workbench.tasks.known_environments`
    answer: Mapping[str, Any] = field(default_factory=dict)  # what the judge needs; JSON-serialisable
    system: str | None = None  # system turn, if any
    split: Literal["train", "held_out"] | None = None  # the side of its pack that it says to be on; None: the pack says


def pack_of(task_id: str) -> str:
    """Name the pack of a task: its id up to the first "/", as a task's name within its pack may hold slashes too."""
    pack, slash, _ = task_id.partition("/")
    return pack if slash else ""


def name_in_pack(task_id: str) -> str:
    """Name a task within its pack: its id after the first "/"."""
    _, slash, name = task_id.partition("/")
    return name if slash else task_id


@dataclass(frozen=True, slots=True)
class FeedbackPart:
    """One piece of feedback, of one kind: the kinds are mixed, shown and switched off one by one."""

    kind: FeedbackKind
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdict of an environment on one attempt's text."""

    reward: float  # 0 to 1
    passed: bool
    feedback: str  # without what discloses the answer; "" where there is none
    # e.g. {"tier": "bubblewrap", "examples": [...]}; "read_as": for people, what was read as the answer, e.g. "B"
    details: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[FeedbackPart, ...] = ()  # the feedback by kind, where the environment tells them apart


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sampled completion, judged. Its token ids are never re-tokenised from its text."""

    id: str
    task_id: str
    group_id: str  # attempts sampled together; the group is GRPO's baseline and the source of demonstrations
    update_id: str  # the policy's state that wrote it (the head at the time)
    prompt_ids: tuple[int, ...]  # the student's prompt
    token_ids: tuple[int, ...]  # the completion; a sampled end-of-turn token is kept
    text: str  # decoded completion without its end token; of older runs, without any special token
    sampling_logps: tuple[float, ...]  # nats, one per token, as sampled (temperature applied)
    finished: bool  # False: cut at the token limit, no end-of-turn token was sampled
    temperature: float
    reward: float
    passed: bool
    feedback: str  # the text in force, without what discloses the answer: the environment's, or a person's
    feedback_source: FeedbackSource = "environment"
    details: Mapping[str, Any] = field(default_factory=dict)  # the judge's details, sandbox tier included
    # Of an attempt that a person branched off another: the other's id, and the position (from 0) of the forced token.
    # Its tokens before that position are the parent's, and so are their `sampling_logps`.
    parent_id: str | None = None
    forced_at: int | None = None
    demonstration_id: str | None = None  # another attempt at the task that a person chose to show to its self-teacher
    parts: tuple[FeedbackPart, ...] = ()  # the feedback in force by kind; where none are given, made of the text

    def __post_init__(self) -> None:
        # None are given for an attempt of an earlier version; those of another text, where it was replaced.
        texts = [part.text for part in self.parts if part.kind != "answer"]
        if bool(texts) != bool(self.feedback) or any(text not in self.feedback for text in texts):
            whole = FeedbackPart(KIND_OF_SOURCE[self.feedback_source], self.feedback)
            object.__setattr__(self, "parts", (whole,) if self.feedback else ())

    def feedback_of(self, kinds: Collection[FeedbackKind]) -> str:
        """The feedback of these kinds, one part below the other; the text itself where that is all but the answer."""
        chosen = [part for part in self.parts if part.kind in kinds]
        if chosen == [part for part in self.parts if part.kind != "answer"]:
            return self.feedback
        return "\n".join(part.text for part in chosen)


@dataclass(frozen=True, slots=True)
class SideEffects:
    """Effects of an update on the policy beyond the attempts it used, measured on a fixed probe."""

    kl_to_before: float  # nats per token, mean over the probe's tokens, KL(before || after)
    entropy_before: float  # nats per token
    entropy_after: float
    held_out_before: float | None = None  # pass rate, 0 to 1; None where no held-out tasks exist
    held_out_after: float | None = None
    kl_to_base: float | None = None  # nats per token, same tokens, KL(reference policy || after)


@dataclass(frozen=True, slots=True)
class SignalReport:
    """Signal report of one attempt: whether an update learns from it, and why."""

    attempt_id: str
    used: bool
    reason: str  # "feedback", "demonstration", "feedback and demonstration", or why there is no signal


@dataclass(frozen=True, slots=True)
class Reach:
    """Distance that an update went, and what ended it. KL in nats, means over tokens."""

    steps: int  # optimiser steps, the last one perhaps in part
    learning_rate: float
    gap: (
        float | None
    )  # KL(student || teacher) before the first step, over the tokens that are distilled; None: no teacher
    # None where the steps were named: then nothing was measured between them.
    allowed: float | None = None  # KL(before || after) that the update might use
    moved: float | None = None  # the KL that it used: the larger of that on its own attempts and that on the probe
    ended_by: Literal["limit", "gap", "steps"] | None = None  # the allowance, the gap closed, the most steps taken


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """One committed update: its prediction, and what the step did.

    `predicted` is the logit push on each sampled token (minus the gradient of the loss with respect to its logit,
    scaled by the number of active tokens; + = the step should make the token likelier). `realised` is the
    change of its log-probability in nats, re-scored after the step. One tuple per used attempt, keyed by id.
    """

    update_id: str
    parent_id: str
    method: str  # "sdpo", "grpo", ...
    loss_before: float  # nats per active token
    loss: float  # the same loss on the same tokens, after the step
    grad_norm: float
    predicted: Mapping[str, tuple[float, ...]]
    realised: Mapping[str, tuple[float, ...]]
    agreement: float  # share of tokens above the noise floor whose predicted and realised signs agree, 0 to 1
    rank_correlation: float  # Spearman's rho of predicted and realised over the same tokens
    side_effects: SideEffects
    ledger: tuple[SignalReport, ...]
    seconds_s: float
    # Of the `ema` teacher after the update: at most how far its weights' change is from the true average of the
    # policy's, relative to its norm; None under the other teachers.
    teacher_error: float | None = None
    reach: Reach | None = None  # None in runs that were made before it was measured


def to_json(record: Any) -> dict[str, Any]:
    """A record as plain JSON-serialisable data (tuples become lists on the way through `json`)."""
    if not dataclasses.is_dataclass(record) or isinstance(record, type):
        raise TypeError(f"not a record: {record!r}")
    return dataclasses.asdict(record)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def attempt_from_json(data: Mapping[str, Any]) -> Attempt:
    """The inverse of `to_json` for an attempt; unknown keys raise TypeError."""
    sequences = ("prompt_ids", "token_ids", "sampling_logps")
    fields = {key: _frozen(value) if key in sequences else value for key, value in data.items()}
    return Attempt(**{**fields, "parts": tuple(FeedbackPart(**part) for part in data.get("parts", ()))})


def task_from_json(data: Mapping[str, Any]) -> Task:
    """The inverse of `to_json` for a task."""
    return Task(**data)


def report_from_json(data: Mapping[str, Any]) -> UpdateReport:
    """The inverse of `to_json` for an update report."""
    fields = dict(data)
    fields["predicted"] = {key: tuple(values) for key, values in data["predicted"].items()}
    fields["realised"] = {key: tuple(values) for key, values in data["realised"].items()}
    fields["side_effects"] = SideEffects(**data["side_effects"])
    fields["ledger"] = tuple(SignalReport(**entry) for entry in data["ledger"])
    fields["reach"] = Reach(**data["reach"]) if data.get("reach") else None
    return UpdateReport(**fields)


@dataclass(frozen=True, slots=True)
class Pace:
    """Speed of writing on one machine: a position in a group of n attempts takes `step_s` + n · `row_s` seconds."""

    step_s: float
    row_s: float

    def seconds(self, attempts: int, new_tokens: int) -> float:
        """The longest that a group may take: attempts may end before `new_tokens`."""
        return new_tokens * (self.step_s + attempts * self.row_s)

    def scaled(self, factor: float) -> Pace:
        """The pace at which everything takes `factor` times as long."""
        return Pace(factor * self.step_s, factor * self.row_s)


WORTH_SAYING_S = 2.0  # nobody needs to be told of a shorter time before it begins


def duration(seconds: float) -> str:
    """Put a time into words for people: 40 s, 3 min, 2.0 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
