"""One's own tasks: what is said before sampling, packs as files, and which hub models fit. No browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
import torch

from workbench import Workbench
from workbench.config import LoraSettings
from workbench.errors import TaskError
from workbench.policy import catalogue
from workbench.service import make_queue
from workbench.service.actions.tasks import import_data_set, import_pack, preview_pack
from workbench.service.queue import JobQueue
from workbench.tasks import dump_pack, parse_pack
from workbench.tasks.files.mapping import FIELDS
from workbench.tasks.house_rules.nearest import closest, speaks
from workbench.tasks.house_rules.world import parse_specification
from workbench.ui.panel import Selection
from workbench.ui.tabs.round.pack_files import PackFilesPanel


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


def test_the_catalogue_has_the_sizes_of_the_real_models() -> None:
    """Parameters as the hub's model cards count them; what fits depends on what is free, and on nothing else."""
    listed = catalogue.candidates(torch.device("cpu"), LoraSettings(), 8 * 10**9)
    candidates = {candidate.model: candidate for candidate in listed}
    assert candidates["HuggingFaceTB/SmolLM2-135M-Instruct"].parameters == 134_515_008
    assert candidates["smollm2"].parameters == 134_515_008 and candidates["smollm2"].download_bytes < 10**8
    assert candidates["HuggingFaceTB/SmolLM2-1.7B-Instruct"].parameters == 1_711_376_384
    assert candidates["Qwen/Qwen3-0.6B"].parameters == 596_049_920
    assert candidates["Qwen/Qwen3-8B"].parameters == 8_190_735_360
    needed = [candidate.needed_bytes for candidate in candidates.values()]
    assert needed == sorted(needed)
    assert candidates["Qwen/Qwen3-0.6B"].fits and not candidates["Qwen/Qwen3-8B"].fits
    assert all(
        candidate.needed_bytes > 4 * candidate.parameters for candidate in candidates.values()
    )  # float32 on a CPU, and more


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    queue = make_queue(lambda: Workbench.open(tmp_path / "run"))
    queue.start()
    assert queue.settled.wait(120)
    yield queue
    queue.close()


def test_a_dropped_file_is_previewed_mapped_and_imported_whole(queue: JobQueue, tmp_path: Path) -> None:
    with gr.Blocks():
        panel = PackFilesPanel(queue, Selection(*(gr.State() for _ in range(7))))
    path = tmp_path / "sums.csv"
    path.write_bytes("task;solution\n2 + 2?;4\n3 + 3?;\n".encode("utf-16"))

    def drawn(updates: list) -> dict:
        return json.loads(updates[-2])

    first = panel.on_file(str(path))[:-1]
    assert "the field 'prompt' is missing" in drawn(first)["sentence"] and first[-1].interactive is False
    chosen = [update.value or "" for update in first[1:-2]]
    chosen[FIELDS.index("prompt")] = "task"
    second = drawn(panel.on_column(str(path), "", *chosen))
    assert (
        "row 2, field 'answer': Judging by 'exact' needs" in second["sentence"]
        and second["rows"][0]["task"] == "2 + 2?"
    )
    with pytest.raises(TaskError, match="row 2"):
        panel.on_import(str(path), "", *chosen)
    assert "sums" not in queue.state.tasks  # nothing of it, not even the good row
    path.write_text("task;solution\n2 + 2?;4\n3 + 3?;6\n")
    third = panel.on_column(str(path), "", *chosen)
    assert third[-1].interactive is True and drawn(third)["tasks"][1]["prompt"] == "3 + 3?"
    assert panel.on_import(str(path), "", *chosen)[0] == "sums/1"
    assert [task.answer for task in queue.state.tasks["sums"]] == [{"text": "4"}, {"text": "6"}]
    path.write_text("task;solution\n5 + 5?;10\n")
    again = panel.on_file(str(path))  # such a file again: its mapping is there already
    assert [update.value or "" for update in again[1:-3]] == chosen and again[-2].interactive is True
    path.write_text("question;solution\n5 + 5?;10\n")
    assert panel.on_file(str(path))[1 + FIELDS.index("prompt")].value == "question"  # it has lost a column: guessed
    with pytest.raises(TaskError, match="Drop a file first"):
        panel.on_fetch(" ")


def test_programs_preview_and_import_with_a_mapping(queue: JobQueue) -> None:
    text, mapping = '{"q": "2 + 2?", "a": 4}', {"prompt": "q", "answer": "a", "environment": "=exact", "name": ""}
    shown = preview_pack.reply(preview_pack(queue, "sums.jsonl", text, mapping))
    assert shown["ready"] and shown["tasks"][0]["answer"] == {"text": "4"} and json.dumps(shown)
    assert import_pack(queue, "sums.jsonl", text, mapping).result(60)[0].id == "sums/1"
    for wrong in ({"prompt": 1}, ["q"], {str(n): "q" for n in range(99)}):
        with pytest.raises(TaskError):
            preview_pack(queue, "sums.jsonl", text, wrong)  # type: ignore[arg-type]
    for place in ("", " hub: ", "/work", "../etc/passwd", "a/b/c@d e", "x" * 301):
        with pytest.raises(TaskError):
            import_data_set(queue, place).result(60)
