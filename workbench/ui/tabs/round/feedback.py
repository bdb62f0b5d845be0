"""The panel of feedback: what the self-teacher is told about the chosen attempt; a person may change it, or ask first.

Words, a reward, another attempt as demonstration, and the tokens that they are about. "What if?" colours the attempt
under other words and records nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from workbench.config import SDPOConfig
from workbench.records import Attempt
from workbench.service.actions.round import MODES, SOURCES, Detail, Studio
from workbench.service.checks import make_config
from workbench.service.snapshot import Moment, pick
from workbench.ui.panel import QUIET, Panel, Selection, Then, numbered, part, polite


class FeedbackPanel(Panel):
    """Words, a reward and a demonstration for the chosen attempt."""

    def __init__(self, studio: Studio, selection: Selection) -> None:
        super().__init__()
        self.studio, self.selection = studio, selection
        with gr.Column(visible=False) as area:
            self.evidence = self.draw("evidence", _evidence)
            self.text = gr.Textbox(
                label="Feedback that the teacher reads: edit it, ask what if, then give it",
                lines=2,
                max_lines=12,
                elem_id="feedback",
            )
            with gr.Row(elem_classes="wb-give"):
                self.mode = gr.Radio(list(MODES), value=MODES[0], label="The text", min_width=150, elem_id="mode")
                self.source = gr.Dropdown(
                    list(SOURCES), value=SOURCES[0], label="Said by", min_width=100, elem_id="source"
                )
                self.reward = gr.Slider(0, 1, step=0.05, label="Reward", min_width=150, elem_id="reward")
                self.ask = gr.Button("What if?", size="sm", min_width=90, elem_id="what-if")
                self.give = gr.Button("Give feedback", size="sm", min_width=110, elem_id="give-feedback")
            self.answer = part("whatif")
        self.follow("feedback", self.text, lambda m: _of(m, "feedback", ""), lambda value: value[1])
        self.follow("reward", self.reward, lambda m: _of(m, "reward", 0.0), lambda value: round(value[1], 2))
        self.follow("answer", self.answer, lambda m: _of(m, "id", ""), lambda _: numbered({"empty": True}))
        shown = lambda m: m.attempt is not None and m.live is None  # noqa: E731
        self.follow("said", area, shown, lambda visible: gr.Column(visible=visible))

    def connect(self, then: Then) -> None:
        """One button records what was changed, one only asks; the drawn part chooses demonstration and tokens."""
        task_id, chosen, spans = self.selection.task_id, self.selection.chosen, self.selection.spans
        said = [task_id, chosen, self.text, self.reward, self.mode, self.source]
        then(self.give.click(polite(self.on_feedback), said, [chosen], **QUIET))
        asked = [task_id, chosen, self.text, self.selection.config]
        self.ask.click(polite(self.on_what_if), asked, [self.answer], **QUIET)
        drawn = [task_id, chosen, self.text, spans]
        then(self.evidence.select(polite(self.on_evidence), drawn, [self.text, spans, chosen], **QUIET))

    def on_feedback(self, task_id: str, chosen: str, text: str, reward: float, mode: str, source: str) -> str:
        """Only what differs from what is in force is recorded. From now on this attempt is the chosen one."""
        attempt = pick(self.studio.group(task_id), chosen)
        text_said = text if attempt is None or mode == "join" or text != attempt.feedback else None
        reward_said = float(reward) if attempt is None or abs(reward - round(attempt.reward, 2)) > 1e-9 else None
        self.studio.feedback(attempt.id if attempt else "", text_said, reward_said, mode, source=source)
        return attempt.id if attempt else ""

    def on_what_if(self, task_id: str, chosen: str, text: str, config: dict[str, Any]) -> str:
        """Before and after, side by side."""
        attempt = pick(self.studio.group(task_id), chosen)
        made = make_config(SDPOConfig, config)
        shown = attempt.demonstration_id if attempt else None
        return numbered(self.studio.what_if(attempt.id if attempt else "", text, shown, made).future.result())

    def on_evidence(
        self, event: gr.EventData, task_id: str, chosen: str, text: str, spans: dict[str, list[int]]
    ) -> tuple[str, dict[str, list[int]], str]:
        """A demonstration was chosen or taken back, the words are deleted, or something is done with marked tokens.

        From now on this attempt is the chosen one: the page would otherwise go on to one that has feedback.
        """
        attempt = pick(self.studio.group(task_id), chosen)
        what, value = str(getattr(event, "id", "")), str(getattr(event, "value", ""))
        if attempt is not None and what == "demonstration":
            self.studio.feedback(attempt.id, None, None, demonstration_id=value or attempt.id)
        elif attempt is not None and what == "delete":
            self.studio.feedback(attempt.id, "", None)
            text = ""
        elif attempt is not None and what == "clear":
            spans = {name: span for name, span in spans.items() if name != attempt.id}
        elif what == "quote":
            text = f"{text.rstrip()}\n`{value}`: ".lstrip()
        return text, spans, attempt.id if attempt else ""


def _of(moment: Moment, name: str, otherwise: Any) -> tuple[str, Any]:
    return (moment.attempt.id, getattr(moment.attempt, name)) if moment.attempt else ("", otherwise)


def _evidence(moment: Moment) -> dict[str, Any]:
    return evidence(moment.attempt, moment.group, moment.known, moment.marked)


def evidence(
    attempt: Attempt | None, group: Sequence[Attempt], known: Any, marked: tuple[int, int] | None
) -> dict[str, Any]:
    """Whose words the teacher reads, which attempt it is shown, and the tokens that are marked."""
    if attempt is None:
        return {"empty": True}
    shown = known.demonstration if isinstance(known, Detail) else ""
    automatic = next((one.id for one in group if shown and one.id != attempt.id and one.text == shown), "")
    tokens = known.payload["tokens"] if isinstance(known, Detail) else []
    return {
        "source": attempt.feedback_source if attempt.feedback else "",
        "passed": attempt.passed,
        "demonstration": attempt.demonstration_id or automatic,
        "chosen": attempt.demonstration_id is not None,
        "others": [
            {"id": one.id, "number": number, "passed": one.passed}
            for number, one in enumerate(group, 1)
            if one.id != attempt.id
        ],
        "marked": marked
        and {"start": marked[0], "end": marked[1], "text": "".join(one["text"] for one in tokens[slice(*marked)])},
    }
