"""Credit through a run: the material of each context, what is on disk, and the check against float64."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scripted import given_texts

from workbench import Workbench, teacher_context
from workbench.cli import main
from workbench.config import SamplingConfig, SDPOConfig
from workbench.credit import CONTEXTS
from workbench.errors import ConfigError, CreditError
from workbench.policy.chat import Chat
from workbench.records import Attempt, Task
from workbench.runs import Run
from workbench.session import credit_store, writing
from workbench.session.scoring import render_teacher_prompt
from workbench.teacher_context import TeacherContext

FEW = SamplingConfig(max_new_tokens=6)
IMPOSSIBLE = {"tests": [{"function": "f", "args": [[3, 1, 2, 5]], "expected": "nothing"}]}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench.open(tmp_path_factory.mktemp("credit") / "run") as workbench:
        yield workbench


def sampled(workbench: Workbench, name: str, n: int = 2) -> list[Attempt]:
    prompt = f"Write f(xs): sort, then take {len(name)}."
    task = workbench.add_task(prompt=prompt, environment="python", answer=IMPOSSIBLE, name=name)
    group = workbench.attempt(task, n, sampling=FEW)
    return [workbench.give_feedback(attempt, f"remark {place} on {name}.") for place, attempt in enumerate(group)]


def read(workbench: Workbench, ids: tuple[int, ...]) -> str:
    return str(workbench.policy.tokenizer.decode(ids))


def test_every_context_is_made_of_its_own_material(shared: Workbench) -> None:
    first, second = sampled(shared, "one")
    sampled(shared, "other")
    credit = shared.credit(first, contexts="all")
    assert tuple(credit.contexts) == tuple(CONTEXTS) and credit.absent == {}
    stored = shared.credits(first)[-1]
    prompts = {name: read(shared, tuple(ids)) for name, ids in stored.basis.prompts.items()}
    assert prompts["student"] == prompts["base"] == read(shared, first.prompt_ids)
    ending = "Correctly solve the original question."
    assert all((ending in prompts[name]) == (name not in ("student", "base")) for name in CONTEXTS)
    assert all((first.feedback in prompts[name]) == (name in TOLD) for name in CONTEXTS)
    assert second.feedback in prompts["wrong_feedback"]
    asked, other = (shared.task(f"ad-hoc/{name}").prompt for name in ("one", "other"))
    unasked = ("mismatched_question", "answer_only")
    assert all((asked in prompts[name]) == (name not in unasked) for name in CONTEXTS)
    assert other in prompts["mismatched_question"] and "Write f" not in prompts["answer_only"]
    header = Chat(shared.policy.tokenizer).generation_suffix()
    assert header and all(prompt.endswith(header) for prompt in prompts.values())  # trap 2
    others = [name for name in CONTEXTS if name not in ("student", "base")]  # those two are equal before any update
    assert len({prompts[name] for name in others}) == len(others)


TOLD = ("teacher", "mismatched_question", "answer_only")


def test_the_default_is_cheap_and_names_are_enough(shared: Workbench) -> None:
    (attempt,) = sampled(shared, "cheap", 1)
    assert tuple(shared.credit(attempt).contexts) == ("student", "teacher", "base")
    assert tuple(shared.credit(attempt, contexts=("answer_only",)).contexts) == ("student", "teacher", "answer_only")
    assert shared.contexts_of("control") == ("student", "teacher", "template_only", "base")
    with pytest.raises(ConfigError, match="no context named 'rumour'"):
        shared.credit(attempt, contexts="rumour")
    with pytest.raises(ConfigError, match="no view named 'mood'"):
        shared.contexts_of("mood")


def test_what_this_run_cannot_show_is_absent_with_its_reason(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "run") as workbench:
        task = workbench.add_task(prompt="Write f(xs): sort, then take 3.", name="lone")
        (attempt,) = workbench.attempt(task, 1, sampling=FEW)
        credit = workbench.credit(attempt, contexts="all")
        assert set(credit.contexts) == {"student", "teacher", "template_only", "base"}
        assert credit.absent == {
            "wrong_feedback": "this attempt has no feedback that another could take the place of",
            "mismatched_question": "this run has no other task whose question could take the place of this one's",
            "answer_only": "there is neither feedback nor a demonstration to show without the question",
        }
        with pytest.raises(CreditError, match=r"'wrong_feedback', which is absent: this attempt has no feedback"):
            credit.view("control_wrong")
        # Nothing was shown to the teacher: the control says that this feedback does no more than none.
        assert credit.contexts["teacher"] == pytest.approx(credit.contexts["template_only"], abs=credit.noise_floor)
        workbench.give_feedback(attempt, "Sort it.")
        again = workbench.credit(attempt, contexts="all")
        assert again.absent["wrong_feedback"] == "no other attempt of this run has another feedback"
        assert workbench.credits(attempt)[0].credit == credit and workbench.credits(attempt)[1].credit == again
        long = workbench.add_task(prompt="word " * 1500, name="long")  # alone does not fit: so nothing else is tried
        assert workbench.task(long.id)
        assert "does not fit" in workbench.credit(attempt, contexts="all").absent["mismatched_question"]


def test_the_advantage_is_the_groups(shared: Workbench) -> None:
    group = sampled(shared, "rewarded", 4)
    shared.give_feedback(group[2], reward=1.0)
    credits = [shared.credit(attempt) for attempt in group]
    assert [credit.advantage for credit in credits] == [-0.25, -0.25, 0.75, -0.25]
    assert credits[2].view("grpo") == (0.75,) * len(group[2].token_ids)


def test_credit_is_stored_once_and_comes_back_equal(shared: Workbench) -> None:
    (attempt,) = sampled(shared, "stored", 1)
    before = len(shared.events())
    credit = shared.credit(attempt, contexts="all")
    shared.credit(attempt, contexts="all")
    events = shared.events()[before:]
    assert [event.kind for event in events] == ["credit"] and len(events[0].blobs) == 1
    assert events[0].data["update_id"] == shared.head and events[0].data["teacher"] == "trust_region"
    (stored,) = shared.credits(attempt)
    assert stored.credit == credit  # bit for bit, alternatives and their texts included
    assert stored.basis.prompts.keys() == credit.contexts.keys()
    shared.credit(attempt, SDPOConfig(teacher="frozen"), contexts="all")  # another teacher is another credit
    shared.give_feedback(attempt, "something else.")
    shared.credit(attempt, contexts="all")  # and so is another prompt
    assert len(shared.credits(attempt)) == 3
    shared.what_if(attempt, feedback="what if", contexts="all")
    assert len(shared.credits(attempt)) == 3
    with Run.open(shared.run.path, read_only=True) as witness:  # as another process reads it, without a model
        assert credit_store.stored(witness, attempt.id)[0].credit == credit
        assert credit_store.stored_bases(witness) == shared.credit_blobs


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run with credits before and after an update, under several teachers."""
    path = tmp_path_factory.mktemp("checked") / "run"
    with Workbench.open(path) as workbench:
        sampled(workbench, "else", 1)
        group = sampled(workbench, "checked", 2)
        workbench.credit(group[0], contexts="all")
        workbench.update(group, SDPOConfig(teacher="ema", steps=1))
        for teacher in ("ema", "live"):
            workbench.credit(group[1], SDPOConfig(teacher=teacher))  # type: ignore[arg-type]
        return path, [attempt.id for attempt in group]


def test_stored_credit_is_what_float64_gives(
    checked: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The embedded policy, all contexts. Store the head's id after an update in place of the one in force, or one
    prompt for another, to see it fail."""
    path, (_, second) = checked
    assert main(["credit", "--check", "--run", str(path), "--json"]) == 0
    *_, summary = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (summary["credits"], summary["ok"], summary["precision"]) == (3, True, "float32")
    assert set(CONTEXTS) | {"kl", "jsd", "top", "tail"} <= summary["differences"].keys()
    assert 0 < summary["largest"] < summary["bound"] / 4
    assert main(["credit", "--check", "--run", str(path), "--attempt", second]) == 0
    printed = capsys.readouterr().out
    assert "2 stored credits against float64" in printed and "within the bound of 0.0001 (float32)" in printed


@pytest.mark.parametrize("what", ["context", "prompt", "state"])
def test_a_credit_that_is_not_true_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    with Workbench.open(tmp_path / "run") as workbench:
        group = sampled(workbench, "wrong", 1)
        credit = workbench.credit(group[0])
        basis = workbench.credits()[0].basis
        if what == "context":
            moved = tuple(value - 0.001 for value in credit.contexts["teacher"])
            credit = replace(credit, contexts={**credit.contexts, "teacher": moved})
        elif what == "prompt":
            basis = replace(basis, prompts={**basis.prompts, "teacher": basis.prompts["teacher"][1:]})
        else:
            workbench.update(group, SDPOConfig(steps=1))
            basis = replace(basis, update_id=workbench.head)
        credit_store.put(workbench.run, credit, basis, {})
        first, second = workbench.check_credit(group[0])
        assert first.ok and not second.ok
    assert main(["credit", "--check", "--run", str(tmp_path / "run")]) == 1
    sentence = capsys.readouterr().err
    assert (
        sentence.startswith("1 of 2 stored credits differ from the float64 recomputation: ")
        and sentence.count("\n") == 1
    )


def test_nothing_to_check_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Workbench.open(tmp_path / "run"):
        pass
    assert main(["credit", "--check", "--run", str(tmp_path / "run")]) == 2
    assert "no stored credit of this run" in capsys.readouterr().err


def test_material_is_chosen_from_the_nearest() -> None:
    def attempt(name: str, group: str, feedback: str = "") -> Attempt:
        return Attempt(name, "p/t", group, "root", (), (), "", (), True, 1.0, 0.0, False, feedback)

    run = [attempt("a", "g"), attempt("b", "h", "of b"), attempt("c", "h", " mine "), attempt("d", "h", "of d")]
    assert [attempt.id for attempt in teacher_context.nearest_first(run[2], run)] == ["d", "b", "a"]
    assert [attempt.id for attempt in teacher_context.nearest_first(run[0], run)] == ["d", "c", "b"]
    shown = TeacherContext("mine", "a demonstration")
    kinds = SDPOConfig().feedback_kinds
    assert teacher_context.with_wrong_feedback(shown, run[2:], kinds) == TeacherContext("of d", "a demonstration")
    with pytest.raises(teacher_context.NothingToShow):
        teacher_context.with_wrong_feedback(shown, run[2:3], kinds)
    tasks = [Task(f"p/{i}", prompt, "person") for i, prompt in enumerate(("one", "two", "one "))]
    assert teacher_context.other_question(tasks[0], tasks) == teacher_context.other_question(tasks[2], tasks) == "two"
    assert teacher_context.other_question(tasks[1], tasks) == "one "
    with pytest.raises(teacher_context.NothingToShow):
        teacher_context.other_question(tasks[0], [tasks[0], tasks[2]])


def test_a_demonstration_is_shown_without_its_reasoning(shared: Workbench) -> None:
    attempt = sampled(shared, "thoughtful", 1)[0]

    def shown(demonstration: str) -> str:
        context = TeacherContext("wrong", demonstration)
        return render_teacher_prompt(shared, attempt, context, SDPOConfig()).text

    for marks in (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("", "</think>")):
        text = shown(f"{marks[0]}secret{marks[1]}def f(xs):")
        assert "secret" not in text and "THINK" not in text.upper() and "def f(xs):" in text
    assert shown("<think>all of it") == shown("")


def test_scoring_all_contexts_leaves_the_policy_alone(shared: Workbench) -> None:
    (attempt,) = sampled(shared, "untouched", 1)
    before = shared.policy.state()
    for teacher in ("frozen", "live", "ema", "trust_region"):
        shared.credit(attempt, SDPOConfig(teacher=teacher), contexts="all")  # type: ignore[arg-type]
    assert all(torch.equal(before[key], value) for key, value in shared.policy.state().items())


def test_reasoning_is_folded_wherever_credit_is_shown(shared: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "sample", given_texts)
    failed = shared.attempt(shared.task("science/biology-base-pairs"), 1)[0]
    credit = shared.credit(failed)
    [(start, end)] = credit.reasoning
    assert start == 0 and "".join(credit.tokens[:end]).endswith("</reasoning>")
    assert shared.credits(failed)[-1].credit == credit  # as read back from the disk
    assert type(credit).from_json(json.loads(json.dumps(credit.to_json()))) == credit
    for page in (credit.to_html(), shared.share()):
        assert f'"reasoning":[[0,{end}]]' in page
