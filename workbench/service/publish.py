"""Publishing the state of an open workbench; called in the worker's thread after anything that changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.records import Pace

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.records import Attempt
    from workbench.service.queue import JobQueue
    from workbench.session.credit_test import CreditTest


def publish_opened(workbench: Workbench, queue: JobQueue) -> None:
    """Publish all of a workbench that was just opened."""
    run, policy = workbench.run, dict(workbench.policy.facts)
    queue.publish(run=run.path.name, read_only=run.read_only, policy=policy, experiment="")
    queue.publish(live=None, pace=None, writing=Pace(**policy["pace"]) if "pace" in policy else None)
    publish_run(workbench, queue)
    publish_timeline(workbench, queue)
    publish_experiments(workbench, queue)
    publish_tests(workbench, queue)
    publish_judges(workbench, queue)


def publish_run(workbench: Workbench, queue: JobQueue) -> None:
    """Publish tasks, attempts, rewards and held-out rates."""
    attempts: dict[str, tuple[Attempt, ...]] = {}
    groups: set[str] = set()
    for attempt in workbench.attempts():
        at_task = attempts.get(attempt.task_id, ())
        if attempt.group_id not in groups:  # the task whose newest group is the newest of all comes last
            groups.add(attempt.group_id)
            attempts.pop(attempt.task_id, None)
        attempts[attempt.task_id] = (*at_task, attempt)
    queue.publish(
        tasks={pack: tuple(tasks) for pack, tasks in workbench.tasks_by_pack().items()},
        pack_sources=workbench.pack_sources(),
        attempts=attempts,
        rewards=workbench.rewards(),
        held_out=workbench.held_out_rates(),
        pack=workbench.pack,
    )


def publish_task(workbench: Workbench, queue: JobQueue, task_id: str) -> None:
    """Publish the attempts at one task, and their rewards."""
    task, state = workbench.task(task_id), queue.state
    others = {other: attempts for other, attempts in state.attempts.items() if other != task_id}
    queue.publish(
        attempts={**others, task_id: tuple(workbench.attempts(task))},
        rewards={**state.rewards, **workbench.rewards(task)},
    )


def publish_timeline(workbench: Workbench, queue: JobQueue) -> None:
    """Publish the tree of updates, the head with its alarms, and any damage to the run."""
    lost = "; ".join(reason for _, reason in workbench.run.set_aside)
    damage = f"Part of this run cannot be used: {lost}. Restore the damaged files from a copy." if lost else ""
    alarms = tuple(alarm.sentence for alarm in workbench.alarms())
    queue.publish(timeline=tuple(workbench.timeline()), head=workbench.head, alarms=alarms, damage=damage)


def publish_held_out(workbench: Workbench, queue: JobQueue) -> None:
    """Publish the measured held-out pass rates."""
    queue.publish(held_out=workbench.held_out_rates(), pack=workbench.pack)


def publish_experiments(workbench: Workbench, queue: JobQueue) -> None:
    """Publish the experiments of the run that this version knows how to read."""
    from workbench.experiments.resuming import KINDS, known  # brings torch: in the worker's thread, not with the page

    records = known(workbench)
    queue.publish(experiments={name: record for name, record in records.items() if record.settings["kind"] in KINDS})


def publish_tests(workbench: Workbench, queue: JobQueue) -> None:
    """Publish the results of all tests of credit."""
    tests: dict[str, tuple[CreditTest, ...]] = {}
    for test in workbench.credit_tests():
        tests[test.attempt_id] = (*tests.get(test.attempt_id, ()), test)
    queue.publish(tests=tests)


def publish_judges(workbench: Workbench, queue: JobQueue) -> None:
    """Publish the other models in memory; called after every job, since any job that judges may load one."""
    judges = tuple(workbench.judges())
    if judges != queue.state.judges:
        queue.publish(judges=judges)
