"""Evaluation of the embedded policy on held-out specifications in fresh houses.

For each number of stages: how often the student passes, and how often the self-teacher passes on the student's own
failures given each kind of feedback. Programs run for real in the sandbox. Knows nothing of runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from workbench.config import SamplingConfig
from workbench.policy import Policy
from workbench.policy.prompts import student_prompt, teacher_prompt
from workbench.policy.sampling import completion_text, sample
from workbench.records import Judgement, Task
from workbench.tasks import judge_many
from workbench.tasks.house_rules.checks import draw_valid, example_line
from workbench.tasks.house_rules.pack import PACK, make_task
from workbench.tasks.house_rules.remarks import own_words, remark
from workbench.tasks.house_rules.slips import draw_slip
from workbench.tasks.house_rules.wording import IRRELEVANT
from workbench.tasks.house_rules.world import House, Specification, draw_choices

FIRST_HOUSE = 100_000  # evaluation houses; demonstrations and learning runs use small seeds
BATCH = 64
STAGES = (1, 2, 3, 4)
MOST_ROUNDS = 20
Judge = Callable[[Sequence[tuple[Task, str]]], list[Judgement]]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One held-out specification in one fresh house."""

    task: Task
    specification: Specification
    right: tuple[int, ...]
    generator: random.Random  # of the wording of its feedback

    @property
    def program(self) -> str:
        """The program that follows the house's conventions."""
        return self.specification.program(self.right)


def draw_cases(stages: int, count: int, seed: int = 0) -> list[Case]:
    """Draw fresh cases, each in another house."""
    cases = []
    for number in range(count):
        generator = random.Random(f"evaluate {seed} {stages} {number}")
        house = House(FIRST_HOUSE + 1000 * stages + number + 10_000 * seed)
        specification, checks = draw_valid(stages, generator, held_out=True)
        task = make_task(f"{PACK}@{house.seed}/case", specification, checks, house, "example")
        cases.append(Case(task, specification, house.choices(specification), generator))
    return cases


def teacher_fields(kind: str, case: Case, verdict: Judgement) -> dict[str, str]:
    """The fields of the self-teacher's prompt for one kind of feedback on a failed attempt."""
    if kind == "demonstration":
        return {"feedback": "", "demonstration": case.program}
    if kind == "remark":
        return {"feedback": remark(case.specification, case.right)}
    if kind == "own words":
        return {"feedback": own_words(case.specification, case.right, case.generator, held_out=True)}
    if kind == "examples":
        return {"feedback": verdict.feedback}
    if kind == "examples and remark":
        return {"feedback": verdict.feedback + "\n" + remark(case.specification, case.right)}
    raise ValueError(f"unknown kind of feedback {kind!r}")


KINDS = ("demonstration", "remark", "own words", "examples", "examples and remark")


def _generate(policy: Policy, prompts: Sequence[Sequence[int]]) -> list[str]:
    """Sample one text per prompt, in batches of similar length."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    texts = [""] * len(prompts)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        drawn = sample(policy, [prompts[index] for index in chosen], SamplingConfig(max_new_tokens=112))
        for index, completion in zip(chosen, drawn, strict=True):
            texts[index] = completion_text(policy, completion.token_ids)
    return texts


def _teach(policy: Policy, task: Task, fields: dict[str, str]) -> tuple[int, ...]:
    return teacher_prompt(policy, task, **fields).ids  # type: ignore[arg-type]


def evaluate_stages(
    policy: Policy, stages: int, count: int, *, judge: Judge = judge_many, seed: int = 0
) -> Iterator[tuple[str, int, int]]:
    """(cell, passed, total) for specifications of this many stages; `count` failures per teacher cell.

    A policy that hardly ever fails is asked at most `MOST_ROUNDS` times `count` questions; its few failures must do.
    """
    cases, attempts, passed = draw_cases(stages, count, seed), 0, 0
    failures: list[tuple[Case, str, Judgement]] = []
    while len(failures) < count and attempts < MOST_ROUNDS * count:
        texts = _generate(policy, [student_prompt(policy, case.task).ids for case in cases])
        judged = judge([(case.task, text) for case, text in zip(cases, texts, strict=True)])
        attempts, passed = attempts + len(cases), passed + sum(verdict.passed for verdict in judged)
        # A failure with an error shows no examples, which these cells are about.
        failures += [
            (case, text, verdict)
            for case, text, verdict in zip(cases, texts, judged, strict=True)
            if not verdict.passed and "returned" in verdict.feedback
        ]
    yield "student", passed, attempts
    failures = failures[:count]
    for kind in KINDS:
        fields = [teacher_fields(kind, case, verdict) for case, _, verdict in failures]
        prompts = [_teach(policy, case.task, shown) for (case, _, _), shown in zip(failures, fields, strict=True)]
        texts = _generate(policy, prompts)
        verdicts = judge([(case.task, text) for (case, _, _), text in zip(failures, texts, strict=True)])
        yield kind, sum(verdict.passed for verdict in verdicts), len(failures)
    yield "error gone", _without_error(policy, cases, judge), count
    # With irrelevant feedback the teacher should be the student (same cases); a wrong remark it should follow.
    prompts = [_teach(policy, case.task, {"feedback": case.generator.choice(IRRELEVANT)}) for case in cases]
    verdicts = judge([(case.task, text) for case, text in zip(cases, _generate(policy, prompts), strict=True)])
    yield "irrelevant feedback", sum(verdict.passed for verdict in verdicts), count
    yield "wrong remark followed", _following(policy, cases), count


def _without_error(policy: Policy, cases: Sequence[Case], judge: Judge) -> int:
    prompts = [_teach(policy, case.task, {"feedback": draw_slip(case.program, case.generator).error}) for case in cases]
    judged = judge([(case.task, text) for case, text in zip(cases, _generate(policy, prompts), strict=True)])
    return sum(verdict.passed or "returned" in verdict.feedback for verdict in judged)


def _following(policy: Policy, cases: Sequence[Case]) -> int:
    """Count the cases in which a remark that is wrong for the house is followed to the letter."""
    misled = []
    for case in cases:
        wrong = case.right
        while wrong == case.right:
            wrong = draw_choices(case.specification, case.generator)
        misled.append(replace(case, right=wrong))
    prompts = [_teach(policy, case.task, {"feedback": remark(case.specification, case.right)}) for case in misled]
    return sum(text == case.program for case, text in zip(misled, _generate(policy, prompts), strict=True))


def by_text(pairs: Sequence[tuple[Task, str]]) -> list[Judgement]:
    """Judge without running anything: by comparison with the house's own program, and the outputs of its choices.

    For monitoring a training run cheaply; reported figures come from the sandbox.
    """
    from workbench.tasks.house_rules.world import parse_specification

    judged = []
    for task, text in pairs:
        specification = parse_specification(task.prompt)
        right = House(int(task.answer["house"])).choices(specification)
        written = {specification.program(choices): choices for choices in specification.alternatives()}.get(text)
        lines = []
        for xs in task.answer["checks"]:
            outputs = specification.outputs(list(xs))
            if written is not None and outputs[written] != outputs[right]:
                lines.append(example_line(tuple(xs), outputs[written], outputs[right]))
        passed = written == right
        judged.append(Judgement(float(passed), passed, "\n".join(lines[:2]) if written else "an error"))
    return judged


def evaluate(
    policy: Policy,
    *,
    count: int = 200,
    stages: Sequence[int] = STAGES,
    judge: Judge = judge_many,
    progress: Progress | None = None,
    seed: int = 0,
) -> dict[str, dict[str, list[int]]]:
    """{cell: {stages: [passed, total]}}; the policy's adapter should be fresh."""
    table: dict[str, dict[str, list[int]]] = {}
    with torch.inference_mode():
        for number in stages:
            for cell, passed, total in evaluate_stages(policy, number, count, judge=judge, seed=seed):
                table.setdefault(cell, {})[str(number)] = [passed, total]
                if progress is not None:
                    progress(f"{number} stages, {cell}: {passed} of {total}")
    return table
