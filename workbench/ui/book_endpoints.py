"""The named endpoints that read a run: attempts, ledger, tests, timeline, updates. `api` declares them."""

from __future__ import annotations

from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import RunError
from workbench.records import UpdateReport, to_json
from workbench.ui.board import find
from workbench.ui.endpoints import Endpoint
from workbench.ui.forms import make_config, whole_number
from workbench.ui.intervention import plain_test
from workbench.ui.studio import Studio

MOST_LISTED = 1024  # attempts in one answer
PER_TOKEN = ("predicted", "realised")  # fields of a report that the timeline leaves out


def endpoints(studio: Studio, result: Endpoint) -> tuple[Endpoint, ...]:
    """The endpoints; `result(job)` waits for a job without holding a thread."""
    desk = studio.desk

    async def attempts(task: str, newest: int = 64) -> list:
        """The newest attempts at a task with the feedback in force, newest last; `group_id`: sampled together."""
        wanted = whole_number(newest, "newest", 1, MOST_LISTED)

        def run(workbench: Any, job: Any) -> list[dict[str, Any]]:
            return [to_json(one) for one in workbench.attempts(workbench.task(task))[-wanted:]]

        return await result(desk.submit("attempts", "Listing attempts", run))

    async def ledger(attempts: list, config: dict | None = None, spans: dict | None = None) -> list:
        """Which of these attempts (ids) give signal to an update, and why the others do not; spans as in `update`."""
        made = make_config(SDPOConfig, config)

        def run(workbench: Any, job: Any) -> list[dict[str, Any]]:
            asked = [find(workbench, one) for one in attempts]
            return [to_json(entry) for entry in workbench.ledger(asked, made, spans=spans)]

        return await result(desk.submit("ledger", "Counting the signal", run))

    async def credit_tests(attempt: str) -> list:
        """What testing credits of an attempt has found out so far; tests of the same two tokens add up."""

        def run(workbench: Any, job: Any) -> list[dict[str, Any]]:
            asked = find(workbench, attempt)
            return [plain_test(test) for test in workbench.credit_tests() if test.attempt_id == asked.id]

        return await result(desk.submit("tests", "Listing tests of credit", run))

    async def timeline() -> dict:
        """The tree of updates with what each did and its held-out rate on the pack that is worked on; never waits."""
        facts = desk.facts
        pack = facts.get("pack")
        rates = facts.get("held_out", {}).get(pack, {})
        nodes = [
            {
                **{name: node[name] for name in ("update_id", "parent_id", "name", "created")},
                "report": node["report"] and _in_short(node["report"]),
                "held_out": rates.get(node["update_id"]),
            }
            for node in facts.get("timeline", ())
        ]
        return {"head": facts.get("head", ""), "pack": pack, "nodes": nodes}

    async def update_report(update_id: str) -> dict:
        """All that an update reported, predicted and realised change of every token included; never waits."""
        node = next((one for one in desk.facts.get("timeline", ()) if one["update_id"] == update_id), None)
        if node is None or node["report"] is None:
            raise RunError(f"There is no update {update_id!r} in this run; see its timeline.")
        return to_json(node["report"])

    return attempts, ledger, credit_tests, timeline, update_report


def _in_short(report: UpdateReport) -> dict[str, Any]:
    return {name: value for name, value in to_json(report).items() if name not in PER_TOKEN}
