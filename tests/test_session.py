"""The public API on the real embedded policy: whole rounds, durable, resumable, undone bit for bit.

The policy's skill is not what is tested: tasks are chosen so that attempts surely fail or pass.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from workbench import Workbench
from workbench.benchmarks.programs import Program
from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import (
    ConfigError,
    FeedbackError,
    NoSignalError,
    PolicyError,
    PromptError,
    RunError,
    TaskError,
    UpdateError,
)
from workbench.records import Attempt, Task
from workbench.runs import Run
from workbench.runs.state import in_force
from workbench.session.resuming import RANDOM

ROOT = Path(__file__).resolve().parents[1]
SHORT = SamplingConfig(max_new_tokens=24)
PROMPT = "Write f(xs): sort, then take 3."
# No program returns what this expects, so every attempt fails, and says why.
IMPOSSIBLE = {"tests": [{"function": "f", "args": [[3, 1, 2, 5]], "expected": "nothing"}]}
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench.open(tmp_path_factory.mktemp("session") / "run") as workbench:
        yield workbench


@pytest.fixture
def shared(opened: Workbench) -> Workbench:
    """One open workbench for tests that add to its run but rely on nothing before them: its policy is the first."""
    if opened.head != "root":
        opened.checkout("root")
    return opened


def failing(workbench: Workbench) -> Task:
    return workbench.add_task(prompt=PROMPT, environment="python", answer=IMPOSSIBLE, name="impossible")


def equal(first: State, second: State) -> bool:
    """Bit for bit, names included."""
    return first.keys() == second.keys() and all(
        torch.equal(first[name].reshape(-1).view(torch.uint8), second[name].reshape(-1).view(torch.uint8))
        for name in first
    )


def copied(workbench: Workbench) -> State:
    return workbench.policy.state()


def test_a_whole_round_is_on_disk_when_it_is_returned(shared: Workbench) -> None:
    task = failing(shared)
    seen: list[int] = []
    attempts = shared.attempt(task, 4, sampling=SHORT, on_token=lambda index, text: seen.append(index))
    assert set(seen) == {0, 1, 2, 3}
    assert len({attempt.group_id for attempt in attempts}) == 1 and not any(a.passed for a in attempts)
    credit = shared.credit(attempts[0])
    assert credit.token_ids == attempts[0].token_ids
    assert credit.contexts["student"] == pytest.approx(attempts[0].sampling_logps, abs=1e-4)
    report = shared.update(attempts)
    with Run.open(shared.run.path, read_only=True) as witness:  # as another process would
        state = witness.state()
        assert [state.attempts[attempt.id] for attempt in attempts] == attempts
        assert state.tasks[task.id] == task
        assert state.reports[report.update_id] == report
        assert witness.head == report.update_id == shared.head
        on_disk = witness.blobs.get(witness.state_blob(report.update_id))
    assert equal(on_disk, copied(shared))


def test_an_update_does_what_it_reports(shared: Workbench) -> None:
    attempts = shared.attempt(failing(shared), 4, sampling=SHORT)
    before = {attempt.id: shared.credit(attempt).contexts["student"] for attempt in attempts}
    report = shared.update(attempts, SDPOConfig(learning_rate=1e-3))
    assert report.loss < report.loss_before
    assert report.predicted.keys() == report.realised.keys() == {attempt.id for attempt in attempts}
    for attempt in attempts:
        after = shared.credit(attempt).contexts["student"]
        realised = [new - old for new, old in zip(after, before[attempt.id], strict=True)]
        assert report.realised[attempt.id] == pytest.approx(realised, abs=1e-3)
    assert 0 <= report.agreement <= 1 and report.side_effects.kl_to_before > 0
    assert [entry.reason for entry in report.ledger] == ["feedback"] * 4


def test_undo_and_redo_are_bit_exact(shared: Workbench) -> None:
    attempts = shared.attempt(failing(shared), 3, sampling=SHORT)
    first = shared.update(attempts)  # so that there are moments before the second
    attempts = shared.attempt(failing(shared), 3, sampling=SHORT)
    before = copied(shared)
    second = shared.update(attempts)
    after = copied(shared)
    changed = {name.partition("/")[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"adapter", "optimizer"}
    assert shared.undo() == first.update_id
    assert equal(copied(shared), before)  # random state included: what was sampled before the update was not undone
    assert shared.redo() == second.update_id
    assert equal(copied(shared), after)
    shared.checkout(first.update_id)
    assert shared.checkout(second.update_id) == second.update_id and equal(copied(shared), after)


def test_the_timeline_is_a_tree(shared: Workbench) -> None:
    attempts = shared.attempt(failing(shared), 2, sampling=SHORT)
    start = shared.head
    left = shared.update(attempts)
    shared.undo()
    shared.branch("the other way")
    right = shared.update(attempts, SDPOConfig(distillation_alpha=0.5))
    nodes = {node.update_id: node for node in shared.timeline()}
    assert nodes[left.update_id].parent_id == nodes[right.update_id].parent_id == start
    assert nodes[right.update_id].is_head and nodes[right.update_id].name == "the other way"
    assert nodes[right.update_id].report == right
    with pytest.raises(RunError, match="is already a branch"):
        shared.branch("the other way")
    with pytest.raises(RunError, match="no update or branch 'nowhere'"):
        shared.checkout("nowhere")
    with pytest.raises(RunError, match="nothing to redo"):
        shared.redo()


RESUME = """
import json, sys
from workbench import Workbench
from workbench.config import SamplingConfig
with Workbench.open(sys.argv[1]) as workbench:
    drawn = [workbench.attempt(workbench.task(task), 2, sampling=SamplingConfig(max_new_tokens=16))
             for task in sys.argv[2:]]
print(json.dumps([[one.token_ids for one in group] for group in drawn]))
"""


def resumed(run: Path, *tasks: str) -> list[list[list[int]]]:
    """The token ids of two attempts at each task, sampled by a new process."""
    script, printed = run.with_suffix(".py"), run.with_suffix(f".{len(list(run.parent.iterdir()))}")
    script.write_text(RESUME)
    program = Program([str(script), str(run), *tasks], printed)
    assert program.end() == 0, printed.read_text()
    return json.loads(program.lines()[-1])


def test_a_new_process_goes_on_bit_for_bit(tmp_path: Path) -> None:
    # The same steps twice, once in one go and once with a restart; then what is sampled must be the same.
    few = SamplingConfig(max_new_tokens=16)
    drawn: list[list[list[int]]] = []
    for name in ("whole", "restarted"):
        with Workbench.open(tmp_path / name, seed=5) as workbench:
            task = failing(workbench)
            workbench.update(workbench.attempt(task, 2, sampling=few))
            workbench.update(workbench.attempt(task, 2, sampling=few))
            workbench.attempt(task, 2, sampling=few)
            workbench.held_out(count=3)
            workbench.undo()
            state = copied(workbench)
            if name == "whole":
                drawn += [[list(a.token_ids) for a in workbench.attempt(task, 2, sampling=few)] for _ in range(2)]
    assert resumed(tmp_path / "restarted", task.id) == drawn[:1]  # after an undo
    assert resumed(tmp_path / "restarted", task.id) == drawn[1:]  # after attempts
    with Workbench.open(tmp_path / "restarted", seed=99) as workbench:  # a run's own seed counts, not the caller's
        assert equal({**copied(workbench), RANDOM: state[RANDOM]}, state)


def test_tasks_are_found_added_and_kept(shared: Workbench, tmp_path: Path) -> None:
    assert shared.task("house-rules/sort-take-1").prompt == PROMPT
    assert "house-rules" in shared.packs()
    added = shared.add_task(prompt="  Say yes.  ", environment="contains", answer={"text": "yes"})
    assert added.prompt == "Say yes." and shared.task(added.id) == added and added in shared.tasks("ad-hoc")
    assert shared.add_task(prompt="Say no.").id != added.id
    (tmp_path / "mine.jsonl").write_text('{"prompt": "Q", "environment": "person", "answer": {}, "name": "q"}\n')
    assert shared.load_tasks(str(tmp_path / "mine.jsonl")) == shared.tasks("mine") == [shared.task("mine/q")]
    own_house = shared.add_task(prompt="Write f(xs): drop 2.", environment="house-rules")
    assert len(own_house.answer["checks"]) > 1


@pytest.mark.parametrize("task_id", ["", "nonsense", "house-rules/nonsense", "nonsense/sort-take-1"])
def test_an_unknown_task_is_one_sentence(shared: Workbench, task_id: str) -> None:
    with pytest.raises(TaskError, match="There is no task"):
        shared.task(task_id)


def test_tasks_that_cannot_be_judged_are_refused(shared: Workbench) -> None:
    before = len(shared.events())
    for prompt, environment, says in (
        (" \n", "person", "empty"),
        ("Q", "oracle", "no environment named 'oracle'"),
        ("Q", "exact", "needs text"),
        ("Write a poem.", "house-rules", "starts with"),
    ):
        with pytest.raises(TaskError, match=says):
            shared.add_task(prompt=prompt, environment=environment)
    with pytest.raises(TaskError, match="ask for at least 1"):
        shared.attempt(shared.task("house-rules/sort-take-1"), 0)
    with pytest.raises(TaskError, match="There is no pack"):
        shared.tasks("nonsense")
    assert len(shared.events()) == before


def test_a_prompt_that_does_not_fit_leaves_everything_as_it_was(shared: Workbench) -> None:
    task = shared.add_task(prompt="word " * 3000)
    before, events = copied(shared), len(shared.events())
    with pytest.raises(PromptError, match="shorten"):
        shared.attempt(task, 2)
    assert equal(copied(shared), before) and len(shared.events()) == events


def test_feedback_of_a_person(shared: Workbench) -> None:
    attempt = shared.attempt(failing(shared), 1, sampling=SHORT)[0]
    joined = shared.give_feedback(attempt, "Sort it the other way.", mode="join")
    assert joined.feedback == f"{attempt.feedback}\n\nSort it the other way."
    replaced = shared.give_feedback(attempt, "Sort it.", reward=1.0)
    assert (replaced.feedback, replaced.reward, replaced.passed) == ("Sort it.", 1.0, True)
    assert replaced.feedback_source == "person" and replaced in shared.attempts()
    assert "Sort it." in shared.teacher_prompt(attempt).text  # the feedback in force, whichever record is handed in
    assert in_force(attempt, [event.data for event in shared.run.events("feedback")][-2:]) == replaced


def test_feedback_on_nothing_saying_nothing_or_out_of_range(shared: Workbench) -> None:
    attempt = shared.attempt(failing(shared), 1, sampling=SHORT)[0]
    stranger = Attempt(**{name: getattr(attempt, name) for name in Attempt.__slots__} | {"id": "a-unknown"})
    for call in (
        lambda: shared.give_feedback(stranger, "Hm."),
        lambda: shared.credit(stranger),
        lambda: shared.update([stranger]),
        lambda: shared.give_feedback(attempt),
        lambda: shared.give_feedback(attempt, reward=1.5),
        lambda: shared.give_feedback(attempt, reward=float("nan")),
        lambda: shared.give_feedback(attempt, "Hm.", mode="shout"),
    ):
        with pytest.raises(FeedbackError):
            call()


def test_an_update_without_signal_says_why_and_changes_nothing(shared: Workbench) -> None:
    task = shared.add_task(prompt=PROMPT)  # judged by a person, who has said nothing
    attempts = shared.attempt(task, 2, sampling=SHORT)
    before, head = copied(shared), shared.head
    with pytest.raises(NoSignalError, match="failed without feedback, and no attempt of its group passed"):
        shared.update(attempts)
    with pytest.raises(NoSignalError, match="rewards of its group are equal"):
        shared.update(attempts, SDPOConfig(method="grpo"))
    with pytest.raises(NoSignalError, match="none was chosen"):
        shared.update([])
    assert equal(copied(shared), before) and shared.head == head
    shared.give_feedback(attempts[0], reward=1.0)  # now one demonstrates for the other
    assert [entry.reason for entry in shared.ledger(attempts)][1] == "demonstration"
    assert shared.update(attempts).parent_id == head


def test_grpo_learns_from_rewards_alone(shared: Workbench) -> None:
    attempts = shared.attempt(shared.add_task(prompt=PROMPT), 3, sampling=SHORT)
    shared.give_feedback(attempts[1], reward=1.0)
    report = shared.update(attempts, SDPOConfig(method="grpo"))
    assert report.method == "grpo"
    pushes = {attempt_id: {round(push, 4) for push in values} for attempt_id, values in report.predicted.items()}
    assert all(push >= 0 for push in pushes[attempts[1].id])
    assert all(push <= 0 for index in (0, 2) for push in pushes[attempts[index].id])


@pytest.mark.parametrize("method", ["blend", "srpo", "rlsd"])
def test_the_other_methods_use_both_signals(shared: Workbench, method: str) -> None:
    """A failure with feedback, a success, and a failure of which nothing is known: all three are used."""
    attempts = shared.attempt(shared.add_task(prompt=PROMPT), 3, sampling=SHORT)
    shared.give_feedback(attempts[0], "Sort descending first.")
    shared.give_feedback(attempts[1], reward=1.0)
    config = SDPOConfig(method=method, use_demonstrations=False, steps=1)  # type: ignore[arg-type]
    reasons = [entry.reason for entry in shared.ledger(attempts, config)]
    stands_out = "reward above or below the group's mean"
    first = {"blend": f"feedback; {stands_out}", "srpo": "feedback", "rlsd": f"{stands_out}, weighed by feedback"}
    assert reasons == [first[method], stands_out, stands_out]
    report = shared.update(attempts, config)
    assert report.method == method and set(report.predicted) == {attempt.id for attempt in attempts}
    assert [entry.reason for entry in report.ledger] == reasons
    assert shared.undo() == report.parent_id


def test_a_selected_span_is_all_that_counts(shared: Workbench) -> None:
    attempts = shared.attempt(failing(shared), 3, sampling=SHORT)
    first, second, third = attempts
    spans = {first.id: (1, 3), second.id: [(0, 1), (2, 4)], third.id: []}
    assert shared.ledger(attempts, spans=spans)[2].reason == "none of its tokens is selected"
    report = shared.update(attempts, SDPOConfig(steps=1), spans=spans)
    pushed = {
        attempt_id: [place for place, push in enumerate(values) if push]
        for attempt_id, values in report.predicted.items()
    }
    assert pushed == {first.id: [1, 2], second.id: [0, 2, 3]}
    assert len(report.realised[first.id]) == len(first.token_ids)
    shared.undo()


def test_spans_that_do_not_fit_are_refused_and_nothing_happens(shared: Workbench) -> None:
    attempts = shared.attempt(failing(shared), 1, sampling=SHORT)
    before, head, length = copied(shared), shared.head, len(attempts[0].token_ids)
    for spans, words in (
        ({attempts[0].id: 3}, "write \\(start, end\\)"),
        ({attempts[0].id: (0, length + 1)}, "not within an attempt"),
        ({attempts[0].id: (2, 2)}, "not within an attempt"),
        ({"a-unknown": (0, 1)}, "not among the attempts"),
        ({attempts[0].id: [1, 2, 3]}, "write \\(start, end\\)"),
        ({attempts[0].id: ("a", "b")}, "write \\(start, end\\)"),
    ):
        with pytest.raises(ConfigError, match=words):
            shared.update(attempts, spans=spans)
    with pytest.raises(NoSignalError, match="none of its tokens is selected"):
        shared.update(attempts, spans={attempts[0].id: []})
    assert equal(copied(shared), before) and shared.head == head


def test_an_attempt_handed_in_twice_counts_once(shared: Workbench) -> None:
    attempts = shared.attempt(failing(shared), 2, sampling=SHORT)
    once = shared.update(attempts)
    shared.undo()
    twice = shared.update([attempts[0], *attempts])
    assert (twice.loss_before, twice.loss, twice.predicted) == (once.loss_before, once.loss, once.predicted)


def test_attempts_of_different_temperatures_are_not_mixed(shared: Workbench) -> None:
    task = failing(shared)
    warm = shared.attempt(task, 1, sampling=SamplingConfig(temperature=1.5, max_new_tokens=8))
    with pytest.raises(UpdateError, match="different temperatures"):
        shared.update([*warm, *shared.attempt(task, 1, sampling=SHORT)])


@pytest.mark.parametrize("way", ["stopped", "disk"])
def test_a_failing_update_leaves_everything_as_before(
    shared: Workbench, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    attempts = shared.attempt(failing(shared), 2, sampling=SHORT)
    before, head, events = copied(shared), shared.head, len(shared.events())
    if way == "stopped":
        stop = threading.Event()
        stop.set()
        with pytest.raises(UpdateError, match="was stopped"):
            shared.update(attempts, stop=stop)
    else:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(shared.run.blobs, "_write", full)  # the step is done by then, and must be taken back
        with pytest.raises(RunError):
            shared.update(attempts)
        monkeypatch.undo()
    assert equal(copied(shared), before) and shared.head == head and len(shared.events()) == events + 1
    assert shared.events()[-1].kind == "failed"  # what was tried is on record
    assert shared.update(attempts).parent_id == head


def test_stopping_keeps_what_is_written(shared: Workbench) -> None:
    stop = threading.Event()
    attempts = shared.attempt(failing(shared), 2, on_token=lambda index, text: stop.set(), stop=stop)
    assert [len(attempt.token_ids) for attempt in attempts] == [1, 1] and not any(
        attempt.finished for attempt in attempts
    )


def test_held_out_repeats_itself_and_leaves_the_policy_alone(shared: Workbench) -> None:
    before = copied(shared)
    first, second = shared.held_out("house-rules@5", count=6), shared.held_out("house-rules@5", count=6)
    assert first == second and first.total == 6 and first.low <= first.rate <= first.high
    assert equal(copied(shared), before)
    counted = {"passed": first.passed, "total": 6}
    assert shared.events()[-1].data == {"update_id": shared.head, "pack": "house-rules@5", **counted}
    with pytest.raises(TaskError, match="There is no pack 'nonsense'"):
        shared.held_out("nonsense")
    with pytest.raises(TaskError, match="at least 1"):
        shared.held_out(count=0)


def test_the_house_in_use_is_that_of_the_newest_attempt(shared: Workbench) -> None:
    one, other = (shared.tasks(f"house-rules@{seed}")[0] for seed in (7, 8))
    shared.attempt(one, 1, sampling=SHORT)
    assert shared.pack == "house-rules@7"
    shared.attempt(other, 1, sampling=SHORT)
    assert shared.pack == "house-rules@8"
    shared.attempt(one, 1, sampling=SHORT)
    assert shared.pack == "house-rules@7"


def test_what_if_shows_other_credit_and_records_nothing(shared: Workbench) -> None:
    attempt = shared.attempt(failing(shared), 1, sampling=SHORT)[0]
    before, events = copied(shared), len(shared.events())
    plain, informed = shared.what_if(attempt), shared.what_if(attempt, feedback="sort descending.")
    # Scored beside prompts of other lengths: the same up to the order of summation.
    assert plain.contexts["student"] == pytest.approx(informed.contexts["student"], abs=1e-5)
    assert plain.contexts["teacher"] != informed.contexts["teacher"]
    assert equal(copied(shared), before) and len(shared.events()) == events


def test_an_adapter_is_taken_along_and_gives_the_same_scores(shared: Workbench, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from workbench.policy.source import EMBEDDED_WEIGHTS

    shared.update(shared.attempt(failing(shared), 2, sampling=SHORT))
    shared.export_adapter(tmp_path / "adapter")
    plain = AutoModelForCausalLM.from_pretrained(EMBEDDED_WEIGHTS, dtype=torch.float32)
    loaded = PeftModel.from_pretrained(plain, str(tmp_path / "adapter")).eval()
    ids = torch.tensor([shared.attempts()[-1].prompt_ids])
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, shared.policy.bare(ids).logits, atol=1e-5)


def test_a_run_is_taken_along_whole(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "here", seed=3) as workbench:
        workbench.update(workbench.attempt(failing(workbench), 2, sampling=SHORT))
        archive = workbench.export_run(tmp_path / "run.zip")
        state, log = copied(workbench), workbench.events()
        with pytest.raises(RunError, match="open in process"):
            Workbench.open(tmp_path / "here")
    Workbench.import_run(archive, tmp_path / "there")
    with Workbench.open(tmp_path / "there") as workbench:
        assert workbench.events() == log and equal(copied(workbench), state)
    with pytest.raises(RunError, match="already exists"):
        Workbench.import_run(archive, tmp_path / "there")
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    with pytest.raises(RunError, match="not an exported run"):
        Workbench.import_run(tmp_path / "bad.zip", tmp_path / "elsewhere")


def test_a_damaged_group_does_not_keep_a_run_from_opening(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "run") as workbench:
        workbench.attempt(failing(workbench), 2, sampling=SHORT)
        (last,) = [event for event in workbench.events() if event.kind == "attempt" and event.blobs]
        workbench.run.blobs.path(last.blobs[0]).write_bytes(b"damaged")
    with Workbench.open(tmp_path / "run") as workbench:
        assert [event_id for event_id, _ in workbench.run.set_aside] == [last.id]
        assert len(workbench.attempts()) == 1
        workbench.update(workbench.attempt(failing(workbench), 2, sampling=SHORT))


def test_what_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no model directory"):
        Workbench.open(tmp_path / "run", model=str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="quantization"):
        Workbench.open(tmp_path / "run", quantization="int3")
    (tmp_path / "file").write_text("not a run")
    with pytest.raises(RunError, match="is a file"):
        Workbench.open(tmp_path / "file")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.sqlite").write_text("not a database")
    with pytest.raises(RunError):
        Workbench.open(tmp_path / "broken")
    with Run.open(tmp_path / "run") as run:  # and nothing was left locked by the attempts above
        run.append("opened", {"config": {"model": "someone/else"}, "versions": {}, "seed": 0})
    with pytest.raises(RunError, match="made with the model 'someone/else'"):
        Workbench.open(tmp_path / "run")


def test_a_learning_run_of_two_rounds(tmp_path: Path) -> None:
    from workbench.experiments.learn import to_json
    from workbench.experiments.settings import LearnSettings

    settings = LearnSettings(rounds=2, questions=2, attempts=3, held_out=4, measure_every=0)
    with Workbench.open(tmp_path / "run") as workbench:
        points = list(workbench.learn("house-rules@2:remark", settings=settings))
        assert [point.round for point in points] == [0, 1, 2]
        assert [point.held_out is not None for point in points] == [True, False, True]
        assert [point.generations for point in points] == [0, 6, 12]
        assert points[-1].update_id == workbench.head
        assert len([event for event in workbench.events() if event.kind == "attempt"]) == 12
        assert json.loads(json.dumps([to_json(point) for point in points]))[2]["held_out"]["total"] == 4
        with pytest.raises(TaskError):
            next(workbench.learn("nonsense"))
    with pytest.raises(ConfigError, match="rounds is 0"):
        LearnSettings(rounds=0)


def test_where_credit_lands_is_measured_on_programs_with_one_wrong_stage(tmp_path: Path) -> None:
    from workbench.experiments.localise import localise, wrong_tokens

    assert wrong_tokens([1, 2, 3], [1, 9, 3]) == [False, True, False]
    assert wrong_tokens([1, 3], [1, 2, 3]) == [False, True]
    with Workbench.open(tmp_path / "run") as workbench:
        before = copied(workbench)
        located = localise(workbench, "remark", count=2)
        assert located["programs"] == 2 and 0 <= located["auroc"] <= 1
        assert {name for name in before if not torch.equal(before[name], copied(workbench)[name])} <= {RANDOM}
        with pytest.raises(ConfigError, match="no kind of evidence"):
            localise(workbench, "rumour")
