"""The teacher context of each attempt, and why an attempt gives no signal (docs/algorithm.md, section 4)."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.config import SDPOConfig
from workbench.records import Attempt
from workbench.teacher_context import TeacherContext, explain, gather, is_taught


def attempt(name: str, *, passed: bool, **changes: Any) -> Attempt:
    fields: dict[str, Any] = {
        "id": name,
        "task_id": "p/t",
        "group_id": "g",
        "update_id": "root",
        "prompt_ids": (1,),
        "token_ids": (2, 3),
        "text": f"text of {name}",
        "sampling_logps": (-0.1, -0.2),
        "finished": True,
        "temperature": 1.0,
        "reward": float(passed),
        "passed": passed,
        "feedback": "" if passed else f"feedback on {name}",
    }
    return Attempt(**(fields | changes))


FAILED, OTHER_FAILED = attempt("failed", passed=False), attempt("other", passed=False)
PASSED, SECOND = attempt("passed", passed=True), attempt("second", passed=True)
MUTE = attempt("mute", passed=False, feedback="")
SDPO = SDPOConfig()
BLEND, SRPO, RLSD = (SDPOConfig(method=name) for name in ("blend", "srpo", "rlsd"))  # type: ignore[arg-type]
STANDS_OUT = "reward above or below the group's mean"
EQUAL = "all rewards of its group are equal, so no attempt stands out"
UNTAUGHT = "it failed without feedback, and no attempt of its group passed"


def test_a_failed_attempt_brings_its_feedback_and_another_that_passed() -> None:
    shown = gather(FAILED, [FAILED, OTHER_FAILED, PASSED], SDPO)
    assert shown == TeacherContext("feedback on failed", "text of passed")
    assert shown.kind == "feedback and demonstration"
    assert gather(FAILED, [FAILED, OTHER_FAILED], SDPO) == TeacherContext("feedback on failed")


def test_a_passed_attempt_is_shown_another_one_and_never_itself() -> None:
    assert gather(PASSED, [PASSED, FAILED], SDPO) == TeacherContext()
    assert gather(PASSED, [PASSED, SECOND], SDPO).demonstration == "text of second"
    # The environment's word on a pass is not feedback on an unsuccessful attempt.
    assert gather(attempt("x", passed=True, feedback="All right."), [], SDPO).feedback == ""


def test_a_demonstration_that_says_something_else_is_preferred() -> None:
    twin = attempt("twin", passed=True, text=PASSED.text)
    assert gather(PASSED, [twin, SECOND], SDPO).demonstration == "text of second"
    assert gather(PASSED, [twin], SDPO).demonstration == PASSED.text


def test_attempts_at_another_task_demonstrate_nothing() -> None:
    elsewhere = attempt("elsewhere", passed=True, task_id="p/another")
    assert gather(FAILED, [FAILED, elsewhere], SDPO).demonstration == ""


def test_switches_of_the_teacher_s_prompt() -> None:
    assert gather(FAILED, [FAILED, PASSED], SDPOConfig(use_demonstrations=False)).demonstration == ""
    assert SDPO.include_failed_attempt is False  # it anchors the teacher (paper, Table 6)
    shown = gather(FAILED, [FAILED], SDPOConfig(include_failed_attempt=True))
    assert shown.failed_attempt == "text of failed"
    assert gather(PASSED, [PASSED], SDPOConfig(include_failed_attempt=True)).failed_attempt == ""


def test_a_person_is_heard_on_a_pass_too_and_white_space_is_no_word() -> None:
    praised = attempt("praised", passed=True, feedback="Shorter, please.", feedback_source="person")
    assert gather(praised, [praised], SDPO) == TeacherContext("Shorter, please.")
    blank = attempt("blank", passed=False, feedback=" \n ", feedback_source="person")
    assert explain(blank, gather(blank, [blank], SDPO), [blank], SDPO).used is False


@pytest.mark.parametrize(
    ("one", "group", "config", "used", "reason"),
    [
        (FAILED, [FAILED], SDPO, True, "feedback"),
        (FAILED, [FAILED, PASSED], SDPO, True, "feedback and demonstration"),
        (PASSED, [PASSED, SECOND], SDPO, True, "demonstration"),
        (PASSED, [PASSED, FAILED], SDPO, False, "it passed, and no other attempt of its group did"),
        (
            attempt("mute", passed=False, feedback=""),
            [FAILED],
            SDPO,
            False,
            "it failed without feedback, and no attempt of its group passed",
        ),
        (attempt("cut", passed=False, token_ids=()), [FAILED], SDPO, False, "it has no tokens"),
        (FAILED, [FAILED, PASSED], SDPOConfig(method="grpo"), True, "reward above or below the group's mean"),
        (
            FAILED,
            [FAILED, OTHER_FAILED],
            SDPOConfig(method="grpo"),
            False,
            "all rewards of its group are equal, so no attempt stands out",
        ),
        (FAILED, [FAILED, PASSED], BLEND, True, f"feedback and demonstration; {STANDS_OUT}"),
        (FAILED, [FAILED, OTHER_FAILED], BLEND, True, "feedback"),
        (PASSED, [PASSED, FAILED], BLEND, True, STANDS_OUT),
        (MUTE, [MUTE], BLEND, False, f"{UNTAUGHT}; {EQUAL}"),
        (MUTE, [MUTE], SDPOConfig(method="blend", grpo_weight=1.0), False, EQUAL),
        (MUTE, [MUTE], SDPOConfig(method="blend", grpo_weight=0.0), False, UNTAUGHT),
        (FAILED, [FAILED, PASSED], SRPO, True, "feedback and demonstration"),
        (MUTE, [MUTE, PASSED], SDPOConfig(method="srpo", use_demonstrations=False), True, STANDS_OUT),
        (PASSED, [PASSED, FAILED], SRPO, True, STANDS_OUT),
        (PASSED, [PASSED, SECOND], SRPO, False, EQUAL),  # a demonstration is of no use to a success here
        (MUTE, [MUTE], SRPO, False, f"{UNTAUGHT}; {EQUAL}"),
        (FAILED, [FAILED, PASSED], RLSD, True, f"{STANDS_OUT}, weighed by feedback and demonstration"),
        (PASSED, [PASSED, FAILED], RLSD, True, STANDS_OUT),
        (FAILED, [FAILED, OTHER_FAILED], RLSD, False, EQUAL),
    ],
)
def test_the_ledger_says_why(one: Attempt, group: list[Attempt], config: SDPOConfig, used: bool, reason: str) -> None:
    entry = explain(one, gather(one, group, config), group, config)
    assert (entry.attempt_id, entry.used, entry.reason) == (one.id, used, reason)


def test_an_attempt_of_which_nothing_is_selected_gives_no_signal() -> None:
    shown = gather(FAILED, [FAILED], SDPO)
    assert explain(FAILED, shown, [FAILED], SDPO, []).reason == "none of its tokens is selected"
    assert explain(FAILED, shown, [FAILED], SDPO, [(0, 1)]).used


@pytest.mark.parametrize(("method", "failed", "passed"), [("sdpo", True, True), ("grpo", False, False),
                         ("blend", True, True), ("srpo", True, False), ("rlsd", True, True)])  # fmt: skip
def test_whom_the_teacher_is_asked_about(method: str, failed: bool, passed: bool) -> None:
    config = SDPOConfig(method=method)  # type: ignore[arg-type]
    assert is_taught(FAILED, gather(FAILED, [FAILED], config), config) is failed
    assert is_taught(PASSED, gather(PASSED, [PASSED, SECOND], config), config) is passed
    assert not is_taught(MUTE, gather(MUTE, [MUTE], config), config)


def test_a_demonstration_that_a_person_chose_counts_whatever_the_settings_say() -> None:
    told = attempt("told", passed=False, demonstration_id="other")
    group = [told, OTHER_FAILED, PASSED]
    assert gather(told, group, SDPO).demonstration == "text of other"  # it may have failed: the person decides
    assert gather(told, group, SDPOConfig(use_demonstrations=False)).demonstration == "text of other"
    judged = attempt("judged", passed=True, feedback="Too long.", feedback_source="judge")
    assert gather(judged, [], SDPO).feedback == "Too long."  # another model's words count like a person's
