"""The tab "Discover": attempts until one passes, by several methods, on tasks that are hardly ever solved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from workbench.config import SDPOConfig
from workbench.errors import WorkbenchError
from workbench.experiments.settings import DEFAULT_METHODS, SCREENED, DiscoverySettings
from workbench.service.actions.discovery import at_test_time, discover, found_hard, hard_tasks
from workbench.service.checks import make_config, plural
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot
from workbench.ui.choices import DISCOVERY, FEEDBACK_KINDS
from workbench.ui.panel import QUIET, Selection, Then, polite
from workbench.ui.tabs.experiments import AFTERWARDS, ExperimentPanel, number, pack_choice, pack_of
from workbench.ui.tabs.settings import as_code

HERE = "the task in the tab Round"
EMPTY = (
    "A discovery is the first attempt that passes at a task that the policy hardly ever solves. Find hard tasks, or "
    "take the one in the tab Round, and race the methods: which needs the fewest attempts?"
)


class DiscoverPanel(ExperimentPanel):
    """Two steps: hard tasks, then the race on those that are chosen."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__(queue, selection, "discover", {"screen": "hard_tasks", "discover": "discover"}, EMPTY)
        spent = DiscoverySettings()
        with gr.Row(elem_classes="wb-main"):
            with gr.Column(scale=3, min_width=280):
                gr.Markdown("### 1. Hard tasks")
                with gr.Row():
                    self.count = number(self.slug, "count", "Hard tasks", "Fewer than 3 % of attempts pass.", 3)
                    self.screened = number(
                        self.slug, "screened", "Attempts each", "To measure whether a task is hard.", SCREENED
                    )
                    self.screen_seed = number(self.slug, "screen-seed", "Seed", "Of tasks and houses.", 0)
                self.pack = pack_choice(self.slug)
                self.feedback = gr.Dropdown(
                    FEEDBACK_KINDS,
                    value="example",
                    label="Feedback",
                    info="What the checker of fresh houses says about a wrong program. Default: example.",
                    elem_id="discover-feedback",
                )
                self.find = gr.Button(hard_tasks.title, min_width=140, elem_id="find-hard")
                gr.Markdown("### 2. The race")
                self.tasks = gr.CheckboxGroup(
                    [(HERE, HERE)],
                    label="Tasks",
                    info="Hard tasks found in this run appear here.",
                    elem_id="discover-tasks",
                )
                self.follow("discover tasks", self.tasks, _tasks, lambda choices: gr.CheckboxGroup(choices))
                self.methods = gr.CheckboxGroup(
                    list(DISCOVERY),
                    value=list(DEFAULT_METHODS),
                    label="Methods",
                    info="Each gets the same budget of attempts. Default: the first three.",
                    elem_id="discover-methods",
                )
                with gr.Accordion("What each method does", open=False):
                    gr.Markdown("\n".join(f"- **{name}**: {why}" for name, why in DISCOVERY.items()))
                self.plan = gr.Markdown(
                    planned([], DEFAULT_METHODS, spent), elem_id="discover-plan", elem_classes="ex-plan"
                )
                self.buttons()
                with gr.Row():
                    self.budget = number(self.slug, "budget", "Attempts", "At most, per method and task.", spent.budget)
                    self.group = number(
                        self.slug, "group", "Group", "Attempts between two updates of SDPO.", spent.group
                    )
                    self.seed = number(self.slug, "seed", "Seed", "Of the race's random draws.", 0)
                self.name_and_code()
            with gr.Column(scale=9, min_width=320):
                self.results(charts=1)

    def connect(self, then: Then) -> None:
        """Connect the buttons that find and race; every change updates the plan."""
        super().connect(then)
        shown = self.selection.experiments
        inputs = [
            *(shown, self.selection.task_id, self.pack),
            *(self.count, self.screened, self.screen_seed, self.feedback),
        ]
        then(self.find.click(polite(self.on_find), inputs, [shown], **QUIET))
        self.form(then, [self.tasks, self.methods, self.budget, self.group, self.seed])

    def on_find(
        self,
        shown: Mapping[str, str],
        task_id: str,
        source: str,
        count: Any,
        screened: Any,
        seed: Any,
        feedback: str,
        request: gr.Request,
    ) -> dict[str, str]:
        """Look for hard tasks; pressed twice by one session it is one search."""
        pack = pack_of(task_id, source)
        hard_tasks.once(request.session_hash, self.queue, count, feedback, screened, seed, pack=pack)
        return self.begun(shown)

    def on_plan(
        self, task_id: str, config: dict[str, Any], tasks: list[str], methods: list[str], *numbers: Any
    ) -> tuple[str, str]:
        """Plan of what Start would do, in words and as code; or why it cannot."""
        try:
            if not (tasks and methods):
                return planned(tasks, methods, DiscoverySettings()), ""
            race = discover.checked(_ids(tasks, task_id), methods, *numbers, config=make_config(SDPOConfig, config))
            spent = DiscoverySettings(race["budget"], race["group"])
            return planned(tasks, methods, spent), as_python(
                race["tasks"], methods, spent, race["seed"], race["config"]
            )
        except WorkbenchError as error:
            return str(error), ""

    def on_start(
        self,
        shown: Mapping[str, str],
        name: str,
        task_id: str,
        config: dict[str, Any],
        tasks: list[str],
        methods: list[str],
        budget: Any,
        group: Any,
        seed: Any,
        request: gr.Request,
    ) -> dict[str, str]:
        """Start a race; pressed twice by one session it is one race."""
        settings, session = make_config(SDPOConfig, config), request.session_hash
        discover.once(session, self.queue, _ids(tasks, task_id), methods, budget, group, seed, name, settings)
        return self.begun(shown)


def _ids(tasks: Sequence[str], here: str) -> list[str]:
    return [here if task == HERE else task for task in tasks]


def _tasks(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Choices for a race: the task in the tab Round, and every hard task that was found."""
    hard = found_hard(snapshot.state.experiments)
    rows = [
        (f"{task.task.prompt} ({task.pass_rate.passed} of {task.pass_rate.total} pass)", name)
        for name, task in hard.items()
    ]
    return [(HERE, HERE), *rows]


def planned(tasks: Sequence[str], methods: Sequence[str], spent: DiscoverySettings) -> str:
    """Describe what Start would do, in one or two sentences."""
    if not tasks:
        return "Choose at least one task for the race; step 1 finds hard ones."
    if not methods:
        return "No method is chosen; choose at least one."
    most = len(tasks) * len(methods) * spent.budget
    each = f"{plural(len(tasks), 'task')}, {plural(len(methods), 'method')}"
    return f"{each}: at most {most:,} attempts. {AFTERWARDS}"


def as_python(
    tasks: Sequence[str], methods: Sequence[str], spent: DiscoverySettings, seed: int, config: SDPOConfig
) -> str:
    """The same race through the Python API."""
    return (
        "from workbench.config import SDPOConfig\n\n"
        f"tasks = [wb.task(name) for name in {list(tasks)!r}]\n"
        f"config = {as_code(at_test_time(config))}\n"
        f"for point in wb.discover(tasks, {tuple(methods)!r}, {spent.budget}, group={spent.group}, config=config, "
        f"seed={seed}):\n"
        "    print(point.task_id, point.method, point.generations, point.found_at)"
    )
