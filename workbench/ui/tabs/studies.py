"""The tab "Studies": where credit lands, and what an update does, over hundreds of programs and updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.experiments.settings import LOSSES, TEACHERS, CreditStudySettings, UpdateStudySettings
from workbench.service.actions.studies import RATES, study_credit, study_update
from workbench.service.actions.tasks import find_split
from workbench.service.checks import plural
from workbench.service.queue import JobQueue
from workbench.ui.panel import NEWEST, Selection, Then, polite
from workbench.ui.tabs.experiments import AFTERWARDS, ExperimentPanel, number, pack_choice, pack_of
from workbench.ui.tabs.settings import as_code

QUESTIONS: Mapping[str, tuple[str, str]] = {
    "credit": (
        "Where does credit land?",
        "In house-rules programs with one wrong stage the wrong tokens are known, as in no other pack: which view "
        "of the credit finds them, and does replacing a blamed token help?",
    ),
    "update": (
        "What does an update do?",
        "Many updates from one state: does every token move as its credit predicts, by loss and learning rate, and at "
        "what cost elsewhere?",
    ),
}
CREDIT = {
    "programs": ("Programs", "With one wrong stage, scored under every view."),
    "rounds": ("Rounds", "Taught by each teacher before its credit is scored."),
    "programs_per_teacher": ("Programs per teacher", "Scored after its rounds."),
    "tests": ("Attempts to test", "Failed ones; four tokens of each are replaced."),
    "continuations": ("Continuations", "From each of the two tokens: more of them narrow the interval."),
}
UPDATE = {
    "groups": ("Groups", "Each is updated on once per loss and learning rate."),
    "attempts": ("Attempts", "Per group."),
}
EMPTY = (
    "A study asks of hundreds of programs or updates what the tab Round shows for one. Choose a question and press "
    "Start: tables and charts grow here. Afterwards the policy is what it is now."
)


class StudiesPanel(ExperimentPanel):
    """A question with its own numbers, and the tables and charts that answer it."""

    chart_height = 390  # names below the axis, and long labels beside it

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__(queue, selection, "studies", {"credit": "study_credit", "update": "study_update"}, EMPTY)
        credit, update = CreditStudySettings(), UpdateStudySettings()
        with gr.Row(elem_classes="wb-main"):
            with gr.Column(scale=3, min_width=280):
                self.question = gr.Radio(
                    [(label, name) for name, (label, _) in QUESTIONS.items()],
                    value="credit",
                    label="Question",
                    info=QUESTIONS["credit"][1],
                    elem_id="studies-question",
                )
                self.plan = gr.Markdown(planned(credit), elem_id="studies-plan", elem_classes="ex-plan")
                self.buttons()
                gr.Markdown("### Size")
                with gr.Row() as self.of_credit:
                    self.credit = self._numbers(CREDIT, credit)
                with gr.Row(visible=False) as self.of_update:
                    self.update = self._numbers(UPDATE, update)
                    self.rates = gr.Textbox(
                        RATES,
                        label="Learning rates",
                        info=f"Separated by commas. Default {RATES}.",
                        max_length=200,
                        elem_id="studies-rates",
                    )
                    self.pack = pack_choice(self.slug)
                self.seed = number(self.slug, "seed", "Seed", "Of programs, houses and random draws.", 0)
                self.name_and_code(as_python(credit, 0))
            with gr.Column(scale=9, min_width=320):
                self.results(charts=5)

    def connect(self, then: Then) -> None:
        """Connect the form: every choice updates the plan; a question shows its own numbers."""
        super().connect(then)
        fields = [self.question, *self.credit, *self.update, self.rates, self.pack, self.seed]
        self.form(then, fields)
        self.question.input(
            polite(self.on_question), [self.question], [self.question, self.of_credit, self.of_update], **NEWEST
        )

    def on_question(self, question: str) -> list[Any]:
        """Show what a question is for, and its own numbers."""
        return [gr.Radio(info=QUESTIONS[question][1]), *(gr.Row(visible=question == name) for name in QUESTIONS)]

    def on_plan(self, task_id: str, _config: dict[str, Any], *values: Any) -> tuple[str, str]:
        """Plan of what Start would do, in words and as code; or why it cannot."""
        try:
            settings, pack, seed = read(task_id, *values)
            if pack:
                find_split(self.queue.state, pack)
        except WorkbenchError as error:
            return str(error), ""
        return planned(settings), as_python(settings, seed, pack)

    def on_start(
        self,
        shown: Mapping[str, str],
        name: str,
        request: gr.Request,
        task_id: str,
        _config: dict[str, Any],
        *values: Any,
    ) -> dict[str, str]:
        """Start a study; pressed twice by one session it is one study."""
        question, *numbers, rates, source, seed = values
        if question == "credit":
            counts = dict(zip(CREDIT, numbers[: len(CREDIT)], strict=True))
            study_credit.once(request.session_hash, self.queue, **counts, seed=seed, name=name)
        else:
            counts = dict(zip(UPDATE, numbers[len(CREDIT) :], strict=True))
            arguments = {**counts, "learning_rates": rates, "seed": seed, "pack": pack_of(task_id, source)}
            study_update.once(request.session_hash, self.queue, **arguments, name=name)
        return self.begun(shown)

    def _numbers(self, fields: Mapping[str, tuple[str, str]], defaults: Any) -> list[gr.Number]:
        return [
            number(self.slug, name, label, meaning, getattr(defaults, name))
            for name, (label, meaning) in fields.items()
        ]


def read(task_id: str, question: str, *fields: Any) -> tuple[CreditStudySettings | UpdateStudySettings, str, int]:
    """Read the form's values: the study's size, its pack ("": fresh houses), and the seed. Raises ConfigError."""
    *numbers, rates, source, seed = fields
    if question == "credit":
        values = study_credit.checked(*numbers[: len(CREDIT)], seed)
        return CreditStudySettings(**{name: values[name] for name in CREDIT}), "", values["seed"]
    values = study_update.checked(*numbers[len(CREDIT) :], rates, seed)
    counts = {name: values[name] for name in UPDATE}
    return (
        UpdateStudySettings(**counts, learning_rates=values["learning_rates"]),
        pack_of(task_id, source),
        values["seed"],
    )


def planned(settings: CreditStudySettings | UpdateStudySettings) -> str:
    """Describe what Start would do, in a few sentences."""
    if isinstance(settings, UpdateStudySettings):
        rates = plural(len(settings.learning_rates), "learning rate")
        groups = f"{plural(settings.groups, 'group')} of {plural(settings.attempts, 'attempt')}"
        return f"{groups}, {len(LOSSES)} losses, {rates}: {settings.updates:,} updates, each undone. {AFTERWARDS}"
    spent = 8 * settings.continuations  # four tokens, and their replacements
    return (
        f"{plural(settings.programs, 'program')} scored under every view; {len(TEACHERS)} teachers teach "
        f"{plural(settings.rounds, 'round')} each, then {plural(settings.programs_per_teacher, 'program')} are scored; "
        f"{plural(settings.tests, 'failed attempt')} with {spent} continuations each. {AFTERWARDS}"
    )


def as_python(settings: CreditStudySettings | UpdateStudySettings, seed: int, pack: str = "") -> str:
    """The same study through the Python API."""
    kind = type(settings).__name__
    chosen = f"pack={pack!r}, " if pack else ""
    call = "study_credit" if isinstance(settings, CreditStudySettings) else "study_update"
    return (
        f"from workbench.experiments.settings import {kind}\n\n"
        f"for point in wb.{call}({as_code(settings)}, {chosen}seed={seed}):\n"
        "    print(point.arm, point.step)"
    )
