"""The tab "Settings": every field of sampling and of the update, with its meaning, default and source."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import gradio as gr

from workbench import config as settings
from workbench.config import SamplingConfig, SDPOConfig
from workbench.service.checks import MAY_BE_EMPTY, setter
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot
from workbench.tasks.sandbox import confinement
from workbench.ui.explained import EXPLAINED
from workbench.ui.panel import QUIET, Panel, Selection, Then, polite

CHOICES = {
    "method": settings.Method,
    "distillation_mode": settings.DistillationMode,
    "teacher": settings.Teacher,
}
# Fields without an option on the command line.
NO_OPTION = ("weight_decay", "max_grad_norm", "is_clip")
FLAGS = {
    "distillation_add_tail": ("--tail", "--no-tail"),
    "distillation_normalised": ("--normalised", ""),
    "use_demonstrations": ("--demonstrations", "--no-demonstrations"),
    "include_failed_attempt": ("--failed-attempt", ""),
}
COMMANDS = {SamplingConfig: "attempt", SDPOConfig: "update"}


class SettingsPanel(Panel):
    """Every field of sampling and of the update; changes here hold for this session of the page."""

    def __init__(self, _: JobQueue, selection: Selection) -> None:
        super().__init__()
        confined = gr.Markdown(elem_id="confinement")
        self.follow("confinement", confined, lambda _: confinement(), str)  # changes while a tier is prepared
        self.fields: list[tuple[type, str, Any, gr.State]] = []
        groups = (
            (SamplingConfig, selection.sampling, "Sampling", lambda snapshot: snapshot.sampling),
            (SDPOConfig, selection.config, "Update", lambda snapshot: snapshot.config),
        )
        for kind, state, title, read in groups:
            gr.Markdown(f"### {title}")
            with gr.Row(elem_classes="wb-settings"):
                for item in fields(kind):
                    field = _field(item.name, item.default)
                    self.fields.append((kind, item.name, field, state))
                    self.follow(f"set {item.name}", field, _value(read, item.name), _as_shown)
            code = gr.Code(label="The same in Python", interactive=False, elem_id=f"code-{title.lower()}")
            self.follow(f"code {title}", code, _code(read), lambda text: text)
            line = gr.Code(label="The same on the command line", interactive=False, elem_id=f"line-{title.lower()}")
            self.follow(f"line {title}", line, _command(read), lambda text: text)

    def connect(self, then: Then) -> None:
        """A field changes its one setting: at once, or when it loses the focus where it holds a number or text."""
        for kind, name, field, state in self.fields:
            events = [field.blur] if isinstance(field, (gr.Number, gr.Textbox)) else [field.input]
            then(gr.on(events, polite(setter(kind, name)), [state, field], [state], **QUIET))


def _value(read: Callable[[Snapshot], Any], name: str) -> Callable[[Snapshot], Any]:
    return lambda snapshot: getattr(read(snapshot), name)


def _as_shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _code(read: Callable[[Snapshot], Any]) -> Callable[[Snapshot], str]:
    return lambda snapshot: as_code(read(snapshot))


def _command(read: Callable[[Snapshot], Any]) -> Callable[[Snapshot], str]:
    return lambda snapshot: as_command(read(snapshot), snapshot.state.run or "demo")


def _field(name: str, default: Any) -> Any:
    setting = EXPLAINED[name]
    options: dict[str, Any] = {
        "label": f"{name} ({setting.unit})" if setting.unit else name,
        "info": f"{setting.meaning} Default: {_default(default)}. Source: {setting.source}.",
        "elem_id": f"set-{name}",
    }
    if name in CHOICES:
        return gr.Dropdown(list(get_args(CHOICES[name])), value=default, **options)
    if isinstance(default, tuple):
        return gr.CheckboxGroup(list(settings.FEEDBACK_KINDS), value=list(default), **options)
    if isinstance(default, bool):
        return gr.Checkbox(default, **options)
    if isinstance(default, str):
        return gr.Textbox(default, lines=2, **options)
    whole = (MAY_BE_EMPTY.get(name) or type(default)) is int
    return gr.Number(default, precision=0 if whole else None, **options)


def _default(value: Any) -> str:
    """Format a default as the form shows it."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return f"all but {', '.join(kind for kind in settings.FEEDBACK_KINDS if kind not in value)}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{value:g}"


def as_code(config: Any) -> str:
    """Python code of a configuration: its class, and the fields that differ from the defaults."""
    changed = [
        f"{item.name}={getattr(config, item.name)!r}"
        for item in fields(config)
        if getattr(config, item.name) != item.default
    ]
    return f"{type(config).__name__}({', '.join(changed)})"


def as_command(config: Any, run: str) -> str:
    """Command for a step of the round with this configuration; fields without an option are named in a comment."""
    changed = {item.name: getattr(config, item.name) for item in fields(config)}
    changed = {name: value for name, value in changed.items() if value != getattr(type(config)(), name)}
    parts = ["python -m workbench", COMMANDS[type(config)], f"--run runs/{run}"]
    for name, value in changed.items():
        if name in FLAGS:
            parts.append(FLAGS[name][0 if value else 1])
        elif name not in NO_OPTION:
            written = (",".join(value) or "none") if isinstance(value, tuple) else value
            parts.append(f"--{name.replace('_', '-')} {shlex.quote(str(written))}")
    missing = [name for name in changed if name in NO_OPTION]
    return " ".join(parts) + (f"  # no option sets {', '.join(missing)}: use Python" if missing else "")
