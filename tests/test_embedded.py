"""The embedded policy's corpus and evaluation: nothing held out is ever shown, and what is shown is what is asked."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence

import pytest

from workbench.config import PolicyConfig
from workbench.embedded.corpus import PHASES, Corpus, Example
from workbench.embedded.evaluate import KINDS, by_text, draw_cases, evaluate, teacher_fields
from workbench.policy import load_policy
from workbench.policy.prompts import teacher_text
from workbench.records import Judgement, Task
from workbench.tasks import judge_many
from workbench.tasks.house_rules.pack import house_tasks
from workbench.tasks.house_rules.wording import HELD_OUT, REMARKS
from workbench.tasks.house_rules.world import (
    HELD_OUT_SHARE,
    House,
    Specification,
    draw_specification,
    parse_specification,
)

LAST = PHASES[-1].until
ENDING = teacher_text("")


def specification_of(prompt: str) -> Specification:
    return parse_specification(prompt.partition("\n")[0])


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    corpus = Corpus(0)
    steps = [0, *(phase.until for phase in PHASES)]
    return [corpus.draw(steps[turn % len(steps)]) for turn in range(1600)]


def test_no_held_out_specification_is_in_the_corpus(examples: list[Example]) -> None:
    shown = {specification_of(example.prompt).text for example in examples}
    assert not [text for text in shown if parse_specification(text).is_held_out]
    held_out = {task.prompt for seed in range(6) for task in house_tasks(f"house-rules@{seed}", 20, held_out=True)}
    assert len(held_out) > 60 and not held_out & shown


def test_about_one_specification_in_eight_is_held_out() -> None:
    generator = random.Random(3)
    drawn = [draw_specification(3, generator) for _ in range(3000)]
    share = sum(one.is_held_out for one in drawn) / len(drawn)
    assert share == pytest.approx(1 / HELD_OUT_SHARE, abs=0.03)


def test_no_held_out_sentence_is_in_the_corpus(examples: list[Example]) -> None:
    sentences = [text for texts in HELD_OUT.values() for text in texts]
    patterns = [re.compile(re.escape(text).replace(r"\{k\}", r"\d+"), re.IGNORECASE) for text in sentences]
    prompts = [example.prompt for example in examples if example.kind == "own words"]
    assert len(prompts) > 60
    assert not [prompt for prompt in prompts for pattern in patterns if pattern.search(prompt)]


def test_every_kind_of_prompt_occurs_and_the_answer_is_a_program_of_the_specification(examples: list[Example]) -> None:
    counted = Counter(example.kind for example in examples)
    assert counted.keys() == set(PHASES[-1].kinds)
    for example in examples[:600]:
        specification = specification_of(example.prompt)
        if example.kind != "student":  # a student's answer may have a slip
            assert example.answer in {specification.program(one) for one in specification.alternatives()}


def test_the_teacher_s_turn_is_worded_as_the_policy_is_asked_later(examples: list[Example]) -> None:
    remarks = {remark.format(k=0) for remark in REMARKS.values()}
    for example in examples:
        question = specification_of(example.prompt).text
        if example.kind == "student":
            assert example.prompt == question
            continue
        rest = example.prompt.removeprefix(question)
        assert rest != example.prompt and rest.endswith(ENDING)
        shown = rest.removesuffix(ENDING)
        if example.kind == "demonstration" and "feedback" not in shown:
            assert example.prompt == teacher_text(question, demonstration=example.answer)
        elif example.kind == "remark" and "Your earlier attempt" not in shown:
            said = shown.partition("attempt:\n\n")[2].removesuffix("\n\n")
            assert example.prompt == teacher_text(question, feedback=said)
            assert all(sentence in remarks for sentence in said.removesuffix(".").split(". "))


def test_the_same_seed_gives_the_same_corpus() -> None:
    first, second, other = Corpus(1), Corpus(1), Corpus(2)
    drawn = [first.draw(LAST) for _ in range(30)]
    assert drawn == [second.draw(LAST) for _ in range(30)]
    assert drawn != [other.draw(LAST) for _ in range(30)]


def test_cases_are_held_out_and_in_fresh_houses() -> None:
    cases = draw_cases(2, 12)
    assert all(case.specification.is_held_out for case in cases)
    assert len({case.task.answer["house"] for case in cases}) == 12
    assert [case.program for case in cases] == [case.program for case in draw_cases(2, 12)]


def test_evidence_tells_of_the_right_program_and_only_in_its_own_way() -> None:
    case = draw_cases(2, 1)[0]
    failed = Judgement(0.0, False, "f([1]) returned [1], expected [2]")
    fields = {kind: teacher_fields(kind, case, failed) for kind in KINDS}
    assert fields["demonstration"] == {"feedback": "", "demonstration": case.program}
    assert fields["examples"] == {"feedback": failed.feedback}
    assert fields["examples and remark"]["feedback"] == f"{failed.feedback}\n{fields['remark']['feedback']}"
    assert all("its attempt" not in str(given) for given in fields.values())


def test_judging_by_text_agrees_with_running_the_programs() -> None:
    pairs = [
        (case.task, case.specification.program(choices))
        for case in draw_cases(1, 4)
        for choices in case.specification.alternatives()
    ]
    cheap, real = by_text(pairs), judge_many(pairs)
    assert [(one.passed, one.feedback) for one in cheap] == [(one.passed, one.feedback) for one in real]
    assert 0 < sum(one.passed for one in real) < len(real)


def test_the_evaluation_counts_every_cell_on_the_real_policy() -> None:
    seen: list[str] = []

    def judge(pairs: Sequence[tuple[Task, str]]) -> list[Judgement]:
        return by_text(pairs)

    table = evaluate(load_policy(PolicyConfig()), count=3, stages=[1, 2], judge=judge, progress=seen.append)
    assert {"student", *KINDS, "error gone", "irrelevant feedback", "wrong remark followed"} == table.keys()
    for cell, by_stages in table.items():
        assert by_stages.keys() == {"1", "2"}
        for passed, total in by_stages.values():
            assert 0 <= passed <= total and total >= 3, cell
    assert len(seen) == 2 * len(table)


def test_houses_of_the_evaluation_are_not_those_that_people_try() -> None:
    assert min(case.task.answer["house"] for stages in (1, 4) for case in draw_cases(stages, 3)) >= 100_000
    assert House(100_001).rules.keys() == House(1).rules.keys()
