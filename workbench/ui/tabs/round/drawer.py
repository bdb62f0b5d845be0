"""The token drawer beside the heatmap: what the page's script asks for when a token is opened, tested or forced.

The component draws it (`workbench/heatmap/drawer.js`); here is what it is told, and what its buttons do.
"""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr

from workbench.config import SDPOConfig
from workbench.errors import FeedbackError
from workbench.service.actions import tokens as intervention
from workbench.service.actions.round import Detail, Studio
from workbench.service.checks import make_config
from workbench.service.snapshot import Moment
from workbench.ui.panel import NEWEST, QUIET, Panel, Selection, Then, polite


class DrawerPanel(Panel):
    """Both distributions of the open token, and the two interventions on it."""

    def __init__(self, studio: Studio, selection: Selection, heat: gr.HTML) -> None:
        super().__init__()
        self.studio, self.selection, self.heat = studio, selection, heat
        self.token = self.draw("token", token)

    def connect(self, then: Then) -> None:
        """The heatmap opens tokens and asks for other attempts; the drawer's buttons intervene."""
        session = self.selection
        then(self.heat.select(self.on_open, [session.token, session.chosen], [session.token, session.chosen], **NEWEST))
        inputs = [session.config, session.chosen]
        then(self.token.select(polite(self.on_intervene), inputs, [session.chosen], **QUIET))

    def on_open(self, token: dict[str, Any], chosen: str, event: gr.EventData) -> tuple[dict[str, Any], str]:
        """A token was opened, or another attempt of the group was asked for."""
        asked, index = str(getattr(event, "id", "")), getattr(event, "index", None)
        if getattr(event, "verb", "") == "attempt":
            return token, asked
        return {"id": asked, "index": index}, chosen

    async def on_intervene(self, config: dict[str, Any], chosen: str, event: gr.EventData) -> str:
        """Test the credit of a token, or force another one; the attempt that comes of it is then the chosen one."""
        attempt, place = str(getattr(event, "id", "")), _whole(getattr(event, "index", None))
        token_id = _whole(getattr(event, "token_id", None))
        if getattr(event, "verb", "") == "test":
            settings = make_config(SDPOConfig, config)
            intervention.tested(self.studio, attempt, place, token_id, intervention.CONTINUATIONS, settings)
            return chosen
        job = intervention.forced(self.studio, attempt, place, token_id)
        forced = await asyncio.shield(asyncio.wrap_future(job.future))
        return str(forced.id)


def token(moment: Moment) -> dict[str, Any]:
    """What the drawer shows of the open token: both distributions, what was found out, what is under way."""
    asked, index, known = moment.token.get("id"), moment.token.get("index"), moment.known
    if moment.attempt is None or moment.attempt.id != asked or not isinstance(known, Detail) or known.credit is None:
        return {"id": None}
    if not isinstance(index, int) or not 0 <= index < len(known.credit.token_ids):
        return {"id": None}
    tests = [test for test in moment.facts.get("tests", {}).get(asked, ()) if test["position"] == index]
    busy = [one["verb"] for one in moment.facts.get("intervening", ()) if (one["id"], one["index"]) == (asked, index)]
    return {
        "id": asked,
        "index": index,
        "top": known.credit.next_tokens(index, moment.config.distillation_alpha),
        "tests": [{**test, "here": test["update_id"] == moment.facts.get("head")} for test in tests],
        "busy": busy[0] if busy else "",
    }


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise FeedbackError("Open a token first, and choose what to put in its place.")
    return value
