"""The steps of a round as commands: tasks, attempt, feedback, update."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import (
    DEFAULT_RUN,
    JsonOption,
    Output,
    RunOption,
    find_attempt,
    opened,
)
from workbench.cli.policy import takes_policy
from workbench.cli.sandbox import takes_sandbox
from workbench.cli.settings import SpanOption, parsed_spans, takes_config
from workbench.config import PolicyConfig, SamplingConfig, SDPOConfig
from workbench.errors import NoSignalError, TaskError
from workbench.records import WORTH_SAYING_S, Pace, duration

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.records import Attempt

FIRST_TASK = "house-rules/sort-take-1"
ENVIRONMENTS = (
    "person (you), exact, contains, regex, choice, numeric, json, python, house-rules, or rubric (another model)"
)
ANSWERS = """{"text": "4"}, or for rubric {"model": DIRECTORY OR HUB ID, "criteria": TEXT}"""
AttemptArgument = Annotated[str, typer.Argument(help="Id of an attempt, or 'latest'.")]


MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Column of a field of the tasks, such as prompt=question; FIELD==TEXT: the same in every row.",
    ),
]
GradingOption = Annotated[
    str,
    typer.Option(
        help="Grading of rows as the paper publishes them: sound, or paper for its graders, mistakes included."
    ),
]


def tasks(
    pack: Annotated[
        str | None,
        typer.Argument(help="A built-in pack, a file, a data set's directory, or one on the hub as hub:OWNER/NAME."),
    ] = None,
    mapped: MapOption = None,
    grading: GradingOption = "sound",
    save: Annotated[
        Path | None,
        typer.Option(help="Write the tasks to this file as JSON Lines, which needs no --map and no --grading."),
    ] = None,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """List the tasks of a pack, or of the built-in packs and the run."""
    from workbench.runs import Run
    from workbench.tasks import dump_pack, load_pack, pack_names

    if pack is None and (mapped or save or grading != "sound"):
        raise TaskError("--map, --grading and --save need a pack; name a file, a directory or a data set.")
    mapping, names = parsed_mapping(mapped), [pack] if pack else pack_names()
    listed = {task.id: task for name in names for task in load_pack(name, mapping=mapping, grading=grading)}
    if save is not None:
        _save(save, dump_pack(listed.values()))
    if pack is None and (run / "run.sqlite").exists():
        with Run.open(run, read_only=True) as stored:
            listed |= stored.state().tasks
    output = Output(as_json)
    output.table("Tasks", ("id", "prompt", "judged by"), [(t.id, t.prompt, t.environment) for t in listed.values()])
    output.summary({"tasks": [{"id": t.id, "prompt": t.prompt, "environment": t.environment} for t in listed.values()]})


@takes_sandbox
@takes_policy()
def attempt(
    policy: PolicyConfig,
    task: Annotated[str | None, typer.Argument(help=f"Id of a task; default: {FIRST_TASK}.")] = None,
    number: Annotated[int, typer.Option("--number", "-n", help="Attempts in the group.")] = 8,
    prompt: Annotated[str | None, typer.Option(help="The prompt of a task of your own, instead of an id.")] = None,
    environment: Annotated[str, typer.Option(help=f"How your task is judged: {ENVIRONMENTS}.")] = "person",
    answer: Annotated[
        str | None, typer.Option(help=f"What the environment needs, as a JSON object: {ANSWERS}.")
    ] = None,
    pack: Annotated[
        str | None, typer.Option(help="Load the tasks of this file, directory or hub:OWNER/NAME first.")
    ] = None,
    mapped: MapOption = None,
    grading: GradingOption = "sound",
    temperature: Annotated[float, typer.Option(help="Temperature of the sampling.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(help="Maximum number of tokens per attempt.")] = 96,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Sample a group of attempts at a task; run and judge them."""
    output = Output(as_json)
    sampling = SamplingConfig(temperature, max_new_tokens)
    if prompt is not None and (task is not None or pack is not None):
        other = "a task's id" if task is not None else "a pack"
        raise TaskError(f"A prompt and {other} were given; give one of the two.")
    if pack is None and (mapped or grading != "sound"):
        raise TaskError("--map and --grading need --pack; name the file that they are about.")
    parsed, mapping = _answer(answer), parsed_mapping(mapped)
    with opened(output, run, policy) as workbench:
        if prompt is not None:
            chosen = workbench.add_task(prompt=prompt, environment=environment, answer=parsed)
        else:
            loaded = workbench.load_tasks(pack, mapping=mapping, grading=grading) if pack is not None else []
            chosen = workbench.task(task or (loaded[0].id if loaded else FIRST_TASK))
        _say_how_long(output, workbench, number, sampling)
        group = workbench.attempt(chosen, number, sampling=sampling)
    rows = [(a.id, a.passed, a.reward, a.text, a.details.get("read_as", ""), _without_answers(a)) for a in group]
    output.table(chosen.prompt, ("attempt", "passed", "reward", "text", "read as", "feedback"), rows)
    output.summary(
        {
            "task": chosen.id,
            "group": group[0].group_id,
            "passed": sum(a.passed for a in group),
            "attempts": [_attempt_data(a) for a in group],
        }
    )


def _save(path: Path, text: str) -> None:
    if path.suffix != ".jsonl":
        raise TaskError(f"--save is {str(path)!r}; name a .jsonl file.")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TaskError(f"The tasks cannot be saved ({error}); choose another file.") from error


def parsed_mapping(options: list[str] | None) -> dict[str, str] | None:
    """Parse the options --map FIELD=COLUMN; None where there are none. Raises TaskError."""
    mapping = {}
    for option in options or []:
        field, equals, column = option.partition("=")
        if not equals or not field.strip():
            raise TaskError(f"--map is {option!r}; write FIELD=COLUMN, such as prompt=question.")
        mapping[field.strip()] = column
    return mapping or None


def _answer(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        answer = json.loads(text)
    except json.JSONDecodeError as error:
        raise TaskError(f'--answer is not valid JSON ({error}); write an object such as {{"text": "4"}}.') from error
    if not isinstance(answer, dict):
        raise TaskError('--answer is not a JSON object; write one such as {"text": "4"}.')
    return answer


def _say_how_long(output: Output, workbench: Workbench, number: int, sampling: SamplingConfig) -> None:
    seconds = Pace(**workbench.policy.facts["pace"]).seconds(number, sampling.max_new_tokens)
    if seconds >= WORTH_SAYING_S:
        output.say(f"Sampling {number} attempts of {sampling.max_new_tokens} tokens: up to about {duration(seconds)}.")


def _without_answers(attempt: Attempt) -> str:
    return attempt.feedback_of(SDPOConfig().feedback_kinds)


def _attempt_data(attempt: Attempt) -> dict[str, Any]:
    fields = ("id", "text", "reward", "passed", "feedback", "feedback_source", "finished")
    data = {name: getattr(attempt, name) for name in fields} | _read(attempt)
    return data | {"parts": [asdict(part) for part in attempt.parts], "tokens": len(attempt.token_ids)}


def _read(attempt: Attempt) -> dict[str, Any]:
    """List what was read as the answer, and which characters were taken for reasoning, where there are any."""
    return {name: attempt.details[name] for name in ("read_as", "reasoning") if name in attempt.details}


@takes_policy()
def feedback(
    policy: PolicyConfig,
    attempt: AttemptArgument = "latest",
    text: Annotated[str | None, typer.Option(help="Your feedback, in your own words.")] = None,
    reward: Annotated[float | None, typer.Option(help="Reward from 0 to 1; 1 passes.")] = None,
    join: Annotated[bool, typer.Option("--join", help="Keep the environment's feedback above yours.")] = False,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Give an attempt your own feedback, a reward, or both."""
    output = Output(as_json)
    with opened(output, run, policy) as workbench:
        changed = workbench.give_feedback(
            find_attempt(workbench, attempt), text, reward, mode="join" if join else "replace"
        )
    output.say(f"{changed.id} now has reward {changed.reward:g} and this feedback: {_without_answers(changed)}")
    output.summary({"attempt": _attempt_data(changed)})


@takes_sandbox
@takes_policy()
@takes_config()
def update(
    config: SDPOConfig,
    policy: PolicyConfig,
    attempts: Annotated[list[str] | None, typer.Argument(help="Ids of attempts; default: the newest group.")] = None,
    span: SpanOption = None,
    lift: Annotated[
        bool, typer.Option("--lift", help="Measure first whether the self-teacher is better than the student.")
    ] = False,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Make one update on attempts; undo takes it back."""
    output = Output(as_json)
    spans = parsed_spans(span)
    with opened(output, run, policy) as workbench:
        chosen = _chosen(workbench, attempts or [])
        measured = workbench.teacher_lift(chosen, config) if lift else None
        if measured is not None:
            output.say("\n".join([f"Teacher lift: {measured}.", *measured.doubts]))
        report = workbench.update(chosen, config, spans=spans)
    output.table(
        f"Update {report.update_id} ({report.method})",
        ("", "value"),
        [
            ("loss before, nats per token", report.loss_before),
            ("loss after", report.loss),
            ("gradient norm", report.grad_norm),
            ("sign agreement", report.agreement),
            ("rank correlation", report.rank_correlation),
            ("KL to before, nats per token", report.side_effects.kl_to_before),
            ("attempts used", f"{sum(entry.used for entry in report.ledger)} of {len(report.ledger)}"),
            ("seconds", report.seconds_s),
            *(
                []
                if report.teacher_error is None
                else [("error of the teacher's average, at most", report.teacher_error)]
            ),
        ],
    )
    fields = (
        "method",
        "loss_before",
        "loss",
        "grad_norm",
        "agreement",
        "rank_correlation",
        "seconds_s",
        "teacher_error",
    )
    output.summary(
        {"update": report.update_id, "parent": report.parent_id, "seconds_s": report.seconds_s}
        | {name: getattr(report, name) for name in fields}
        | {"side_effects": asdict(report.side_effects), "ledger": [asdict(entry) for entry in report.ledger]}
        | ({} if measured is None else {"lift": measured.to_json()})
    )


def _chosen(workbench: Workbench, ids: list[str]) -> list[Attempt]:
    if ids:
        return [find_attempt(workbench, attempt_id) for attempt_id in ids]
    everything = workbench.attempts()
    if not everything:
        raise NoSignalError("There are no attempts in this run yet; sample some with the command 'attempt'.")
    return [attempt for attempt in everything if attempt.group_id == everything[-1].group_id]
