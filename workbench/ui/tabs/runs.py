"""The tab "Runs": open or resume one, begin another, export or import one, share its attempts as one file."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.service.actions.runs import NO_ARCHIVE, export_run, import_run, open_run, runs, share
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot
from workbench.ui.panel import QUIET, Panel, Selection, Then, chosen_id, numbered, part, polite


class RunsPanel(Panel):
    """The runs in one directory. Every event of a run is on disk before it is shown, so leaving one loses nothing."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        self.list = self.draw("runs", _runs)
        with gr.Row(elem_classes="wb-sample"):
            self.name = gr.Textbox(label="Name of a new run", max_length=60, min_width=160, elem_id="run-name")
            self.begin = gr.Button("Begin", size="sm", min_width=80, elem_id="begin-run")
        gr.Markdown("### Share and export")
        with gr.Row():
            self.share = gr.Button(share.title, size="sm", min_width=160, elem_id="share-run")
            self.export = gr.Button(export_run.title, size="sm", min_width=160, elem_id="export-run")
            self.upload = gr.UploadButton(
                import_run.title, size="sm", min_width=160, file_types=[".zip"], elem_id="import-run"
            )
        self.page = part("download", "share")
        self.archive = gr.File(label="The archive", visible=False, elem_id="archive")
        gr.Markdown(
            "The shared file holds the newest scored attempts with their heatmaps; it needs no server and no network. "
            "An archive holds the whole run. For one that is too large for the page: "
            "`python -m workbench import ARCHIVE DIRECTORY`.",
            elem_classes="wb-hint",
        )

    def connect(self, then: Then) -> None:
        """Connect the list and the buttons; opening a run resets the selection, which belongs to the former run."""
        task_id, chosen, spans = self.selection.task_id, self.selection.chosen, self.selection.spans
        then(self.list.select(polite(self.on_open), None, [task_id, chosen, spans], **QUIET))
        events = [self.begin.click, self.name.submit]
        begin = gr.on(events, polite(self.on_begin), [self.name], [task_id, chosen, spans], **QUIET)
        then(begin)
        if self.tab is not None:
            then(self.tab.select(polite(self.on_look), None, None, **QUIET))
        self.share.click(polite(self.on_share), None, [self.page], **QUIET)
        # An endpoint as well: only a handler with a file as its output can hand one to a program.
        named = {**QUIET, "api_visibility": "public", "api_name": "export_run"}
        exported = self.export.click(polite(self.on_export), None, [self.archive], **named)
        exported.success(lambda: gr.File(visible=True), None, [self.archive], **QUIET)
        self.upload.upload(polite(self.on_import), [self.upload], None, **QUIET)

    def on_open(self, event: gr.EventData) -> tuple[str, str, dict[str, Any]]:
        """Open the run that was pressed."""
        return self.on_begin(chosen_id(event))

    def on_begin(self, name: str) -> tuple[str, str, dict[str, Any]]:
        """Open a run by its name, or begin it."""
        open_run(self.queue, (name or "").strip()).result()
        return "", "", {}

    def on_look(self) -> None:
        """List the directory again, unless somebody would have to wait for that."""
        if not self.queue.line():
            runs(self.queue)

    def on_share(self) -> str:
        """Send the shared page as a file that the browser saves."""
        text = share(self.queue).result()
        name = self.queue.state.run or "run"
        return numbered({"name": f"{name}.html", "text": text, "type": "text/html"})

    def on_export(self) -> str:
        """Export the whole run as one archive, a ZIP file."""
        cache = Path(self.archive.GRADIO_CACHE)  # deleted there after a while, and not copied once more
        cache.mkdir(parents=True, exist_ok=True)
        return str(export_run(self.queue, Path(tempfile.mkdtemp(dir=cache))).result())

    def on_import(self, archive: str) -> None:
        """Import a run's archive, a ZIP file, as a run beside the open one, named after the file."""
        if not isinstance(archive, str):
            raise RunError(NO_ARCHIVE)
        import_run(self.queue, Path(archive)).result()


def _runs(snapshot: Snapshot) -> dict[str, Any]:
    listed = snapshot.state.runs
    if listed is None and snapshot.queue.status == "ready" and snapshot.queue.current is None:
        runs(snapshot.queue)
    return {"runs": [asdict(run) for run in listed or ()], "open": snapshot.state.run}
