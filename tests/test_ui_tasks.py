"""One's own tasks: what is said before sampling, packs as files, and which hub models fit. No browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from workbench import Workbench
from workbench.config import LoraSettings
from workbench.errors import TaskError
from workbench.policy import catalogue
from workbench.tasks import dump_pack, parse_pack
from workbench.tasks.house_rules.nearest import closest, speaks
from workbench.tasks.house_rules.world import parse_specification


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("Please sort my numbers and take the first 3 of them", "Write f(xs): sort, then take 3."),
        ("drop 2, sorting afterwards", "Write f(xs): drop 2, then sort."),
        ("take 9", "Write f(xs): take 4."),  # the nearest number that the language has
        ("What is the capital of France?", "Write f(xs): sort."),
        ("", "Write f(xs): sort."),
    ],
)
def test_the_closest_task_is_one_that_the_policy_can_read(typed: str, suggested: str) -> None:
    assert not speaks(typed)
    assert closest(typed).text == suggested and speaks(suggested)
    assert parse_specification(suggested) == closest(typed)


def test_a_pack_survives_its_file(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "run") as workbench:
        workbench.add_task(prompt="2 + 2?", environment="exact", answer={"text": "4"}, pack="sums", name="one")
        kept = workbench.add_task(prompt="Say <b>hi</b> ☃", system="Be kind.", pack="sums")
        assert kept.id == "sums/task-2"
        text = workbench.export_tasks("sums")
        assert parse_pack("sums.jsonl", text) == workbench.tasks("sums")
        assert [task.id for task in workbench.import_tasks("others.jsonl", text)] == ["others/one", "others/task-2"]
        assert workbench.export_tasks("others") == text
        for name in ("house-rules", " ", "a/b"):
            with pytest.raises(TaskError, match="choose another name for the pack"):
                workbench.add_task(prompt="x", pack=name)
    with Workbench.open(tmp_path / "run") as workbench:
        assert "others" in workbench.packs() and len(workbench.tasks("others")) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"prompt": "a", "environment": "person"}\n{"prompt": ', "sums.jsonl, line 2: this line is not valid JSON"),
        ('{"prompt": "a"}', "row 1: the field 'environment' is missing"),
        ('{"prompt": "a", "environment": "exact", "answer": {}}', "row 1, field 'answer': Judging by 'exact' needs"),
        ("", "has no tasks"),
    ],
)
def test_a_mistake_in_a_pack_names_the_line_and_the_field(text: str, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        parse_pack("sums.jsonl", text)
    for name in ("sums.txt", "house-rules.jsonl", ".jsonl"):
        with pytest.raises(TaskError, match="cannot be read"):
            parse_pack(name, json.dumps({"prompt": "a", "environment": "person"}))
    assert dump_pack([]) == ""


def test_the_catalogue_has_the_sizes_of_the_real_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters as the hub's model cards count them; what fits depends on what is free, and on nothing else."""
    monkeypatch.setattr(catalogue, "free_bytes", lambda device: 8 * 10**9)
    candidates = {candidate.model: candidate for candidate in catalogue.candidates(torch.device("cpu"), LoraSettings())}
    assert candidates["HuggingFaceTB/SmolLM2-135M-Instruct"].parameters == 134_515_008
    assert candidates["Qwen/Qwen3-0.6B"].parameters == 596_049_920
    assert candidates["Qwen/Qwen3-8B"].parameters == 8_190_735_360
    needed = [candidate.needed_bytes for candidate in candidates.values()]
    assert needed == sorted(needed)
    assert candidates["Qwen/Qwen3-0.6B"].fits and not candidates["Qwen/Qwen3-8B"].fits
    assert all(
        candidate.needed_bytes > 4 * candidate.parameters for candidate in candidates.values()
    )  # float32 on a CPU, and more
