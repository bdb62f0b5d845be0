"""The plugin's own test; it needs the plugin installed, as its README says."""

from __future__ import annotations

import pytest

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks import find_pack, judge
from workbench.tasks.drawing import check_apart, held_out_tasks, train_tasks

WORDS = {"uses": ["sorted"], "avoids": ["sum"]}


@pytest.mark.parametrize(
    ("text", "reward", "feedback"),
    [
        ("return sorted(xs)", 1.0, ""),
        ("return xs", 0.5, "Use sorted."),
        ("return sum(xs)", 0.0, "Use sorted.\nDo not use sum."),
    ],
)
def test_words_are_wanted_and_unwanted(text: str, reward: float, feedback: str) -> None:
    judged = judge(Task("mine/one", "Write f(xs): sort.", "style", WORDS), text)
    assert (judged.reward, judged.passed, judged.feedback) == (reward, reward == 1, feedback)


def test_one_kind_of_feedback_can_be_had_alone() -> None:
    task = Task("mine/one", "Write f(xs): sort.", "style", {**WORDS, "feedback": "unwanted"})
    assert judge(task, "return sum(xs)").feedback == "Do not use sum."


@pytest.mark.parametrize("answer", [{}, {"uses": []}, {"uses": [3]}, {"uses": None}])
def test_a_task_without_words_is_refused(answer: dict) -> None:
    with pytest.raises(TaskError, match="Judging by 'style' needs words"):
        judge(Task("mine/one", "Write f(xs): sort.", "style", answer), "x")


def test_the_pack_keeps_its_sides_apart() -> None:
    pack = find_pack("code-style")
    train, held_out = train_tasks(pack, 99, 1), held_out_tasks(pack, 99)
    assert (len(train), len(held_out)) == (11, 3)
    check_apart(pack, train, held_out)
    assert train != train_tasks(pack, 99, 2)
