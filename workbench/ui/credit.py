"""The panel of credit: the chosen attempt in colour, and the exact prompt that the self-teacher reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.records import Attempt, UpdateReport
from workbench.ui.attempts import pooled_limit
from workbench.ui.moment import Moment
from workbench.ui.panel import Panel
from workbench.ui.studio import Detail
from workbench.ui.worker import sentence


class CreditPanel(Panel):
    """The heatmap of the chosen attempt."""

    def __init__(self) -> None:
        super().__init__()
        self.heat = self.draw("heat", _heat)


class TeacherPanel(Panel):
    """What the self-teacher of the chosen attempt reads, to the token."""

    def __init__(self) -> None:
        super().__init__()
        self.draw("teacher", lambda moment: teacher(moment.known))


def _heat(moment: Moment) -> dict[str, Any]:
    limit = pooled_limit(moment.details)
    return heat(moment.attempt, moment.place, moment.known, moment.report, limit, moment.desk.state, moment.live)


def heat(
    attempt: Attempt | None,
    place: tuple[int, int],
    known: Detail | Exception | None,
    report: UpdateReport | None,
    limit: float | None,
    state: str,
    live: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The heatmap's payload, or what to do next where there is nothing to colour."""
    if live is not None:
        return {"title": f"Sampling {len(live['texts'])} attempts", "text": live["texts"][0], "empty": ""}
    if attempt is None:
        waiting = {"loading": "The model is loading. This takes a few seconds.", "failed": "The model did not load."}
        return {
            "empty": waiting.get(state, "Nothing to colour yet. Sample some attempts: each token then gets a colour.")
        }
    number, total = place
    verdict = "passed" if attempt.passed else "failed"
    cut = "" if attempt.finished else ", cut at the token limit"
    title = f"Attempt {number} of {total}: {verdict}, reward {attempt.reward:g}{cut}"
    if isinstance(known, Exception):
        return {"title": title, "text": attempt.text, "empty": sentence(known)}
    if known is None:
        return {"title": title, "text": attempt.text, "empty": "Scoring: student and teacher read the same tokens …"}
    payload = {**known.payload, "title": title, "view_key": ""}
    if limit:
        payload["limits"] = {"raw": limit}
    return with_report(payload, attempt.id, report) if report is not None else payload


def with_report(payload: Mapping[str, Any], attempt_id: str, report: UpdateReport) -> dict[str, Any]:
    """The payload with two more views, what the update should do and what it did, shown one above the other."""
    own = {view["name"] for view in payload["views"]}
    predicted: dict[str, Any] = {
        "name": "predicted",
        "title": "Predicted push",
        "unit": "",
        "signed": True,
        "how": "Minus the gradient of the loss at each sampled token: + should become likelier, − less likely.",
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
        if view["name"] not in own and len(view["values"]) == len(payload["tokens"]):
            views.append(view)
    shown = {view["name"] for view in views}
    if not {"predicted", "realised"} <= shown:
        return dict(payload)
    said = (
        f"The step went where it was predicted to on {100 * report.agreement:.0f} % of the tokens above the noise "
        f"floor (rank correlation {report.rank_correlation:.2f}). All other views are scored with the new policy."
    )
    return {
        **payload,
        "views": views,
        "view": "predicted",
        "against": "realised",
        "view_key": report.update_id,
        "summary": said,
    }


def teacher(known: Detail | Exception | None) -> dict[str, Any]:
    """The exact prompt of the self-teacher."""
    if not isinstance(known, Detail):
        return {"empty": True}
    return {"text": known.teacher_text, "ids": list(known.teacher_ids), "shortened": bool(known.shortened)}
