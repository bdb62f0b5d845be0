"""The tab "Learn": arms that learn one pack's tasks at equal numbers of attempts, round after round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any, get_args

import gradio as gr

from workbench import config as settings
from workbench.config import SDPOConfig
from workbench.errors import WorkbenchError
from workbench.experiments.arms import comparison, usual_settings
from workbench.experiments.settings import LearnSettings
from workbench.records import pack_of
from workbench.service.actions.learning import learn
from workbench.service.actions.tasks import find_split
from workbench.service.checks import plural
from workbench.service.queue import JobQueue
from workbench.tasks.drawing import describe
from workbench.tasks.house_rules.pack import DEFAULT_KIND, PACK, fresh_house, pack_name, parse_name
from workbench.ui.choices import COMPARED, FEEDBACK_KINDS, WHY
from workbench.ui.panel import NEWEST, QUIET, Selection, Then, polite
from workbench.ui.tabs.experiments import AFTERWARDS, ExperimentPanel, number
from workbench.ui.tabs.settings import as_code

NUMBERS = {
    "rounds": ("Rounds", "One update each."),
    "questions": ("Tasks per round", "Drawn anew each round, the same for every method."),
    "attempts": ("Attempts per task", "If all methods are alike; else each has its own, with as many tasks as fit."),
    "held_out": ("Held-out tasks", "Never trained on, one attempt each: more of them narrow the interval."),
    "measure_every": ("Measure every … rounds", "0: before and after only, which is faster."),
}
PACKS = {"the pack in the tab Round": "round", "a fresh house, by the seed": "fresh"}
EMPTY = (
    "A learning run shows whether feedback makes the policy better at tasks that it has never seen. Choose what to "
    "compare and press Start: each arm gets the same tasks and the same number of attempts, and its curve grows here."
)


class LearnPanel(ExperimentPanel):
    """A form, and the learning curves that result."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__(queue, selection, "learn", {"learn": "learn"}, EMPTY)
        defaults = LearnSettings()
        with gr.Row(elem_classes="wb-main"):
            with gr.Column(scale=3, min_width=280):
                self.compared = gr.Dropdown(
                    [(label, name) for name, (label, _) in COMPARED.items()],
                    value="methods",
                    label="Compare",
                    info=COMPARED["methods"][1],
                    elem_id="learn-compared",
                )
                with gr.Column() as self.of_methods:
                    self.methods = gr.CheckboxGroup(
                        list(get_args(settings.Method)),
                        value=["sdpo", "grpo"],
                        label="Methods",
                        info="Compared one after the other, each from where the policy is now. Default: SDPO and GRPO.",
                        elem_id="learn-methods",
                    )
                    with gr.Accordion("Which method to choose", open=False):
                        gr.Markdown("\n".join(f"- **{name}**: {why}" for name, why in WHY["method"].items()))
                    self.alike = gr.Checkbox(
                        label="All alike",
                        info="All as set in Settings, instead of each with its own recipe of steps, learning rate and "
                        "attempts per task. Default: off.",
                        elem_id="learn-alike",
                    )
                self.pack = gr.Radio(
                    list(PACKS.items()),
                    value="round",
                    label="Tasks",
                    info="Any pack with held-out tasks, including your own. A fresh house is one that nothing was "
                    "tuned on.",
                    elem_id="learn-pack",
                )
                self.feedback = gr.Dropdown(
                    FEEDBACK_KINDS,
                    value=DEFAULT_KIND,
                    label="Feedback",
                    info="What the house-rules checker says about a wrong program; other packs give the feedback of "
                    f"their environment. Default: {DEFAULT_KIND}.",
                    elem_id="learn-feedback",
                )
                self.plan = gr.Markdown(
                    planned(["sdpo", "grpo"], defaults), elem_id="learn-plan", elem_classes="ex-plan"
                )
                self.buttons()
                gr.Markdown("### Size")
                with gr.Row():
                    self.numbers = {
                        name: number(self.slug, name, label, meaning, getattr(defaults, name))
                        for name, (label, meaning) in NUMBERS.items()
                    }
                    self.seed = number(
                        self.slug, "seed", "Seed", "Of tasks and random draws; also names a fresh house.", 0
                    )
                self.name_and_code(as_python("methods", ["sdpo", "grpo"], False, PACK, defaults, 0, SDPOConfig()))
            with gr.Column(scale=9, min_width=320):
                self.results(charts=4)

    def connect(self, then: Then) -> None:
        """Connect the form: every choice updates the plan at once."""
        super().connect(then)
        fields = [self.methods, self.alike, self.pack, self.feedback, *self.numbers.values(), self.seed]
        self.form(then, [self.compared, *fields], silent=[self.compared])
        inputs = [self.selection.task_id, self.selection.config, self.compared, *fields]
        changed = [self.compared, self.of_methods, *self.numbers.values()]
        chosen = self.compared.input(polite(self.on_compared), [self.compared], changed, **NEWEST)
        chosen.then(polite(self.on_plan), inputs, [self.plan, self.code], **QUIET)

    def on_compared(self, compared: str) -> list[Any]:
        """Show another comparison: its purpose, its own fields, and its usual size."""
        shown = [gr.Dropdown(info=COMPARED[compared][1]), gr.Column(visible=compared == "methods")]
        return [*shown, *astuple(usual_settings(compared))]

    def on_plan(self, *values: Any) -> tuple[str, str]:
        """Plan of what Start would do, in words and as code; or why it cannot."""
        try:
            form = read(*values)
            facts = describe(find_split(self.queue.state, form.pack))
        except WorkbenchError as error:
            return str(error), ""
        code = as_python(form.compared, form.methods, form.alike, form.pack, form.shape, form.seed, form.config)
        return planned(form.arms, form.shape, facts.held_out), code

    def on_start(self, shown: Mapping[str, str], name: str, request: gr.Request, *values: Any) -> dict[str, str]:
        """Start an experiment; pressed twice by one session it is one experiment."""
        form = read(*values)
        learn.once(
            request.session_hash,
            self.queue,
            form.pack,
            form.methods,
            **asdict(form.shape),
            seed=form.seed,
            name=name,
            alike=form.alike,
            compared=form.compared,
            config=form.config,
        )
        return self.begun(shown)


@dataclass(frozen=True, slots=True)
class Form:
    """Values of the form."""

    compared: str
    methods: list[str]
    alike: bool
    pack: str
    shape: LearnSettings
    seed: int
    config: SDPOConfig

    @property
    def arms(self) -> list[str]:
        """Names of the arms that are compared."""
        return [arm.name for arm in comparison(self.compared, self.config, tuple(self.methods))]


def read(
    task_id: str,
    config: dict[str, Any],
    compared: str,
    methods: list[str],
    alike: bool,
    source: str,
    feedback: str,
    *numbers: Any,
) -> Form:
    """Read the form's values. Raises ConfigError."""
    values = learn.checked(PACK, None, *numbers, config=config)
    shape = LearnSettings(**{name: values[name] for name in NUMBERS})
    pack = chosen_pack(task_id, source, feedback, values["seed"])
    return Form(compared, methods, alike, pack, shape, values["seed"], values["config"])


def chosen_pack(task_id: str, source: str, feedback: str, seed: int) -> str:
    """The pack that a form chooses: a task's own, with this kind of feedback where it is a house, or a fresh house."""
    if source == "fresh":
        return pack_name(fresh_house(seed), feedback)
    pack = pack_of(task_id) or PACK
    house = parse_name(pack)
    if house is None or house == (house[0], feedback):
        return pack
    return PACK if parse_name(PACK) == (house[0], feedback) else pack_name(house[0], feedback)


def planned(arms: Sequence[str], shape: LearnSettings, available: int | None = None) -> str:
    """Describe the plan in a few sentences; `available`: the pack's held-out tasks, None where it makes any number."""
    if not arms:
        return "No method is chosen; choose at least one."
    each = shape.rounds * shape.generations
    every = shape.measure_every
    measured = 1 + sum(n == shape.rounds or bool(every and n % every == 0) for n in range(1, shape.rounds + 1))
    count = len(arms)
    sizes = f"{plural(shape.rounds, 'round')} of {shape.generations} attempts"
    first = (
        f"{', '.join(arms)}: {sizes} each, {count * each:,} attempts in all"
        if count > 1
        else f"{sizes}: {each:,} attempts"
    )
    after = (
        AFTERWARDS
        if count > 1
        else "Afterwards the policy **stays where this has led it**; the timeline in Round leads back."
    )
    few = available is not None and available < shape.held_out
    tasks = plural(available if few and available is not None else shape.held_out, "held-out task")
    note = f" (fewer than the {shape.held_out:,} requested: the pack has no more)" if few else ""
    return f"{first}, and {count * measured:,} measurements on {tasks}{note}. {after}"


def as_python(
    compared: str,
    methods: Sequence[str],
    alike: bool,
    pack: str,
    shape: LearnSettings,
    seed: int,
    config: SDPOConfig,
) -> str:
    """The same experiment through the Python API."""
    arguments = f"{compared!r}, {as_code(config)}"
    if compared == "methods":  # each arm sets its own
        arguments = f"{compared!r}, {as_code(replace(config, method='sdpo'))}, {tuple(methods)!r}, alike={alike}"
    return (
        "from workbench.config import SDPOConfig\n"
        "from workbench.experiments.arms import comparison\n"
        "from workbench.experiments.settings import LearnSettings\n\n"
        f"arms = comparison({arguments})\n"
        f"for point in wb.compare_learning(arms, {pack!r}, settings={as_code(shape)}, seed={seed}):\n"
        "    print(point.arm, point.round, point.held_out)"
    )
