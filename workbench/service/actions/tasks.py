"""The actions on tasks and packs: list, open, type, import and export them; advice on what the policy can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from workbench.errors import TaskError
from workbench.records import Task, pack_of
from workbench.service.action import JobContext, action, immediate
from workbench.service.checks import LONGEST_NAME, LONGEST_PACK, TaskId, name, text
from workbench.service.queue import JobQueue
from workbench.service.state import PublishedState
from workbench.tasks import Pack, find_pack, is_built_in, load_pack, parse_table, read_source
from workbench.tasks.drawing import check_split
from workbench.tasks.files.data_sets import HUB
from workbench.tasks.files.imports import Preview, known_mapping, preview
from workbench.tasks.files.table import Table
from workbench.tasks.house_rules.nearest import closest, speaks
from workbench.tasks.sandbox import shown

if TYPE_CHECKING:
    from workbench.policy.catalogue import Candidate
    from workbench.policy.prompts import Prompt

AD_HOC = "ad-hoc"  # pack of the tasks that people type, unless they name another
MOST_MAPPED = 40  # fields in a mapping of columns


@immediate("Tasks")
def tasks(queue: JobQueue, pack: str = "") -> list[Task]:
    """The tasks of a pack, or of all packs of the run; a built-in pack need not be in it yet."""
    known = queue.state.tasks
    if not pack:
        return list({task.id: task for listed in known.values() for task in listed}.values())
    if pack not in known and not is_built_in(pack):
        raise TaskError(f"There is no pack {shown(pack)}; there are {', '.join(known)}.")
    return list(known[pack]) if pack in known else load_pack(pack)


def find_task(state: PublishedState, task_id: str) -> Task:
    """Find a task of the run, or of a built-in pack that is not in it yet. Raises TaskError."""
    task = state.task(task_id)
    if task is None:
        pack = pack_of(task_id)
        built_in = load_pack(pack) if is_built_in(pack) else []
        task = next((task for task in built_in if task.id == task_id), None)
    if task is None:
        raise TaskError(f"There is no task {shown(task_id)}; see the list of tasks, or add your own.")
    return task


def find_split(state: PublishedState, pack: str) -> Pack:
    """Find a pack to learn from and to measure on, by its name.

    Not by a path: the machine's files are not for whoever reaches the page. Raises TaskError for an unknown pack, and
    for one without tasks on both sides of its split.
    """
    named = find_pack(pack, [task for tasks in state.tasks.values() for task in tasks])
    check_split(named)
    return named


def _check_judge(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TaskError("Choose how the task is judged: by one of the environments.")
    return value


def _check_prompt(value: object) -> str:
    prompt = text("The prompt")(value)
    if not prompt.strip():
        raise TaskError("The prompt is empty; type a question first.")
    return str(prompt)


@action("Use this task", job="Adding a task")
def add_task(
    context: JobContext,
    prompt: Annotated[str, _check_prompt],
    environment: Annotated[str, _check_judge] = "person",
    answer: Mapping[str, Any] | None = None,
    pack: Annotated[str, name("A pack")] = AD_HOC,
    system: str = "",
) -> Task:
    """Add a task of one's own to a pack."""
    task = context.workbench.add_task(
        prompt=prompt, environment=environment, answer=answer or {}, system=system or None, pack=pack
    )
    _publish_tasks(context.queue, [task])
    return task


def _built_in(value: object) -> str:
    # Not the path of a file: whoever can reach the page could read the machine's files by their paths.
    if not is_built_in(text("The pack")(value)):
        raise TaskError("Name a built-in pack, such as house-rules or house-rules@7:judge.")
    return str(value)


@action("Open a pack", job="Opening a pack", python="tasks", endpoint=False)
def open_pack(context: JobContext, pack: Annotated[str, _built_in]) -> tuple[Task, ...]:
    """Publish the tasks of a built-in pack that is not in the run yet."""
    listed = tuple(context.workbench.tasks(pack))
    context.queue.publish(tasks={**context.state.tasks, pack: listed})
    return listed


def _mapping(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or len(value) > MOST_MAPPED:
        raise TaskError(f"The mapping must be an object of at most {MOST_MAPPED} fields of a task and their columns.")
    return {text("A field")(field): text(f"The column of {shown(field)}")(column) for field, column in value.items()}


def _data_set(value: object) -> str:
    # Not a directory: the machine's files are not for whoever reaches the page.
    place = text("The data set", LONGEST_NAME * 5)(value).strip().removeprefix(HUB)
    if not place:
        raise TaskError("Name a data set on the hub, as OWNER/NAME.")
    return f"{HUB}{place}"


PackFile = Annotated[str, text("The file's name")]
PackText = Annotated[str, text("The pack", LONGEST_PACK)]
PackMapping = Annotated[Mapping[str, str] | None, _mapping]
DataSet = Annotated[str, _data_set]


@immediate("Preview", python="workbench.tasks.files.imports")
def preview_pack(queue: JobQueue, file_name: PackFile, text: PackText, mapping: PackMapping = None) -> Preview:
    """Preview of an import: columns, first rows and a sentence; without a mapping, the last one of such a file.

    Else it is guessed from the names of the columns. The text of a parquet or .gz file is its bytes in base64.
    """
    _check_writable(queue)
    return _previewed(queue, parse_table(file_name, text), mapping)


@action("Import", job="Importing a pack", python="import_tasks")
def import_pack(
    context: JobContext, file_name: PackFile, text: PackText, mapping: PackMapping = None
) -> tuple[Task, ...]:
    """Import the tasks in a file's text, all or none; errors name the row and the field. `mapping`: docs/tasks.md."""
    imported = tuple(context.workbench.import_tasks(file_name, text, mapping=mapping))
    _publish_import(context, imported)
    return imported


@immediate("Preview", python="workbench.tasks.files.imports")
def preview_data_set(queue: JobQueue, data_set: DataSet, mapping: PackMapping = None) -> Preview:
    """Preview of importing a data set of the hub, OWNER/NAME[/PART][@REVISION]; as `preview_pack`."""
    _check_writable(queue)
    return _previewed(queue, read_source(data_set), mapping)


def _previewed(queue: JobQueue, table: Table, mapping: Mapping[str, str] | None) -> Preview:
    sources = queue.state.pack_sources.values()
    return preview(table, known_mapping(table, sources) if mapping is None else mapping)


@action("Import", job="Importing a data set", python="load_tasks")
def import_data_set(context: JobContext, data_set: DataSet, mapping: PackMapping = None) -> tuple[Task, ...]:
    """Import a data set of the hub (OWNER/NAME[/PART][@REVISION]), pinned to the commit that is there now."""
    _check_writable(context.queue)  # before anything is fetched
    imported = tuple(context.workbench.load_tasks(data_set, mapping=mapping))
    _publish_import(context, imported)
    return imported


def _check_writable(queue: JobQueue) -> None:
    if queue.state.read_only:
        raise TaskError("A stored run takes no tasks; open it normally to import a pack.")


@action("Export this pack", job="Exporting a pack", python="export_tasks")
def export_pack(context: JobContext, pack: Annotated[str, text("The pack")]) -> dict[str, str]:
    """Export a pack as JSON Lines."""
    return {"file_name": f"{pack}.jsonl", "text": context.workbench.export_tasks(pack)}


@action(
    "Prompt",
    job="Rendering the prompt",
    key=lambda state, task: task,
    reply=lambda prompt: {"text": prompt.text, "ids": list(prompt.ids)},
)
def prompt(context: JobContext, task: TaskId) -> Prompt:
    """The exact chat prompt of a task: its text, and its token ids."""
    return context.workbench.prompt(context.workbench.task(task))


@immediate("Closest task", python="workbench.tasks.house_rules.nearest")
def closest_task(queue: JobQueue, prompt: Annotated[str, text("The prompt")]) -> dict[str, Any]:
    """The closest task that the policy can do, where a prompt is outside its language; else `speaks` is true."""
    nearest = advice(queue, prompt).get("closest", "")
    return {"speaks": not nearest, "closest": nearest}


def advice(queue: JobQueue, prompt: str) -> dict[str, Any]:
    """Advice for a prompt outside the embedded policy's language: the closest task within it, hub models; else {}."""
    if queue.state.policy.get("model") != "embedded" or not prompt.strip() or speaks(prompt):
        return {}
    models = hub_models.want(queue)
    known = hub_models.reply(models) if isinstance(models, list) else None
    return {"closest": closest(prompt).text, "models": known}


@action("Hub models", job="Checking which models fit this machine", key=lambda state: "")
def hub_models(context: JobContext) -> list[Candidate]:
    """Hub models worth trying on this machine, with their sizes and whether they fit."""
    return context.workbench.hub_models()


def _publish_import(context: JobContext, imported: Sequence[Task]) -> None:
    _publish_tasks(context.queue, imported)
    context.queue.publish(pack_sources=context.workbench.pack_sources())


def _publish_tasks(queue: JobQueue, added: Sequence[Task]) -> None:
    by_pack = dict(queue.state.tasks)
    for task in added:
        pack = pack_of(task.id)
        by_pack[pack] = (*(other for other in by_pack.get(pack, ()) if other.id != task.id), task)
    queue.publish(tasks=by_pack)
