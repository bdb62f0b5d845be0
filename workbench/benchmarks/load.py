"""Many clients at once on one real page: nobody gets another's answer, nothing acknowledged is missing, memory stays.

Each client works on the tasks of a house of its own, so that an answer about another task or attempt is found out. The
clock and the number of clients bound it. Their answers are compared with the run's log afterwards.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.benchmarks.browser import App, running
from workbench.benchmarks.client import Broken, Page, Refused
from workbench.benchmarks.measure import resident_bytes, slope
from workbench.records import pack_of
from workbench.runs import Run

FIRST_HOUSE = 100
TASKS = ("sort-take-1",)
PACE_S = 1.0  # between two looks at the memory
# How often a client asks for what, relative to each other.
WEIGHTS = {
    "sample": 8,
    "feedback": 8,
    "credit": 8,
    "judge": 4,
    "status": 4,
    "alarms": 2,
    "tasks": 3,
    "update": 4,
    "undo": 2,
    "redo": 1,
    "checkout": 2,
    "held_out": 0.5,
    "stop": 0.5,
}


@dataclass
class Answers:
    """Answers to one client, for the comparison with the log."""

    attempts: set[str] = field(default_factory=set)
    feedback: set[tuple[str, str]] = field(default_factory=set)  # (attempt, text)
    updates: set[str] = field(default_factory=set)
    moves: int = 0  # of the head
    measured: int = 0  # held-out pass rates
    waits_s: dict[str, list[float]] = field(default_factory=dict)  # endpoint -> seconds until the answer
    refused: Counter[str] = field(default_factory=Counter)
    mixed_up: list[str] = field(default_factory=list)  # answers that were about something else
    broken: list[str] = field(default_factory=list)


class Client:
    """One person at work: samples, gives feedback, looks, updates, undoes, at random from the client's own seed."""

    def __init__(self, number: int, page: Page) -> None:
        self.page, self.answers = page, Answers()
        self.task = f"house-rules@{FIRST_HOUSE + number}/{TASKS[0]}"
        self.name = f"client {number}"
        self.draw = random.Random(number)
        self.newest: list[dict[str, Any]] = []  # the newest group
        self.given: dict[str, str] = {}  # attempt -> the feedback that was acknowledged last

    def work(self, until: float) -> None:
        """Call one endpoint after another until the clock (time.monotonic) shows `until`."""
        while time.monotonic() < until:
            name = self.draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            if name in ("feedback", "credit", "update") and not self.newest:
                name = "sample"
            if name == "checkout" and not self.answers.updates:
                name = "status"
            started = time.monotonic()
            try:
                getattr(self, name)()
            except Refused as refusal:
                self.answers.refused[f"{name}: {refusal}"] += 1
            except Broken as bug:
                self.answers.broken.append(f"{name}: {bug}")
            self.answers.waits_s.setdefault(name, []).append(time.monotonic() - started)

    def check(self, holds: bool, mistake: str) -> None:
        """Record an answer that belongs to somebody else."""
        if not holds:
            self.answers.mixed_up.append(f"{self.name}: {mistake}")

    def sample(self) -> None:
        group = self.page.ask("sample", task=self.task, n=2, max_new_tokens=48)["attempts"]
        self.check(all(attempt["task_id"] == self.task for attempt in group), "attempts at another task")
        self.check(len({attempt["group_id"] for attempt in group}) <= 1, "attempts of two groups")
        self.answers.attempts |= {attempt["id"] for attempt in group}
        self.newest = group or self.newest  # a stop may leave nothing

    def feedback(self) -> None:
        attempt = self.draw.choice(self.newest)["id"]
        text = f"{self.name} says {self.draw.random()}"
        changed = self.page.ask("feedback", attempt=attempt, text=text)
        self.check((changed["id"], changed["feedback"]) == (attempt, text), "another feedback")
        self.answers.feedback.add((attempt, text))
        self.given[attempt] = text

    def credit(self) -> None:
        attempt = self.draw.choice(self.newest)
        answer = self.page.ask("credit", attempt=attempt["id"])
        token_ids = [token["id"] for token in answer["tokens"]]
        self.check(token_ids == list(attempt["token_ids"]), "the credit of another attempt")
        if attempt["id"] in self.given:
            self.check(self.given[attempt["id"]] in answer["teacher_prompt"], "a teacher that read another feedback")

    def judge(self) -> None:
        verdict = self.page.ask("judge", task=self.task, text=f"def f(xs):\n    raise NameError({self.name!r})")
        self.check(self.name in verdict["feedback"], "another verdict")

    def status(self) -> None:
        self.page.ask("status")

    def alarms(self) -> None:
        self.page.ask("alarms")

    def tasks(self) -> None:
        pack = pack_of(self.task)
        listed = self.page.ask("tasks", pack=pack)  # refused until the run has a task of this house
        self.check(all(task["id"].startswith(f"{pack}/") for task in listed), "tasks of another house")

    def update(self) -> None:
        ids = [attempt["id"] for attempt in self.newest]
        report = self.page.ask("update", attempts=ids)
        self.check([entry["attempt_id"] for entry in report["ledger"]] == ids, "an update on other attempts")
        self.answers.updates.add(report["update_id"])

    def undo(self) -> None:
        self._move("undo")

    def redo(self) -> None:
        self._move("redo")

    def checkout(self) -> None:
        chosen = self.draw.choice(sorted(self.answers.updates))
        self.check(self._move("checkout", update_id=chosen) == chosen, "another head")

    def _move(self, verb: str, **values: str) -> str:
        head = self.page.ask(verb, **values)["head"]
        self.answers.moves += 1
        return str(head)

    def held_out(self) -> None:
        self.page.ask("held_out")
        self.answers.measured += 1

    def stop(self) -> None:
        self.page.ask("stop")


def load(clients: int, seconds: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """Let `clients` work for `seconds` on a fresh run with the embedded policy."""
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        run = Path(folder) / "run"
        with running(run) as app:
            wait_until_ready(app.address)
            with Page(app.address) as page:
                not_asked = sorted({name.strip("/") for name in page.endpoints()} - set(WEIGHTS))
            answers, memory = _work(app, clients, seconds, tell)
        lost = _missing(run, answers)
    return {
        "clients": clients,
        "seconds": seconds,
        "endpoints_not_asked": not_asked,
        **_answers(answers),
        "mixed_up": [mistake for client in answers for mistake in client.mixed_up],
        "broken": [bug for client in answers for bug in client.broken],
        "lost": lost,
        **_memory(memory),
    }


def wait_until_ready(address: str, patience_s: float = 420.0) -> None:
    """Return once the policy of a page is loaded. Raises Broken when that fails or takes longer."""
    deadline = time.monotonic() + patience_s
    with Page(address) as page:
        while (state := page.ask("status")["state"]) == "loading" and time.monotonic() < deadline:
            time.sleep(0.5)
    if state != "ready":
        raise Broken(f"the page's policy is {state}")


def _work(
    app: App, clients: int, seconds: float, tell: Callable[[str], None]
) -> tuple[list[Answers], list[tuple[float, int, int]]]:
    """Answers to each client; (seconds since the start, answers so far, resident bytes of the page) meanwhile."""
    started = time.monotonic()
    pages = [Page(app.address) for _ in range(clients)]
    workers = [Client(number, page) for number, page in enumerate(pages)]
    threads = [threading.Thread(target=worker.work, args=(started + seconds,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    memory = []
    while any(thread.is_alive() for thread in threads):
        answered = sum(len(waits) for worker in workers for waits in list(worker.answers.waits_s.values()))
        memory.append((time.monotonic() - started, answered, resident_bytes(app.process.pid)))
        tell(f"{memory[-1][0]:.0f} s: {answered} answers, {memory[-1][2] / 2**20:.0f} MiB")
        time.sleep(PACE_S)
    for page in pages:
        page.http.close()
    return [worker.answers for worker in workers], memory


def _missing(run: Path, answers: list[Answers]) -> list[str]:
    """Acknowledged events that the log does not hold."""
    with Run.open(run, read_only=True) as opened:
        events = opened.events()
    data = {kind: [event.data for event in events if event.kind == kind] for kind in {event.kind for event in events}}
    attempts = {attempt["id"] for attempt in data.get("attempt", [])}
    feedback = {(change["attempt_id"], change["text"]) for change in data.get("feedback", [])}
    updates = {update["update_id"] for update in data.get("update", [])}
    lost = [f"attempt {name}" for client in answers for name in client.attempts - attempts]
    lost += [f"feedback {name}" for client in answers for name in client.feedback - feedback]
    lost += [f"update {name}" for client in answers for name in client.updates - updates]
    for kind, acknowledged in (
        ("head", sum(client.moves for client in answers)),
        ("held-out", sum(client.measured for client in answers)),
    ):
        logged = len(data.get(kind, []))
        if logged < acknowledged:
            lost.append(f"{acknowledged - logged} events of the kind {kind}")
    return lost


def _answers(answers: list[Answers]) -> dict[str, Any]:
    """Number of answers, and the spread over clients of the waits for those that need the policy."""
    model = set(WEIGHTS) - {"status", "alarms", "stop"}
    waits = [[s for name, times in client.waits_s.items() if name in model for s in times] for client in answers]
    refused: Counter[str] = sum((client.refused for client in answers), Counter())
    by_name: dict[str, list[float]] = {}
    for client in answers:
        for name, times in client.waits_s.items():
            by_name.setdefault(name, []).extend(times)
    medians = [statistics.median(times) for times in waits if times]
    return {
        "answers": sum(map(len, by_name.values())),
        "answers_by_endpoint": {name: len(times) for name, times in sorted(by_name.items())},
        "median_s_by_endpoint": {name: statistics.median(times) for name, times in sorted(by_name.items())},
        "answers_per_client": _spread([float(len(times)) for times in waits]),
        "wait_s_per_client": _spread(medians),  # of each client's median
        "longest_wait_s": max(max(times) for times in by_name.values()),
        "acknowledged": {
            "attempts": sum(len(client.attempts) for client in answers),
            "feedback": sum(len(client.feedback) for client in answers),
            "updates": sum(len(client.updates) for client in answers),
            "moves of the head": sum(client.moves for client in answers),
            "held-out": sum(client.measured for client in answers),
        },
        "refused": sum(refused.values()),
        "refused_for": dict(_reasons(refused)),
    }


def _reasons(refused: Counter[str]) -> Counter[str]:
    """Refusals by endpoint and the sentence's first words: ids differ, reasons do not."""
    reasons: Counter[str] = Counter()
    for sentence, count in refused.items():
        reasons[" ".join(sentence.split()[:7])] += count
    return reasons


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _memory(samples: list[tuple[float, int, int]]) -> dict[str, Any]:
    """Resident memory in MiB, and its slopes over the second half of the time, when everything has been used once."""
    at, answers, mib = zip(*[(s / 60, float(answered), bytes_ / 2**20) for s, answered, bytes_ in samples], strict=True)
    half = len(samples) // 2
    return {
        "resident_mib": {"start": mib[0], "half": mib[half], "end": mib[-1], "peak": max(mib)},
        "answers_in_the_second_half": answers[-1] - answers[half],
        "slope_mib_per_minute": slope(at[half:], mib[half:]),
        "slope_mib_per_answer": slope(answers[half:], mib[half:]),
    }
