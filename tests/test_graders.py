"""Public reports of what graders misjudge, as docs/graders.md lists them: each gets the right verdict here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import TaskError
from workbench.records import Task
from workbench.tasks import check_task, judge

DOCUMENT = (Path(__file__).resolve().parents[1] / "docs" / "graders.md").read_text(encoding="utf-8")
TICKS = "```"


def choice(letter: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "choice", {"choice": letter, **more}


def number(value: object, unit: str = "") -> tuple[str, dict[str, Any]]:
    return "numeric", {"value": value, "unit": unit}


def value(expected: object) -> tuple[str, dict[str, Any]]:
    return "json", {"value": expected}


EXACTLY_B = ("exact", {"text": "B"})
# Report, environment and answer, text, passed.
REPORTS: list[tuple[str, tuple[str, dict[str, Any]], str, bool]] = [
    ("jundot/omlx#3668", choice("B"), "The answer is B. Note that A is a common distractor.", True),
    ("jundot/omlx#3668", choice("C"), "The answer is C because I computed the integral.", True),
    ("EleutherAI/lm-evaluation-harness#4188", choice("B"), "The answer is B because a car moves.", True),
    ("EleutherAI/lm-evaluation-harness#4188", choice("B"), "I would pick B — a safe choice.", True),
    (
        "EleutherAI/lm-evaluation-harness#2237",
        choice("B"),
        "Muscle tissue (A) is not dividing. The answer is (B).",
        True,
    ),
    ("openai/simple-evals#33", choice("C"), "Antwort:\n\nAntwort: C", True),
    ("openai/simple-evals#33", choice("A"), "Antwort: Antwort: C", False),
    ("NVIDIA-NeMo/Gym#1844", choice("E"), "\\boxed{\\text{E}}", True),
    ("NVIDIA-NeMo/Gym#1844", choice("E"), "\\boxed{E: A polygenic risk score}", True),
    ("NVIDIA-NeMo/Skills#1526", choice("D"), "\\boxed{\\langle H\\rangle \\ll \\Delta E}\n\n**Answer: D**", True),
    ("NVIDIA-NeMo/Skills#1526", choice("D"), "**Answer: D**, as \\boxed{\\langle H\\rangle \\ll \\Delta E}", True),
    ("MakazhanAlpamys/Soup#357", choice("B"), "The energy is larger, so \\boxed{B}.", True),
    ("MakazhanAlpamys/Soup#357", choice("B"), "The energy is larger, so \\boxed{C}, not B.", False),
    ("open-compass/opencompass#2600", choice("B"), "A和C都不对，只有选项B是对的", True),
    ("ai-twinkle/Eval#156", choice("A"), "我認為應該選 A", True),
    ("ai-twinkle/Eval#156", choice("B"), "我選擇 B", True),
    ("ai-twinkle/Eval#156", choice("C"), "故選 C。", True),
    ("antirez/ds4#319", choice("C"), "Answer: I think it is C", True),
    ("antirez/ds4#319", number(293), "Answer: m+n = 256+37 = 293", True),
    ("antirez/ds4#319", number(82), "Final answer: 082", True),
    ("antirez/ds4#321", choice("D"), "Answer: It is not B, the answer is D", True),
    ("antirez/ds4#321", choice("D"), "Answer: D, not B", True),
    ("antirez/ds4#321", choice("D"), "Answer: rules out C, leaving D", True),
    ("IBM/AssetOpsBench#477", choice("C"), "The temperature and vibration data both point to bearing wear.\n\nC", True),
    ("stanford-crfm/helm#2939", choice("C"), "C. 12", True),
    ("open-compass/VLMEvalKit#1697", choice("B"), "I cannot tell.", False),
    ("huggingface/lighteval#869", ("contains", {"text": "42"}), "<think>42?</think> 41", False),
    ("allenai/olmo-eval#348", choice("B"), "<think>The answer is A</think>B", True),
    ("allenai/olmo-eval#398", EXACTLY_B, "analysisPerhaps A.assistantfinalB", True),
    ("ai-twinkle/Eval#26", EXACTLY_B, "Perhaps A.</think>B", True),
    (
        "mistralai/mistral-inference#162",
        ("regex", {"pattern": r"^\[TOOL_CALLS\]"}),
        '[TOOL_CALLS][{"name": "f"}]',
        True,
    ),
    ("huggingface/Math-Verify#34", number("5/4"), "1 1/4", True),
    ("huggingface/Math-Verify#34", number("2.5"), "$2\\frac{1}{2}$", True),
    ("huggingface/Math-Verify#81", number(2), "2 2/3", False),
    ("huggingface/Math-Verify#81", number(10), "4 10/3", False),
    ("huggingface/Math-Verify#81", number("71/6"), "11 5/6", True),
    ("Khan/khan-exercises#150323", number(10000), "10,000", True),
    ("Khan/khan-exercises#129156", number("0.0472"), "472/10,000", True),
    ("Khan/khan-exercises#116961", number("1/2"), "50%", True),
    ("Khan/khan-exercises#124169", number(20, "%"), "20%", True),
    ("Khan/khan-exercises#124169", number(20, "%"), "20", True),
    ("Khan/khan-exercises#135321", number("13.5", "%"), "27/2%", True),
    ("simonw/llm#1200", value({"a": 1}), f'Sure! Here\'s your output:\n{TICKS}json\n{{"a": 1}}\n{TICKS}', True),
    ("interviewstreet/hiring-agent#312", value({"a": 1}), f'{TICKS}\n{{"a": 1}}\n{TICKS}', True),
    (
        "567-labs/instructor#1837",
        value({"a": f"{TICKS}x{TICKS}"}),
        f'{TICKS}json\n{{"a": "{TICKS}x{TICKS}"}}\n{TICKS}',
        True,
    ),
    ("edreisMD/plugnplai#57", value({"a": 1}), "{'a': 1}", True),
    ("jmespath/jmespath.py#372", value([1]), "[true]", False),
    ("open-webui/open-webui#27471", ("regex", {"pattern": "(a+)+$"}), "a" * 40 + "!", False),
]


@pytest.mark.parametrize(("report", "asked", "text", "passed"), REPORTS)
def test_what_was_reported_is_judged_right(
    report: str, asked: tuple[str, dict[str, Any]], text: str, passed: bool
) -> None:
    environment, answer = asked
    verdict = judge(Task("p/t", "Q", environment, {name: item for name, item in answer.items() if item != ""}), text)
    assert verdict.passed is passed, verdict.details
    assert f"[{report}](https://github.com/" in DOCUMENT


def test_a_pattern_that_is_none_is_refused_on_loading() -> None:
    assert "[Aletheore/Aletheore#190]" in DOCUMENT
    with pytest.raises(TaskError, match="cannot be used"):
        check_task(Task("p/t", "Q", "regex", {"pattern": "(a"}))


def test_every_report_of_reading_is_a_case_here() -> None:
    start = DOCUMENT.index("## The letter of a choice")
    listed = set(re.findall(r"\[([\w.-]+/[\w.-]+#\d+)\]\(", DOCUMENT[start : DOCUMENT.index("## Patterns and judges")]))
    assert listed == {report for report, *_ in REPORTS} - {"open-webui/open-webui#27471"}
