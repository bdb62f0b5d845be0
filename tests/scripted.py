"""Attempts with given texts, for domains whose language the embedded policy does not speak.

Only what would be drawn is given: the texts become tokens of the policy's own, at its own log-probabilities, and all
that follows (reading, judging, credit, update) is as for any sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from workbench.config import SamplingConfig
from workbench.policy import Policy
from workbench.policy.sampling import Sampled
from workbench.policy.scoring import completion_logps
from workbench.session import writing

THOUGHT = "<reasoning>\nAdenine pairs with guanine, I think.\n</reasoning>\n"
WEEK = 'Thought: I need 7 days.\nAction: getForecast\nAction Input: {"place": "Bergen", "days": %s, "unit": "celsius"}'
SUM = "Read all numbers.\n```python\nn, *xs = map(int, open(0).read().split())\nprint(%s)\n```"
# A part of a task's prompt -> the texts of the attempts at it, one after the other: the first fails.
TEXTS: dict[str, tuple[str, ...]] = {
    "which base pairs with adenine": (f"{THOUGHT}<answer>\nB\n</answer>", f"{THOUGHT}<answer>\nA\n</answer>"),
    "weather in Bergen": (WEEK % '"many"', WEEK % "7"),
    "A gauge was read": (SUM % "max(xs), sum(xs)", SUM % "sum(xs), max(xs)", SUM % "11, 7"),
}


def scripted_samples() -> None:
    """In the program's process: the attempts at the tasks of `TEXTS` are these texts, those at all others are empty."""
    writing.sample = given_texts  # type: ignore[assignment]


def given_texts(policy: Policy, prompts: Sequence[Sequence[int]], config: SamplingConfig, **_: Any) -> list[Sampled]:
    """In place of `workbench.policy.sampling.sample`."""
    given: Counter[str] = Counter()
    written = []
    for prompt in prompts:
        text = policy.tokenizer.decode(list(prompt))
        part = next((part for part in TEXTS if part in text), None)
        written.append("" if part is None else TEXTS[part][given[part] % len(TEXTS[part])])
        given[part or ""] += 1
    ids = [[*policy.tokenizer.encode(text, add_special_tokens=False), policy.eos_ids[0]] for text in written]
    logps = iter(completion_logps(policy, prompts, ids, config.temperature).tolist())
    return [Sampled(tuple(row), tuple(next(logps) for _ in row), finished=True) for row in ids]
