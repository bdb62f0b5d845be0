"""The panel of tasks: choose one from a pack or type one's own, and sample attempts at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import gradio as gr

from workbench.config import SamplingConfig, model_name
from workbench.records import WORTH_SAYING_S, Pace, Task, duration, name_in_pack, pack_of
from workbench.service.actions.round import MOST_ATTEMPTS, sample
from workbench.service.actions.tasks import advice, open_pack, prompt
from workbench.service.checks import make_config
from workbench.service.job import ASKED_BY
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot
from workbench.tasks import is_rubric, offered_packs, show_task
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, polite


class TaskPanel(Panel):
    """The start of a round: a task, and attempts sampled at it."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        with gr.Row():
            self.pack = gr.Dropdown([], label="Pack", elem_id="pack", min_width=110, allow_custom_value=True)
            self.task = gr.Dropdown([], label="Task", elem_id="task", min_width=150, allow_custom_value=True)
        self.draw("task", _task)
        with gr.Row(elem_classes="wb-sample"):
            self.n = gr.Number(
                8, label="Attempts", precision=0, minimum=1, maximum=MOST_ATTEMPTS, min_width=64, elem_id="attempts"
            )
            self.sample = gr.Button(sample.title, variant="primary", min_width=90, elem_id="do-sample")
            self.stop = gr.Button("Stop", interactive=False, min_width=64, elem_id="do-stop")
        self.time = gr.Markdown(elem_id="sample-time", visible=False)
        self.expected = gr.State()  # what its words depend on beside the number of attempts
        choices = lambda value: gr.Dropdown(value[0], value=value[1] or None)  # noqa: E731
        self.follow("packs", self.pack, lambda m: (_packs(m), pack_of(m.task_id)), choices)
        self.follow("tasks", self.task, lambda m: (_listed(m), m.task_id), choices)
        self.follow("task_id", selection.task_id, lambda m: m.task_id, lambda value: value)
        self.follow("expected", self.expected, _expected, lambda value: value)
        self.follow("can_stop", self.stop, lambda m: m.working, lambda can: gr.Button(interactive=can))

    def connect(self, then: Then) -> None:
        """Connect the choice of a task, Sample and Stop."""
        task_id, chosen = self.selection.task_id, self.selection.chosen
        then(self.pack.input(polite(self.on_pack), [self.pack], [self.task, task_id, chosen], **NEWEST))
        then(self.task.input(self.on_task, [self.task], [task_id, chosen], **NEWEST))
        sample = [task_id, self.n, self.selection.sampling]
        then(self.sample.click(polite(self.on_sample), sample, [chosen], **QUIET))
        self.stop.click(polite(self.on_stop), None, None, **QUIET)
        gr.on([self.n.change, self.expected.change], _time, [self.n, self.expected], self.time, **NEWEST)

    def on_pack(self, pack: str) -> tuple[Any, str, str]:
        """Choose another pack, possibly a typed one (house-rules@7:judge): offer its tasks and choose the first."""
        pack = str(pack or "")
        tasks = self.queue.state.tasks.get(pack, ()) or open_pack(self.queue, pack).result()
        names = short(tasks)
        first = names[0][1] if names else ""
        return gr.Dropdown(names, value=first or None), first, ""

    def on_task(self, task_id: str) -> tuple[str, str]:
        """Choose another task; its newest attempts are shown."""
        return task_id or "", ""

    def on_sample(self, task_id: str, n: Any, sampling: dict[str, Any], request: gr.Request) -> str:
        """Sample a new group; nothing of it is chosen yet. Pressed twice by one session it is one group."""
        settings = make_config(SamplingConfig, sampling)
        sample.once(request.session_hash, self.queue, task_id, n, settings.temperature, settings.max_new_tokens)
        return ""

    def on_stop(self) -> None:
        """Stop this tab's first job; where it has none (it was reloaded), the running one."""
        mine = [job.number for job in self.queue.line() if job.by == ASKED_BY.get()]
        self.queue.stop(mine[0] if mine else None)


def _expected(snapshot: Snapshot) -> dict[str, Any]:
    pace = snapshot.state.writing
    return {} if pace is None else {"pace": asdict(pace), "new_tokens": snapshot.sampling.max_new_tokens}


def _time(n: Any, expected: dict[str, Any] | None) -> Any:
    """Say how long the attempts may take, where that is long enough to matter."""
    if not expected or not isinstance(n, (int, float)) or not 1 <= n <= MOST_ATTEMPTS:
        return gr.Markdown(visible=False)
    new_tokens = expected["new_tokens"]
    seconds = Pace(**expected["pace"]).seconds(int(n), new_tokens)
    text = f"Up to about {duration(seconds)} for {int(n)} attempts of {new_tokens} tokens."
    return gr.Markdown(text, visible=seconds >= WORTH_SAYING_S)


def _task(snapshot: Snapshot) -> dict[str, Any]:
    text = task_text(snapshot.task, snapshot.queue)
    if snapshot.task is None:
        return text
    exact = None if snapshot.state.read_only else prompt.want(snapshot.queue, snapshot.task_id)
    text["exact"] = None if exact is None or isinstance(exact, Exception) else prompt.reply(exact)
    return {**text, "advice": advice(snapshot.queue, snapshot.task.prompt)}


def _packs(snapshot: Snapshot) -> list[str]:
    """Packs of the run, and those that are opened once they are chosen; a stored run opens none."""
    return list(dict.fromkeys([*snapshot.state.tasks, *([] if snapshot.state.read_only else offered_packs())]))


def _listed(snapshot: Snapshot) -> list[tuple[str, str]]:
    return short(snapshot.state.tasks.get(pack_of(snapshot.task_id), ()))


def task_text(task: Task | None, queue: JobQueue) -> dict[str, Any]:
    """Data of the chosen task: its prompt, and its judge."""
    if task is None:
        empty = (
            "The model is loading; tasks appear here." if queue.status == "loading" else "Choose a task, or type one."
        )
        return {"empty": empty}
    text: dict[str, Any] = {
        "prompt": task.prompt,
        "blocks": show_task(task),
        "system": task.system or "",
        "judge": judged_by(task),
        "id": task.id,
    }
    return {**text, "model": task.answer["model"]} if is_rubric(task) else text


def judged_by(task: Task) -> str:
    """Name the judge of a task, for people: an environment, or another model by its name."""
    return f"the model {model_name(task.answer['model'])}" if is_rubric(task) else task.environment


def short(tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """Choices of the task list: name within the pack, and id."""
    return [(name_in_pack(task.id), task.id) for task in tasks]
