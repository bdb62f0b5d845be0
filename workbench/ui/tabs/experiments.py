"""What the tabs of experiments share: the experiment that is shown, the list of them, Stop, Resume."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from workbench.service.actions import experiments as experiment_jobs
from workbench.service.actions.experiments import plain
from workbench.service.actions.round import Studio
from workbench.service.checks import LONGEST_NAME, plural
from workbench.service.snapshot import Moment
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, chosen_id, polite

KEPT = 16  # reports in memory
DIGITS = 2  # significant ones in tables; the report of `workbench report` has more
AFTERWARDS = "Afterwards the policy is again where it is now."
AXIS_SIZE = 12  # pixels, of an axis's title: the longest then fits the height of a chart in two lines


class ExperimentPanel(Panel):
    """A tab of experiments: what is shown stands on the right, the form of the subclass on the left."""

    chart_height = 300  # pixels; two rows of charts and the form's buttons fit a laptop's screen
    plan: gr.Markdown  # what Start would do
    code: gr.Code  # the same as Python
    name: gr.Textbox
    on_plan: Callable[..., tuple[str, str]]
    on_start: Callable[..., dict[str, str]]

    def __init__(self, studio: Studio, selection: Selection, tab: str, kinds: Sequence[str], empty: str) -> None:
        super().__init__()
        self.studio, self.selection = studio, selection
        self.tab, self.kinds, self.empty = tab, kinds, empty

    def buttons(self) -> None:
        """Start and Stop, where the form calls for them."""
        with gr.Row():
            self.start = gr.Button("Start", variant="primary", min_width=90, elem_id=f"start-{self.tab}")
            self.stop = gr.Button("Stop", interactive=False, min_width=64, elem_id=f"stop-{self.tab}")
        self.follow(f"{self.tab} stop", self.stop, lambda m: bool(self._own(m)), lambda can: gr.Button(interactive=can))

    def name_and_code(self, code: str = "") -> None:
        """What the experiment is called, and the plan as Python, where the form ends."""
        self.name = gr.Textbox(
            label="Name",
            info="By which it is found and resumed. Default: the kind and a number.",
            max_length=LONGEST_NAME,
            elem_id=f"{self.tab}-name",
        )
        with gr.Accordion("The same as code", open=False):
            name = f"{self.tab}-code"
            self.code = gr.Code(code, language="python", label="Python", interactive=False, elem_id=name)

    def results(self, charts: int) -> None:
        """The shown experiment with its first so many charts, and the list of all of them."""
        self.draw(f"{self.tab}-now", self._now)
        with gr.Row():
            for number in range(charts):
                name = f"{self.tab}-chart-{number}"
                plot = gr.Plot(show_label=False, container=False, visible=False, min_width=400, elem_id=name)
                self.follow(name, plot, self._mark, self._chart(number))
        self.draw(f"{self.tab}-tables", self._tables)
        self.list = self.draw(f"{self.tab}-list", self._list)

    def connect(self, then: Then) -> None:
        """Stop ends what this tab of the page shows as running; the list shows and resumes."""
        self.stop.click(polite(self.on_stop), None, None, **QUIET)
        shown = self.selection.experiments
        then(self.list.select(polite(self.on_press), [shown], [shown], **QUIET))

    def form(self, then: Then, fields: Sequence[Any], silent: Sequence[Any] = ()) -> None:
        """Every change of these fields plans anew, but of the `silent`; Start, or Enter in the name, begins the plan.

        `on_plan` is given the task of the tab Round, the settings and the fields; `on_start` what is shown and the name
        before them.
        """
        shown, told = self.selection.experiments, [self.selection.task_id, self.selection.config, *fields]
        # A text field tells of what is pasted as a change only; nothing but a person changes those of a form.
        events = [one.change if isinstance(one, gr.Textbox) else one.input for one in fields if one not in silent]
        gr.on(
            events,
            polite(self.on_plan),
            told,
            [self.plan, self.code],
            **NEWEST,
        )
        start = [self.start.click, self.name.submit]
        then(gr.on(start, polite(self.on_start), [shown, self.name, *told], [shown], **QUIET))

    def begun(self, shown: Mapping[str, str]) -> dict[str, str]:
        """What is shown once an experiment was asked for: the one that runs."""
        return {tab: name for tab, name in shown.items() if tab != self.tab}

    def on_stop(self) -> None:
        """Stop what runs at its next safe point, or what waits first; what it has made is kept."""
        desk = self.studio.desk
        jobs = [job.number for job in desk.line() if job.kind in self.kinds]
        if jobs:
            desk.stop(jobs[0])

    def on_press(self, shown: Mapping[str, str], event: gr.EventData) -> dict[str, str]:
        """An experiment of the list is shown, or goes on."""
        name = chosen_id(event)
        if getattr(event, "verb", "") == "resume":
            experiment_jobs.resume(self.studio, name)
        return {**shown, self.tab: name}

    def _records(self, moment: Moment) -> list[Any]:
        records = moment.facts.get("experiments", {}).values()
        return [record for record in records if record.settings["kind"] in self.kinds]

    def _own(self, moment: Moment) -> Any:
        """The job of this tab that runs or is the first to wait, or None."""
        return next((job for job in moment.desk.line() if job.kind in self.kinds), None)

    def _record(self, moment: Moment) -> Any:
        """The experiment that is shown: the chosen one, else the one that runs, else the newest."""
        records = {record.name: record for record in self._records(moment)}
        newest = next(reversed(records.values()), None)
        running = records.get(moment.facts.get("experiment", ""), newest)
        return records.get(moment.experiments.get(self.tab, ""), running)

    def _now(self, moment: Moment) -> dict[str, Any]:
        record, job = self._record(moment), self._own(moment)
        if record is None:
            said = "Beginning: the first numbers come after the first step." if job else self.empty
            return {"empty": said if moment.desk.state == "ready" else ""}
        told = plain(record)
        running = moment.facts.get("experiment") == record.name and moment.desk.current is not None
        left = moment.desk.current.left_s() if running and moment.desk.current else None
        return {
            **{name: told[name] for name in ("name", "kind", "done", "total", "unit")},
            "state": "running" if running else "finished" if told["finished"] else "stopped",
            "resume": not moment.facts.get("read_only"),
            "left": None if left is None else round(left),
            "what": described(told["settings"]),
            "start": record.start,
            "alarms": alarms(record),
            "race": race(record) if running else [],
        }

    def _list(self, moment: Moment) -> dict[str, Any]:
        shown, running = self._record(moment), moment.facts.get("experiment", "")
        rows = []
        for record in reversed(self._records(moment)):
            told = plain(record)
            state = "running" if record.name == running else "finished" if told["finished"] else "stopped"
            rows.append(
                {
                    **{name: told[name] for name in ("name", "done", "total", "unit")},
                    "state": state,
                    "what": described(told["settings"]),
                    "shown": shown is not None and record.name == shown.name,
                    "resume": state == "stopped" and not moment.facts.get("read_only"),
                }
            )
        return {"rows": rows}

    def _mark(self, moment: Moment) -> Any:
        """What the report depends on; its charts are drawn again when this changes."""
        record = self._record(moment)
        return None if record is None else Mark((moment.facts.get("run", ""), record.name, weight(record)), record)

    def _tables(self, moment: Moment) -> dict[str, Any]:
        mark = self._mark(moment)
        return {"tables": [] if mark is None else tables(REPORTS.of(mark))}

    def _chart(self, number: int) -> Callable[[Any], gr.Plot]:
        def drawn(mark: Mark | None) -> gr.Plot:
            figures = [] if mark is None else REPORTS.of(mark).figures
            if number >= len(figures):
                return gr.Plot(visible=False)
            figure = figures[number][1].update_layout(height=self.chart_height)
            for axes in (figure.update_xaxes, figure.update_yaxes):
                axes(title_font_size=AXIS_SIZE)
            return gr.Plot(figure, visible=True)

        return drawn


def number(tab: str, name: str, label: str, what: str, default: int) -> gr.Number:
    """A whole number of a form, with what it means and its default."""
    info = f"{what} Default {default}."
    return gr.Number(default, label=label, info=info, precision=0, min_width=130, elem_id=f"{tab}-{name}")


class Mark:
    """A record and what its report depends on; its text is that alone, so that equal ones are sent once."""

    def __init__(self, key: tuple[str, str, int], record: Any) -> None:
        self.key, self.record = key, record

    def __repr__(self) -> str:
        return repr(self.key)


class Reports:
    """The reports of experiments, made once for all sessions of the page: some take a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str, int], Any] = OrderedDict()

    def of(self, mark: Mark) -> Any:
        """The `Report` of one experiment."""
        from workbench.experiments.findings import make_report  # brings the models: not with the page

        with self._lock:
            if mark.key not in self._known:
                self._known[mark.key] = make_report([mark.record], {})
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end(mark.key)
            return self._known[mark.key]


REPORTS = Reports()


def weight(record: Any) -> int:
    """Grows whenever the report changes: a search counts in it only when it has ended."""
    points = [point for points in record.arms.values() for point in points]
    return len(points) if record.settings["kind"] != "discover" else sum(bool(point.data["done"]) for point in points)


def tables(report: Any) -> list[dict[str, Any]]:
    """A report's tables as text."""
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


def described(settings: Mapping[str, Any]) -> str:
    """What an experiment does, in one line."""
    seed = f"seed {settings['seed']}"
    if settings["kind"] == "learn":
        names = ", ".join(arm["name"] for arm in settings["arms"])
        shape = f"{plural(settings['rounds'], 'round')} of {settings['questions'] * settings['attempts']} attempts"
        return f"{names} on {settings['pack']}, {shape}, {settings['held_out']} held-out tasks, {seed}"
    if settings["kind"] == "screen":
        return f"looks for {plural(settings['count'], 'hard task')}, {settings['attempts']} attempts each, {seed}"
    if settings["kind"] == "credit":
        taught = f"{settings['rounds']} rounds of each teacher, {settings['tests']} attempts with tokens exchanged"
        return f"where credit lands: {plural(settings['programs'], 'program')}, {taught}, {seed}"
    if settings["kind"] == "update":
        rates = ", ".join(f"{rate:g}" for rate in settings["learning_rates"])
        sizes = f"{plural(settings['groups'], 'group')} of {plural(settings['attempts'], 'attempt')}"
        return f"what an update does: {sizes}, {len(settings['losses'])} losses, learning rates {rates}, {seed}"
    methods, count = ", ".join(settings["methods"]), plural(len(settings["tasks"]), "task")
    return f"{methods} on {count}, at most {settings['budget']} attempts each, groups of {settings['group']}, {seed}"


def alarms(record: Any) -> list[str]:
    """The alarms of health that a learning run raised, a sentence per arm and alarm."""
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
    """How far each method is on the task that is searched now; nothing for other experiments."""
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
