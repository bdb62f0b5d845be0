"""The board of the desk as the page reads it, and what every job keeps true on it.

Facts: `tasks` (by pack), `groups` (newest attempts per task), `rewards` (of all attempts, by task and update), `live`
(text while it is sampled), `timeline`, `head`,
`alarms`, `damage` (what of the run is lost, in words, or ""), `held_out` (by pack and update),
`pack` (that is worked on), `policy`, `read_only` (a replay),
`run` (name), `pace` (seconds per token that an update reads), `experiments` (their records by name), `experiment` (name
of the one that runs), `judges` (other models in memory). Knows nothing of Gradio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import FeedbackError
from workbench.records import Attempt, Task
from workbench.ui.worker import Desk


class Board:
    """What is published of a workbench. The jobs of people are its subclasses."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    # Opening -----------------------------------------------------------------------------------------------------
    @staticmethod
    def opened(workbench: Any, desk: Desk) -> None:
        """Fill the board from a workbench that was just opened (runs in the desk's thread)."""
        desk.publish(policy=dict(workbench.policy.facts), run=workbench.run.path.name, live=None, pace=None)
        desk.publish(read_only=workbench.run.read_only)
        Board.publish_book(workbench, desk)
        Board.publish_timeline(workbench, desk)
        Board.publish_judges(workbench, desk)

    @staticmethod
    def publish_judges(workbench: Any, desk: Desk) -> None:
        """Which other models are in memory; asked after every job, since whatever judges may load one."""
        judges = tuple(workbench.judges())
        if judges != desk.facts.get("judges"):
            desk.publish(judges=judges)

    @staticmethod
    def publish_book(workbench: Any, desk: Desk) -> None:
        """The tasks, the newest attempts at each, and what was measured of each update."""
        by_group: dict[str, tuple[Attempt, ...]] = {}  # in the order in which groups began
        for attempt in workbench.attempts():
            by_group[attempt.group_id] = (*by_group.get(attempt.group_id, ()), attempt)
        groups: dict[str, tuple[Attempt, ...]] = {}
        for group in by_group.values():
            groups.pop(group[0].task_id, None)  # so that the newest group comes last
            groups[group[0].task_id] = group
        tasks = {pack: tuple(listed) for pack, listed in workbench.tasks_by_pack().items()}
        measured = {
            pack: {update_id: rate.to_json() for update_id, rate in found.items()}
            for pack, found in workbench.held_out_rates().items()
        }
        desk.publish(tasks=tasks, groups=groups, rewards=workbench.rewards(), held_out=measured, pack=workbench.pack)

    @staticmethod
    def publish_timeline(workbench: Any, desk: Desk) -> None:
        """The tree, the head, what is worrying about it, and what of the run is lost."""
        nodes = tuple(plain(node) for node in workbench.timeline())
        alarms = tuple(alarm.sentence for alarm in workbench.alarms())
        lost = "; ".join(reason for _, reason in workbench.run.set_aside)
        damage = (
            f"Not all of this run can be used: {lost}. What is damaged can be restored from a copy." if lost else ""
        )
        desk.publish(timeline=nodes, head=workbench.head, alarms=alarms, damage=damage)

    # Reading the board -------------------------------------------------------------------------------------------
    def task(self, task_id: str) -> Task | None:
        """The task on the board, or None."""
        for tasks in self.desk.facts.get("tasks", {}).values():
            for task in tasks:
                if task.id == task_id:
                    return task
        return None

    def group(self, task_id: str) -> tuple[Attempt, ...]:
        """The newest attempts at a task."""
        return self.desk.facts.get("groups", {}).get(task_id, ())

    def report(self, attempt: Attempt) -> Any:
        """The newest update on the path to the head that used this attempt, or None."""
        nodes = {node["update_id"]: node for node in self.desk.facts.get("timeline", ())}
        here = nodes.get(self.desk.facts.get("head", ""))
        while here is not None:
            report = here.get("report")
            if report is not None and attempt.id in report.realised:
                return report
            here = nodes.get(here.get("parent_id") or "")
        return None

    def key(self, what: str, attempt_id: str, config: SDPOConfig, group: Sequence[Attempt]) -> tuple[Any, ...]:
        """What the answer depends on: policy, configuration, and the feedback and verdicts of the whole group."""
        said = tuple((one.id, one.feedback, one.reward, one.demonstration_id) for one in group)
        return (what, attempt_id, self.desk.facts.get("head"), config, said)

    def publish_group(self, task_id: str, attempts: tuple[Attempt, ...]) -> None:
        """These are now the newest attempts at a task."""
        groups = {name: group for name, group in self.desk.facts["groups"].items() if name != task_id}
        self.desk.publish(groups={**groups, task_id: attempts})

    def publish_rewards(self, workbench: Any, task_id: str) -> None:
        """How the attempts at a task were rewarded has changed."""
        found = workbench.rewards(workbench.task(task_id))
        self.desk.publish(rewards={**self.desk.facts["rewards"], **found})

    def joined(self, attempt: Attempt) -> None:
        """Publish an attempt that was added to its group, where that is the newest one of its task."""
        group = self.group(attempt.task_id)
        if group and group[0].group_id == attempt.group_id:
            self.publish_group(attempt.task_id, (*group, attempt))


def plain(node: Any) -> dict[str, Any]:
    """A node of the timeline as a dict, however the run describes it."""
    if isinstance(node, Mapping):
        return dict(node)
    if is_dataclass(node):
        return {item.name: getattr(node, item.name) for item in fields(node)}
    return dict(vars(node))


def find(workbench: Any, attempt_id: str) -> Attempt:
    """The attempt with this id; FeedbackError where there is none."""
    for attempt in reversed(workbench.attempts()):
        if attempt.id == attempt_id:
            return attempt
    raise FeedbackError(f"There is no attempt {attempt_id!r} in this run; sample or choose another.")
