"""The panel of one's own tasks: paste a prompt, choose how it is judged, keep it in a pack.

Before anything is sampled, it warns of a prompt outside the policy's language and suggests the closest task within it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from workbench.service.actions.tasks import AD_HOC, add_task, advice, hub_models
from workbench.service.checks import LONGEST_NAME
from workbench.service.queue import JobQueue
from workbench.tasks import find_environment, known_environments
from workbench.tasks.fields import AnswerField
from workbench.tasks.house_rules.nearest import closest
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, finished, numbered, part, polite

TEXTS = 4  # fields of an answer that can be shown; further ones of them are typed as JSON

ROWS, COLUMNS = 5, 2  # of a table; longer ones are typed as JSON or imported


class OwnTaskPanel(Panel):
    """A task of one's own in a minute."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        with gr.Accordion("Type your own task", open=False):
            self.prompt = gr.Textbox(label="Prompt", lines=3, max_lines=12, elem_id="own-prompt")
            self.note = part("language")
            self.judge = gr.Dropdown(judges(), value="person", label="Judged by", elem_id="own-judge")
            self.choice = gr.Dropdown([], visible=False, elem_id="own-choice")
            self.texts = [gr.Textbox(visible=False, elem_id=f"own-text-{place}") for place in range(1, TEXTS + 1)]
            with gr.Column(visible=False, elem_id="own-table") as self.table:
                self.title = gr.Markdown(elem_classes="wb-hint")
                self.cells = [self._row(number) for number in range(1, ROWS + 1)]
            with gr.Accordion("The answer as JSON", open=False):
                self.answer = gr.Textbox(
                    label="Answer (JSON)",
                    info=find_environment("person").needs,
                    lines=1,
                    max_lines=12,
                    elem_id="own-answer",
                )
            self.pack = gr.Textbox(AD_HOC, label="Keep in pack", max_length=LONGEST_NAME, elem_id="own-pack")
            self.add = gr.Button(add_task.title, size="sm", elem_id="own-add")

    def connect(self, then: Then) -> None:
        """Connect the form; a typed task becomes the chosen one."""
        task_id, chosen = self.selection.task_id, self.selection.chosen
        cells = [cell for row in self.cells for cell in row]
        fields = [self.prompt, self.judge, self.answer, self.pack, self.choice, *self.texts, *cells]
        then(self.add.click(polite(self.on_add), fields, [task_id, chosen], **QUIET))
        form = [self.answer, self.choice, *self.texts, self.table, self.title, *cells]
        self.judge.input(self.on_judge, [self.judge], form, **NEWEST)
        self.prompt.input(self.on_typed, [self.prompt], [self.note], **NEWEST)
        then(self.note.select(polite(self.on_closest), [self.prompt], [task_id, chosen, self.prompt], **QUIET))

    @staticmethod
    def _row(number: int) -> list[gr.Textbox]:
        """One row of the table."""
        with gr.Row(elem_classes="wb-sample"):
            return [
                gr.Textbox(show_label=number == 1, max_lines=8, min_width=90, elem_id=f"own-cell-{number}-{column}")
                for column in range(1, COLUMNS + 1)
            ]

    @staticmethod
    def on_judge(judge: str) -> list[Any]:
        """Show the fields of a judge's answer, all of them empty."""
        environment = find_environment(judge)
        shown = placed(environment.form())
        one_by_one = [_component(place, shown.get(place)) for place in PLACES[:-1]]
        return [gr.Textbox("", info=environment.needs), *one_by_one, *_table(shown.get(TABLE))]

    def on_add(self, prompt: str, judge: str, answer: str | None, pack: str, *values: Any) -> tuple[str, str]:
        """Add a typed task; it becomes the chosen one."""
        shown, cells = placed(find_environment(judge).form()), values[len(PLACES) - 1 :]
        by_place = dict(zip(PLACES, values, strict=False))
        by_place[TABLE] = [cells[place : place + COLUMNS] for place in range(0, len(cells), COLUMNS)]
        typed = {field.name: by_place[place] for place, field in shown.items()}
        return add_task(self.queue, prompt, judge, expected(judge, answer or "", typed), pack or AD_HOC).result().id, ""

    async def on_typed(self, prompt: str) -> str:
        """Advise on the prompt before anything is sampled."""
        if advice(self.queue, prompt) and hub_models.known(self.queue) is None:
            await finished(hub_models(self.queue))
        return numbered(advice(self.queue, prompt) or {"empty": True})

    def on_closest(self, prompt: str) -> tuple[str, str, str]:
        """Replace the typed prompt by the closest task that the policy can do."""
        text = closest(prompt).text
        return add_task(self.queue, text, "house-rules").result().id, "", text


TABLE = "table"
PLACES = ("choice", *(f"text {number}" for number in range(1, TEXTS + 1)), TABLE)


def placed(form: Sequence[AnswerField]) -> dict[str, AnswerField]:
    """Give each field of a form a place on the page; {} where they do not all have one, and JSON has to do."""
    free = list(PLACES)
    shown = {}
    for field in form:
        kind = field.kind if field.kind in ("choice", TABLE) else "text"
        place = next((place for place in free if place.startswith(kind)), None)
        if place is None or len(field.columns) > COLUMNS:
            return {}
        free.remove(place)
        shown[place] = field
    return shown


def _component(place: str, field: AnswerField | None) -> Any:
    """The update of a place: its field, empty, or nothing."""
    if field is None:
        return (gr.Dropdown if place == "choice" else gr.Textbox)(visible=False)
    label = _label(field)
    if field.kind == "choice":
        return gr.Dropdown(list(field.options), value=None, label=label, info=field.info, visible=True)
    lines = 3 if field.kind in ("lines", "json") else 1
    return gr.Textbox("", label=label, info=field.info, lines=lines, visible=True)


def _table(field: AnswerField | None) -> list[Any]:
    """The updates of the table: the area, its title, and its cells, all of them empty."""
    names = ["", ""] if field is None else [*field.columns, "", ""][:COLUMNS]
    title = "" if field is None else f"**{_label(field)}.** {field.info}"
    cells = [gr.Textbox("", label=name or " ", visible=bool(name)) for _ in range(ROWS) for name in names]
    return [gr.Column(visible=field is not None), gr.Markdown(title), *cells]


def _label(field: AnswerField) -> str:
    return field.label if field.needed else f"{field.label} (optional)"


def expected(environment: str, text: str | None, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make the answer of a typed task, from JSON where some was typed, else from the values of the form's fields.

    A field that was never shown has no value at all. Raises TaskError where the answer cannot be read.
    """
    judge, text = find_environment(environment), text or ""
    if not text.strip() and placed(judge.form()):
        return judge.filled(values or {})
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    return answer if isinstance(answer, dict) else judge.typed_answer(text)


def judges() -> list[tuple[str, str]]:
    """Label and name of each environment, also of those that other packages bring."""
    return [(environment.label or environment.name, environment.name) for environment in known_environments()]
