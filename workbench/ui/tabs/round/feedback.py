"""The panel of feedback: the teacher context of the chosen attempt, which a person may change, or try first.

Its feedback part by part, each kind with a switch: what is switched off, the teacher does not see. Text, a reward,
another attempt as demonstration, and the tokens that they are about. "What if?" colours the attempt under other
feedback and records nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from workbench.config import SDPOConfig
from workbench.records import Attempt, FeedbackKind
from workbench.service.actions.round import MODES, SOURCES, AttemptDetail, feedback, what_if
from workbench.service.checks import changed_setting, make_config
from workbench.service.queue import JobQueue
from workbench.service.snapshot import Snapshot, pick
from workbench.ui.panel import QUIET, Panel, Selection, Then, numbered, part, polite
from workbench.ui.tabs.round.credit import is_long


class FeedbackPanel(Panel):
    """Feedback, a reward and a demonstration for the chosen attempt."""

    def __init__(self, queue: JobQueue, selection: Selection) -> None:
        super().__init__()
        self.queue, self.selection = queue, selection
        with gr.Column(visible=False) as area:
            self.evidence = self.draw("evidence", _evidence)
            self.text = gr.Textbox(
                label="Feedback that the teacher reads: edit it, try “What if?”, then give it",
                lines=2,
                max_lines=12,
                elem_id="feedback",
            )
            with gr.Row(elem_classes="wb-give"):
                self.mode = gr.Radio(list(MODES), value=MODES[0], label="Text", min_width=150, elem_id="mode")
                self.source = gr.Dropdown(
                    list(SOURCES), value=SOURCES[0], label="Given by", min_width=100, elem_id="source"
                )
                self.reward = gr.Slider(0, 1, step=0.05, label="Reward", min_width=150, elem_id="reward")
                self.try_out = gr.Button(what_if.title, size="sm", min_width=90, elem_id="what-if")
                self.give = gr.Button(feedback.title, size="sm", min_width=110, elem_id="give-feedback")
            self.comparison = part("whatif")
        self.follow("feedback", self.text, _taught, lambda value: value[1])
        self.follow("reward", self.reward, lambda m: _of(m, "reward", 0.0), lambda value: round(value[1], 2))
        self.follow("what if", self.comparison, lambda m: _of(m, "id", ""), lambda _: numbered({"empty": True}))
        shown = lambda m: m.attempt is not None and m.live is None  # noqa: E731
        self.follow("feedback area", area, shown, lambda visible: gr.Column(visible=visible))

    def connect(self, then: Then) -> None:
        """Connect the button that records changes, the one that only tries them, and the drawn controls."""
        task_id, chosen, spans = self.selection.task_id, self.selection.chosen, self.selection.spans
        config = self.selection.config
        given = [task_id, chosen, self.text, self.reward, self.mode, self.source, config]
        then(self.give.click(polite(self.on_feedback), given, [chosen], **QUIET))
        tried = [task_id, chosen, self.text, config]
        self.try_out.click(polite(self.on_what_if), tried, [self.comparison], **QUIET)
        drawn = [task_id, chosen, self.text, spans, config]
        then(self.evidence.select(polite(self.on_evidence), drawn, [self.text, spans, chosen, config], **QUIET))

    def on_feedback(
        self, task_id: str, chosen: str, text: str, reward: float, mode: str, source: str, config: dict[str, Any]
    ) -> str:
        """Record only what differs from the feedback in force. From now on this attempt is the chosen one."""
        attempt = pick(self.queue.state.group(task_id), chosen)
        kinds = make_config(SDPOConfig, config).feedback_kinds
        new_text = text if attempt is None or mode == "join" or text != attempt.feedback_of(kinds) else None
        new_reward = float(reward) if attempt is None or abs(reward - round(attempt.reward, 2)) > 1e-9 else None
        feedback(self.queue, attempt.id if attempt else "", new_text, new_reward, mode, source)
        return attempt.id if attempt else ""

    def on_what_if(self, task_id: str, chosen: str, text: str, config: dict[str, Any]) -> str:
        """Score the attempt under the typed feedback, beside its credit in force."""
        attempt = pick(self.queue.state.group(task_id), chosen)
        demonstration = attempt.demonstration_id if attempt else None
        settings = make_config(SDPOConfig, config)
        return numbered(
            what_if(self.queue, attempt.id if attempt else "", text, demonstration or "", settings).result()
        )

    def on_evidence(
        self,
        event: gr.EventData,
        task_id: str,
        chosen: str,
        text: str,
        spans: dict[str, list[int]],
        config: dict[str, Any],
    ) -> tuple[str, dict[str, list[int]], str, dict[str, Any]]:
        """Switch a kind on or off, choose or reset the demonstration, delete the feedback, quote or unmark tokens.

        From now on this attempt is the chosen one: the page would otherwise go on to one that has feedback.
        """
        attempt = pick(self.queue.state.group(task_id), chosen)
        command, value = str(getattr(event, "id", "")), str(getattr(event, "value", ""))
        if attempt is not None and command == "demonstration":
            feedback(self.queue, attempt.id, demonstration=value or attempt.id)
        elif attempt is not None and command == "delete":
            feedback(self.queue, attempt.id, "")
            text = ""
        elif attempt is not None and command == "clear":
            spans = {name: span for name, span in spans.items() if name != attempt.id}
        elif command == "quote":
            text = f"{text.rstrip()}\n`{value}`: ".lstrip()
        elif command == "kind":
            kinds = {*make_config(SDPOConfig, config).feedback_kinds} ^ {value}
            config = changed_setting(SDPOConfig, config, "feedback_kinds", sorted(kinds))
        return text, spans, attempt.id if attempt else "", config


def _of(snapshot: Snapshot, name: str, default: Any) -> tuple[str, Any]:
    return (snapshot.attempt.id, getattr(snapshot.attempt, name)) if snapshot.attempt else ("", default)


def _taught(snapshot: Snapshot) -> tuple[str, str]:
    """The attempt, and its feedback of the kinds that the teacher sees."""
    attempt = snapshot.attempt
    return (attempt.id, attempt.feedback_of(snapshot.config.feedback_kinds)) if attempt else ("", "")


def _evidence(snapshot: Snapshot) -> dict[str, Any]:
    kinds = snapshot.config.feedback_kinds
    data = evidence(snapshot.attempt, snapshot.group, snapshot.detail, snapshot.marked, kinds)
    return {**data, "replay": snapshot.state.read_only}


def evidence(
    attempt: Attempt | None,
    group: Sequence[Attempt],
    known: Any,
    marked: tuple[int, int] | None,
    kinds: Sequence[FeedbackKind],
) -> dict[str, Any]:
    """Data of the panel: what was read and tested, the feedback by kind, the demonstration, and the marked tokens."""
    if attempt is None:
        return {"empty": True}
    shown = known.demonstration if isinstance(known, AttemptDetail) else ""
    automatic = next((other.id for other in group if shown and other.id != attempt.id and other.text == shown), "")
    tokens = known.payload["tokens"] if isinstance(known, AttemptDetail) else []
    return {
        "source": attempt.feedback_source if attempt.parts else "",
        "passed": attempt.passed,
        "read_as": str(read) if is_long(read := attempt.details.get("read_as")) else "",
        "tests": results(attempt.details.get("tests")),
        "parts": by_kind(attempt, kinds),
        "demonstrations": "demonstration" in kinds,
        "demonstration": attempt.demonstration_id or automatic,
        "chosen": attempt.demonstration_id is not None,
        "others": [
            {"id": other.id, "number": number, "passed": other.passed}
            for number, other in enumerate(group, 1)
            if other.id != attempt.id
        ],
        "marked": marked
        and {"start": marked[0], "end": marked[1], "text": "".join(token["text"] for token in tokens[slice(*marked)])},
    }


def by_kind(attempt: Attempt, kinds: Sequence[FeedbackKind]) -> list[dict[str, Any]]:
    """The feedback by kind, and whether the teacher sees it; an answer is in it only where answers are switched on."""
    listed: dict[str, dict[str, Any]] = {}
    for given in attempt.parts:
        entry = listed.setdefault(given.kind, {"kind": given.kind, "on": given.kind in kinds, "texts": []})
        if entry["on"] or given.kind != "answer":
            entry["texts"].append(given.text)
    return list(listed.values())


def results(details: object) -> dict[str, Any]:
    """Results test by test; of hidden tests only how many there are, and how many passed. {} where none are known."""
    listed = [test for test in details if isinstance(test, Mapping)] if isinstance(details, list | tuple) else []
    hidden = [test for test in listed if test.get("hidden")]
    shown = [
        {"passed": bool(test.get("passed")), "shown": str(test.get("shown") or "")}
        for test in listed
        if not test.get("hidden")
    ]
    if not listed:
        return {}
    return {"shown": shown, "hidden": len(hidden), "hidden_passed": sum(bool(test.get("passed")) for test in hidden)}
