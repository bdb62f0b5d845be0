"""Common base of the experiments' tabs: the experiment that is shown, the list of all, Stop, Resume."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from workbench import records
from workbench.service.actions.experiments import resume_experiment
from workbench.service.checks import LONGEST_NAME
from workbench.service.experiment_job import described, progress_of
from workbench.service.job import Job
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, chosen_id, polite

KEPT = 16  # reports in memory
DIGITS = 2  # significant ones in tables; the report of `workbench report` has more
AFTERWARDS = "Afterwards the policy is back where it is now."
AXIS_SIZE = 12  # pixels, of an axis's title: the longest then fits the height of a chart in two lines


class ExperimentPanel(Panel):
    """A tab of experiments: results on the right, the subclass's form on the left."""

    chart_height = 300  # pixels; two rows of charts and the form's buttons fit a laptop's screen
    plan: gr.Markdown  # what Start would do
    code: gr.Code  # the same as Python
    name: gr.Textbox
    on_plan: Callable[..., tuple[str, str]]
    on_start: Callable[..., dict[str, str]]

    def __init__(self, queue: JobQueue, selection: Selection, name: str, kinds: Mapping[str, str], empty: str) -> None:
        """Create the tab. `kinds`: experiments, and the action that starts each; `empty`: shown while there is none."""
        super().__init__()
        self.queue, self.selection = queue, selection
        self.slug, self.kinds, self.empty = name, kinds, empty

    def buttons(self) -> None:
        """Add Start and Stop where the form needs them."""
        with gr.Row():
            self.start = gr.Button("Start", variant="primary", min_width=90, elem_id=f"start-{self.slug}")
            self.stop = gr.Button("Stop", interactive=False, min_width=64, elem_id=f"stop-{self.slug}")
        self.follow(
            f"{self.slug} stop",
            self.stop,
            lambda m: self._job(m.queue) is not None,
            lambda can: gr.Button(interactive=can),
        )

    def name_and_code(self, code: str = "") -> None:
        """Add the experiment's name, and the plan as Python, at the end of the form."""
        self.name = gr.Textbox(
            label="Name",
            info="To find and resume it by. Default: the kind and a number.",
            max_length=LONGEST_NAME,
            elem_id=f"{self.slug}-name",
        )
        with gr.Accordion("The same as code", open=False):
            name = f"{self.slug}-code"
            self.code = gr.Code(code, language="python", label="Python", interactive=False, elem_id=name)

    def results(self, charts: int) -> None:
        """Add the shown experiment with its first `charts` charts, and the list of all experiments."""
        self.draw(f"{self.slug}-now", self._now)
        with gr.Row():
            for number in range(charts):
                name = f"{self.slug}-chart-{number}"
                plot = gr.Plot(show_label=False, container=False, visible=False, min_width=400, elem_id=name)
                self.follow(name, plot, self._mark, self._chart(number))
        self.draw(f"{self.slug}-tables", self._tables)
        self.list = self.draw(f"{self.slug}-list", self._list)

    def connect(self, then: Then) -> None:
        """Connect Stop to the experiment that this tab shows as running, and the list to showing and resuming."""
        self.stop.click(polite(self.on_stop), None, None, **QUIET)
        shown = self.selection.experiments
        then(self.list.select(polite(self.on_press), [shown], [shown], **QUIET))

    def form(self, then: Then, fields: Sequence[Any], silent: Sequence[Any] = ()) -> None:
        """Update the plan with every change of these fields but the `silent`; Start, or Enter in the name, starts it.

        `on_plan` gets the task in the tab Round, the settings and the fields; `on_start` gets the shown experiments and
        the name before them.
        """
        shown, inputs = self.selection.experiments, [self.selection.task_id, self.selection.config, *fields]
        # A text field reports pasted text as a change only; and nothing but a person changes a form's fields.
        events = [
            field.change if isinstance(field, gr.Textbox) else field.input for field in fields if field not in silent
        ]
        gr.on(
            events,
            polite(self.on_plan),
            inputs,
            [self.plan, self.code],
            **NEWEST,
        )
        start = [self.start.click, self.name.submit]
        then(gr.on(start, polite(self.on_start), [shown, self.name, *inputs], [shown], **QUIET))

    def begun(self, shown: Mapping[str, str]) -> dict[str, str]:
        """Selection after an experiment was started: this tab shows the one that runs."""
        return {tab: name for tab, name in shown.items() if tab != self.slug}

    def on_stop(self) -> None:
        """Stop the running job at its next safe point, or the first waiting one; finished points are kept."""
        job = self._job(self.queue)
        if job is not None:
            self.queue.stop(job.number)

    def on_press(self, shown: Mapping[str, str], event: gr.EventData) -> dict[str, str]:
        """Show or resume an experiment of the list."""
        name = chosen_id(event)
        if getattr(event, "verb", "") == "resume":
            resume_experiment(self.queue, name)
        return {**shown, self.slug: name}

    def _records(self, snapshot: Snapshot) -> list[Any]:
        return [record for record in snapshot.state.experiments.values() if record.settings["kind"] in self.kinds]

    def _job(self, queue: JobQueue) -> Job[Any] | None:
        """The job of this tab that runs or is the first to wait, or None."""
        return next((job for job in queue.line() if self._is_mine(job)), None)

    def _is_mine(self, job: Job[Any]) -> bool:
        if job.kind == resume_experiment.name:
            record = self.queue.state.experiments.get(job.arguments["name"])
            return record is not None and record.settings["kind"] in self.kinds
        return job.kind in self.kinds.values()

    def _record(self, snapshot: Snapshot) -> Any:
        """The experiment that is shown: the chosen one, else the one that runs, else the newest."""
        records = {record.name: record for record in self._records(snapshot)}
        newest = next(reversed(records.values()), None)
        running = records.get(snapshot.state.experiment, newest)
        return records.get(snapshot.experiments.get(self.slug, ""), running)

    def _now(self, snapshot: Snapshot) -> dict[str, Any]:
        record, job = self._record(snapshot), self._job(snapshot.queue)
        if record is None:
            hint = "Starting: the first numbers appear after the first step." if job else self.empty
            return {"empty": hint if snapshot.queue.status == "ready" else ""}
        progress = progress_of(record)
        running = snapshot.state.experiment == record.name and snapshot.queue.current is not None
        left = snapshot.queue.current.left_s() if running and snapshot.queue.current else None
        return {
            **{name: progress[name] for name in ("name", "kind", "done", "total", "unit")},
            "state": "running" if running else "finished" if progress["finished"] else "stopped",
            "resume": not snapshot.state.read_only,
            "left": None if left is None else round(left),
            "what": described(progress["settings"]),
            "start": record.start,
            "alarms": alarms(record),
            "race": race(record) if running else [],
        }

    def _list(self, snapshot: Snapshot) -> dict[str, Any]:
        shown, running = self._record(snapshot), snapshot.state.experiment
        rows = []
        for record in reversed(self._records(snapshot)):
            progress = progress_of(record)
            state = "running" if record.name == running else "finished" if progress["finished"] else "stopped"
            rows.append(
                {
                    **{name: progress[name] for name in ("name", "done", "total", "unit")},
                    "state": state,
                    "what": described(progress["settings"]),
                    "shown": shown is not None and record.name == shown.name,
                    "resume": state == "stopped" and not snapshot.state.read_only,
                }
            )
        return {"rows": rows}

    def _mark(self, snapshot: Snapshot) -> Any:
        """Mark of the shown report, whose charts are drawn again when it changes."""
        record = self._record(snapshot)
        return None if record is None else Mark((snapshot.state.run, record.name, weight(record)), record)

    def _tables(self, snapshot: Snapshot) -> dict[str, Any]:
        mark = self._mark(snapshot)
        return {"tables": [] if mark is None else tables(REPORTS.of(mark))}

    def _chart(self, number: int) -> Callable[[Any], gr.Plot]:
        def draw(mark: Mark | None) -> gr.Plot:
            figures = [] if mark is None else REPORTS.of(mark).figures
            if number >= len(figures):
                return gr.Plot(visible=False)
            figure = figures[number][1].update_layout(height=self.chart_height)
            for axes in (figure.update_xaxes, figure.update_yaxes):
                axes(title_font_size=AXIS_SIZE)
            return gr.Plot(figure, visible=True)

        return draw


def pack_choice(slug: str) -> gr.Radio:
    """Build the choice of tasks: fresh houses, or the pack in the tab Round."""
    return gr.Radio(
        [("fresh houses", "fresh"), ("the pack in the tab Round", "round")],
        value="fresh",
        label="Tasks",
        info="Any pack with held-out tasks, including your own. Default: fresh houses.",
        elem_id=f"{slug}-pack",
    )


def pack_of(task_id: str, source: str) -> str:
    """The pack that `pack_choice` means; "" for fresh houses."""
    return records.pack_of(task_id) if source == "round" else ""


def number(tab: str, name: str, label: str, meaning: str, default: int) -> gr.Number:
    """Build a form's field for a whole number, with its meaning and its default."""
    info = f"{meaning} Default {default}."
    return gr.Number(default, label=label, info=info, precision=0, min_width=130, elem_id=f"{tab}-{name}")


class Mark:
    """A record, and the key of its report; its text is the key alone, so that equal marks are sent once."""

    def __init__(self, key: tuple[str, str, int], record: Any) -> None:
        self.key, self.record = key, record

    def __repr__(self) -> str:
        return repr(self.key)


class Reports:
    """Cache of experiments' reports, shared by all sessions of the page: some take a second to make."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str, int], Any] = OrderedDict()

    def of(self, mark: Mark) -> Any:
        """The `Report` of one experiment."""
        from workbench.experiments.findings import make_report  # brings torch: not with the page

        with self._lock:
            if mark.key not in self._known:
                self._known[mark.key] = make_report([mark.record], {})
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end(mark.key)
            return self._known[mark.key]


REPORTS = Reports()


def weight(record: Any) -> int:
    """Count of a record's points that its report shows: a search is one only when it has ended."""
    points = [point for points in record.arms.values() for point in points]
    return len(points) if record.settings["kind"] != "discover" else sum(bool(point.data["done"]) for point in points)


def tables(report: Any) -> list[dict[str, Any]]:
    """Render a report's tables as text."""
    from workbench.experiments.report import shown

    return [
        {
            "title": table.title,
            "note": table.note,
            "columns": list(table.columns),
            "rows": [[shown(cell, DIGITS) for cell in row] for row in table.rows],
        }
        for table in report.tables
    ]


def alarms(record: Any) -> list[str]:
    """The health alarms that a learning run raised, a sentence per arm and alarm."""
    raised: dict[tuple[str, str], list[int]] = {}
    for arm, points in record.arms.items():
        for point in points:
            for name in point.data.get("alarms", ()):
                raised.setdefault((arm, name), []).append(point.step)
    return [
        f"{arm}: alarm “{name}” after round {rounds[0]}"
        + (f", and {len(rounds) - 1} more later" if len(rounds) > 1 else "")
        for (arm, name), rounds in raised.items()
    ]


def race(record: Any) -> list[dict[str, Any]]:
    """Progress of each method on the task being searched; nothing for other experiments."""
    if record.settings["kind"] != "discover":
        return []
    ends = {arm: points[-1].data for arm, points in record.arms.items()}
    for task in record.settings["tasks"]:
        arms = {method: ends.get(f"{method} {task['id']}") for method in record.settings["methods"]}
        if not all(data and data["done"] for data in arms.values()):
            return [
                {
                    "prompt": task["prompt"],
                    "method": method,
                    "spent": data["generations"] if data else 0,
                    "found": data["found_at"] if data else None,
                    "done": bool(data and data["done"]),
                    "budget": record.settings["budget"],
                }
                for method, data in arms.items()
            ]
    return []
