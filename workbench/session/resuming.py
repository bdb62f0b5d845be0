"""The policy's state as a run's log has it, so that a reopened run goes on exactly where it was.

Between two moves of the head sampling is all that changes the policy, and only its random state.
"""

from __future__ import annotations

from workbench.errors import RunError
from workbench.policy import Policy
from workbench.runs import Run

RANDOM = "random/sampling"


def load_head(policy: Policy, run: Run, *, undone: str | None = None) -> None:
    """Puts the policy where the head is, bit for bit. Raises RunError, PolicyError.

    `undone`: the update that an undo has just left. The random state is then the one before that update, not the
    one that the update before it left: what was sampled in between was not undone.
    """
    policy.load_state(run.blobs.get(run.state_blob(run.head)))
    if undone is not None:
        try:
            # An update draws nothing: what was saved with it is what was there before it.
            random = run.blobs.get(run.state_blob(undone))[RANDOM]
        except RunError:
            return  # the undone update is damaged; the head's own random state stays
        policy.generator.set_state(random)


def load_latest(policy: Policy, run: Run) -> None:
    """Puts the policy where the log ends: at the head, with the random state after the last group of attempts.

    Raises RunError, PolicyError.
    """
    damaged = {event_id for event_id, _ in run.set_aside}
    timeline = run.timeline
    for event in reversed(run.events()):
        if event.id in damaged:
            continue
        if event.kind == "attempt" and event.blobs:
            load_head(policy, run)
            policy.generator.set_state(run.blobs.get(event.blobs[0])[RANDOM])
            return
        if event.kind == "head" and event.data["why"] == "undo" and timeline.position == timeline.head:
            load_head(policy, run, undone=timeline.left.get(timeline.head))
            return
        if event.kind in ("update", "head", "root"):
            break
    load_head(policy, run)
