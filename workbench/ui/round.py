"""The tab "Round": composition first, then plain handlers. Everything that takes time is a job of the desk.

Selections live in per-session states and are only ever written by a person's own action; `refresh` reads them and the
board, and sends what changed. So nobody's selection moves under their hands, and a reload shows what is true.
"""

from __future__ import annotations

import functools
import hashlib
import html
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import TaskError, WorkbenchError
from workbench.heatmap import island
from workbench.records import Attempt, Task
from workbench.ui import charts, present
from workbench.ui.studio import MOST_ATTEMPTS, Detail, Studio, make_config
from workbench.ui.worker import PERSON

QUIET: dict[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "queue": True,
    "concurrency_limit": None,
}
BUSY_S, IDLE_S = 0.4, 1.5  # how often the page asks what is true
JUDGES = {
    "me": "person",
    "house rules (Write f(xs): …)": "house-rules",
    "exact text": "exact",
    "contains a text": "contains",
    "regular expression": "regex",
    "choice (a letter)": "choice",
    "Python tests": "python",
}


def polite(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose WorkbenchErrors reach the page as their one sentence (Gradio renders HTML: escape it)."""

    @functools.wraps(handler)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except WorkbenchError as error:
            raise gr.Error(html.escape(str(error)), print_exception=False, title="Not done") from None

    return wrapped


def part(kind: str) -> gr.HTML:
    """An area drawn by page.js. Its template is constant: Gradio would evaluate `${...}` inside interpolated data."""
    return gr.HTML(
        value="",
        html_template=f'<div class="wb-part wb-{kind}"></div>',
        js_on_load=f"SDPOPage.attach('{kind}', element, props, watch, trigger) /* 'select' */",
        apply_default_css=False,
        elem_id=f"part-{kind}",
    )


def pick(group: Sequence[Attempt], chosen: str | None) -> Attempt | None:
    """The chosen attempt; else the first failed one that got feedback, else the first failed, else the first."""
    for fits in (lambda a: a.id == chosen, lambda a: not a.passed and a.feedback, lambda a: not a.passed):
        for attempt in group:
            if fits(attempt):
                return attempt
    return group[0] if group else None


@dataclass(frozen=True, slots=True)
class Shared:
    """States of a session that other tabs also use."""

    config: gr.State  # SDPOConfig as a dict
    sampling: gr.State  # SamplingConfig as a dict


# What `refresh` sends, in the order of its outputs.
NAMES = (
    *("header", "task", "cards", "heat", "teacher", "update", "timeline"),
    *("curve", "feedback", "reward", "said", "can_update", "can_stop"),
    *("packs", "tasks", "task_id", "pace"),
)


class Round:
    """The components of the tab by name, and its handlers."""

    def __init__(self, studio: Studio, run: str) -> None:
        self.studio, self.desk, self.run = studio, studio.desk, run
        self.sequence = itertools.count()
        self.task_id, self.chosen, self.sent = gr.State(""), gr.State(""), gr.State({})
        self.header = part("header")

    # Composition -------------------------------------------------------------------------------------------------
    def build(self, shared: Shared) -> None:
        """Lay the tab out and connect it; called inside a `gr.Tab`."""
        self.shared = shared
        with gr.Row(elem_classes="wb-main"):
            with gr.Column(scale=3, min_width=280):
                self._task_column()
                self.cards = part("cards")
            with gr.Column(scale=9, min_width=320):
                self.heat = part("heat")
                with gr.Column(visible=False) as self.said:
                    self._feedback_area()
                self.teacher = part("teacher")
        with gr.Row(elem_classes="wb-rule"):
            with gr.Column(scale=8, min_width=300):
                self.update = part("update")
            with gr.Column(scale=1, min_width=140):
                self.update_button = gr.Button("Update", variant="primary", interactive=False, elem_id="do-update")
        with gr.Row(elem_classes="wb-rule"):
            with gr.Column(scale=6, min_width=300):
                self.timeline = part("timeline")
                with gr.Row():
                    self.undo = gr.Button("Undo", size="sm", min_width=80, elem_id="do-undo")
                    self.redo = gr.Button("Redo", size="sm", min_width=80, elem_id="do-redo")
                    self.measure = gr.Button("Measure held-out tasks", size="sm", min_width=160, elem_id="do-measure")
            with gr.Column(scale=5, min_width=300):
                self.curve = gr.Plot(show_label=False, container=False, elem_id="curve", visible=False)
        self.timer = gr.Timer(BUSY_S)
        self._connect()

    def _task_column(self) -> None:
        with gr.Row():
            self.pack = gr.Dropdown([], label="Pack", elem_id="pack", min_width=110, allow_custom_value=True)
            self.task = gr.Dropdown([], label="Task", elem_id="task", min_width=150, allow_custom_value=True)
        self.prompt = part("task")
        with gr.Accordion("Type your own task", open=False):
            self.own_prompt = gr.Textbox(label="Prompt", lines=3, elem_id="own-prompt")
            self.own_judge = gr.Dropdown(list(JUDGES), value="me", label="Judged by", elem_id="own-judge")
            self.own_answer = gr.Textbox(
                label="Expected (text, pattern, letter or tests)", lines=1, elem_id="own-answer"
            )
            self.own_add = gr.Button("Use this task", size="sm", elem_id="own-add")
        with gr.Row(elem_classes="wb-sample"):
            self.n = gr.Number(8, label="Attempts", precision=0, minimum=1, maximum=MOST_ATTEMPTS, min_width=64)
            self.sample = gr.Button("Sample", variant="primary", min_width=90, elem_id="do-sample")
            self.stop = gr.Button("Stop", interactive=False, min_width=64, elem_id="do-stop")

    def _feedback_area(self) -> None:
        self.feedback = gr.Textbox(
            label="Feedback that the teacher reads: edit it, then give it", lines=2, max_lines=12
        )
        self.feedback.elem_id = "feedback"
        with gr.Row(elem_classes="wb-give"):
            self.mode = gr.Radio(["replace", "join"], value="replace", label="The text", min_width=160, elem_id="mode")
            self.reward = gr.Slider(0, 1, step=0.05, label="Reward", min_width=160, elem_id="reward")
            self.give = gr.Button("Give feedback", size="sm", min_width=120, elem_id="give-feedback")

    def _connect(self) -> None:
        inputs = [self.task_id, self.chosen, self.shared.config, self.sent]
        outputs = [
            self.header,
            self.prompt,
            self.cards,
            self.heat,
            self.teacher,
            self.update,
            self.timeline,
            self.curve,
        ]
        outputs += [self.feedback, self.reward, self.said, self.update_button, self.stop]
        outputs += [self.pack, self.task, self.task_id, self.timer]
        show: dict[str, Any] = {"fn": self.refresh, "inputs": inputs, "outputs": [*outputs, self.sent], **QUIET}
        self.timer.tick(**show)
        gr.on([self.pack.input], self.on_pack, [self.pack], [self.task, self.task_id, self.chosen], **QUIET).then(
            **show
        )
        self.task.input(self.on_task, [self.task], [self.task_id, self.chosen], **QUIET).then(**show)
        own = [self.own_prompt, self.own_judge, self.own_answer]
        self.own_add.click(self.on_own, own, [self.task_id, self.chosen, self.sent], **QUIET).then(**show)
        self.cards.select(self.on_card, None, [self.chosen], **QUIET).then(**show)
        sample = [self.task_id, self.n, self.shared.sampling]
        self.sample.click(self.on_sample, sample, [self.chosen], **QUIET).then(**show)
        self.stop.click(self.on_stop, None, None, **QUIET)
        said = [self.task_id, self.chosen, self.feedback, self.reward, self.mode]
        self.give.click(self.on_feedback, said, None, **QUIET).then(**show)
        update = [self.task_id, self.shared.config]
        self.update_button.click(self.on_update, update, None, **QUIET).then(**show)
        self.undo.click(polite(lambda: self._move("undo")), None, None, **QUIET).then(**show)
        self.redo.click(polite(lambda: self._move("redo")), None, None, **QUIET).then(**show)
        self.timeline.select(self.on_node, None, None, **QUIET).then(**show)
        self.measure.click(self.on_measure, None, None, **QUIET).then(**show)

    # What is true now --------------------------------------------------------------------------------------------
    def refresh(self, task_id: str, chosen: str, config: dict[str, Any], sent: dict[str, str]) -> list[Any]:
        """Everything on the tab that differs from what this session was last sent."""
        busy = self.desk.current is not None
        stamp = f"{self.desk.version} {task_id} {chosen} {config}"
        if sent.get("stamp") == stamp and not busy:
            return [gr.skip()] * (len(NAMES) + 1)
        if not task_id:
            task_id = self._first_task()
        shown = self._show(task_id, chosen, make_config(SDPOConfig, config), sent)
        marks = {name: hashlib.sha256(repr(value).encode()).hexdigest() for name, (value, _) in shown.items()}
        out = [gr.skip() if sent.get(name) == marks[name] else shown[name][1](shown[name][0]) for name in NAMES]
        return [*out, {**marks, "stamp": stamp}]

    def _first_task(self) -> str:
        """Where a new page starts: where something is happening, else the newest attempts, else the first task."""
        live = self.desk.facts.get("live")
        if live:
            return str(live["task_id"])
        groups = list(self.desk.facts.get("groups", {}))
        tasks = [task.id for listed in self.desk.facts.get("tasks", {}).values() for task in listed]
        return (groups[-1:] or tasks[:1] or [""])[0]

    def _json(self, data: dict[str, Any]) -> str:
        return island({**data, "seq": next(self.sequence)})

    def _show(self, task_id: str, chosen: str, config: SDPOConfig, sent: dict[str, str]) -> dict[str, Any]:
        studio, desk, facts = self.studio, self.desk, self.desk.facts
        group = studio.group(task_id)
        attempt = pick(group, chosen)
        live = facts.get("live")
        live = live if live is not None and live["task_id"] == task_id else None
        found = {a.id: studio.want_detail(a, config, shown=a is attempt) for a in group} if live is None else {}
        details = [known if isinstance(known, Detail) else None for known in (found.get(a.id) for a in group)]
        limit = present.pooled_limit(details)
        ledger = studio.want_ledger(group, config) if live is None else None
        report = studio.report(attempt) if attempt else None
        place = (group.index(attempt) + 1, len(group)) if attempt else (0, 0)
        known = found.get(attempt.id) if attempt else None
        plan = present.plan(group, ledger, config, report.seconds_s if report else None)
        entries = ledger if isinstance(ledger, tuple) else None
        nodes = facts.get("timeline", ())
        head = facts.get("head", "")
        curve = charts.learning_curve(present.path_to(nodes, head), facts.get("held_out", {}))
        tasks = facts.get("tasks", {})
        pack, names = task_id.rpartition("/")[0], short(tasks.get(task_id.rpartition("/")[0], ()))
        working = desk.current is not None and desk.current.priority == PERSON
        return {
            "header": (present.header(desk, self.run), self._json),
            "task": (present.task_text(studio.task(task_id), desk), self._json),
            "cards": (present.cards(group, live, attempt.id if attempt else None, details, entries, limit), self._json),
            "heat": (present.heat(attempt, place, known, report, limit, desk.state, live), self._json),
            "teacher": (present.teacher(known), self._json),
            "update": ({"plan": plan, "outcome": present.outcome(report)}, self._json),
            "timeline": (present.timeline(nodes, head), self._json),
            "curve": (curve.to_json() if curve else "", lambda _: gr.Plot(curve, visible=curve is not None)),
            "feedback": ((attempt.id, attempt.feedback) if attempt else ("", ""), lambda value: value[1]),
            "reward": ((attempt.id, attempt.reward) if attempt else ("", 0.0), lambda value: value[1]),
            "said": (attempt is not None and live is None, lambda shown: gr.Column(visible=shown)),
            "can_update": (bool(plan.get("used")) and not working, lambda can: gr.Button(interactive=can)),
            "can_stop": (working, lambda can: gr.Button(interactive=can)),
            "packs": ((list(tasks), pack), lambda value: gr.Dropdown(value[0], value=value[1] or None)),
            "tasks": ((names, task_id), lambda value: gr.Dropdown(value[0], value=value[1] or None)),
            "task_id": (task_id, lambda value: value),
            "pace": (BUSY_S if working or None in found.values() or desk.state == "loading" else IDLE_S, gr.Timer),
        }

    # Handlers ----------------------------------------------------------------------------------------------------
    @polite
    def on_pack(self, pack: str) -> tuple[Any, str, str]:
        """Another pack, also one that is typed (house-rules@7:remark): offer its tasks and choose the first."""
        tasks = self.desk.facts.get("tasks", {}).get(pack, ()) or self.studio.open_pack(pack or "").future.result()
        names = short(tasks)
        first = names[0][1] if names else ""
        return gr.Dropdown(names, value=first or None), first, ""

    def on_task(self, task_id: str) -> tuple[str, str]:
        """Another task; its newest attempts are shown."""
        return task_id or "", ""

    @polite
    def on_own(self, prompt: str, judge: str, answer: str) -> tuple[str, str, dict[str, str]]:
        """A typed task becomes the chosen one."""
        environment = JUDGES.get(judge, "")
        task = self.studio.add_task(prompt, environment, expected(environment, answer), None).future.result()
        return task.id, "", {}

    def on_card(self, event: gr.EventData) -> str:
        """An attempt was chosen."""
        return str(getattr(event, "id", ""))

    @polite
    def on_sample(self, task_id: str, n: float, sampling: dict[str, Any]) -> str:
        """Sample a new group; nothing of it is chosen yet."""
        self.studio.sample(task_id, int(n or 0), make_config(SamplingConfig, sampling))
        return ""

    def on_stop(self) -> None:
        """Stop what runs at its next safe point."""
        self.desk.stop()

    @polite
    def on_feedback(self, task_id: str, chosen: str, text: str, reward: float, mode: str) -> None:
        """Only what differs from what is in force is recorded as said by a person."""
        attempt = pick(self.studio.group(task_id), chosen)
        text_said = text if attempt is None or mode == "join" or text != attempt.feedback else None
        reward_said = float(reward) if attempt is None or abs(reward - attempt.reward) > 1e-9 else None
        self.studio.feedback(attempt.id if attempt else "", text_said, reward_said, mode)

    @polite
    def on_update(self, task_id: str, config: dict[str, Any]) -> None:
        """One update on the shown group."""
        ids = [attempt.id for attempt in self.studio.group(task_id)]
        self.studio.update(ids, make_config(SDPOConfig, config))

    def _move(self, verb: str) -> None:
        self.studio.move(verb)

    @polite
    def on_node(self, event: gr.EventData) -> None:
        """A node of the timeline was chosen: the head goes there."""
        self.studio.move("checkout", str(getattr(event, "id", "")))

    @polite
    def on_measure(self) -> None:
        """Measure the held-out pass rate of the head."""
        self.studio.held_out()


def short(tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """Choices of the task list: the name within the pack, and the id."""
    return [(task.id.rpartition("/")[2], task.id) for task in tasks]


def expected(environment: str, text: str) -> dict[str, Any]:
    """The answer of a typed task in the form that its judge reads; TaskError where tests are not JSON."""
    if environment in ("person", "house-rules"):
        return {}
    if environment != "python":
        return {{"regex": "pattern", "choice": "choice"}.get(environment, "text"): text}
    try:
        return {"tests": json.loads(text)}
    except json.JSONDecodeError as error:
        raise TaskError(
            f'The tests are not JSON ({error}); write [{{"function": "f", "args": [1], "expected": 2}}].'
        ) from None
