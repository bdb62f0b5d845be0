"""The actions on the worker itself: its status, stopping a job, reopening the run; and the list of attempts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from workbench.records import Attempt
from workbench.service.action import immediate
from workbench.service.actions.tasks import find_task
from workbench.service.checks import TaskId, whole
from workbench.service.queue import JobQueue

MOST_LISTED = 1024  # attempts in one reply


@immediate("Status", python="")
def status(queue: JobQueue) -> dict[str, Any]:
    """Status of the workbench: what is running and waiting, the head, the policy, and any problem."""
    job, state = queue.current, queue.state
    return {
        "state": queue.status,
        "job": job.label if job else "",
        "waiting": queue.waiting(),
        "queue": listed(queue),
        "head": state.head,
        "run": state.run,
        "policy": dict(state.policy),
        "judges": [dict(judge) for judge in state.judges],
        "damage": state.damage,
        "problem": queue.problem,
    }


def listed(queue: JobQueue) -> list[dict[str, Any]]:
    """People's jobs in the order in which they will be done: position 0 is running, 1 is next.

    The running one also has `seconds` so far, `left` (seconds, None if unknown) and `progress`, if it reports any.
    """
    line, running = queue.line(), queue.current
    first = 0 if line and line[0] is running else 1
    jobs = []
    for position, job in enumerate(line, first):
        entry = {"id": job.number, "kind": job.kind, "label": job.label, "by": job.by, "position": position}
        if job is running:
            left, progress = job.left_s(), job.progress
            entry |= {"seconds": round(job.seconds()), "left": None if left is None else round(left)}
            entry["progress"] = None if progress is None else asdict(progress)
        jobs.append(entry)
    return jobs


@immediate("Stop", python="", reply=lambda stopped: {"stopped": stopped})
def stop(queue: JobQueue, job: int | None = None) -> bool:
    """Stop a job by its id, waiting or running; without an id, the running one. It ends at its next safe point."""
    return queue.stop(job)


@immediate("Reopen", python="open", reply=lambda status: {"state": status})
def reopen(queue: JobQueue) -> str:
    """Reopen the run after a failure, where its log ends."""
    queue.reopen()
    return queue.status


@immediate("Attempts")
def attempts(
    queue: JobQueue, task: TaskId, newest: Annotated[int, whole("newest", 1, MOST_LISTED)] = 64
) -> list[Attempt]:
    """The newest attempts at a task with the feedback in force, newest last; a shared `group_id`: sampled together."""
    return list(queue.state.attempts.get(find_task(queue.state, task).id, ())[-newest:])
