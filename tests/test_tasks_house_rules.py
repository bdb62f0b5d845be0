"""House rules: the meaning of every line, checks that tell conventions apart, slips, verdicts. Programs really run."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks import check_task, judge, judge_many, sandbox
from workbench.tasks.house_rules.checks import draw_input, draw_valid
from workbench.tasks.house_rules.pack import (
    PACK,
    house_tasks,
    load_house_pack,
    make_answer,
    make_task,
    parse_name,
)
from workbench.tasks.house_rules.remarks import remark
from workbench.tasks.house_rules.slips import draw_slip
from workbench.tasks.house_rules.stages import STAGE, STAGES
from workbench.tasks.house_rules.wording import HELD_OUT, PARAPHRASES, REMARKS
from workbench.tasks.house_rules.world import House, Specification, Step, parse_specification

EVERY_LINE = [(stage, choice, k) for stage in STAGES for choice in stage.choices for k in stage.numbers]
GUARD = """
def everything(inputs):
    rows = []
    for program in PROGRAMS:
        row = []
        for xs in inputs:
            try:
                row.append(program(list(xs)))
            except ValueError:
                row.append("nothing left")
        rows.append(row)
    return rows
"""


def meaning(function: object, xs: list[int], k: int) -> object:
    try:
        return function(list(xs), k)  # type: ignore[operator]
    except ValueError:
        return "nothing left"


def test_every_line_of_python_does_what_the_generator_believes() -> None:
    generator = random.Random(0)
    inputs = [[], [0], [-7, -1, 3]] + [
        [generator.randint(-9, 20) for _ in range(generator.randint(1, 8))] for _ in range(60)
    ]
    code = ""
    for number, (stage, choice, k) in enumerate(EVERY_LINE):
        body = choice.line.format(k=k)
        code += f"def f{number}(xs):\n    {body}\n" + ("" if stage.final else "    return xs\n")
    code += f"PROGRAMS = [{', '.join(f'f{number}' for number in range(len(EVERY_LINE)))}]\n" + GUARD
    result = sandbox.run_python(code, [{"function": "everything", "args": [inputs]}])
    assert result.error is None
    for (stage, choice, k), returned in zip(EVERY_LINE, result.outputs[0], strict=True):
        assert returned == [meaning(choice.apply, xs, k) for xs in inputs], (stage.name, choice.name, k)


def test_the_choices_of_a_stage_share_out_all_houses_and_differ() -> None:
    for stage in STAGES:
        assert sum(choice.weight for choice in stage.choices) == pytest.approx(1.0)
        assert len({choice.line for choice in stage.choices}) == len({c.name for c in stage.choices})
        for choice in stage.choices if stage.is_open else ():
            for table in (REMARKS, PARAPHRASES, HELD_OUT):
                assert table[stage.name, choice.name]


def executed(program: str, xs: tuple[int, ...]) -> object:
    """Return value of a program of the generator's own; it is run here because it is not the policy's."""
    names: dict = {}
    exec(program, names)
    return names["f"](list(xs))


@pytest.mark.parametrize("open_stages", [1, 2, 3, 4])
def test_checks_tell_every_combination_of_choices_from_every_other(open_stages: int) -> None:
    generator = random.Random(open_stages)
    for _ in range(12):
        specification, checks = draw_valid(open_stages, generator)
        rows = [
            repr([executed(specification.program(choices), xs) for xs in checks])
            for choices in specification.alternatives()
        ]
        assert len(set(rows)) == len(rows), specification.text
        assert len(specification.open_steps) == open_stages


def test_a_specification_is_read_back_from_its_text() -> None:
    generator = random.Random(5)
    for turn in range(60):
        specification, _ = draw_valid(1 + turn % 4, generator)
        assert parse_specification(specification.text) == specification
    assert parse_specification("  Write f(xs): sort,then take 3 ").text == "Write f(xs): sort, then take 3."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Sort the list.", "starts with"),
        ("Write f(xs): juggle.", "no stage 'juggle'"),
        ("Write f(xs): take 1234.", "no stage 'take 1234'"),
        ("Write f(xs): ", "no stage ''"),
        ("Write f(xs): add up, then sort.", "Only the last stage"),
    ],
)
def test_text_outside_the_language_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        parse_specification(text)


def test_a_house_is_its_seed() -> None:
    specification = parse_specification("Write f(xs): sort, then take 3, then limit at 5, then pick the best.")
    assert House(7).choices(specification) == House(7).choices(specification)
    drawn = {House(seed).choices(specification) for seed in range(200)}
    assert len(drawn) > 15  # of 24


@pytest.mark.parametrize("held_out", [True, False])
def test_tasks_of_a_house_are_valid_repeatable_and_on_their_side_of_the_split(held_out: bool) -> None:
    tasks = house_tasks(f"{PACK}@9:remark", 9, held_out=held_out)
    assert tasks == house_tasks(f"{PACK}@9:remark", 9, held_out=held_out)
    assert len({task.id for task in tasks}) == 9
    for task in tasks:
        check_task(task)
        specification = parse_specification(task.prompt)
        assert specification.is_held_out is held_out
        assert (task.answer["house"], task.answer["feedback"]) == (9, "remark")


def test_the_built_in_pack_opens_with_a_task_of_one_line_and_every_task_has_a_name_of_its_own() -> None:
    tasks = load_house_pack(PACK)
    assert (tasks[0].id, tasks[0].prompt) == ("house-rules/sort-take-1", "Write f(xs): sort, then take 3.")
    assert len({task.id for task in tasks}) == len(tasks) >= 20


@pytest.mark.parametrize("name", ["house-rules@", "house-rules@x", "houserules", "house-rules:loud", ""])
def test_other_names_are_no_house(name: str) -> None:
    assert parse_name(name) is None


def test_of_all_programs_only_the_house_s_own_passes() -> None:
    task = house_tasks(PACK, 3, held_out=True)[2]
    specification = parse_specification(task.prompt)
    right = House(task.answer["house"]).choices(specification)
    alternatives = list(specification.alternatives())
    judged = judge_many([(task, specification.program(choices)) for choices in alternatives])
    assert [choices for choices, judgement in zip(alternatives, judged, strict=True) if judgement.passed] == [right]
    failed = [judgement for judgement in judged if not judgement.passed]
    assert all(
        judgement.reward == 0 and "returned" in judgement.feedback and "expected" in judgement.feedback
        for judgement in failed
    )
    assert judged[alternatives.index(right)].feedback == ""
    assert {judgement.details["tier"] for judgement in judged} == {sandbox.choose_tier()}


SAID = {"example": ["example"] * 2, "judge": ["judge"], "example+judge": ["example", "example", "judge"], "none": []}
OLD = {"examples": "example", "remark": "judge", "both": "example+judge"}  # names of earlier versions


@pytest.mark.parametrize("kind", [*SAID, *OLD])
def test_what_is_said_of_a_failure_is_true_and_of_the_chosen_kind(kind: str) -> None:
    specification = Specification((Step("sort"), Step("take", 3)))
    house = House(3)
    right = house.choices(specification)
    wrong = (1 - right[0], 1 - right[1])
    checks = ((5, 1, 9, 2), (8, 3, 0, 4, 7))
    verdict = judge(make_task("t/t", specification, checks, house, kind), specification.program(wrong))
    examples = [
        f"f({list(xs)}) returned {executed(specification.program(wrong), xs)}, "
        f"expected {executed(specification.program(right), xs)}"
        for xs in checks
    ]
    words = remark(specification, right)
    said = SAID[OLD.get(kind, kind)]
    assert [part.kind for part in verdict.parts] == said
    texts = [*(examples if "example" in said else []), *([words] if "judge" in said else [])]
    assert [part.text for part in verdict.parts] == texts and verdict.feedback == "\n".join(texts)


@pytest.mark.parametrize(("kind", "parts"), [("judge", ["error"]), ("example+judge", ["error"]), ("none", [])])
def test_an_error_is_told_whatever_was_chosen_unless_it_is_nothing(kind: str, parts: list[str]) -> None:
    task = replace(house_tasks(PACK, 1, held_out=False)[0], id="t/t")
    task = replace(task, answer={**task.answer, "feedback": kind})
    assert [part.kind for part in judge(task, "def f(xs):\n    return nothing").parts] == parts


def test_truth_values_and_fractions_are_not_the_numbers_they_equal() -> None:
    specification = Specification((Step("sort"),))
    task = make_task("t/t", specification, ((1, 0), (0, 1)), House(3), "examples")
    right = executed(specification.program(House(3).choices(specification)), (1, 0))
    assert judge(task, f"def f(xs):\n    return {right}").passed
    assert not judge(task, f"def f(xs):\n    return {[bool(x) for x in right]}").passed  # type: ignore[union-attr]
    assert not judge(task, f"def f(xs):\n    return {[float(x) for x in right]}").passed  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["Here it is:\n```python\n{}```\nDone.", "```\n{}", "{}"])
def test_a_program_may_stand_in_a_fence_or_alone(form: str) -> None:
    task = load_house_pack("house-rules")[0]
    judged = judge(task, form.format("def f(xs):\n    return ys\n"))
    assert judged.feedback == "NameError: name 'ys' is not defined (line 2)"


def test_a_text_without_fences_is_the_program_as_it_is() -> None:
    """The embedded policy writes no prose: what else stands in its text is a mistake, and stays one."""
    task = load_house_pack("house-rules")[0]
    judged = judge(task, "xs sorted\ndef f(xs):\n    return sorted(xs)[:3]\n")
    assert judged.feedback == "SyntaxError: invalid syntax (line 1)"


SLIPPY = "Write f(xs): sort, then take 3, then parity, then pick the best."


def slips() -> list[tuple[str, str, tuple[int, ...]]]:
    """(program, error, an input on which the program without the slip runs), of every kind of slip."""
    generator = random.Random(11)
    examples: dict[tuple[str, str], tuple[str, str, tuple[int, ...]]] = {}
    for turn in range(120):
        specification, checks = draw_valid(1 + turn % 3, generator)
        choices = generator.choice(list(specification.alternatives()))
        slip = draw_slip(specification.program(choices), generator)
        kind = slip.error.rpartition(" (line")[0]
        examples.setdefault((kind, specification.steps[-1].stage), (slip.program, slip.error, checks[0]))
    return list(examples.values())


def test_python_says_of_a_slip_exactly_what_the_corpus_says() -> None:
    cases = slips()
    assert {error.partition(":")[0] for _, error, _ in cases} == {"NameError", "SyntaxError"}
    assert any("was never closed" in error for _, error, _ in cases)
    results = sandbox.run_many([(code, [{"function": "f", "args": [list(xs)]}]) for code, _, xs in cases])
    reported = [(code, result.error) for (code, _, _), result in zip(cases, results, strict=True)]
    assert reported == [(code, error) for code, error, _ in cases]


def test_a_slip_fails_with_its_error_as_feedback() -> None:
    task = load_house_pack(PACK)[0]
    judged = judge(task, "def f(xs)\n    return xs")
    assert (judged.passed, judged.feedback) == (False, "SyntaxError: expected ':' (line 1)")
    assert [part.kind for part in judged.parts] == ["error"]


def test_a_typed_task_gets_checks_that_tell_its_conventions_apart() -> None:
    prompt = "Write f(xs): drop 2, then scale by 3."
    answer = make_answer(prompt, House(4))
    specification = parse_specification(prompt)
    rows = {
        repr([executed(specification.program(choices), tuple(xs)) for xs in answer["checks"]])
        for choices in specification.alternatives()
    }
    assert len(rows) == 4
    with pytest.raises(TaskError, match="No inputs distinguish"):
        make_answer("Write f(xs): sort, then pick the best.", House(4))  # the order cannot matter to a maximum


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        ({}, "Write f(xs): sort."),
        ({"house": "three", "checks": [[1, 2]]}, "Write f(xs): sort."),
        ({"house": 3, "checks": []}, "Write f(xs): sort."),
        ({"house": 3, "checks": [1, 2]}, "Write f(xs): sort."),
        ({"house": 3, "checks": [["a"]]}, "Write f(xs): sort."),
        ({"house": 3, "checks": [[2, 1]]}, "Write a poem."),
    ],
)
def test_a_task_that_the_checker_could_not_judge_is_refused_before_anything_is_sampled(
    answer: dict, prompt: str
) -> None:
    with pytest.raises(TaskError):
        check_task(Task("p/t", prompt, PACK, answer))


def test_inputs_hold_what_the_numbers_of_a_specification_turn_on() -> None:
    specification = Specification((Step("limit", 5),))
    generator = random.Random(0)
    inputs = [draw_input(specification, generator) for _ in range(50)]
    assert sum(5 in xs for xs in inputs) > 30
    assert all(3 <= len(xs) <= 6 for xs in inputs)
    assert replace(specification.steps[0]).phrase == STAGE["limit"].phrase.format(k=5)
