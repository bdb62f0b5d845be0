"""The actions on runs. All of them lie in the directory of the one that is open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from workbench.config import LoraSettings
from workbench.errors import RunError
from workbench.service.action import JobContext, action
from workbench.service.state import PublishedState

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.session.library import RunFacts

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
NO_ARCHIVE = "There is no archive; upload a run's archive, a file whose name ends in .zip."


def _run_name(value: object) -> str:
    # No path leads out of the directory of runs.
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise RunError(
            "A run's name has at most 60 letters, digits, '.', '_' and '-', and begins with a letter or a digit; "
            "choose such a name."
        )
    return value


RunName = Annotated[str, _run_name]


@action("Runs", job="Listing the runs")
def runs(context: JobContext) -> list[RunFacts]:
    """The runs in this run's directory: name, model, numbers of attempts and updates, newest event."""
    return _listed(context, context.workbench)


def _listed(context: JobContext, workbench: Workbench) -> list[RunFacts]:
    listed = workbench.runs()
    context.queue.publish(runs=tuple(listed))
    return listed


@action("Open", job="Opening the run {name}", kind="open", python="open", reply=lambda name: {"run": name})
def open_run(context: JobContext, name: RunName) -> str:
    """Open another run, or begin one of a new name with this run's model; if that fails, this run stays open."""
    workbench = context.workbench
    here = Path(workbench.run.path)
    path = here.parent / name
    if workbench.run.read_only:
        raise RunError(
            "This is a replay of one run, without its model; open another with: sdpo-workbench app --run DIR."
        )
    if here.name != name:
        context.queue.take(type(workbench).open(path, **_settings(workbench, path)))
    _listed(context, context.queue.workbench)
    return name


def _settings(workbench: Workbench, path: Path) -> dict[str, Any]:
    """The settings to open a run with: its own if it exists, else those of the open run."""
    config = workbench.config
    settings: dict[str, Any] = {"model": config.model, "device": config.device}
    if path.exists():
        return settings
    first = (workbench.run.state().opened or {}).get("config", {})  # its adapter is in the first state
    adapter = config.adapter or first.get("adapter")
    return settings | {
        "quantization": config.quantization,
        "lora": LoraSettings() if adapter else config.lora,
        "adapter": adapter,
        "thinking": config.thinking,
        "revision": config.revision,
        "seed": first.get("seed", config.seed),
        "gradient_checkpointing": config.gradient_checkpointing,
    }


@action("Export as an archive", job="Exporting the run", kind="export", endpoint=False)
def export_run(context: JobContext, directory: Path) -> Path:
    """Write the run as one archive into a directory."""
    run = Path(context.workbench.run.path)
    return context.workbench.export_run(Path(directory) / f"{run.name}.zip")


def _check_name(_: PublishedState, archive: Path, name: str | None) -> None:
    _run_name(Path(archive).stem if name is None else name)


@action(
    "Import an archive …",
    job=lambda archive, name: f"Importing the run {name or Path(archive).stem}",
    kind="import",
    check=_check_name,
    reply=lambda name: {"run": name},
)
def import_run(context: JobContext, archive: Path, name: str | None = None) -> str:
    """Import a run's archive, an uploaded ZIP file, as a run beside the open one, named after the file."""
    name = Path(archive).stem if name is None else name
    target = Path(context.workbench.run.path).parent / name
    if target.exists():
        raise RunError(f"There is already a run named {name}; rename the archive's file.")
    context.workbench.import_run(archive, target)
    _listed(context, context.workbench)
    return name


@action("Share as one HTML file", job="Writing a page to share", reply=lambda html: {"html": html})
def share(context: JobContext) -> str:
    """Write one self-contained HTML page of this run's newest scored attempts in colour."""
    return context.workbench.share()
