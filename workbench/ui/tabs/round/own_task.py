"""The panel of one's own tasks: paste a prompt, choose how it is judged, keep it in a pack.

Before anything is sampled, it warns of a prompt outside the policy's language and suggests the closest task within it.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.errors import TaskError
from workbench.service.actions.tasks import AD_HOC, add_task, advice, hub_models
from workbench.service.checks import LONGEST_NAME
from workbench.service.queue import JobQueue
from workbench.tasks import MODEL, find_environment, known_environments
from workbench.tasks.house_rules.nearest import closest
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, finished, numbered, part, polite

EXPECTED, CRITERIA = "Expected", "What makes an answer good (optional)"


class OwnTaskPanel(Panel):
    """A task of one's own in a minute."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        with gr.Accordion("Type your own task", open=False):
            self.prompt = gr.Textbox(label="Prompt", lines=3, max_lines=12, elem_id="own-prompt")
            self.note = part("language")
            self.judge = gr.Dropdown(judges(), value="person", label="Judged by", elem_id="own-judge")
            self.model = gr.Textbox(
                label="The model that judges: a hub id, or a directory on the workbench's machine",
                visible=False,
                elem_id="own-model",
            )
            needs = find_environment("person").needs
            self.answer = gr.Textbox(label=EXPECTED, info=needs, lines=1, max_lines=12, elem_id="own-answer")
            self.pack = gr.Textbox(AD_HOC, label="Keep in pack", max_length=LONGEST_NAME, elem_id="own-pack")
            self.add = gr.Button(add_task.title, size="sm", elem_id="own-add")

    def connect(self, then: Then) -> None:
        """Connect the form; a typed task becomes the chosen one."""
        task_id, chosen = self.selection.task_id, self.selection.chosen
        fields = [self.prompt, self.judge, self.answer, self.model, self.pack]
        then(self.add.click(polite(self.on_add), fields, [task_id, chosen], **QUIET))
        self.judge.input(self.on_judge, [self.judge], [self.answer, self.model], **NEWEST)
        self.prompt.input(self.on_typed, [self.prompt], [self.note], **NEWEST)
        then(self.note.select(polite(self.on_closest), [self.prompt], [task_id, chosen, self.prompt], **QUIET))

    @staticmethod
    def on_judge(judge: str) -> tuple[Any, Any]:
        """Show the fields of a judge: another model needs a name, and criteria instead of an expected answer."""
        model = judge == MODEL
        info = "" if model else find_environment(judge).needs
        return gr.Textbox(label=CRITERIA if model else EXPECTED, info=info), gr.Textbox(visible=model)

    def on_add(self, prompt: str, judge: str, answer: str, model: str, pack: str) -> tuple[str, str]:
        """Add a typed task; it becomes the chosen one."""
        added = add_task(self.queue, prompt, judge, expected(judge, answer, model), pack or AD_HOC)
        return added.result().id, ""

    async def on_typed(self, prompt: str) -> str:
        """Advise on the prompt before anything is sampled."""
        if advice(self.queue, prompt) and hub_models.known(self.queue) is None:
            await finished(hub_models(self.queue))
        return numbered(advice(self.queue, prompt) or {"empty": True})

    def on_closest(self, prompt: str) -> tuple[str, str, str]:
        """Replace the typed prompt by the closest task that the policy can do."""
        text = closest(prompt).text
        return add_task(self.queue, text, "house-rules").result().id, "", text


def expected(environment: str, text: str, model: str = "") -> dict[str, Any]:
    """Convert the answer of a typed task to the form that its environment reads.

    Raises TaskError where it cannot be read, or where the model that judges is not named.
    """
    if environment == MODEL:
        if not model.strip():
            raise TaskError("Name the model that judges: a hub id, or a directory on the workbench's machine.")
        return {"model": model.strip(), "criteria": text.strip()}
    return find_environment(environment).typed_answer(text)


def judges() -> list[tuple[str, str]]:
    """Label and name of each environment, also of those that other packages bring."""
    return [(environment.label or environment.name, environment.name) for environment in known_environments()]
