"""Kinds of feedback: kept with attempts, chosen for the self-teacher, narrowed by tasks, compared and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from workbench import Workbench
from workbench.cli.settings import parsed_kinds
from workbench.config import FEEDBACK_KINDS, SamplingConfig, SDPOConfig
from workbench.errors import ConfigError, TaskError
from workbench.experiments.arms import ablation
from workbench.experiments.journal import EXPERIMENT
from workbench.plugins import Registry
from workbench.records import Attempt, FeedbackPart, Judgement, Task, attempt_from_json, to_json
from workbench.runs.state import in_force
from workbench.service.checks import make_config
from workbench.tasks import Environment, judge, register_environment, registry
from workbench.tasks.sandbox import SandboxResult
from workbench.teacher_context import explain, gather
from workbench.ui.tabs.round.attempts import cards
from workbench.ui.tabs.round.feedback import by_kind, evidence, results
from workbench.ui.tabs.settings import as_command

FEW = SamplingConfig(max_new_tokens=6)
SECRET = "the answer is 42."
PARTS = (
    FeedbackPart("format", "close the block."),
    FeedbackPart("example", "f(1) returned 1, expected 2"),
    FeedbackPart("example", "f(2) returned 2, expected 3"),
    FeedbackPart("answer", SECRET),
)
ATTEMPT = Attempt(
    id="a",
    task_id="p/t",
    group_id="g",
    update_id="root",
    prompt_ids=(1,),
    token_ids=(2, 3),
    text="x",
    sampling_logps=(-0.1, -0.2),
    finished=True,
    temperature=1.0,
    reward=0.0,
    passed=False,
    feedback="\n".join(part.text for part in PARTS[:3]),
    parts=PARTS,
)
ALL, DEFAULT = SDPOConfig(feedback_kinds=FEEDBACK_KINDS), SDPOConfig()


def test_parts_are_stored_and_text_alone_has_the_kind_of_its_source() -> None:
    assert attempt_from_json(json.loads(json.dumps(to_json(ATTEMPT)))) == ATTEMPT
    for source, kind in (("environment", "outcome"), ("judge", "judge"), ("person", "person")):
        old = {key: value for key, value in to_json(ATTEMPT).items() if key != "parts"} | {"feedback_source": source}
        assert attempt_from_json(old).parts == (FeedbackPart(kind, ATTEMPT.feedback),)  # type: ignore[arg-type]
    assert replace(ATTEMPT, feedback="").parts == ()
    assert replace(ATTEMPT, feedback="", parts=PARTS[3:]).parts == PARTS[3:]  # nothing but the answer was told
    assert replace(ATTEMPT, feedback="other").parts == (FeedbackPart("outcome", "other"),)  # not those of the old text


def test_what_people_say_is_a_part_of_its_own() -> None:
    joined = in_force(ATTEMPT, [{"text": "sort!", "mode": "join", "source": "judge"}])
    assert joined.parts == (*PARTS, FeedbackPart("judge", "sort!"))
    assert joined.feedback_of(DEFAULT.feedback_kinds) == f"{ATTEMPT.feedback}\n\nsort!" == joined.feedback
    assert joined.feedback_of(("judge", "format")) == "close the block.\nsort!"
    replaced = in_force(ATTEMPT, [{"text": "sort!", "mode": "join"}, {"text": "shown.", "source": "demonstration"}])
    assert replaced.parts == (FeedbackPart("demonstration", "shown."),)
    assert in_force(ATTEMPT, [{"text": ""}]).parts == ()
    assert in_force(ATTEMPT, [{"reward": 0.5}]).parts == PARTS


def test_the_teacher_sees_the_kinds_that_are_chosen_and_answers_only_when_asked_for() -> None:
    assert gather(ATTEMPT, [], ALL).feedback == f"{ATTEMPT.feedback}\n{SECRET}"
    assert gather(ATTEMPT, [], DEFAULT).feedback == "\n".join(part.text for part in PARTS[:3])
    assert gather(ATTEMPT, [], SDPOConfig(feedback_kinds=("answer", "format"))).feedback == f"{PARTS[0].text}\n{SECRET}"
    other = replace(ATTEMPT, id="b", passed=True, reward=1.0, feedback="", text="y")
    assert gather(ATTEMPT, [ATTEMPT, other], DEFAULT).demonstration == "y"
    without = SDPOConfig(feedback_kinds=("error",))
    chosen = replace(ATTEMPT, demonstration_id="b")
    assert gather(chosen, [chosen, other], without).kind == ""
    entry = explain(ATTEMPT, gather(ATTEMPT, [ATTEMPT], without), [ATTEMPT], without)
    assert not entry.used
    said = "its feedback is of kinds that are switched off (format, example, answer)"
    assert entry.reason == f"{said}, and demonstrations are switched off"


def test_where_only_the_answer_is_given_the_signal_report_says_that_it_is_off() -> None:
    """As in tool use that is graded as in the paper."""
    answer = {"calls": [{"name": "stop", "arguments": {}}], "grading": "paper"}
    verdict = judge(Task("p/t", "Q", "tool_calls", answer), "Action: go\nAction Input: {}")
    failed = replace(ATTEMPT, feedback=verdict.feedback, parts=verdict.parts)
    assert [part.kind for part in failed.parts] == ["answer"]
    entry = explain(failed, gather(failed, [failed], DEFAULT), [failed], DEFAULT)
    assert entry.reason.startswith("its feedback is of kinds that are switched off (answer), and no attempt")
    assert explain(failed, gather(failed, [failed], ALL), [failed], ALL).used


def test_the_kinds_are_a_setting_like_the_others() -> None:
    assert "answer" not in DEFAULT.feedback_kinds and len(DEFAULT.feedback_kinds) == len(FEEDBACK_KINDS) - 1
    chosen = make_config(SDPOConfig, {"feedback_kinds": ["error", "format", "error"]})
    assert chosen.feedback_kinds == ("format", "error")
    assert SDPOConfig(**json.loads(json.dumps({"feedback_kinds": chosen.feedback_kinds}))) == chosen
    for wrong, said in ((["gossip"], "has 'gossip'; choose from format"), ("error", "must be a list")):
        with pytest.raises(ConfigError, match=said):
            make_config(SDPOConfig, {"feedback_kinds": wrong})
    with pytest.raises(ConfigError, match="give a list of format"):
        SDPOConfig(feedback_kinds="error")  # type: ignore[arg-type]
    assert as_command(chosen, "r").endswith("--feedback-kinds format,error")
    assert as_command(SDPOConfig(feedback_kinds=()), "r").endswith("--feedback-kinds none")
    assert SDPOConfig(feedback_kinds=parsed_kinds("format, error")) == chosen
    assert parsed_kinds("none") == ()


class Oracle(Environment):
    """Says in four ways that an attempt is wrong, one of which discloses the answer."""

    name = "oracle"
    feedback_kinds = ("format", "example", "answer")

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Never pass; `task.answer["given"]` is what a mistaken environment returns."""
        given = task.answer.get("given")
        return self.judgement(False, PARTS) if given is None else given


@pytest.fixture(scope="module", autouse=True)
def oracle() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        old = registry._ENVIRONMENTS
        patch.setattr(registry, "_ENVIRONMENTS", Registry(old.kind, old.group, old._accept, old._built_in.values()))
        register_environment(Oracle)
        yield


@pytest.mark.parametrize(
    ("asked", "kept"),
    [(None, PARTS), ("example", PARTS[1:3]), ("examples+format", PARTS[:3]), ("answer", PARTS[3:]), ("none", ())],
)
def test_a_task_narrows_what_its_environment_gives(asked: str | None, kept: tuple[FeedbackPart, ...]) -> None:
    verdict = judge(Task("p/t", "Q", "oracle", {} if asked is None else {"feedback": asked}), "x")
    assert verdict.parts == kept and verdict.feedback == "\n".join(part.text for part in kept if part.text != SECRET)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (Judgement(0.0, False, "text"), (FeedbackPart("outcome", "text"),)),
        (Judgement(0.5, False, [FeedbackPart("error", "e")]), (FeedbackPart("error", "e"),)),  # type: ignore[arg-type]
        (Judgement(0.0, False, "", {}, (FeedbackPart("error", "e"),)), (FeedbackPart("error", "e"),)),
        (Judgement(0.0, False, (FeedbackPart("error", ""),)), ()),  # type: ignore[arg-type]
    ],
)
def test_environments_may_give_text_or_parts(given: Judgement, parts: tuple[FeedbackPart, ...]) -> None:
    verdict = judge(Task("p/t", "Q", "oracle", {"given": given}), "x")
    assert verdict.parts == parts and verdict.feedback == "".join(part.text for part in parts)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Judgement(0.0, False, "", {}, (FeedbackPart("gossip", "x"),)), "of the kind 'gossip', and must be of format"),  # type: ignore[arg-type]
        (Judgement(0.0, False, "y", {}, (FeedbackPart("error", "x"),)), "not that of its parts"),
        (Judgement(0.0, False, "5", {}, (FeedbackPart("error", 5),)), "not text"),  # type: ignore[arg-type]
        (Judgement(0.0, False, "", {}, ("error",)), "AttributeError"),  # type: ignore[arg-type]
        (Judgement(0.0, False, None), "not text"),  # type: ignore[arg-type]
    ],
)
def test_impossible_parts_are_named_as_a_mistake_of_the_environment(given: Judgement, said: str) -> None:
    with pytest.raises(TaskError, match=f"'oracle' returned no valid judgement.*{said}"):
        judge(Task("p/t", "Q", "oracle", {"given": given}), "x")


def test_a_kind_of_an_environment_s_own_naming_can_be_chosen_by_tasks() -> None:
    class Own(Oracle):
        name, feedback_kinds = "own", ("direction", "error")

    given = Own().feedback(Task("p/t", "Q", "own"), direction="more", error="")
    assert given == (FeedbackPart("outcome", "more"),)
    assert Own().feedback(Task("p/t", "Q", "own", {"feedback": "error"}), direction="more") == ()
    with pytest.raises(TaskError, match="'own' has no feedback 'remark'; it has direction, error, none"):
        Own().wanted_feedback(Task("p/t", "Q", "own", {"feedback": "remark"}))


def test_kinds_are_ablated_one_by_one() -> None:
    arms = ablation("kinds", DEFAULT, kinds=("example", "judge", "answer"))  # the settings hide answers
    assert [(arm.name, arm.feedback) for arm in arms] == [
        ("all kinds", "example+judge"),
        ("without example", "judge"),
        ("without judge", "example"),
        ("no feedback", "none"),
    ]
    assert [arm.name for arm in ablation("kinds", DEFAULT, kinds=("error",))] == ["all kinds", "no feedback"]
    assert "without answer" in [arm.name for arm in ablation("kinds", ALL, kinds=("example", "answer"))]
    for table in ("kinds", "feedback"):
        with pytest.raises(ConfigError, match="The settings hide answer from the teacher"):
            ablation(table, DEFAULT, kinds=("answer",))


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench.open(tmp_path_factory.mktemp("kinds") / "run") as opened:
        yield opened


@pytest.fixture(scope="module")
def group(workbench: Workbench) -> list[Attempt]:
    task = workbench.add_task(prompt="Write f(xs): sort, then take 3.", environment="oracle", name="one")
    return workbench.attempt(task, 2, sampling=FEW)


def test_credit_is_compared_under_each_kind(workbench: Workbench, group: list[Attempt]) -> None:
    assert group[0].parts == PARTS and workbench.attempts()[0].parts == PARTS
    comparison = workbench.compare(group[0], "feedbacks")
    rows = {row.name: row for row in comparison.rows}
    assert [name for name in rows if name.startswith("only-")] == ["only-format", "only-example"]
    assert rows["only-format"].values != rows["only-example"].values != rows["given"].values
    assert comparison.absent["answer"].startswith("it discloses the answer; switch the kind on")
    assert all(SECRET not in row.how for row in comparison.rows)
    asked = {row.name: row for row in workbench.compare(group[0], "feedbacks", config=ALL).rows}
    assert asked["only-answer"].how == SECRET


def test_no_prompt_discloses_an_answer_that_nobody_asked_for(workbench: Workbench, group: list[Attempt]) -> None:
    assert SECRET not in workbench.teacher_prompt(group[0]).text
    assert SECRET in workbench.teacher_prompt(group[0], ALL).text
    assert workbench.credit(group[0]).contexts != workbench.credit(group[0], ALL).contexts
    task = workbench.task(group[0].task_id)
    talk: dict[str, Any] = {"methods": ("multi_turn_feedback",), "budget": 2}
    list(workbench.discover([task], **talk, name="without"))
    list(workbench.discover([task], **talk, config=ALL, name="with"))
    without, asked = (
        workbench.policy.tokenizer.decode(list(workbench.attempts(task)[place].prompt_ids)) for place in (-3, -1)
    )
    assert "close the block" in without and "42" not in without
    assert "42" in asked


def test_the_page_shows_parts_by_kind_and_hides_answers_and_hidden_tests() -> None:
    listed = [
        {"passed": True, "hidden": False, "shown": "f(1) returned 2"},
        {"passed": False, "hidden": False, "shown": "f(2) returned 2, expected 3"},
        {"passed": False, "hidden": True, "shown": "f(9) returned 9, expected 10"},
        {"passed": True, "hidden": True, "shown": ""},
    ]
    attempt = replace(ATTEMPT, details={"read_as": "B", "tests": listed})
    shown = evidence(attempt, [attempt], None, None, DEFAULT.feedback_kinds)
    assert (shown["read_as"], shown["demonstrations"]) == ("", True)  # short, and in the titles
    program = replace(attempt, details={"read_as": "def f():\n    pass"})
    assert evidence(program, [program], None, None, DEFAULT.feedback_kinds)["read_as"] == "def f():\n    pass"
    assert cards([program], None, "a", [None], None, None, DEFAULT.feedback_kinds)["rows"][0]["read_as"] is None
    assert shown["tests"] == {"shown": listed_without_hidden(listed), "hidden": 2, "hidden_passed": 1}
    assert [(entry["kind"], entry["on"], len(entry["texts"])) for entry in shown["parts"]] == [
        ("format", True, 1),
        ("example", True, 2),
        ("answer", False, 0),
    ]
    rows = cards([attempt], None, "a", [None], None, None, DEFAULT.feedback_kinds)
    assert SECRET not in json.dumps([shown, rows]) and "f(9)" not in json.dumps([shown, rows])
    assert by_kind(attempt, FEEDBACK_KINDS)[-1] == {"kind": "answer", "on": True, "texts": [SECRET]}
    off = by_kind(attempt, ("answer",))[0]
    assert off == {"kind": "format", "on": False, "texts": ["close the block."]}  # shown, and not to the teacher
    for strange in (None, [], "passed", [3], {"passed": 1}):
        assert results(strange) == {}


def listed_without_hidden(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"passed": test["passed"], "shown": test["shown"]} for test in listed if not test["hidden"]]


def test_settings_that_an_earlier_version_recorded_are_those_of_today(workbench: Workbench) -> None:
    task = workbench.task("ad-hoc/one")
    settings = {"budget": 1, "group": 1}
    list(workbench.discover([task], ("best_of_k",), 1, group=1, name="before"))
    (begun,) = (e for e in workbench.events() if e.kind == EXPERIMENT and e.data["name"] == "before")
    old = json.loads(json.dumps(begun.data["settings"]))
    assert old["config"].pop("feedback_kinds") and settings.items() <= old.items()
    workbench.run.append(EXPERIMENT, {"name": "old", "settings": old, "start": "root"})
    assert [point.generations for point in workbench.resume("old")] == [1]
