"""The commands: what they print for programs, what a mistake looks like, and that what was printed is on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import own_pack
import pytest
import typer
from sandbox_programs import has

from workbench import __version__
from workbench.cli import main
from workbench.cli.commands import build_app
from workbench.cli.policy import POLICY_OPTIONS
from workbench.config import LoraSettings, PolicyConfig
from workbench.runs import Run
from workbench.tasks.sandbox import use_tier
from workbench.tasks.sandbox.tiers import BOUNDARIES

ROOT = Path(__file__).resolve().parents[1]
ANSWER = json.dumps({"tests": [{"function": "f", "args": [[3, 1, 2]], "expected": "nothing"}]})  # surely fails
OWN_TASK = ["--prompt", "Write f(xs): sort, then take 3.", "--environment", "python", "--answer", ANSWER]
SHORT = ["-n", "2", "--max-new-tokens", "24"]


class Commands:
    """Runs commands in this process, as `python -m workbench` does."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = self.capsys.readouterr()
        return status, captured.out, captured.err

    def json(self, *arguments: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """(the lines of events, the summary) of a command that succeeds."""
        status, out, err = self(*arguments, "--json")
        assert (status, err) == (0, "")
        *events, summary = [json.loads(line) for line in out.splitlines()]
        return events, summary


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def test_a_round_by_commands(command: Commands, tmp_path: Path) -> None:
    run = tmp_path / "run"
    printed, group = command.json("attempt", *OWN_TASK, *SHORT, "--run", run)
    assert [event["kind"] for event in printed] == ["opened", "root", "task", "attempt", "attempt"]
    assert len(group["attempts"]) == 2 and group["passed"] == 0
    first, second = (attempt["id"] for attempt in group["attempts"])

    events, summary = command.json("feedback", first, "--text", "Sort descending.", "--join", "--run", run)
    assert [event["kind"] for event in events] == ["feedback"]
    assert summary["attempt"]["feedback"].endswith("\n\nSort descending.")
    printed += events

    page = tmp_path / "credit.html"
    events, credit = command.json("credit", "latest", "--view", "centred", "--html", page, "--run", run)
    assert [event["kind"] for event in events] == ["credit"]
    assert (credit["attempt"], credit["view"]) == (second, "centred")
    assert len(credit["values"]) == len(credit["tokens"]) == len(credit["contexts"]["teacher"])
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")
    printed += events

    events, report = command.json("update", "--lr", "1e-3", "--lift", "--run", run)
    assert [event["kind"] for event in events] == ["update"]
    assert (report["parent"], len(report["ledger"])) == ("root", 2) and report["loss"] < report["loss_before"]
    assert report["lift"]["sentence"].startswith("teacher ") and report["lift"]["attempts"] == 2
    printed += events
    for command_name, head in (("undo", "root"), ("redo", report["update"])):
        events, moved = command.json(command_name, "--run", run)
        assert [event["kind"] for event in events] == ["head"] and moved == {"head": head}
        printed += events

    lines, summary = command.json("events", "--run", run)
    assert [{key: line[key] for key in ("event", "kind")} for line in lines] == printed
    assert (summary["events"], summary["head"], summary["set_aside"]) == (len(lines), report["update"], [])

    command.json("export", tmp_path / "run.zip", "--run", run)
    command.json("import", tmp_path / "run.zip", tmp_path / "again")
    assert command.json("events", "--run", tmp_path / "again", "--data")[0] == [
        line | {"data": event.data} for line, event in zip(lines, Run.open(run, read_only=True).events(), strict=True)
    ]


def test_an_update_by_another_method_on_selected_tokens(command: Commands, tmp_path: Path) -> None:
    run = tmp_path / "run"
    _, group = command.json("attempt", *OWN_TASK, *SHORT, "--run", run)
    first, second = (attempt["id"] for attempt in group["attempts"])
    options = ("--method", "srpo", "--normalised", "--distillation-alpha", "0.5", "--no-tail", "--entropy-beta", "2")
    _, report = command.json("update", *options, "--span", f"{first}:0:1", "--span", f"{first}:2:3", "--run", run)
    assert report["method"] == "srpo" and [entry["used"] for entry in report["ledger"]] == [True, True]
    with Run.open(run, read_only=True) as opened:
        (event,) = opened.events("update")
    pushed = {
        attempt_id: [place for place, push in enumerate(row) if push]
        for attempt_id, row in event.data["report"]["predicted"].items()
    }
    assert pushed[first] == [0, 2] and len(pushed[second]) > 2


def test_the_log_is_listed_while_another_holds_the_run(command: Commands, tmp_path: Path) -> None:
    with Run.open(tmp_path / "run") as held:
        event = held.append("note", {"text": "[bold]not markup[/bold]"})
        lines, _ = command.json("events", "--run", tmp_path / "run")
        assert [line["event"] for line in lines] == [event.id]
        status, out, _ = command("events", "--data", "--run", tmp_path / "run")
        assert status == 0 and "[bold]" in "".join(out.split())
        status, _, err = command("undo", "--run", tmp_path / "run")
        assert status == 2 and f"open in process {os.getpid()}" in err


def test_tables_for_people(command: Commands, tmp_path: Path) -> None:
    status, out, err = command("tasks", "--run", tmp_path / "none")
    assert (status, err) == (0, "") and "house-rules/sort-take-1" in out
    status, out, _ = command("attempt", *OWN_TASK, *SHORT, "--run", tmp_path / "run")
    assert status == 0 and "sort, then take 3." in out and '{"' not in out
    _, listed = command.json("tasks", "--run", tmp_path / "run")
    assert any(task["id"] == "ad-hoc/task-1" for task in listed["tasks"])
    status, out, _ = command("update", "--run", tmp_path / "run")
    assert status == 0 and "loss before" in out


MISTAKES = [
    (["nonsense"], "No such command"),
    (["attempt", "--nonsense"], "No such option"),
    (["attempt", "-n", "many"], "Invalid value for"),
    (["attempt", "-n", "0"], "ask for at least 1"),
    (["attempt", "house-rules/nonsense"], "There is no task"),
    (["attempt", "a/b", "--prompt", "Q"], "A prompt and a task's id were given; give one of the two"),
    (["attempt", "--pack", "tasks.jsonl", "--prompt", "Q"], "A prompt and a pack were given; give one of the two"),
    (["attempt", "--prompt", " "], "The task is empty"),
    (["attempt", "--prompt", "Q", "--environment", "oracle"], "no environment named 'oracle'"),
    (["attempt", "--prompt", "Q", "--answer", "{"], "--answer is not valid JSON"),
    (["attempt", "--temperature", "nan"], "temperature is nan"),
    (["attempt", "--model", "./absent"], "no model directory"),
    (["attempt", "--quantization", "int3"], "quantization"),
    (["attempt", "--lora-rank", "0"], "LoRA rank is 0"),
    (["attempt", "--lora-alpha", "nan"], "lora_alpha is nan"),
    (["attempt", "--lora-variant", "qlora"], "The LoRA variant is 'qlora'; choose one of lora, rslora, dora"),
    (["attempt", "--lora-target-modules", ","], "target_modules is empty"),
    (["attempt", "--adapter", "absent", "--lora-rank", "8"], "give one of the two"),
    (["attempt", "--adapter", "absent"], "absent"),
    (["attempt", "--gradient-checkpointing", "often"], "gradient_checkpointing is 'often'"),
    (["learn", "--lora-rank", "0"], "LoRA rank is 0"),
    (["discover", "--lora-rank", "0"], "LoRA rank is 0"),
    (["study", "update", "--lora-rank", "0"], "LoRA rank is 0"),
    (["evaluate", "--lora-rank", "0"], "LoRA rank is 0"),
    (["doctor", "--lora-rank", "0"], "LoRA rank is 0"),
    (["attempt", "--pack", "absent.jsonl"], "cannot be read"),
    (["feedback", "a-1", "--text", "Hm."], "no attempt 'a-1'"),
    (["credit"], "no attempt 'latest'"),
    (["update"], "no attempts in this run yet"),
    (["update", "--method", "ppo"], "method is 'ppo'"),
    (["update", "--lr", "-1"], "learning_rate"),
    (["update", "--grpo-weight", "2"], "grpo_weight is 2.0"),
    (["update", "--advantage-clip", "5", "--distillation-alpha", "0.5"], "alpha = 1 only"),
    (["update", "--span", "a-1:x:2"], "--span is 'a-1:x:2'"),
    (["learn", "--method", "ppo"], "method is 'ppo'"),
    (["undo"], "There is no run"),
    (["redo"], "There is no run"),
    (["events"], "There is no run"),
    (["tasks", "nonsense"], "There is no pack"),
    (["export"], "Missing argument"),
    (["export", "x.zip"], "There is no run"),
    (["import", "absent.zip", "there"], "absent.zip"),
    (["learn", "nonsense"], "There is no pack"),
    (["learn", "absent.jsonl"], "cannot be read"),
    (["learn", "one.jsonl"], "The pack 'one' has no held-out tasks"),
    (["learn", "asked.jsonl"], "judged by a person"),
    (["learn", "house-rules:praise"], "There is no pack 'house-rules:praise'"),
    (["ablate", "feedback", "two.jsonl"], "judged by exact, without kinds of feedback"),
    (["learn", "two.jsonl:praise"], "'exact' has no kinds of feedback to choose from"),
    (["discover", "--pack", "nonsense"], "There is no pack 'nonsense'"),
    (["study", "update", "--pack", "absent.jsonl"], "cannot be read"),
    (["study", "credit", "--pack", "two.jsonl"], "whose wrong tokens are known"),
    (["evaluate", "--pack", "one.jsonl"], "The pack 'one' has no held-out tasks"),
    (["evaluate", "--pack", "two.jsonl", "--localise", "2"], "leave out --pack"),
    (["learn", "--rounds", "0"], "rounds is 0"),
    (["learn", "--seeds", "0"], "--seeds is 0"),
    (["learn", "--methods", "sdpo,ppo"], "method is 'ppo'"),
    (["ablate", "luck"], "no ablation 'luck'"),
    (["discover", "--methods", "luck"], "no discovery method 'luck'"),
    (["discover", "--feedback", "praise"], "no feedback 'praise'"),
    (["study", "update", "--learning-rates", "fast"], "The learning rates must be numbers separated by commas"),
    (["study", "credit", "--programs", "0"], "programs is 0"),
    (["report", "absent"], "There is no experiment"),
    (["evaluate", "./absent"], "no model directory"),
    (["evaluate", "--stages", "some"], "--stages is 'some'"),
    (["bench", "nonsense"], "No such command"),
    (["bench", "round", "--repetitions", "3"], "at least 7"),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_one_sentence_and_status_2(
    command: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)  # runs/demo of this place, where nothing is
    row = {"prompt": "1?", "environment": "exact", "answer": {"text": "1"}}
    own_pack.write(tmp_path / "one.jsonl", row)
    own_pack.write(tmp_path / "two.jsonl", row, {**row, "prompt": "2?"})
    own_pack.write(tmp_path / "asked.jsonl", *({"prompt": text, "environment": "person"} for text in "abcdef"))
    status, out, err = command(*arguments)
    assert (status, out) == (2, "")
    assert says in err and err.count("\n") == 1 and err.rstrip().endswith(".")
    # No empty run is left where an experiment was refused.
    assert not [path for kind in ("learn", "ablate", "discover", "study") for path in tmp_path.glob(f"runs/{kind}-*")]


OPENING = ("app", "attempt", "feedback", "credit", "update", "learn", "ablate", "discover", "doctor", "evaluate")
STUDIES = ("study credit", "study update", "study stability")
NO_CODE_RUNS = {"feedback"}


@pytest.mark.parametrize("name", [*OPENING, *STUDIES])
def test_every_command_that_opens_a_run_takes_every_setting_of_its_policy(name: str) -> None:
    group, _, study = name.rpartition(" ")
    program = typer.main.get_command(build_app())
    command = (program.commands[group] if group else program).commands[study or name]  # type: ignore[attr-defined]
    options = {parameter.name for parameter in command.params}
    assert set(POLICY_OPTIONS) <= options
    assert ("sandbox" in options) == (name not in NO_CODE_RUNS)
    assert {setting.name for setting in fields(PolicyConfig)} - {"lora"} <= set(POLICY_OPTIONS)
    assert len(fields(LoraSettings)) == sum(option.startswith("lora_") for option in POLICY_OPTIONS)


def test_the_settings_of_the_policy_reach_the_run(command: Commands, tmp_path: Path) -> None:
    settings = ["--seed", "3", "--lora-rank", "4", "--lora-alpha", "8", "--lora-variant", "rslora"]
    settings += ["--lora-target-modules", "q_proj, v_proj"]
    command.json("attempt", *OWN_TASK, *SHORT, *settings, "--run", tmp_path / "run")
    with Run.open(tmp_path / "run", read_only=True) as run:
        opened = run.state().opened
    assert opened is not None and opened["seed"] == 3
    lora = {"rank": 4, "lora_alpha": 8.0, "variant": "rslora", "target_modules": ["q_proj", "v_proj"]}
    assert json.loads(json.dumps(opened["config"]["lora"])) == lora
    status, out, err = command("attempt", *OWN_TASK, "--lora-rank", "5", "--run", tmp_path / "run")
    assert (status, out) == (2, "") and "was made with the LoRA settings" in err


def test_code_runs_in_the_tier_that_was_asked_for(command: Commands, tmp_path: Path) -> None:
    run, asked_for = tmp_path / "run", [*filter(has, BOUNDARIES)]
    try:
        for tier in asked_for:
            command.json("attempt", *OWN_TASK, *SHORT, "--sandbox", tier, "--run", run)
        with Run.open(run, read_only=True) as opened:
            assert list(dict.fromkeys(a.details["tier"] for a in opened.state().attempts.values())) == asked_for
        status, out, err = command("attempt", *OWN_TASK, "--sandbox", "docker", "--run", run)
        assert (status, out) == (2, "") and err.startswith("There is no tier 'docker' of the sandbox; choose auto, ")
    finally:
        use_tier("auto")


def test_the_version_has_one_place(command: Commands) -> None:
    assert command("--version") == (0, f"sdpo-workbench {__version__}\n", "")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    assert f"\n## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_python_m_workbench_is_the_same_program(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "undo"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("There is no run in runs/demo;") and done.stderr.count("\n") == 1


def test_help_names_every_command_without_loading_a_model(command: Commands) -> None:
    status, out, _ = command("--help")
    names = {info.name for info in build_app().registered_commands}
    assert status == 0 and all(str(name) in out for name in names) and len(names) == 18
    code = (
        "import sys, workbench.cli\n"
        "slow = {'torch', 'transformers', 'peft', 'gradio', 'bitsandbytes'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(slow)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stderr == ""


def test_the_columns_of_a_file_are_mapped_and_its_tasks_saved(command: Commands, tmp_path: Path) -> None:
    (tmp_path / "sums.csv").write_text("question;solution\n2 + 2?;4\n3 + 3?;6\n")
    mapped = [*("--map", "prompt=question"), *("--map", "answer=solution"), *("--map", "environment==exact")]
    saved = tmp_path / "mapped.jsonl"
    status, out, _ = command("tasks", str(tmp_path / "sums.csv"), *mapped, "--save", str(saved), "--json")
    listed = json.loads(out.splitlines()[-1])["tasks"]
    assert status == 0 and listed[1] == {"id": "sums/2", "prompt": "3 + 3?", "environment": "exact"}
    status, out, _ = command("tasks", str(saved), "--json")
    assert [task["id"] for task in json.loads(out.splitlines()[-1])["tasks"]] == ["mapped/1", "mapped/2"]
    file, run = ("--pack", str(tmp_path / "sums.csv")), ("--run", str(tmp_path / "run"))
    status, out, _ = command("attempt", *file, *mapped, *SHORT, *run, "--json")
    assert status == 0 and json.loads(out.splitlines()[-1])["task"] == "sums/1"
    for wrong, says in (
        (("tasks", *mapped), "need a pack"),
        (("tasks", str(saved), "--map", "prompt"), "--map is 'prompt'; write FIELD=COLUMN"),
        (("tasks", str(saved), "--map", "prompt=q"), "has no column 'q'"),
        (("tasks", str(saved), "--save", str(tmp_path / "a.csv")), "name a .jsonl file"),
        (("tasks", str(saved), "--save", str(tmp_path / "no" / "a.jsonl")), "cannot be saved"),
        (("attempt", *mapped, *run), "--map and --grading need --pack"),
        (("tasks", str(saved), "--grading", "paper"), "in no published format"),
        (("tasks", "house-rules", *mapped), "has no columns to map"),
    ):
        status, _, err = command(*wrong)
        assert status == 2 and says in err, err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("workbench.tasks.load_pack", broken)
    with pytest.raises(ZeroDivisionError):  # which ends a Python program with status 1
        main(["tasks"])


def test_what_was_printed_survives_a_kill(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", "attempt", *OWN_TASK, *SHORT, "--run", str(run), "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    acknowledged = []
    for line in process.stdout:
        acknowledged.append(json.loads(line))
        if acknowledged[-1]["kind"] == "attempt":
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    with Run.open(run) as opened:
        log = [{"event": event.id, "kind": event.kind} for event in opened.events()]
    assert log[: len(acknowledged)] == acknowledged and len(acknowledged) == 4


def test_learning_prints_its_curve(command: Commands, tmp_path: Path) -> None:
    run = tmp_path / "learned"
    small = ["--rounds", "1", "--questions", "1", "--attempts", "3", "--held-out", "3"]
    events, summary = command.json("learn", "house-rules@2:remark", *small, "--lr", "5e-3", "--run", run)
    assert {event["kind"] for event in events} >= {"root", "attempt", "held-out"}
    assert [point["round"] for point in summary["points"]] == [0, 1]
    last = summary["points"][-1]
    assert last["generations"] == 3 and last["held_out"]["low"] <= last["held_out"]["rate"] <= last["held_out"]["high"]
    status, out, err = command("learn", *small, "--run", run)
    assert (status, out) == (2, "") and "begun with other settings" in err and "pack" in err
    events, again = command.json("learn", "house-rules@2:remark", *small, "--lr", "5e-3", "--run", run)
    assert events == [] and again["points"] == summary["points"]  # it is all there
    assert json.loads((run / "report.json").read_text())["points"]["0"]["sdpo"][1]["held_out"]["total"] == 3
    page = tmp_path / "page.md"
    page.write_text("<!-- learned -->\n<!-- /learned -->\n")
    command.json("report", run, "--into", page)
    assert "| sdpo | 1 |" in page.read_text() and "](page/learned-1.png)" in page.read_text()
    assert (tmp_path / "page" / "learned.json").read_text() == (run / "report.json").read_text()


def test_a_file_is_learned_from_and_evaluated(command: Commands, tmp_path: Path) -> None:
    path, run = own_pack.write(tmp_path / "mine.jsonl", *own_pack.rows(8)), tmp_path / "run"
    small = ["--rounds", "1", "--questions", "2", "--attempts", "4", "--steps", "1", "--held-out", "5", "--run", run]
    events, summary = command.json("learn", path, *small)
    assert events and summary["learn"] == str(path)
    first, last = summary["points"]
    assert last["loss"] > 0 and (last["held_out"]["total"], last["held_out"]["requested"]) == (2, 5)
    status, out, err = command("learn", "mine", *small)  # the tasks are in the run: the file is not needed
    assert (status, err) == (0, "")
    assert "mine has 2 held-out tasks, fewer than the 5 asked for; all of them are used." in out
    events, measured = command.json("evaluate", "--pack", path, "--count", "2")
    rate = {name: value for name, value in first["held_out"].items() if name != "requested"}
    assert (events, measured) == ([], {"pack": "mine", "held_out": rate})  # of the same policy before it learned


def test_evaluation_gives_every_cell_with_its_interval(command: Commands) -> None:
    events, cells = command.json("evaluate", "embedded", "--count", "2", "--stages", "1", "--localise", "1")
    assert events == [] and cells.pop("localise").keys() == {"remark", "demonstration", "examples"}
    assert {"student", "demonstration", "remark", "examples"} <= cells.keys()
    for by_stages in cells.values():
        (cell,) = by_stages.values()
        assert 0 <= cell["low"] <= cell["rate"] <= cell["high"] <= 1 and cell["rate"] == cell["passed"] / cell["total"]


def test_the_benchmark_times_every_phase(command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.cli.bench.speed.LEAST", 1)
    events, summary = command.json("bench", "round", "--repetitions", "1")
    assert events == [] and summary["bench"] == "round" and summary["hardware"]["cores"] == os.cpu_count()
    times = summary["median_s"]
    assert times.keys() == {"sample", "attempt", "judge", "credit", "bare update", "update", "undo"}
    shown = times["attempt"] + times["credit"] + times["update"]
    assert min(times.values()) > 0 and summary["ratio"] == pytest.approx(shown / times["bare update"])
