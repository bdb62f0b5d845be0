"""The panel of credit: the chosen attempt in colour, and the exact prompt that the self-teacher reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import gradio as gr

from workbench import heatmap
from workbench.config import SDPOConfig
from workbench.records import Attempt, UpdateReport
from workbench.service.actions.round import AttemptDetail
from workbench.service.actions.tokens import CONTINUATIONS
from workbench.service.checks import changed_setting, make_config
from workbench.service.queue import JobQueue, error_sentence
from workbench.service.snapshot import Snapshot
from workbench.service.state import LiveGroup, PublishedState
from workbench.templates import OWN, TEMPLATES, in_force, own_template, template_text
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, polite

LONGEST_READ = 60  # characters of an answer in a title
OWN_TEXT = "own text"  # in the list of templates, where the text is none of those that have a name


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
    """The exact teacher prompt of the chosen attempt, and the template that it is made from."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        self.draw("teacher", lambda m: teacher(m.detail))
        with gr.Accordion("Template of the teacher prompt", open=False):
            self.choice = gr.Dropdown([OWN, *TEMPLATES], label="Template", elem_id="template-choice")
            own_note = gr.Markdown(elem_id="template-own", elem_classes="wb-hint")
            self.text = gr.Textbox(label="Its text", lines=8, max_lines=24, elem_id="template-text")
            gr.Markdown(
                "`{question}`, `{demonstration}`, `{failed_attempt}` and `{feedback}` are the places of these texts. "
                "What stands between `{#feedback}` and `{/feedback}` is left out where there is no feedback; likewise "
                "for the others. `{turn assistant}` and `{turn user}` begin a turn of a chat. The prompt above, its "
                "token ids and the colours follow your edits.",
                elem_classes="wb-hint",
            )
        self.follow("template choice", self.choice, lambda m: template_name(m.config.template), _choice)
        self.follow("template own", own_note, _own_template, str)
        self.follow("template text", self.text, _template_text, str)

    def connect(self, then: Then) -> None:
        """Connect the template: a choice counts at once, an edit when the text loses the focus."""
        config = self.selection.config
        then(self.choice.input(polite(on_choice), [config, self.choice], [config], **NEWEST))
        then(self.text.blur(polite(self.on_text), [config, self.text], [config], **QUIET))

    def on_text(self, config: dict[str, Any], text: str) -> dict[str, Any]:
        """Take a text that was edited; that of a template that has a name is that template."""
        chosen = make_config(SDPOConfig, config).template
        if text == template_text(in_force(chosen, _model(self.queue.state))):
            return config
        return changed_setting(SDPOConfig, config, "template", template_name(text, text))


def on_choice(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the template of this name."""
    return config if name == OWN_TEXT else changed_setting(SDPOConfig, config, "template", name)


def template_name(template: str, unnamed: str = OWN_TEXT) -> str:
    """Name of a template that is given by its name or its text; `unnamed` where it has none."""
    if template in (OWN, *TEMPLATES):
        return template
    return next((name for name, text in TEMPLATES.items() if text == template), unnamed)


def _choice(name: str) -> Any:
    return gr.update(value=name, choices=[OWN, *TEMPLATES, *([OWN_TEXT] if name == OWN_TEXT else [])])


def _template_text(snapshot: Snapshot) -> str:
    return template_text(in_force(snapshot.config.template, _model(snapshot.state)))


def _own_template(snapshot: Snapshot) -> str:
    default = own_template(_model(snapshot.state))
    why = "the paper's: none was measured for this model" if default == "paper" else "measured best for this model"
    return f"`{OWN}` is here `{default}`, {why}."


def _model(state: PublishedState) -> str:
    return str(state.policy.get("model", ""))


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
