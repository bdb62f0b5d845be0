"""The panel of feedback: what the self-teacher is told about the chosen attempt; a person may change it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.ui.moment import Moment, pick
from workbench.ui.panel import QUIET, Panel, Selection, Then, polite
from workbench.ui.studio import Studio


class FeedbackPanel(Panel):
    """Words and a reward for the chosen attempt."""

    def __init__(self, studio: Studio, selection: Selection) -> None:
        super().__init__()
        self.studio, self.selection = studio, selection
        with gr.Column(visible=False) as area:
            self.text = gr.Textbox(
                label="Feedback that the teacher reads: edit it, then give it",
                lines=2,
                max_lines=12,
                elem_id="feedback",
            )
            with gr.Row(elem_classes="wb-give"):
                self.mode = gr.Radio(
                    ["replace", "join"], value="replace", label="The text", min_width=160, elem_id="mode"
                )
                self.reward = gr.Slider(0, 1, step=0.05, label="Reward", min_width=160, elem_id="reward")
                self.give = gr.Button("Give feedback", size="sm", min_width=120, elem_id="give-feedback")
        self.follow("feedback", self.text, lambda m: _of(m, "feedback", ""), lambda value: value[1])
        self.follow("reward", self.reward, lambda m: _of(m, "reward", 0.0), lambda value: value[1])
        shown = lambda m: m.attempt is not None and m.live is None  # noqa: E731
        self.follow("said", area, shown, lambda visible: gr.Column(visible=visible))

    def connect(self, then: Then) -> None:
        """The button records what was changed."""
        said = [self.selection.task_id, self.selection.chosen, self.text, self.reward, self.mode]
        then(self.give.click(polite(self.on_feedback), said, None, **QUIET))

    def on_feedback(self, task_id: str, chosen: str, text: str, reward: float, mode: str) -> None:
        """Only what differs from what is in force is recorded as said by a person."""
        attempt = pick(self.studio.group(task_id), chosen)
        text_said = text if attempt is None or mode == "join" or text != attempt.feedback else None
        reward_said = float(reward) if attempt is None or abs(reward - attempt.reward) > 1e-9 else None
        self.studio.feedback(attempt.id if attempt else "", text_said, reward_said, mode)


def _of(moment: Moment, name: str, otherwise: Any) -> tuple[str, Any]:
    return (moment.attempt.id, getattr(moment.attempt, name)) if moment.attempt else ("", otherwise)
