"""Records in, plain data out: what each part of the page shows. Pure functions; the scripts only lay it out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.config import SDPOConfig
from workbench.records import Attempt, Ledger, Task, UpdateReport
from workbench.ui.studio import Detail
from workbench.ui.worker import PERSON, Desk, sentence


def header(desk: Desk, run: str) -> dict[str, Any]:
    """The line at the top: which run, which policy, what it is doing."""
    policy = desk.facts.get("policy", {})
    names = ("model", "parameters", "quantization", "dtype", "device", "attention")
    facts = [amount(policy[name]) for name in names if policy.get(name) not in (None, "", "none")]
    if "lora" in policy:
        variant = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}[policy["lora"]["variant"]]
        facts.append(f"{variant} r{policy['lora']['rank']}")
    job = desk.current
    busy = job if job is not None and job.priority == PERSON else None
    return {
        "run": run,
        "facts": facts,
        "state": "busy" if busy and desk.state == "ready" else desk.state,
        "job": busy.label if busy else "",
        "seconds": int(time.monotonic() - busy.started) if busy else 0,
        "waiting": desk.waiting() - (1 if busy else 0),
        "problem": desk.problem,
    }


def amount(value: Any) -> str:
    """A number of parameters as people say it (3.2 M); anything else as it is."""
    if not isinstance(value, int):
        return str(value)
    return f"{value / 1e9:.1f} G parameters" if value >= 1e9 else f"{value / 1e6:.1f} M parameters"


def task_text(task: Task | None, desk: Desk) -> dict[str, Any]:
    """The prompt of the chosen task, and how an answer is judged."""
    if task is None:
        empty = "The model is loading; tasks appear here." if desk.state == "loading" else "Choose a task, or type one."
        return {"empty": empty}
    return {"prompt": task.prompt, "system": task.system or "", "judge": task.environment, "id": task.id}


def pooled_limit(details: Sequence[Detail | None]) -> float | None:
    """99th percentile of |raw credit| over all attempts shown (nats); None until every attempt is scored."""
    sizes: list[float] = []
    for one in details:
        if one is None:
            return None
        raw = next((view for view in one.payload["views"] if view["name"] == "raw"), None)
        sizes += [abs(value) for value in raw["values"]] if raw else []
    if not sizes:
        return None
    sizes.sort()
    return sizes[min(len(sizes) - 1, -(-99 * len(sizes) // 100) - 1)] or None


def cards(
    group: Sequence[Attempt],
    live: Mapping[str, Any] | None,
    chosen: str | None,
    details: Sequence[Detail | None],
    ledger: Sequence[Ledger] | None,
    limit: float | None,
) -> dict[str, Any]:
    """The list of attempts: while they are sampled their text, then verdict, reward, a strip of their credit."""
    if live is not None:
        rows = [{"text": text, "number": i + 1} for i, text in enumerate(live["texts"])]
        return {"rows": rows, "live": True, "chosen": None}
    signal = {entry.attempt_id: entry for entry in ledger or ()}
    rows = []
    for i, (attempt, known) in enumerate(zip(group, details, strict=True)):
        row: dict[str, Any] = {
            "id": attempt.id,
            "number": i + 1,
            "text": attempt.text,
            "passed": attempt.passed,
            "reward": attempt.reward,
            "finished": attempt.finished,
            "feedback": attempt.feedback or str(attempt.details.get("waiting", "")),
            "strip": strip(known, limit),
            "floor": known.payload["noise_floor"] / limit if known and limit else 0,
        }
        if attempt.id in signal:
            row["used"], row["why"] = signal[attempt.id].used, signal[attempt.id].reason
        rows.append(row)
    empty = "" if rows else "No attempts yet. Choose a task and press Sample: the policy answers it several times."
    return {"rows": rows, "live": False, "chosen": chosen, "empty": empty}


def strip(known: Detail | None, limit: float | None) -> list[float]:
    """Raw credit per token as -1 to 1 of the scale, two digits: enough for a strip of colour."""
    if known is None or not limit:
        return []
    raw: list[float] = next((view["values"] for view in known.payload["views"] if view["name"] == "raw"), [])
    return [round(max(-1.0, min(1.0, value / limit)), 2) for value in raw]


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
        payload["limit"] = limit
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


def plan(
    group: Sequence[Attempt],
    ledger: Sequence[Ledger] | Exception | None,
    config: SDPOConfig,
    seconds: float | None,
) -> dict[str, Any]:
    """What the update button will do, before it is pressed."""
    if not group:
        return {"empty": "An update needs attempts: sample some first."}
    if isinstance(ledger, Exception):
        return {"empty": sentence(ledger)}
    if ledger is None:
        return {"empty": "Counting which attempts give signal …"}
    numbers = {attempt.id: i + 1 for i, attempt in enumerate(group)}
    lengths = {attempt.id: len(attempt.token_ids) for attempt in group}
    used = [entry for entry in ledger if entry.used]
    return {
        "used": len(used),
        "total": len(group),
        "tokens": sum(lengths[entry.attempt_id] for entry in used),
        "rows": [{"number": numbers[e.attempt_id], "used": e.used, "reason": e.reason} for e in ledger],
        "method": config.method,
        "teacher": config.teacher.replace("_", " "),
        "learning_rate": config.learning_rate,
        "steps": config.steps,
        "seconds": seconds,
    }


def outcome(report: UpdateReport | None) -> dict[str, Any] | None:
    """The numbers of an update after it was made."""
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
        "entropy": [side.entropy_before, side.entropy_after],
        "held_out": None if side.held_out_after is None else [side.held_out_before, side.held_out_after],
        "seconds": report.seconds_s,
        "teacher_error": report.teacher_error,
    }


def timeline(nodes: Sequence[Mapping[str, Any]], head: str) -> dict[str, Any]:
    """The tree of updates laid out: `x` is the depth, `y` the lane; a first child continues its parent's lane."""
    children: dict[str | None, list[Mapping[str, Any]]] = {}
    for node in nodes:
        children.setdefault(node.get("parent_id"), []).append(node)
    placed: list[dict[str, Any]] = []
    lanes = 0
    pending = [(node, 0, -1) for node in reversed(children.get(None, []))]
    while pending:
        node, depth, lane = pending.pop()
        if lane < 0:
            lane, lanes = lanes, lanes + 1
        report = node.get("report")
        placed.append(
            {
                "id": node["update_id"],
                "parent": node.get("parent_id"),
                "x": depth,
                "y": lane,
                "name": node.get("name") or "",
                "head": node["update_id"] == head,
                "loss": None if report is None else [report.loss_before, report.loss],
            }
        )
        below = children.get(node["update_id"], [])
        pending += [(child, depth + 1, lane if i == 0 else -1) for i, child in reversed(list(enumerate(below)))]
    return {"nodes": placed, "empty": "" if len(placed) > 1 else "No updates yet: every update will be a node here."}


def path_to(nodes: Sequence[Mapping[str, Any]], head: str) -> list[Mapping[str, Any]]:
    """The nodes from the root to the head."""
    known = {node["update_id"]: node for node in nodes}
    path = []
    here = known.get(head)
    while here is not None:
        path.append(here)
        here = known.get(here.get("parent_id") or "")
    return path[::-1]
