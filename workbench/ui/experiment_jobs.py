"""Jobs of the tabs of experiments: one experiment from its first point to its last. Knows nothing of Gradio.

An experiment is one job: nobody samples from a policy in the middle of it. Each of its points is on disk before the
board says so; stopped, killed or failed, it goes on from the last of them. Afterwards the policy is where it was; where
one way of learning was followed alone, it is where that has led.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from threading import Event
from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import ConfigError, TaskError
from workbench.experiments.arms import comparison
from workbench.experiments.settings import DISCOVERY_DEFAULTS, SCREENED, TEST_TIME, LearnSettings, check_methods
from workbench.tasks import find_pack
from workbench.tasks.house_rules.pack import check_kind
from workbench.tasks.pack import check_split, feedback_kinds
from workbench.ui.board import Board
from workbench.ui.forms import check_name, is_text, plural, whole_number
from workbench.ui.job import Job
from workbench.ui.worker import Desk

PUBLISHED_S = 0.3  # at most this often, and for a tenth of the time at most
LEAST = {"measure_every": 0, "seed": 0}  # everything else: 1
MOST = {
    "rounds": 10_000,
    "questions": 240,
    "attempts": 256,
    "held_out": 1000,
    "measure_every": 10_000,
    "seed": 10_000,
    "count": 100,
    "screened": 4096,
    "budget": 10_000,
    "group": 256,
    "programs": 100_000,
    "programs_per_teacher": 100_000,
    "tests": 100_000,
    "continuations": 256,
    "groups": 100_000,
}

Points = Generator[Any, None, None]
Begin = Callable[[Any, str, Event], Points]  # (workbench, name, stop) -> points, to be closed


def publish(workbench: Any, desk: Desk) -> None:
    """The experiments of the run; also called when a run was opened."""
    # Brings the models: only in the desk's thread, not with the page.
    from workbench.experiments.resuming import KINDS, known

    records = known(workbench)
    desk.publish(experiments={name: one for name, one in records.items() if one.settings["kind"] in KINDS})


def opened(workbench: Any, desk: Desk) -> None:
    """Nothing runs yet."""
    desk.publish(experiment="")
    publish(workbench, desk)


def learn_settings(shape: Mapping[str, Any]) -> LearnSettings:
    """From a form's or a program's numbers. Raises ConfigError."""
    return LearnSettings(**wholes(shape))


def learn(
    board: Board,
    pack: str,
    methods: Sequence[str],
    shape: Mapping[str, Any],
    config: SDPOConfig,
    *,
    compared: str = "methods",
    alike: bool = False,
    seed: Any = 0,
    name: str = "",
    key: Hashable = None,
) -> Job:
    """Learning runs of these methods on one pack, one after the other; the job's result is as of `plain`.

    `shape`: fields of `LearnSettings`; `compared`, `config` and `alike` as in `workbench.experiments.arms.comparison`:
    other comparisons than of methods have ways of their own. Raises ConfigError, TaskError.
    """
    settings, seed = learn_settings(shape), whole("seed", seed)
    if not isinstance(pack, str):
        raise TaskError("The pack must be text, such as house-rules@7:remark.")
    listed = [task for tasks in board.desk.facts.get("tasks", {}).values() for task in tasks]
    found = find_pack(pack, listed)  # a name only: the machine's files are not the page's
    check_split(found)
    names = _chosen(methods, "method") if compared == "methods" else ()
    kinds = feedback_kinds(found) if compared == "feedback" else ()
    arms = comparison(compared, config, names, alike=alike, kinds=kinds)
    for arm in arms:
        arm.shape(settings)  # raises where a round's attempts cannot be shared out so

    def begin(workbench: Any, called: str, stop: Event) -> Points:
        return workbench.compare_learning(arms, pack, settings=settings, seed=seed, name=called, stop=stop)  # type: ignore[no-any-return]

    label = f"Learning by {', '.join(arm.name for arm in arms)}"
    stem = {"methods": "learn", "stability": "stability"}.get(compared, f"ablate-{compared}")
    return submit(board, "learn", label, named(name), begin, key, stem)


def find_hard(
    board: Board,
    count: Any,
    *,
    feedback: str = "examples",
    attempts: Any = SCREENED,
    seed: Any = 0,
    name: str = "",
    key: Hashable = None,
) -> Job:
    """Measure fresh tasks until `count` hard ones are found; the job's result is as of `plain`.

    Raises ConfigError, TaskError.
    """
    wanted, seed = whole("count", count), whole("seed", seed)
    attempts = whole("screened", attempts)
    check_kind(feedback)

    def begin(workbench: Any, called: str, stop: Event) -> Points:
        asked = {"feedback": feedback, "attempts": attempts, "seed": seed, "name": called, "stop": stop}
        return workbench.hard_tasks(wanted, **asked)  # type: ignore[no-any-return]

    label = f"Looking for {plural(wanted, 'hard task')}"
    return submit(board, "screen", label, named(name), begin, key)


def test_time(config: SDPOConfig) -> SDPOConfig:
    """What test-time SDPO updates by: these settings, and the recipe of test time where they are the defaults."""
    if config.learning_rate == SDPOConfig().learning_rate:
        config = replace(config, learning_rate=TEST_TIME.learning_rate)
    limited = config.advantage_clip is not None or config.distillation_alpha != 1.0
    return config if limited else replace(config, advantage_clip=TEST_TIME.advantage_clip)


def discover(
    board: Board,
    task_ids: Sequence[str],
    methods: Sequence[str],
    config: SDPOConfig,
    *,
    budget: Any = DISCOVERY_DEFAULTS.budget,
    group: Any = DISCOVERY_DEFAULTS.group,
    seed: Any = 0,
    name: str = "",
    key: Hashable = None,
) -> Job:
    """The race of these methods on each task; the job's result is as of `plain`. Raises ConfigError, TaskError."""
    ids = _chosen(task_ids, "task")
    ways = _chosen(methods, "method")
    check_methods(ways)
    spent = {"budget": whole("budget", budget), "group": whole("group", group), "seed": whole("seed", seed)}

    def begin(workbench: Any, called: str, stop: Event) -> Points:
        measured = hard_tasks(board.desk.facts.get("experiments", {}))
        tasks = [measured.get(one) or _judged_by_itself(workbench.task(one)) for one in ids]
        return workbench.discover(tasks, ways, config=test_time(config), name=called, stop=stop, **spent)  # type: ignore[no-any-return]

    label = f"Racing {', '.join(ways)} on {plural(len(ids), 'task')}"
    return submit(board, "discover", label, named(name), begin, key)


def resume(board: Board, name: str) -> Job:
    """An experiment from where it was stopped; the job's result is as of `plain`. Raises ConfigError."""
    record = board.desk.facts.get("experiments", {}).get(name)
    if record is None:
        raise ConfigError(f"There is no experiment {name!r} in this run; see the list of them.")
    if plain(record)["finished"]:
        raise ConfigError(f"The experiment {name!r} is finished; begin a new one to go further.")

    def begin(workbench: Any, called: str, stop: Event) -> Points:
        return workbench.resume(called, stop=stop)  # type: ignore[no-any-return]

    return submit(board, record.settings["kind"], f"Going on with {name}", name, begin, ("resume", name))


def plain(record: Any) -> dict[str, Any]:
    """How far an experiment is, as plain data."""
    from workbench.experiments.resuming import how_far

    done, total, unit = how_far(record)
    told = {"name": record.name, "kind": record.settings["kind"], "settings": dict(record.settings)}
    return {**told, "done": done, "total": total, "unit": unit, "finished": done >= total}


def hard_tasks(records: Mapping[str, Any]) -> dict[str, Any]:
    """The hard tasks that were found in the run: `ScreenedTask` by the task's id, oldest first."""
    if not records:
        return {}
    from workbench.experiments.resuming import screened

    screens = [record for record in records.values() if record.settings["kind"] == "screen"]
    return {one.task.id: one for record in screens for one in screened(record) if one.is_hard}


def submit(board: Board, kind: str, label: str, name: str, begin: Begin, key: Hashable, stem: str = "") -> Job:
    """Put an experiment into the desk's queue; the job's result is as of `plain`.

    `name` "" begins a new one, called after its `stem` ("" = its kind) and a number.
    """

    def run(workbench: Any, job: Job) -> dict[str, Any]:
        from workbench.experiments.journal import free_name
        from workbench.experiments.resuming import known

        records = known(workbench)
        called = name or free_name(stem or kind, records)
        before = plain(records[called])["done"] if called in board.desk.facts.get("experiments", {}) else 0
        board.desk.publish(experiment=called)
        try:
            with closing(begin(workbench, called, job.stop)) as points:  # closed, the policy is where it belongs
                _watched(board.desk, workbench, job, called, points, before)
        finally:
            Board.publish_book(workbench, board.desk)
            Board.publish_timeline(workbench, board.desk)
            publish(workbench, board.desk)
            board.desk.publish(experiment="")
        return plain(board.desk.facts["experiments"][called])

    return board.desk.submit(kind, label, run, key=key)


def _watched(desk: Desk, workbench: Any, job: Job, name: str, points: Iterator[Any], before: int) -> None:
    """Make the points, and say how far they are; `before`: what was done of them in earlier jobs."""
    due = 0.0
    for _ in points:
        started = time.monotonic()
        if started < due:
            continue
        publish(workbench, desk)
        far = plain(desk.facts["experiments"][name])
        if far["done"] < far["total"]:
            at_most = far["kind"] == "discover"
            job.report(far["done"] - before, far["total"] - before, far["unit"], at_most=at_most)
        now = time.monotonic()
        due = now + max(PUBLISHED_S, 9 * (now - started))


def _chosen(names: object, what: str) -> tuple[str, ...]:
    """Each once, in order. Raises ConfigError for none, or for what are no names."""
    if not isinstance(names, (list, tuple)) or not all(is_text(one) for one in names):
        raise ConfigError(f"The {what}s must be a list of names.")
    if not names:
        raise ConfigError(f"No {what} is chosen; choose at least one.")
    return tuple(dict.fromkeys(names))


def named(name: object) -> str:
    """A name without blanks around it; "" where none is given. Raises TaskError."""
    if name == "" or name is None or (isinstance(name, str) and not name.strip()):
        return ""
    check_name(name, "An experiment")
    return str(name).strip()


def wholes(numbers: Mapping[str, Any]) -> dict[str, int]:
    """Several numbers by name. Raises ConfigError as `whole` does."""
    return {name: whole(name, value) for name, value in numbers.items()}


def whole(name: str, value: object) -> int:
    """A number of these experiments. Raises ConfigError for what is none, or out of its bounds."""
    return whole_number(value, name, LEAST.get(name, 1), MOST[name])


def _judged_by_itself(task: Any) -> Any:
    if task.environment == "person":
        raise TaskError("This task is judged by a person, attempt by attempt; choose one that is judged by itself.")
    return task
