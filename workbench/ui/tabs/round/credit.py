"""The panel of credit: the chosen attempt in colour, and the exact prompt that the self-teacher reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import gradio as gr

from workbench import heatmap
from workbench.config import SDPOConfig
from workbench.records import Attempt, UpdateReport
from workbench.service.actions.round import AttemptDetail
from workbench.service.actions.tokens import CONTINUATIONS
from workbench.service.checks import setter
from workbench.service.queue import error_sentence
from workbench.service.snapshot import Snapshot
from workbench.service.state import LiveGroup
from workbench.ui.panel import QUIET, Panel, Selection, Then, polite

LONGEST_READ = 60  # characters of an answer in a title
TEMPLATES = {
    "template_solution": "A demonstration",
    "template_failed_attempt": "The failed attempt (where the settings include it)",
    "template_feedback": "Feedback",
    "template_ending": "Ending",
}


class CreditPanel(Panel):
    """The heatmap of the chosen attempt. Tokens that are marked in it alone count in an update."""

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self.selection = selection
        self.heat = self.draw("heat", _heat)

    def connect(self, then: Then) -> None:
        """Connect the heatmap: it reports which tokens of which attempt are marked."""
        spans = self.selection.spans
        # A second span may come before the first has been answered; Gradio's other modes drop it.
        then(self.heat.input(on_marked, [spans], [spans], trigger_mode="multiple", **QUIET))


def on_marked(event: gr.EventData, spans: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Replace the span of one attempt; an empty span removes it."""
    attempt_id, start, end = (getattr(event, name, 0) for name in ("id", "start", "end"))
    others = {name: span for name, span in spans.items() if name != attempt_id}
    is_span = isinstance(start, int) and isinstance(end, int) and 0 <= start < end
    return {**others, str(attempt_id): [start, end]} if is_span else others


class TeacherPanel(Panel):
    """The exact teacher prompt of the chosen attempt, and the templates that it is made from."""

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self.selection = selection
        self.draw("teacher", lambda m: teacher(m.detail))
        with gr.Accordion("Templates of the teacher prompt", open=False):
            gr.Markdown(
                "After the question come the parts that are not empty, in this order, then the ending. `{}` marks the "
                "place of the text. The prompt above, its token ids and the colours follow your edits.",
                elem_classes="wb-hint",
            )
            self.templates = {name: _template(name, title) for name, title in TEMPLATES.items()}
            self.reset = gr.Button("The paper's templates", size="sm", elem_id="reset-templates")
        for name, box in self.templates.items():
            self.follow(name, box, _setting(name), lambda value: value)

    def connect(self, then: Then) -> None:
        """Connect the templates: an edit takes effect when its field loses the focus."""
        config = self.selection.config
        for name, box in self.templates.items():
            then(box.blur(polite(setter(SDPOConfig, name)), [config, box], [config], **QUIET))
        then(self.reset.click(_without_templates, [config], [config], **QUIET))


def _template(name: str, title: str) -> gr.Textbox:
    return gr.Textbox(label=title, lines=3, max_lines=8, elem_id=name.replace("_", "-"))


def _setting(name: str) -> Callable[[Snapshot], Any]:
    return lambda snapshot: getattr(snapshot.config, name)


def _without_templates(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in TEMPLATES}


def _heat(snapshot: Snapshot) -> dict[str, Any]:
    rows = group_rows(snapshot.group, snapshot.details)
    status, live = snapshot.queue.status, snapshot.live
    shown = heat(snapshot.attempt, snapshot.place, snapshot.detail, snapshot.report, rows, status, live)
    return shown if snapshot.state.read_only else {**shown, "continuations": CONTINUATIONS}


def group_rows(group: Sequence[Attempt], details: Sequence[AttemptDetail | None]) -> list[dict[str, Any]]:
    """Rows of every attempt for the heatmap's map and shared scale; none until all attempts are scored."""
    rows = []
    for number, (attempt, known) in enumerate(zip(group, details, strict=True), start=1):
        if known is None:
            return []
        rows.append(heatmap.row(known.payload, str(number), attempt.passed))
    return rows


def heat(
    attempt: Attempt | None,
    place: tuple[int, int],
    detail: AttemptDetail | Exception | None,
    report: UpdateReport | None,
    rows: Sequence[dict[str, Any]],
    status: str,
    live: LiveGroup | None = None,
) -> dict[str, Any]:
    """The heatmap's payload, or a hint on what to do next where there is nothing to colour."""
    if live is not None:
        return {"title": f"Sampling {len(live.texts)} attempts", "text": live.texts[0], "empty": ""}
    if attempt is None:
        waiting = {"loading": "The model is loading. This takes a few seconds.", "failed": "The model did not load."}
        return {
            "empty": waiting.get(status, "Nothing to colour yet. Sample some attempts: each token then gets a colour.")
        }
    number, total = place
    verdict = "passed" if attempt.passed else "failed"
    cut = "" if attempt.finished else ", cut at the token limit"
    forced = "" if attempt.forced_at is None else f", forced at token {attempt.forced_at + 1}"
    title = f"Attempt {number} of {total}: {verdict}, reward {attempt.reward:.2g}{cut}{forced}{read_as(attempt)}"
    plain = {"title": title, "pieces": pieces(attempt), "id": attempt.id}
    if isinstance(detail, Exception):
        return {**plain, "empty": error_sentence(detail)}
    if detail is None:
        return {**plain, "empty": "Scoring: student and teacher read the same tokens …"}
    payload = {**detail.payload, "title": title, "view_key": "", "group": list(rows)}
    return with_report(payload, attempt.id, report) if report is not None else payload


def is_long(read: object) -> bool:
    """True where what was read is a program, or several lines: it is folded, not part of a title."""
    return isinstance(read, str) and (len(read) > LONGEST_READ or "\n" in read.strip())


def read_as(attempt: Attempt) -> str:
    """Say what was read as the answer; "" where the environment does not, and where it is too long for a title."""
    read = attempt.details.get("read_as")
    return "" if read is None or is_long(read) else f", read as: {read or 'nothing'}"


def pieces(attempt: Attempt) -> list[dict[str, Any]]:
    """The attempt's text in pieces, each of them reasoning or not."""
    ranges: Sequence[Sequence[int]] = attempt.details.get("reasoning", ())
    places = [0, *(place for span in ranges for place in span), len(attempt.text)]
    cut = [(attempt.text[start:end], number % 2 == 1) for number, (start, end) in enumerate(pairwise(places))]
    return [{"text": text, "reasoning": is_reasoning} for text, is_reasoning in cut if text]


def with_report(payload: Mapping[str, Any], attempt_id: str, report: UpdateReport) -> dict[str, Any]:
    """Add two views to the payload: the logit push of the update, and the realised change, one above the other."""
    existing = {view["name"] for view in payload["views"]}
    predicted: dict[str, Any] = {
        "name": "predicted",
        "title": "Logit push",
        "unit": "",
        "signed": True,
        "how": "Negative gradient of the loss at each sampled token's logit: + should become likelier, − less likely.",
        "values": list(report.predicted.get(attempt_id, ())),
    }
    realised: dict[str, Any] = {
        "name": "realised",
        "title": "Realised change",
        "unit": "nats",
        "signed": True,
        "how": "Log-probability of each token after the step minus before it.",
        "values": list(report.realised.get(attempt_id, ())),
    }
    views = list(payload["views"])
    for view in (predicted, realised):
        if view["name"] not in existing and len(view["values"]) == len(payload["tokens"]):
            views.append(view)
    shown = {view["name"] for view in views}
    if not {"predicted", "realised"} <= shown:
        return dict(payload)
    summary = (
        f"The step moved {100 * report.agreement:.0f} % of the tokens above the noise floor as predicted "
        f"(rank correlation {report.rank_correlation:.2f}). All other views are scored with the new policy."
    )
    return {
        **payload,
        "views": views,
        "view": "predicted",
        "against": "realised",
        "view_key": report.update_id,
        "summary": summary,
    }


def teacher(detail: AttemptDetail | Exception | None) -> dict[str, Any]:
    """The exact prompt of the self-teacher."""
    if not isinstance(detail, AttemptDetail):
        return {"empty": True}
    return {"text": detail.teacher_text, "ids": list(detail.teacher_ids), "shortened": bool(detail.shortened)}
