"""The token drawer beside the heatmap: its data when a token is opened, and its interventions, test and force.

The component draws it (`workbench/heatmap/drawer.js`); this module supplies its data and handles its buttons.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.config import SDPOConfig
from workbench.errors import FeedbackError
from workbench.service.actions import tokens
from workbench.service.actions.round import AttemptDetail
from workbench.service.checks import make_config
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, finished, polite


class DrawerPanel(Panel):
    """Both distributions of the open token, and the two interventions on it."""

    def __init__(self, queue: JobQueue, selection: Selection, heat: gr.HTML) -> None:
        super().__init__()
        self.queue, self.selection, self.heat = queue, selection, heat
        self.token = self.draw("token", token)

    def connect(self, then: Then) -> None:
        """Connect the heatmap, which opens tokens and chooses attempts, and the drawer's buttons, which intervene."""
        session = self.selection
        then(self.heat.select(self.on_open, [session.token, session.chosen], [session.token, session.chosen], **NEWEST))
        inputs = [session.config, session.chosen]
        then(self.token.select(polite(self.on_intervene), inputs, [session.chosen], **QUIET))

    def on_open(self, token: dict[str, Any], chosen: str, event: gr.EventData) -> tuple[dict[str, Any], str]:
        """Open a token, or choose another attempt of the group."""
        attempt_id, index = str(getattr(event, "id", "")), getattr(event, "index", None)
        if getattr(event, "verb", "") == "attempt":
            return token, attempt_id
        return {"id": attempt_id, "index": index}, chosen

    async def on_intervene(self, config: dict[str, Any], chosen: str, event: gr.EventData) -> str:
        """Test the credit of a token, or force another one; the resulting attempt is then the chosen one."""
        attempt, position = str(getattr(event, "id", "")), _int(getattr(event, "index", None))
        token_id = _int(getattr(event, "token_id", None))
        if getattr(event, "verb", "") == "test":
            tokens.test_credit(
                self.queue, attempt, position, token_id, tokens.CONTINUATIONS, make_config(SDPOConfig, config)
            )
            return chosen
        forced = await finished(tokens.force_token(self.queue, attempt, position, token_id))
        return forced.id


VERBS = {"test_credit": "test", "force_token": "force"}


def token(snapshot: Snapshot) -> dict[str, Any]:
    """Data of the open token: both distributions, the results of its tests, and the test or attempt under way."""
    attempt_id, position = snapshot.token.get("id"), snapshot.token.get("index")
    credit = snapshot.detail.credit if isinstance(snapshot.detail, AttemptDetail) else None
    if snapshot.attempt is None or snapshot.attempt.id != attempt_id or credit is None:
        return {"id": None}
    if not isinstance(position, int) or not 0 <= position < len(credit.token_ids):
        return {"id": None}
    state = snapshot.state
    from workbench.credit.reach import out_of_reach  # brings torch: only where there are scores

    reached = out_of_reach(credit, position, snapshot.config)
    tests = [test for test in state.tests.get(attempt_id, ()) if test.position == position]
    busy = tokens.interventions(snapshot.queue, attempt_id, position)
    return {
        "id": attempt_id,
        "index": position,
        "top": credit.next_tokens(position, snapshot.config.distillation_alpha),
        "reach": "" if reached is None else str(reached),
        "tests": [{**tokens.tested(test), "here": test.update_id == state.head} for test in tests],
        "busy": VERBS[busy[0]] if busy else "",
    }


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise FeedbackError("Open a token first, and choose what to put in its place.")
    return value
