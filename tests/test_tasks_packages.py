"""Packs from other packages: found without an import, made from their data, judged by our own verifiers."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks import find_pack, judge, load_pack, offered_packs
from workbench.tasks.drawing import check_split
from workbench.tasks.packages import bfcl, human_eval, package_packs, package_tasks
from workbench.tasks.packages.data import rows_of
from workbench.tasks.packages.reasoning_gym import PUZZLES
from workbench.tasks.puzzles import words

ROOT = Path(__file__).parents[1]
INSTALL = "is not installed: pip install sdpo-workbench[packs]"


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(module) is None, reason=f"{module} {INSTALL}")


def test_packages_are_found_without_an_import() -> None:
    code = (
        "import sys\nfrom workbench.tasks import is_built_in, load_packs, offered_packs\n"
        "offered_packs(), is_built_in('human-eval'), load_packs()\n"
        "print(sorted({'human_eval', 'bfcl_eval', 'reasoning_gym', 'sympy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert set(package_packs()) <= set(offered_packs())


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    package_packs.cache_clear()
    monkeypatch.setattr("workbench.tasks.packages.is_installed", lambda module: False)
    try:
        assert package_packs() == ()
        for ask in (load_pack, find_pack, package_tasks):
            with pytest.raises(TaskError, match=r"'bfcl-simple' needs the package bfcl-eval; see docs/tasks\.md"):
                ask("bfcl-simple")
    finally:
        monkeypatch.undo()
        package_packs.cache_clear()


# human-eval -----------------------------------------------------------------------------------------------------------
CHECK = """
def check(candidate):
    assert True, "nothing"
    assert candidate([1.5, (2, "a")], -3) == {"k": [True, None]}, "first"
    assert candidate(n) == 2
"""


def test_assertions_become_calls_only_where_every_one_is_a_comparison_of_constants() -> None:
    calls = human_eval._calls(CHECK.replace("candidate(n)", "candidate([], 0)"), "f")
    assert calls == [
        {"function": "f", "args": [[1.5, [2, "a"]], -3], "expected": {"k": [True, None]}},
        {"function": "f", "args": [[], 0], "expected": 2},
    ]
    others = ["candidate(n) == 2", "candidate(2) != 2", "candidate(x=2) == 2", "candidate(2) == {2}"]
    others += [
        "candidate(2) == b''",
        "candidate(2) == 1e999",
        "abs(candidate(2)) == 2",
        "candidate(__import__('os')) == 2",
    ]
    for other in others:
        assert human_eval._calls(CHECK.replace("candidate(n) == 2", other), "f") is None, other
    assert human_eval._calls("def check(candidate):\n    pass\n", "f") is None
    assert human_eval._calls("def check(", "f") is None


@needs("human_eval")
def test_functions_of_human_eval_are_judged_by_their_own_tests() -> None:
    rows = [dict(row.values) for row in rows_of("human_eval", "data", "HumanEval.jsonl.gz")]
    assert len(rows) == 164
    asked = [row for row in rows if human_eval._calls(row["test"], row["entry_point"])]
    assert len(asked) == 141
    tasks = {task.id: task for task in load_pack("human-eval")}
    assert list(tasks) == [f"human-eval/{row['task_id']}" for row in rows]
    check_split(find_pack("human-eval"))
    checked = [row for row in rows if row not in asked]
    for row in [*asked[::36], *checked[::8]]:
        task = tasks[f"human-eval/{row['task_id']}"]
        right = f"```python\n{row['prompt']}{row['canonical_solution']}\n```"
        verdict = judge(task, right)
        assert verdict.passed, (task.id, verdict.feedback)
        wrong = judge(task, f"```python\n{row['prompt']}    return 'wrong'\n```")
        assert not wrong.passed and wrong.feedback


# bfcl -----------------------------------------------------------------------------------------------------------------
def test_accepted_values_become_a_call_with_variants() -> None:
    truth = {
        "f": {"a": [1, 2], "b": ["", "x"], "c": [{"k": ["u", "v"], "l": ["", 7]}], "d": [""], "e": [[{"m": [1, 2]}]]}
    }
    assert bfcl._call(truth) == {
        "name": "f",
        "arguments": {"a": 1, "b": "x", "c": {"k": "u", "l": 7}, "d": "", "e": [{"m": 1}]},
        "accepted": {
            "a": [2],
            "c": [{"k": "u"}, {"k": "v", "l": 7}, {"k": "v"}],
            "e": [[{"m": 2}]],
        },
        "optional": ["b", "d"],
    }
    many = {"f": {"a": [{str(key): [1, 2, 3] for key in range(20)}]}}  # 3 ** 20 variants
    assert len(bfcl._call(many)["accepted"]["a"]) == bfcl.MOST_VARIANTS - 1


def test_their_types_become_those_of_json_schema() -> None:
    theirs = {
        "type": "dict",
        "properties": {
            "type": {"type": "float", "default": {"type": "dict"}},
            "t": {"type": "tuple", "items": {"type": "any"}},
        },
    }
    assert bfcl._schema(theirs) == {
        "type": "object",
        "properties": {"type": {"type": "number", "default": {"type": "dict"}}, "t": {"type": "array", "items": {}}},
    }


@needs("bfcl_eval")
@pytest.mark.parametrize(
    ("part", "count", "calls"),
    [("simple", 400, 1), ("multiple", 200, 1), ("parallel", 200, 2), ("parallel-multiple", 200, 2)],
)
def test_every_call_of_the_data_passes_as_its_own_answer(part: str, count: int, calls: int) -> None:
    tasks = load_pack(f"bfcl-{part}")
    assert len(tasks) == count and all(len(task.answer["calls"]) >= calls for task in tasks)
    for task in tasks[:: count // 20]:
        right = [{key: call[key] for key in ("name", "arguments")} for call in task.answer["calls"]]
        verdict = judge(task, json.dumps(right[::-1]))
        assert verdict.passed, (task.id, verdict.feedback)
        assert not judge(task, json.dumps([*right, right[0]])).passed
        needed = [{**call, "arguments": without(call)} for call in task.answer["calls"]]
        assert judge(task, json.dumps([{key: call[key] for key in ("name", "arguments")} for call in needed])).passed
    assert (
        json.loads(str(tasks[0].system).partition("JSON:\n\n")[2].partition("\n\nAnswer")[0])
        == tasks[0].answer["tools"]
    )


def without(call: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call but those that may be left out."""
    return {name: value for name, value in call["arguments"].items() if name not in call.get("optional", ())}


# reasoning-gym --------------------------------------------------------------------------------------------------------
@needs("reasoning_gym")
def test_puzzles_are_made_alike_and_their_own_answers_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A differential run: every answer that comes with a puzzle, and no other puzzle's."""
    pytest.importorskip("pycosat", reason=f"a dependency of reasoning-gym {INSTALL}")
    from reasoning_gym import create_dataset
    from reasoning_gym.dataset import ProceduralDataset

    from workbench.tasks.packages import reasoning_gym

    def refused(*_: object) -> None:
        raise AssertionError("a scorer of the package was called")

    monkeypatch.setattr(ProceduralDataset, "score_answer", refused)
    assert len(PUZZLES) >= 10 and "n_queens" not in PUZZLES
    monkeypatch.setattr(reasoning_gym, "TASKS", 3)
    for puzzle in PUZZLES:
        tasks = reasoning_gym.tasks("p", puzzle)
        entries = create_dataset(puzzle, seed=reasoning_gym.SEED, size=reasoning_gym.TASKS)
        monkeypatch.setattr(type(entries), "score_answer", refused)
        answers = [answer_of(entries[number]) for number in range(len(tasks))]
        for number, task in enumerate(tasks):
            assert task.answer == json.loads(json.dumps(task.answer))
            verdict = judge(task, f"So:\n<answer>{answers[number]}</answer>")
            assert verdict.passed, (puzzle, answers[number], verdict.feedback)
            others = {answers[other] for other in range(len(tasks)) if answers[other] != answers[number]}
            verdicts = [judge(task, other) for other in others]
            assert all(v.feedback for v in verdicts if not v.passed) and not all(v.passed for v in verdicts), puzzle


def answer_of(entry: dict[str, Any]) -> str:
    answer = entry["answer"]
    return answer if answer is not None else json.dumps(entry["metadata"]["possible_answer"])


@needs("reasoning_gym")
def test_a_pack_of_puzzles_has_two_sides_and_its_words_are_read_as_data() -> None:
    assert {"TIPS", "TOPS"} <= words._known_words(4) and words._known_words(99) == frozenset()
    pack = find_pack("reasoning-gym-word-sorting")
    check_split(pack)
    facts = pack.describe()
    assert (facts.train, facts.held_out, facts.environments) == (40, 10, ("puzzle",))
    assert [task.id for task in load_pack("reasoning-gym-word-sorting")[:2]] == [f"{pack.name}/1", f"{pack.name}/2"]
    assert isinstance(pack.train(1)[0], Task)
