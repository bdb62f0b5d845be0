"""A group of attempts as the tests of replays want it: failed, with a remark for each."""

from __future__ import annotations

from workbench import Workbench
from workbench.config import SamplingConfig
from workbench.records import Attempt

NEVER = {"tests": [{"function": "f", "args": [[3, 1, 2]], "expected": "nothing"}]}  # no attempt passes


def remarked_group(workbench: Workbench, max_new_tokens: int) -> list[Attempt]:
    """Three failed attempts at a task of the run, each with feedback of its own."""
    task = workbench.add_task(prompt="Write f(xs): sort, then take 3.", environment="python", answer=NEVER)
    group = workbench.attempt(task, 3, sampling=SamplingConfig(max_new_tokens=max_new_tokens))
    return [workbench.give_feedback(attempt, f"remark {place}.") for place, attempt in enumerate(group)]
