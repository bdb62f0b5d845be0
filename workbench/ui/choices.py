"""Choices of losses, teachers and comparisons, each with one sentence on when to choose it. Plain data."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.config import TEACHERS
from workbench.experiments.settings import TEST_TIME

WHY: Mapping[str, Mapping[str, str]] = {
    "method": {
        "sdpo": "There is feedback or a passed attempt: each token gets its own credit from the self-teacher.",
        "grpo": "There are only rewards: every token of an attempt gets its reward minus the group's mean.",
        "blend": "The model is small or its teacher unsure: GRPO steadies the direction, SDPO says which tokens.",
        "srpo": "Some attempts pass: failures are distilled by SDPO, the rest reinforced by GRPO.",
        "rlsd": "You trust the reward more than the teacher: the reward decides up or down, the teacher how much.",
    },
    "distillation_mode": {
        "full_logits": "The vocabulary is small: every token of it is compared, nothing is left out.",
        "topk_logits": "The paper's choice: the student's K most likely tokens and one bucket for all others.",
        "argmax_token": "To reproduce the paper's token level: only the student's most likely token is compared.",
        "sampled_token": "To save memory: only the sampled token, as in a policy gradient.",
        "sequence": "To see what token-level credit is worth: one mean advantage for the whole attempt.",
    },
    "teacher": {name: facts.why for name, facts in TEACHERS.items()},
}
DIVERGENCES: Mapping[str, tuple[float, str]] = {
    "reverse KL": (1.0, "The paper's choice with feedback: drops what the teacher finds unlikely."),
    "JSD": (0.5, "The paper's choice without feedback: bounded, so one strange token cannot dominate."),
    "forward KL": (0.0, "To cover everything the teacher would write, even what the student rarely tries."),
}


# Comparisons of the tab "Learn"; label, and what each is for.
COMPARED: Mapping[str, tuple[str, str]] = {
    "methods": ("methods", "SDPO, GRPO and the methods in between: which learns from the fewest attempts?"),
    "feedback": (
        "teacher context",
        "Failed examples, a remark, passed attempts, the failed attempt itself (Table 6 of the paper), instead of the "
        "feedback chosen below.",
    ),
    "kinds": (
        "kinds of feedback",
        "All kinds that the environment gives, all but one of them, and none: which of them teaches?",
    ),
    "teacher": (
        "teacher",
        "The current policy, the reference policy, the average, or the trust region between them (Table 4).",
    ),
    "granularity": ("granularity of credit", "From whole distributions to one number per attempt, and GRPO."),
    "group": ("group size", "The same number of attempts per round, on many tasks or on few; SDPO and GRPO."),
    "topk": ("K of the distillation", "On how many tokens student and teacher are compared, beside the tail."),
    "stability": (
        "hundreds of rounds",
        "The settings as they are, a learning rate three times as high, and a live teacher without a limit: which "
        "keeps the policy intact, and do alarms come in time?",
    ),
}
# Methods of discovery.
DISCOVERY: Mapping[str, str] = {
    "sdpo": "Test-time SDPO: after each group an update on its own failures, so that the next group does better. Its "
    f"learning rate is {TEST_TIME.learning_rate:g}, unless it is changed in Settings.",
    "best_of_k": "Independent attempts of the unchanged policy: what luck alone finds.",
    "multi_turn": "Earlier attempts and the feedback on them stay in the prompt; the oldest are dropped first.",
    "multi_turn_feedback": "The same with the feedback alone: more turns fit, and no mistakes are copied.",
}
# Feedback of the house-rules checker; label and name.
FEEDBACK_KINDS: tuple[tuple[str, str], ...] = (
    ("example: inputs with the wrong and the right output", "example"),
    ("judge: a reviewer's remark on the convention", "judge"),
    ("example+judge: examples, then the remark", "example+judge"),
    ("none: the reward is all there is", "none"),
)


def divergence_of(alpha: float) -> str:
    """The name of an alpha, or "alpha .3" where it has none."""
    return next((name for name, (value, _) in DIVERGENCES.items() if value == alpha), f"alpha {alpha:g}")
