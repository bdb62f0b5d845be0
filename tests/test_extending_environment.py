"""The worked examples of docs/extending.md, run from the document: environments, a pack, and learning from both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench import Workbench, plugins
from workbench.config import SDPOConfig
from workbench.errors import TaskError
from workbench.experiments.settings import LearnSettings
from workbench.plugins import Registry
from workbench.records import Task
from workbench.tasks import find_pack, judge, load_pack, registry
from workbench.tasks.drawing import check_apart, check_split, feedback_kinds
from workbench.tasks.environments import BUILT_IN

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "extending.md"


def blocks(section: str) -> str:
    """The Python of one section, in order."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (body,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return "\n".join(re.findall(r"```python\n(.*?)```", body, re.DOTALL))


@pytest.fixture(scope="module")
def printed() -> Iterator[list[str]]:
    """Output of the examples; whatever they register is forgotten afterwards."""
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "_REGISTRIES", [])
        for name in ("_ENVIRONMENTS", "_PACKS"):
            old = getattr(registry, name)
            patch.setattr(registry, name, Registry(old.kind, old.group, old._accept, old._built_in.values()))
        names: dict[str, Any] = {"print": lines.append}
        for section in ("A new environment (1 file)", "A new pack"):
            exec(compile(blocks(section), str(DOCUMENT), "exec"), names)
        yield lines


def test_they_print_what_their_environments_say(printed: list[str]) -> None:
    assert printed == ["Write more.", "f([3, 1, 2]) is not sorted.", "take/2000"]


@pytest.mark.usefixtures("printed")
def test_the_kinds_of_feedback_are_chosen_by_the_task() -> None:
    kinds = ("outcome", "answer", "outcome+answer", "none")
    tasks = {kind: Task("mine/one", "Q", "word-count", {"words": [2, 4], "feedback": kind}) for kind in kinds}
    feedback = {kind: [part.text for part in judge(task, "a b c d e").parts] for kind, task in tasks.items()}
    assert feedback == {
        "outcome": ["Write less."],
        "answer": ["Write 2 to 4 words."],
        "outcome+answer": ["Write less.", "Write 2 to 4 words."],
        "none": [],
    }
    for words in (None, [3], [4, 2], "ab"):
        with pytest.raises(TaskError, match="Judging by 'word-count' needs words: the least and the most"):
            judge(Task("mine/one", "Q", "word-count", {"words": words}), "a")


@pytest.mark.usefixtures("printed")
def test_a_file_of_the_new_environment_is_learned_from(tmp_path: Path) -> None:
    row = {"environment": "word-count", "answer": {"words": [1, 12]}}
    rows = [json.dumps({**row, "prompt": f"Write f(xs): sort, then take {n}."}) for n in range(1, 7)]
    path = tmp_path / "words.jsonl"
    path.write_text("\n".join(rows))
    assert feedback_kinds(find_pack("words", load_pack(str(path)))) == ("outcome", "answer")
    settings = LearnSettings(rounds=1, questions=2, attempts=3, held_out=5)
    with Workbench.open(tmp_path / "run") as workbench:
        points = list(workbench.learn(str(path), settings=settings, config=SDPOConfig(steps=1)))
        assert [point.held_out.requested for point in points if point.held_out] == [5, 5]
        points = list(workbench.learn("take", settings=settings, config=SDPOConfig(steps=1)))
        assert [point.held_out.total for point in points if point.held_out] == [5, 5]
        assert workbench.pack == "take" and set(workbench.held_out_rates()) == {"words", "take"}


@pytest.mark.usefixtures("printed")
def test_the_pack_keeps_its_promises() -> None:
    pack = find_pack("take")
    check_split(pack)
    for seed in (0, 1):
        check_apart(pack, pack.train(50, seed), pack.held_out(50))
    assert pack.train(3, 1) == pack.train(3, 1) != pack.train(3, 2)


def test_every_environment_that_is_built_in_is_named_in_the_table_of_fields() -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if line.startswith("| `environment` |")]
    assert set(re.findall(r"`([a-z_-]+)`", row)[1:]) == {environment.name for environment in BUILT_IN}
