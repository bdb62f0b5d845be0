"""Feedback on an attempt besides its text: its source, another attempt as demonstration, templates."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import Workbench
from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import FeedbackError
from workbench.records import Attempt
from workbench.service.actions.round import sample, update, what_if
from workbench.service.actions.tasks import add_task
from workbench.service.publish import publish_opened
from workbench.service.queue import JobQueue
from workbench.teacher_context import explain, gather

WAIT_S = 120.0
IMPOSSIBLE = {"tests": [{"function": "f", "args": [[3, 1, 2, 5]], "expected": "nothing"}]}
SHORT = SamplingConfig(max_new_tokens=8)


def test_a_chosen_demonstration_is_shown_survives_a_restart_and_can_be_taken_back(tmp_path: Path) -> None:
    prompt = "Write f(xs): sort, then take 3."
    with Workbench.open(tmp_path / "run") as workbench:
        task = workbench.add_task(prompt=prompt, environment="python", answer=IMPOSSIBLE, name="one")
        elsewhere = workbench.add_task(prompt=prompt, environment="python", answer=IMPOSSIBLE, name="two")
        first, second = workbench.attempt(task, 2, sampling=SHORT)
        (stranger,) = workbench.attempt(elsewhere, 1, sampling=SHORT)
        with pytest.raises(FeedbackError, match="same task"):
            workbench.give_feedback(first, demonstration=stranger)
        with pytest.raises(FeedbackError, match="use one of"):
            workbench.give_feedback(first, "x", source="oracle")  # type: ignore[arg-type]
        informed = workbench.give_feedback(first, "sort descending.", source="judge", demonstration=second)
        assert (informed.demonstration_id, informed.feedback_source) == (second.id, "judge")
        assert workbench.shown_to_teacher(informed).demonstration == second.text
        assert second.text.strip() in workbench.teacher_prompt(informed).text
        templates = SDPOConfig(template="{question}\nLike this: {demonstration}\n\nNow you.\n")
        text = workbench.teacher_prompt(informed, templates).text
        assert f"Like this: {second.text.strip()}" in text and "Now you." in text and "Correct solution" not in text
        assert (
            workbench.credit(informed, templates).contexts["teacher"] != workbench.credit(informed).contexts["teacher"]
        )
    with Workbench.open(tmp_path / "run") as workbench:
        again = next(attempt for attempt in workbench.attempts() if attempt.id == informed.id)
        assert again.demonstration_id == second.id
        assert workbench.give_feedback(again, demonstration=again).demonstration_id is None
        assert workbench.shown_to_teacher(again).demonstration == ""


def test_what_the_template_has_no_place_for_is_not_shown_and_the_ledger_says_so() -> None:
    failed = Attempt("a", "p/t", "g", "root", (1,), (2,), "no", (-1.0,), True, 1.0, 0.0, False, "wrong", "person")
    config = SDPOConfig(template="{question} {demonstration}")
    assert gather(failed, [failed], SDPOConfig()).feedback == "wrong"
    shown = gather(failed, [failed], config)
    assert not shown.kind
    assert "the template has no place for its feedback" in explain(failed, shown, [failed], config).reason


def test_what_if_shows_both_on_one_scale_and_records_nothing(tmp_path: Path) -> None:
    """The job behind the page and its endpoint; marked tokens reach the ledger and the update."""
    queue = JobQueue(lambda: Workbench.open(tmp_path / "run"), publish_opened).start()
    try:
        assert queue.settled.wait(WAIT_S)
        config = SDPOConfig(steps=1)
        task = add_task(queue, "Write f(xs): sort, then take 3.", "python", IMPOSSIBLE).result(WAIT_S)
        first, second = sample(queue, task.id, 2, SHORT.temperature, SHORT.max_new_tokens).result(WAIT_S)
        recorded = [event for event in queue.workbench.events() if event.kind == "feedback"]
        comparison = what_if(queue, first.id, "sort descending.", second.id, config).result(WAIT_S)
        assert comparison["before"]["limits"] == comparison["after"]["limits"]
        assert comparison["before"]["views"][0]["values"] != comparison["after"]["views"][0]["values"]
        assert comparison["sums"][1] == pytest.approx(sum(comparison["after"]["views"][0]["values"]))
        assert [event for event in queue.workbench.events() if event.kind == "feedback"] == recorded
        spans = {first.id: [1, 3], "a-elsewhere": [0, 1]}  # what is marked in another group does not matter here
        report = update(queue, [first.id, second.id], config, spans).result(WAIT_S)
        pushed = [place for place, push in enumerate(report.predicted[first.id]) if push != 0.0]
        assert pushed and set(pushed) <= {1, 2}
    finally:
        queue.close()
