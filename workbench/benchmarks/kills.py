"""kill -9 on the real programs: all that they had acknowledged is in the log, the run is sound, and work goes on.

A command acknowledges an event by printing its line, the page by answering an endpoint. Kills come at random moments
between start and end of a program, and once at every fail point of the commit path. After each of them, in this order:
the log still begins as it did before, every acknowledged event is there, `verify` reports nothing, a whole round runs
(attempts, feedback, update), and its undo is bit-exact.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.benchmarks.browser import free_port, listens
from workbench.benchmarks.programs import Program
from workbench.config import PolicyConfig, SamplingConfig, SDPOConfig
from workbench.errors import RunError, WorkbenchError
from workbench.policy import Policy, load_policy
from workbench.runs import Event, Run, verify
from workbench.runs.failpoints import FAIL_POINTS
from workbench.session.resuming import initialise_policy
from workbench.workbench import Workbench

SHORT = SamplingConfig(max_new_tokens=16)
ONE_STEP = SDPOConfig(steps=1)
PAGE_S = 10.0  # a page is killed within this time after its first answer
NEEDS_AN_OLDER_LOG = ("migrate.backed_up",)  # held by tests/test_runs_crash.py
AT_START = ("open.directory", "open.locked", "migrate.applied", "migrate.committed")  # reached once by a new run
LATER = 4  # the other fail points are reached many times: the first, and this one


@dataclass
class Tally:
    """Results of the kills so far."""

    kills: Counter[str] = field(default_factory=Counter)  # by program, or by fail point
    acknowledged: int = 0
    last: Counter[str] = field(default_factory=Counter)  # kind of the newest event in the log after a random kill
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "kills": dict(self.kills),
            "acknowledged_events": self.acknowledged,
            "newest_event_after_the_kill": dict(self.last),
            "problems": self.problems,
        }


class Harness:
    """Starts, kills and checks. `folder` holds the runs; the policy is loaded once, and re-entered for every check."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.config = PolicyConfig("embedded", device="cpu")
        self.policy: Policy = load_policy(self.config)
        self.tally = Tally()
        self._numbers = iter(range(10**9))
        self._durations: dict[str, float] = {}  # seconds that a program takes from start to end, or to be useful

    # Killing -----------------------------------------------------------------------------------------------------
    def kill_at_random(self, path: Path, kind: str) -> bool:
        """Start a program on the run at `path`, kill it at a random moment, check; False when it had ended before."""
        before = _log(path)
        if kind == "app":
            answered = self._kill_page(path)
        else:
            program = self._command(kind, path)
            time.sleep(self.random.uniform(0.0, 1.1 * self._duration(kind)))
            if not program.kill():
                self._durations[kind] = 0.8 * self._duration(kind)
                return False
            answered = [_printed(line) for line in program.lines() if line.startswith('{"event"')]
        self.tally.kills[kind] += 1
        after = self._check(path, before, answered, f"{kind}, kill {self.tally.kills[kind]}")
        self.tally.last[after[-1].kind if after else "none"] += 1
        return True

    def kill_at(self, moment: str, occurrence: int) -> None:
        """Start a learning run that kills itself when it reaches a fail point for the n-th time, and check."""
        path = self.folder / f"{moment}-{occurrence}"
        program = self._command("learn", path, functools.partial(_arm, moment, occurrence))
        name = f"{moment}, time {occurrence}"
        if program.end() != -signal.SIGKILL:
            self.tally.problems.append(f"{name}: not reached; its output ends with {program.lines()[-2:]}")
            return
        self.tally.kills[name] += 1
        self._check(path, [], [_printed(line) for line in program.lines() if line.startswith('{"event"')], name)

    def _command(self, kind: str, path: Path, prepare: Callable[[], None] | None = None) -> Program:
        arguments = {
            "learn": [
                *("house-rules", "--rounds", "1000", "--questions", "1", "--attempts", "2", "--held-out", "1"),
                *("--steps", "1"),
            ],
            "attempt": ["house-rules/sort-take-1", "-n", "2"],
            "update": ["--steps", "1"],
        }[kind]
        flags = ["--run", str(path), "--device", "cpu", "--json"]
        output = self.folder / f"output-{next(self._numbers)}"
        return Program(["-m", "workbench", kind, *arguments, *flags], output, prepare)

    def _duration(self, kind: str) -> float:
        """Seconds that a command takes; of a learning run, until its second update is acknowledged."""
        if kind not in self._durations:
            path = self.folder / f"unhurried-{kind}"
            if kind == "update":
                self._round(path)
            program = self._command(kind, path)

            def learned() -> bool:
                return sum('"update"' in line for line in program.lines()) >= 2

            program.wait_until(learned if kind == "learn" else lambda: False)
            self._durations[kind] = time.monotonic() - program.started
            program.kill()
        return self._durations[kind]

    def _kill_page(self, path: Path) -> list[tuple[str, str]]:
        """Kill the page while a client calls one endpoint after another; return what it had answered."""
        from gradio_client import Client

        port = free_port()
        arguments = ["-m", "workbench", "app", "--run", str(path), "--port", str(port), "--device", "cpu"]
        program = Program(arguments, self.folder / f"output-{next(self._numbers)}")
        if not program.wait_until(lambda: listens(port)):
            raise RuntimeError(f"The page ended: {program.lines()[-3:]}")
        client = Client(f"http://127.0.0.1:{port}/", verbose=False)
        answered: list[tuple[str, str]] = []
        failed: list[Exception] = []
        asking = threading.Thread(target=_ask, args=(client, answered, failed), daemon=True)
        asking.start()
        program.wait_until(lambda: answered or failed)  # the policy is loaded by then
        if failed:
            raise failed[0]
        time.sleep(self.random.uniform(0.0, PAGE_S))
        program.kill()
        asking.join(60)
        return list(answered)

    # Checking ----------------------------------------------------------------------------------------------------
    def _check(self, path: Path, before: list[Event], answered: list[tuple[str, str]], name: str) -> list[Event]:
        """Check everything that must hold after a kill, recording what does not; return the log after the kill."""
        problems = self.tally.problems
        self.tally.acknowledged += len(answered)
        after = _log(path)
        if after[: len(before)] != before:
            problems.append(f"{name}: the log no longer begins as it did before")
        known = {identity for event in after for identity in _identities(event)}
        problems += [f"{name}: {event} was acknowledged and is lost" for event in answered if event not in known]
        if after:
            problems += [f"{name}: {problem}" for problem in verify(path).problems]
        try:
            problems += [f"{name}: {problem}" for problem in self._round(path)]
        except WorkbenchError as error:
            problems.append(f"{name}: the next round failed: {error}")
        return after

    def _round(self, path: Path) -> list[str]:
        """Make one round on the run as a new process would; return the problems with its undo."""
        with Run.open(path) as run:
            initialise_policy(self.policy, run, self.config)
            with Workbench(run, self.policy, self.config) as workbench:
                task = workbench.add_task(
                    prompt="Write f(xs): sort, then take 3.",
                    environment="contains",
                    answer={"text": "what no attempt contains"},
                    name="never-passed",
                )
                group = workbench.attempt(task, 2, sampling=SHORT)
                criticised = workbench.give_feedback(group[0], text="largest first")
                before, head = self.policy.state(), workbench.head
                report = workbench.update([criticised, *group[1:]], ONE_STEP)
                moved = self.policy.state()
                problems = [] if not _equal(before, moved) else ["an update after the kill changed nothing"]
                workbench.undo()
                if workbench.head != head or not _equal(before, self.policy.state()):
                    problems.append("undo after the kill was not bit-exact")
                workbench.redo()
                if workbench.head != report.update_id or not _equal(moved, self.policy.state()):
                    problems.append("redo after the kill was not bit-exact")
        return problems + [str(problem) for problem in verify(path).problems]


def bench_kills(count: int, seed: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Kill `count` times at random moments, spread over the programs, and at every fail point of the commit path."""
    started = time.monotonic()
    points = [
        (moment, occurrence)
        for moment in FAIL_POINTS
        if moment not in NEEDS_AN_OLDER_LOG
        for occurrence in ((1,) if moment in AT_START else (1, LATER))
    ]
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder), seed)
        done = 0
        for path, kind in _plan(harness.folder):
            if done == count:
                break
            if harness.kill_at_random(path, kind):
                done += 1
                progress(f"{done} of {count}: {kind}; {len(harness.tally.problems)} problems")
        random_kills = dict(harness.tally.kills)
        for moment, occurrence in points if count >= len(points) else points[:: len(points) // count]:
            harness.kill_at(moment, occurrence)
            progress(f"{moment}, time {occurrence}; {len(harness.tally.problems)} problems")
    tally = harness.tally.to_json()
    at_points = {name: number for name, number in tally.pop("kills").items() if name not in random_kills}
    return {
        "random_kills": random_kills,
        "kills_at_fail_points": at_points,
        **tally,
        "seed": seed,
        "seconds": time.monotonic() - started,
    }


def _plan(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield directories and programs without end: each run is begun by a learning run and used by all the others."""
    for number in range(10**9):
        for kind in ("learn", "app", "attempt", "update", "attempt", "update"):
            yield folder / f"run-{number}", kind


def _ask(client: Any, answered: list[tuple[str, str]], failed: list[Exception]) -> None:
    """Make rounds over the page's endpoints until it dies, recording what must be in the log."""
    try:
        for number in range(10**9):
            group = client.predict("house-rules/sort-take-1", 2, api_name="/sample")["attempts"]
            answered += [("attempt", attempt["id"]) for attempt in group]
            text = f"largest first, {number}"
            client.predict(group[0]["id"], text, api_name="/feedback")
            answered.append(("feedback", f"{group[0]['id']}: {text}"))
            report = client.predict([attempt["id"] for attempt in group], {"steps": 1}, api_name="/update")
            answered.append(("update", report["update_id"]))
            if number % 2:
                client.predict(api_name="/undo")
    except Exception as error:  # of any kind: the page is killed while it answers
        failed.append(error)


def _identities(event: Event) -> list[tuple[str, str]]:
    """The names under which an event can have been acknowledged."""
    data = event.data
    named = {
        "attempt": lambda: data["id"],
        "feedback": lambda: f"{data['attempt_id']}: {data['text']}",
        "update": lambda: data["update_id"],
    }
    names = [(event.kind, f"event {event.id}")]
    return [*names, (event.kind, named[event.kind]())] if event.kind in named else names


def _printed(line: str) -> tuple[str, str]:
    printed = json.loads(line)
    return printed["kind"], f"event {printed['event']}"


def _log(path: Path) -> list[Event]:
    if not (path / "run.sqlite").exists():
        return []
    try:
        with Run.open(path, read_only=True) as run:
            return run.events()
    except RunError:
        # Killed before the log had its schema: nothing can have been acknowledged, and opening starts it again.
        return []


def _equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    import torch

    return first.keys() == second.keys() and all(
        torch.equal(first[name].reshape(-1).view(torch.uint8), second[name].reshape(-1).view(torch.uint8))
        for name in first
    )


def _arm(moment: str, occurrence: int) -> None:
    """Kill this process, the program's, the n-th time that the commit path reaches this moment."""
    reached = 0

    def fail_point(name: str) -> None:
        nonlocal reached
        reached += name == moment
        if name == moment and reached == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    Run.open = functools.partial(Run.open, fail_point=fail_point)  # type: ignore[method-assign]
