"""The panel of packs as files: drop one, say which columns are what, see what it becomes, import it; export a pack."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import TaskError
from workbench.records import pack_of
from workbench.service.actions.tasks import (
    export_pack,
    import_data_set,
    import_pack,
    preview_data_set,
    preview_pack,
)
from workbench.service.queue import JobQueue
from workbench.tasks import known_environments
from workbench.tasks.files.imports import Preview
from workbench.tasks.files.mapping import FIELDS
from workbench.tasks.files.table import FILES
from workbench.tasks.files.text import decode, read_bytes
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, numbered, part, polite

LABELS: Mapping[str, str] = {
    "prompt": "Prompt",
    "answer": "Answer",
    "environment": "Judged by",
    "system": "System turn",
    "name": "Name",
    "split": "Split",
}


class PackFilesPanel(Panel):
    """Import of a pack, with a preview before it; export of the chosen one."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        with gr.Accordion("Packs as files: JSON Lines, JSON, CSV, parquet, the hub", open=False):
            self.file = gr.File(
                label=f"Drop a file here ({', '.join(FILES)})", type="filepath", height=120, elem_id="import-file"
            )
            with gr.Row(elem_classes="wb-sample"):
                self.data_set = gr.Textbox(label="or a data set on the hub", max_length=300, elem_id="import-hub")
                self.fetch = gr.Button(preview_data_set.title, size="sm", min_width=90, elem_id="import-fetch")
            with gr.Column(visible=False) as self.mapped:
                with gr.Row():
                    self.columns = [
                        gr.Dropdown(
                            [], label=LABELS[field], min_width=110, allow_custom_value=True, elem_id=f"import-{field}"
                        )
                        for field in FIELDS
                    ]
                self.preview = part("packpreview")
                self.do_import = gr.Button(import_pack.title, size="sm", interactive=False, elem_id="import-pack")
            self.export = gr.Button(export_pack.title, size="sm", min_width=120, elem_id="export-pack")
            self.download = part("download")

    def connect(self, then: Then) -> None:
        """Connect file, hub id and columns to the preview; the first imported task becomes the chosen one."""
        shown = [self.mapped, *self.columns, self.preview, self.do_import]
        source = [self.file, self.data_set]
        self.file.upload(polite(self.on_file), [self.file], [*shown, self.data_set], **QUIET)
        self.file.clear(self.on_clear, None, [self.mapped], **QUIET)
        self.fetch.click(polite(self.on_fetch), [self.data_set], [*shown, self.file], **QUIET)
        for column in self.columns:
            column.input(polite(self.on_column), [*source, *self.columns], shown, **NEWEST)
        task = [self.selection.task_id, self.selection.chosen, self.mapped]
        then(self.do_import.click(polite(self.on_import), [*source, *self.columns], task, **QUIET))
        self.export.click(polite(self.on_export), [self.selection.task_id], [self.download], **QUIET)

    def on_file(self, path: str | None) -> list[Any]:
        """Show what importing a dropped file would do; the columns are guessed from their names."""
        return [*self._shown(path, "", None), ""]

    def on_fetch(self, data_set: str) -> list[Any]:
        """Show what importing a data set of the hub would do."""
        return [*self._shown(None, data_set, None), None]

    def on_column(self, path: str | None, data_set: str, *columns: str | None) -> list[Any]:
        """Show what importing would do with other columns."""
        return self._shown(path, data_set, _mapping(columns))

    def on_clear(self) -> Any:
        """Hide the preview of a file that was taken away."""
        return gr.Column(visible=False)

    def on_import(self, path: str | None, data_set: str, *columns: str | None) -> tuple[str, str, Any]:
        """Import the file or the data set, every row or none; the first of its tasks becomes the chosen one."""
        if path:
            job = import_pack(self.queue, Path(path).name, sent(Path(path)), _mapping(columns))
        else:
            job = import_data_set(self.queue, data_set, _mapping(columns))
        return job.result()[0].id, "", gr.Column(visible=False)

    def on_export(self, task_id: str) -> str:
        """Send the chosen pack as a file that the browser saves."""
        exported = export_pack(self.queue, pack_of(task_id)).result()
        return numbered({"name": exported["file_name"], "text": exported["text"]})

    def _shown(self, path: str | None, data_set: str, mapping: dict[str, str] | None) -> list[Any]:
        if not path and not data_set.strip():
            raise TaskError("Drop a file first, or name a data set on the hub.")
        if path:
            offered = preview_pack(self.queue, Path(path).name, sent(Path(path)), mapping)
        else:
            offered = preview_data_set(self.queue, data_set, mapping)
        dropdowns = [
            gr.Dropdown(_choices(field, offered.columns), value=offered.mapping.get(field) or None) for field in FIELDS
        ]
        return [gr.Column(visible=True), *dropdowns, numbered(_drawn(offered)), gr.Button(interactive=offered.ready)]


def sent(path: Path) -> str:
    """The text of a pack's file as `import_pack` takes it. Raises TaskError where it is too large, or no text."""
    data = read_bytes(path)
    packed = path.name.lower().endswith((".parquet", ".gz"))
    return base64.b64encode(data).decode() if packed else decode(path.name, data)


def _mapping(columns: tuple[str | None, ...]) -> dict[str, str]:
    return {field: column or "" for field, column in zip(FIELDS, columns, strict=True)}


def _choices(field: str, columns: tuple[str, ...]) -> list[tuple[str, str]]:
    judges = [(environment.label or environment.name, f"={environment.name}") for environment in known_environments()]
    named = [(f"column {column}", column) for column in columns]
    return [("–", ""), *(judges if field == "environment" else []), *named]


def _drawn(offered: Preview) -> dict[str, Any]:
    tasks = [
        {"name": task.id, "prompt": task.prompt, "system": task.system or "", "judge": task.environment}
        for task in offered.tasks
    ]
    answers = [{"answer": str(dict(task.answer))[:200]} for task in offered.tasks]
    return {
        "sentence": offered.sentence,
        "ready": offered.ready,
        "columns": list(offered.columns),
        "rows": [dict(row) for row in offered.rows],
        "tasks": [task | answer for task, answer in zip(tasks, answers, strict=True)],
    }
