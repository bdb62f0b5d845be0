"""The panel of updates: the plan of the next one, stated before it is made, and the outcome of the newest one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

import gradio as gr

from workbench import config as settings
from workbench.config import SDPOConfig
from workbench.records import Attempt, SignalReport, UpdateReport
from workbench.service.actions.lift import seconds_at_most, teacher_lift
from workbench.service.actions.round import AttemptDetail, update
from workbench.service.checks import Spans, changed_setting, make_config, setter
from workbench.service.queue import JobQueue, error_sentence
from workbench.service.snapshot import Snapshot
from workbench.ui import charts
from workbench.ui.choices import DIVERGENCES, WHY, divergence_of
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, polite

CHOICES = {"method": settings.Method, "teacher": settings.Teacher, "distillation_mode": settings.DistillationMode}
QUESTION = "The teacher is not better here, so this update is likelier to do harm than good. Update all the same?"
LABELS = {"method": "Method", "teacher": "Teacher", "distillation_mode": "Granularity"}


class UpdatePanel(Panel):
    """The update button, with its plan before and its outcome after."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        with gr.Column(scale=8, min_width=300):
            self.draw("update", lambda snapshot: {"plan": _plan(snapshot), "outcome": outcome(snapshot.report)})
            with gr.Accordion("Loss and teacher: what to choose, and why", open=False), gr.Row():
                self.choices = {name: _choice(name) for name in CHOICES}
                self.divergence = gr.Dropdown(
                    [*DIVERGENCES], label="Divergence", elem_id="choose-divergence", allow_custom_value=True
                )
            for name, choice in self.choices.items():
                self.follow(f"choice {name}", choice, _setting(name), _chosen(name))
            self.follow(
                "divergence", self.divergence, lambda m: divergence_of(m.config.distillation_alpha), _divergence
            )
            with gr.Accordion("Predicted against realised, token by token", open=False, visible=False) as scatter:
                plot = gr.Plot(show_label=False, container=False, elem_id="scatter", visible=False)
            self.follow("scatter", plot, lambda m: charts.predicted_and_realised(m.report), _shown)
            self.follow("has_scatter", scatter, lambda m: m.report is not None, lambda has: gr.Accordion(visible=has))
        with gr.Column(scale=1, min_width=140):
            self.button = gr.Button(update.title, variant="primary", interactive=False, elem_id="do-update")
            with gr.Column(visible=False, elem_id="ask-update", elem_classes="wb-ask") as self.question:
                gr.Markdown(QUESTION)
                self.anyway = gr.Button("Update anyway", variant="stop", size="sm", elem_id="do-update-anyway")
                self.not_now = gr.Button("Not now", size="sm", elem_id="do-not-update")
            # What was asked about is no longer what would be updated on: the question is withdrawn.
            self.follow("asked", self.question, _asked_about, lambda _: _open(False))
            self.lift = gr.Button(teacher_lift.title, size="sm", interactive=False, elem_id="do-lift")
        for name, button in (("can_update", self.button), ("can_lift", self.lift)):
            self.follow(name, button, _ready, lambda can: gr.Button(interactive=can))

    def connect(self, then: Then) -> None:
        """Connect the button that updates on the shown group, the one that measures teacher lift, and the choices."""
        inputs = [self.selection.task_id, self.selection.config]
        marked = [*inputs, self.selection.spans]
        then(self.button.click(polite(self.on_update), marked, [self.question], **QUIET))
        then(self.anyway.click(polite(self.on_update_anyway), marked, [self.question], **QUIET))
        self.not_now.click(lambda: _open(False), None, [self.question], **QUIET)
        then(self.lift.click(polite(self.on_lift), inputs, None, **QUIET))
        config = self.selection.config
        for name, choice in self.choices.items():
            then(choice.input(polite(setter(SDPOConfig, name)), [config, choice], [config], **NEWEST))
        then(self.divergence.input(polite(_with_divergence), [config, self.divergence], [config], **NEWEST))

    def on_update(
        self, task_id: str, config: dict[str, Any], spans: dict[str, list[int]], request: gr.Request
    ) -> gr.Column:
        """Update on the shown group, or ask first where the teacher is known not to be better."""
        ids = self._ids(task_id)
        lift = teacher_lift.known(self.queue, ids, make_config(SDPOConfig, config)) if ids else None
        if lift is not None and not isinstance(lift, Exception) and lift.verdict == "not better":
            return _open(True)
        return self.on_update_anyway(task_id, config, spans, request)

    def on_update_anyway(
        self, task_id: str, config: dict[str, Any], spans: dict[str, list[int]], request: gr.Request
    ) -> gr.Column:
        """Update on the shown group, once even if a session presses twice. Where tokens are marked, only they count."""
        settings = make_config(SDPOConfig, config)
        update.once(request.session_hash, self.queue, self._ids(task_id), settings, spans)
        return _open(False)

    def on_lift(self, task_id: str, config: dict[str, Any]) -> None:
        """Measure teacher lift: teacher and student write attempts at the shown task."""
        teacher_lift(self.queue, self._ids(task_id), make_config(SDPOConfig, config))

    def _ids(self, task_id: str) -> list[str]:
        return [attempt.id for attempt in self.queue.state.group(task_id)]


def _open(visible: bool) -> gr.Column:
    return gr.Column(visible=visible)


def _asked_about(snapshot: Snapshot) -> str:
    return repr((snapshot.state.head, [attempt.id for attempt in snapshot.group], snapshot.config, _verdict(snapshot)))


def _verdict(snapshot: Snapshot) -> str:
    lift = snapshot.lift
    return "" if lift is None or isinstance(lift, Exception) else lift.verdict


def _shown(drawn: Any) -> gr.Plot:
    """Show a plot once it has content: Gradio's empty box has a label that screen readers may not use."""
    return gr.Plot(drawn, visible=drawn is not None)


def _choice(name: str) -> gr.Dropdown:
    return gr.Dropdown(list(get_args(CHOICES[name])), label=LABELS[name], elem_id=f"choose-{name}", min_width=200)


def _setting(name: str) -> Callable[[Snapshot], Any]:
    return lambda snapshot: getattr(snapshot.config, name)


def _chosen(name: str) -> Any:
    return lambda value: gr.Dropdown(value=value, info=WHY[name][value])


def _divergence(name: str) -> Any:
    unnamed = "Between the named ones: a generalised JSD."
    return gr.Dropdown(value=name, info=DIVERGENCES[name][1] if name in DIVERGENCES else unnamed)


def _with_divergence(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    return changed_setting(
        SDPOConfig, config, "distillation_alpha", DIVERGENCES[name][0] if name in DIVERGENCES else name
    )


def _ready(snapshot: Snapshot) -> bool:
    return bool(_plan(snapshot).get("used")) and not snapshot.working


def _plan(snapshot: Snapshot) -> dict[str, Any]:
    group, pace, lift = snapshot.group, snapshot.state.pace, snapshot.lift
    measured: dict[str, Any] | None = None
    if isinstance(lift, Exception):
        measured = {"sentence": error_sentence(lift)}
    elif lift is not None:
        measured = teacher_lift.reply(lift)
    else:
        measured = {"seconds": seconds_at_most(snapshot.state, group) if group else None}
    return plan(group, snapshot.ledger, snapshot.config, snapshot.details, pace, measured, snapshot.spans)


def plan(
    group: Sequence[Attempt],
    ledger: Sequence[SignalReport] | Exception | None,
    config: SDPOConfig,
    details: Sequence[AttemptDetail | None] = (),
    pace: float | None = None,
    lift: Mapping[str, Any] | None = None,
    spans: Spans | None = None,
) -> dict[str, Any]:
    """Plan of what the update button will do, before it is pressed.

    `details`: the credit of each attempt if known, for the length of its teacher prompt; `pace`: seconds per token
    read; `lift`: its measurement as JSON data, {"sentence"} where it cannot be measured, {"seconds"} that measuring
    takes at most where it was not; `spans`: marked tokens, the only ones of their attempts to count.
    """
    if not group:
        return {"empty": "An update needs attempts: sample some first."}
    if isinstance(ledger, Exception):
        return {"empty": error_sentence(ledger)}
    if ledger is None:
        return {"empty": "Counting which attempts give signal …"}
    signal = {entry.attempt_id: entry for entry in ledger}
    far = places_out_of_reach(group, signal, details, config)
    rows = [
        {
            "number": number,
            "passed": attempt.passed,
            "tokens": counted(attempt, spans),
            "used": signal[attempt.id].used,
            "reason": "; ".join(part for part in (signal[attempt.id].reason, far.get(attempt.id, "")) if part),
        }
        for number, attempt in enumerate(group, 1)
    ]
    reads = tokens_read(group, signal, details, config.most_steps)
    return {
        "used": sum(bool(row["used"]) for row in rows),
        "out_of_reach": len(far),
        "total": len(group),
        "tokens": sum(counted(attempt, spans) for attempt in group if signal[attempt.id].used),
        "rows": rows,
        "method": config.method,
        "teacher": config.teacher.replace("_", " "),
        "divergence": divergence_of(config.distillation_alpha),
        "strength": [config.gap_share, config.max_kl] if config.by_strength else None,
        "learning_rate": config.rate,
        "steps": config.most_steps,
        "reads": reads,
        "seconds": None if pace is None or reads is None else pace * reads,
        "lift": lift,
    }


def places_out_of_reach(
    group: Sequence[Attempt],
    signal: Mapping[str, SignalReport],
    details: Sequence[AttemptDetail | None],
    config: SDPOConfig,
) -> dict[str, str]:
    """Say where the loss hardly reaches what the teacher wants, by the id of each such attempt that gives signal."""
    reasons = {}
    for attempt, detail in zip(group, details, strict=False):
        if detail is None or detail.credit is None or not signal[attempt.id].used:
            continue
        if places := detail.credit.out_of_reach(config):
            tokens = ", ".join(f"{place.token.text.strip()!r} at token {place.position + 1}" for place in places)
            reasons[attempt.id] = f"hardly reached by this loss: {tokens}"
    return reasons


def counted(attempt: Attempt, spans: Spans | None) -> int:
    """Number of tokens of an attempt that count in an update."""
    start, end = (spans or {}).get(attempt.id, (0, len(attempt.token_ids)))
    return end - start


def tokens_read(
    group: Sequence[Attempt], signal: Mapping[str, SignalReport], details: Sequence[AttemptDetail | None], steps: int
) -> int | None:
    """Tokens that an update reads: both prompts and the attempt, once per optimiser step; None where unknown."""
    total = 0
    for attempt, detail in zip(group, details, strict=False):
        if signal[attempt.id].used:
            if detail is None:
                return None
            total += len(attempt.prompt_ids) + len(detail.teacher_ids) + 2 * len(attempt.token_ids)
    return steps * total or None


def outcome(report: UpdateReport | None) -> dict[str, Any] | None:
    """Numbers of an update after it was made."""
    if report is None:
        return None
    side = report.side_effects
    return {
        "update": report.update_id,
        "loss": [report.loss_before, report.loss],
        "grad_norm": report.grad_norm,
        "agreement": report.agreement,
        "rank_correlation": report.rank_correlation,
        "kl": side.kl_to_before,
        "kl_to_base": side.kl_to_base,
        "entropy": [side.entropy_before, side.entropy_after],
        "held_out": None if side.held_out_after is None else [side.held_out_before, side.held_out_after],
        "seconds": report.seconds_s,
        "teacher_error": report.teacher_error,
        "reach": None if report.reach is None else asdict(report.reach),
    }
