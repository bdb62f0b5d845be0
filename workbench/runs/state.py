"""State of a run, reconstructed from its events: tasks, attempts with the feedback in force, reports, jobs.

Pure functions; the events' data is plain JSON:
    opened    {"config": {...}, "policy": {...}, "versions": {...}, "seed": int}
    task      `to_json(Task)`
    pack      `to_json(PackSource)`: file, mapping and revision that the tasks committed with it came from
    attempt   `to_json(Attempt)`
    feedback  {"attempt_id", "text"?, "reward"?, "passed"?, "demonstration_id"?, "source", "mode": "replace"|"join"}
    update    {"update_id", "parent_id", "state", "report": `to_json(UpdateReport)`, "config": {...}}
    credit    an attempt's scores and what they rest on; its data and its blob are `workbench.session.credit_store`'s
    credit-test  a token forced against the attempt's own; `workbench.session.credit_test`'s
    failed    {"what": "update", "attempts": [id], "method", "why"}: an update that was tried and taken back
    job       {"job_id", "status": "started"|"finished"|"failed"|"interrupted", "name"?, "home"?, ...}; `home`: the
              update to which the policy returns when the job is over, however it ends
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, get_args

from workbench.errors import FeedbackError, RunError
from workbench.records import (
    KIND_OF_SOURCE,
    Attempt,
    FeedbackPart,
    FeedbackSource,
    Task,
    UpdateReport,
    attempt_from_json,
    report_from_json,
    task_from_json,
)
from workbench.runs.store import Event

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunState:
    """The records of a run, each mapping in the order of commits."""

    opened: Mapping[str, Any] | None  # data of the newest "opened" event
    tasks: Mapping[str, Task]
    attempts: Mapping[str, Attempt]
    reports: Mapping[str, UpdateReport]  # by update id
    jobs: Mapping[str, Mapping[str, Any]]  # by job id: its events' data merged, newer values replacing older ones


def reconstruct(events: Iterable[Event], *, set_aside: Collection[int] = frozenset()) -> RunState:
    """The state after `events` (oldest first); those with an id in `set_aside` are left out.

    Raises RunError when an event's data does not fit its kind.
    """
    opened: Mapping[str, Any] | None = None
    tasks: dict[str, Task] = {}
    attempts: dict[str, Attempt] = {}
    reports: dict[str, UpdateReport] = {}
    feedback: dict[str, list[Mapping[str, Any]]] = {}  # by attempt id
    jobs: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event.id in set_aside:
            continue
        if event.kind == "opened":
            opened = event.data
        elif event.kind == "task":
            task = _read(event, task_from_json)
            tasks[task.id] = task
        elif event.kind == "attempt":
            attempt = _read(event, attempt_from_json)
            attempts[attempt.id] = attempt
        elif event.kind == "feedback":
            feedback.setdefault(_read(event, lambda data: data["attempt_id"]), []).append(event.data)
        elif event.kind == "update" and event.data.get("report") is not None:
            report = _read(event, lambda data: report_from_json(data["report"]))
            reports[report.update_id] = report
        elif event.kind == "job":
            job_id = _read(event, lambda data: data["job_id"])
            jobs[job_id] = {**jobs.get(job_id, {}), **event.data}
    for attempt_id, changes in feedback.items():
        if attempt_id in attempts:  # else the attempt itself was set aside
            attempts[attempt_id] = in_force(attempts[attempt_id], changes)
    return RunState(opened, tasks, attempts, reports, jobs)


def in_force(attempt: Attempt, feedback: Iterable[Mapping[str, Any]]) -> Attempt:
    """A committed attempt with the feedback given since (data of "feedback" events, oldest first).

    A text replaces the environment's, or joins it as a paragraph below (mode "join"); a later text replaces an
    earlier one. A reward or a verdict stays until another is given; a reward alone passes at 1.
    """
    text, source, reward, passed = attempt.feedback, attempt.feedback_source, attempt.reward, attempt.passed
    demonstration_id, parts = attempt.demonstration_id, attempt.parts
    for data in feedback:
        if data.get("text") is not None:
            joined = data.get("mode") == "join" and attempt.feedback
            text = f"{attempt.feedback}\n\n{data['text']}" if joined else data["text"]
            source = data.get("source", "person")
            given = (FeedbackPart(KIND_OF_SOURCE[source], data["text"]),) if data["text"] else ()
            parts = (*attempt.parts, *given) if joined else given
        if data.get("reward") is not None:
            reward = float(data["reward"])
            passed = reward >= 1.0
        if data.get("passed") is not None:
            passed = bool(data["passed"])
        if data.get("demonstration_id") is not None:  # "" takes a choice back
            demonstration_id = data["demonstration_id"] or None
    return replace(
        attempt,
        feedback=text,
        feedback_source=source,
        reward=reward,
        passed=passed,
        demonstration_id=demonstration_id,
        parts=parts,
    )


def check_feedback(known: bool, data: Mapping[str, Any]) -> None:
    """Raise FeedbackError if feedback about to be committed names no attempt, is empty, or is malformed."""
    if not known:
        raise FeedbackError(f"There is no attempt {data.get('attempt_id')!r} in this run; choose one from its log.")
    if data.get("mode", "replace") not in ("replace", "join"):
        raise FeedbackError(f"Feedback cannot be given in mode {data['mode']!r}; use 'replace' or 'join'.")
    if all(data.get(key) is None for key in ("text", "reward", "passed", "demonstration_id")):
        raise FeedbackError("The feedback is empty; give a text or a reward.")
    if data.get("source", "person") not in get_args(FeedbackSource):
        known_sources = ", ".join(get_args(FeedbackSource))
        raise FeedbackError(f"Feedback cannot come from {data['source']!r}; use one of {known_sources}.")
    reward = data.get("reward")
    if reward is not None and not (isinstance(reward, int | float) and 0 <= reward <= 1):
        raise FeedbackError(f"The reward is {reward!r}; give a number from 0 to 1.")


def running_jobs(events: Iterable[Event]) -> dict[str, Mapping[str, Any]]:
    """Jobs that have started and not ended, by id, with the data of their start."""
    running: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event.kind == "job":
            job_id = _read(event, lambda data: data["job_id"])
            if event.data.get("status") == "started":
                running[job_id] = event.data
            else:
                running.pop(job_id, None)
    return running


def _read(event: Event, reader: Callable[[Any], T]) -> T:
    try:
        return reader(event.data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"Event {event.id} ({event.kind}) cannot be read ({error}); open the run with the version that wrote it."
        ) from error
