"""What the self-teacher is shown of each attempt, and why an attempt gives no signal (paper, section 3; Table 2).

A failed attempt brings its feedback and, where the group holds one, another attempt that passed. A passed attempt
brings only another passed one. Knows nothing of models and files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.config import SDPOConfig
from workbench.records import Attempt, Ledger


@dataclass(frozen=True, slots=True)
class Evidence:
    """The fields of the self-teacher's prompt; all empty means that it knows no more than the student."""

    feedback: str = ""
    demonstration: str = ""
    failed_attempt: str = ""

    @property
    def kind(self) -> str:
        """What there is, for people; "" where there is nothing."""
        named = (("feedback", self.feedback), ("demonstration", self.demonstration))
        return " and ".join(name for name, text in named if text)


def gather(attempt: Attempt, group: Sequence[Attempt], config: SDPOConfig) -> Evidence:
    """The evidence on one attempt of a group (the attempt itself may be in it)."""
    others = [other for other in group if other.passed and other.id != attempt.id and other.task_id == attempt.task_id]
    # A passed attempt that says the same thing would only confirm it; prefer another one.
    others.sort(key=lambda other: other.text == attempt.text)
    demonstration = others[0].text if config.use_demonstrations and others else ""
    # A person's words count even on an attempt that passed: they were typed to be heard.
    heard = attempt.feedback if not attempt.passed or attempt.feedback_source == "person" else ""
    failed = attempt.text if config.include_failed_attempt and not attempt.passed else ""
    return Evidence(heard.strip(), demonstration, failed)


def explain(attempt: Attempt, evidence: Evidence, group: Sequence[Attempt], config: SDPOConfig) -> Ledger:
    """Whether an attempt is used by an update, and the reason in words."""
    if not attempt.token_ids:
        return Ledger(attempt.id, False, "it has no tokens")
    if config.method == "grpo":
        rewards = [other.reward for other in group]
        if max(rewards) == min(rewards):
            return Ledger(attempt.id, False, "all rewards of its group are equal, so no attempt stands out")
        return Ledger(attempt.id, True, "reward above or below the group's mean")
    if evidence.kind:
        return Ledger(attempt.id, True, evidence.kind)
    if attempt.passed:
        return Ledger(attempt.id, False, "it passed, and no other attempt of its group did")
    return Ledger(attempt.id, False, "it failed without feedback, and no attempt of its group passed")
