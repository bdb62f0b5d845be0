"""Losses and teachers: what there is to choose from, and in one sentence each why one would. Plain data."""

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
        "topk_logits": "The paper's choice: the student's likeliest K tokens and one bucket for all others.",
        "argmax_token": "To reproduce the paper's token level: only the student's likeliest token is compared.",
        "sampled_token": "To save memory: only the token that was written, as in a policy gradient.",
        "sequence": "To see what token-wise credit is worth: one mean advantage for the whole attempt.",
    },
    "teacher": {name: facts.why for name, facts in TEACHERS.items()},
}
DIVERGENCES: Mapping[str, tuple[float, str]] = {
    "reverse KL": (1.0, "The paper's choice with feedback: gives up what the teacher finds unlikely."),
    "JSD": (0.5, "The paper's choice without feedback: bounded, so one strange token cannot dominate."),
    "forward KL": (0.0, "To cover all that the teacher would write, also what the student hardly tries."),
}


# What the tab "Learn" compares; label and why one would.
COMPARED: Mapping[str, tuple[str, str]] = {
    "methods": ("methods", "SDPO, GRPO and what lies between: who learns from the fewest attempts?"),
    "feedback": (
        "what the teacher is shown",
        "Failed examples, a remark, passed attempts, the failed attempt itself (Table 6 of the paper), instead of the "
        "feedback chosen below.",
    ),
    "teacher": (
        "who teaches",
        "The live policy, the frozen start, the average, or between start and present (Table 4).",
    ),
    "granularity": ("how finely credit is given", "From whole distributions to one number per attempt, and GRPO."),
    "group": ("attempts in a group", "Equally many attempts a round, on many tasks or many at each; SDPO and GRPO."),
    "topk": ("K of the distillation", "Of how many tokens the teacher's probabilities are used, beside the tail."),
    "stability": (
        "hundreds of rounds",
        "The settings as they are, a learning rate three times as high, and a live teacher without a limit: who keeps "
        "the policy, and do alarms come in time?",
    ),
}
# The ways of discovering.
DISCOVERY: Mapping[str, str] = {
    "sdpo": "Test-time SDPO: after each group an update on its own failures, so the next group knows better. Its "
    f"learning rate is {TEST_TIME.learning_rate:g} unless Settings has another than the default.",
    "best_of_k": "Independent attempts of the unchanged policy: what luck alone finds.",
    "multi_turn": "Attempts so far and what was said of them stay in the prompt; the oldest are left out first.",
    "multi_turn_feedback": "The same with what was said alone: it fits more turns, and copies no mistakes.",
}
# What the checker of house rules says; label and name.
FEEDBACK_KINDS: tuple[tuple[str, str], ...] = (
    ("examples: inputs with the wrong and the right output", "examples"),
    ("remark: a reviewer's sentence on the convention", "remark"),
    ("both: examples, then the remark", "both"),
    ("none: the reward is all there is", "none"),
)


def divergence_of(alpha: float) -> str:
    """The name of an alpha, or "alpha .3" where it has none."""
    return next((name for name, (value, _) in DIVERGENCES.items() if value == alpha), f"alpha {alpha:g}")
