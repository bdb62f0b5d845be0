"""Reasoning is taken off an attempt before it is judged, whatever marks its family uses; what is mentioned stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.records import Task
from workbench.tasks import judge, judge_many
from workbench.tasks.reading import opens_reasoning, split_reasoning

CALL = '<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>'
FENCED = "```python\ndef f(x):\n    return x\n```"


@pytest.mark.parametrize(
    "text",
    [
        "<think>perhaps A</think>B",
        "<thinking>\nperhaps A\n</thinking>\n\nB",
        "<Thought>perhaps A</Thought> B",
        "<reasoning>\nperhaps A\n</reasoning>\nB",
        '<think budget="low">perhaps A</think>B',
        "<antThinking>perhaps A</antThinking>B",
        "<analysis>perhaps A</analysis>\nB",
        "<thinking>perhaps C<reflection>perhaps A</reflection></thinking>\n<output>B</output>",
        "<seed:think>perhaps A</seed:think>B",
        "<mm:think>perhaps A</mm:think>B",
        "<ifm|think>perhaps A</ifm|think>B",
        "<longcat_think>perhaps A</longcat_think>B",
        "[THINK]perhaps A[/THINK]B",
        "◁think▷perhaps A◁/think▷B",
        "<|channel>thought\nperhaps A<channel|>B",
        "<|START_THINKING|>perhaps A<|END_THINKING|><|START_RESPONSE|>B<|END_RESPONSE|>",
        "<|begin_of_thought|>perhaps A<|end_of_thought|>\n<|begin_of_solution|>B<|end_of_solution|>",
        "<|think:start|>perhaps A<|think:end|>B",
        "<|inner_prefix|>perhaps A<|inner_suffix|>B",
        "[unused16]perhaps A[unused17]B",
        "Here is my thought process: perhaps A\nHere is my response: B",
        "Here are my reasoning steps:\nperhaps A\n[BEGIN FINAL RESPONSE]\nB\n[END FINAL RESPONSE]",
        "<think>perhaps A</think><response>\nB\n</response>",
        "<|channel|>analysis<|message|>perhaps A<|end|><|start|>assistant<|channel|>final<|message|>B<|return|>",
        "<|start|>assistant<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>final<|message|>B",
        "perhaps A<|end|><|start|>assistant<|channel|>final<|message|>B",  # the prompt had opened it
        "analysiswe try A.assistantfinalB",
        "<think>```python\nx = 'perhaps A'\n```</think>B",
        "<think>\n```python\nx = 'perhaps A'\n```</think>\nB",
        "analysisPerhaps A.assistantfinalB",  # its special tokens were dropped
        "perhaps A</think>B",
        "perhaps A\n[/THINK]\nB",
        "<think>perhaps A</think> or else </think>B",  # closed, and thought on
        "<think>A\n</think>\n</think>\n\nB",
        "<think><think>A</think>B",
        "<think>A</think>B</think>",
        "<think>A</think>\nB\n<think>A after all?",  # cut within a second thought
    ],
)
def test_every_family_s_thoughts_are_taken_off(text: str) -> None:
    split = split_reasoning(text)
    assert split.answer.strip() == "B"
    assert judge(Task("p/t", "Q", "exact", {"text": "B"}), text).passed
    assert any("A" in text[start:end] for start, end in split.reasoning)


@pytest.mark.parametrize(
    "text",
    [
        "<think>Perhaps B? or maybe",
        "[THINK]B",
        "<seed:think>B",
        "<|channel|>analysis<|message|>B",
        "<|channel|>anal",
        "<|channel>thought\nB",
        "B</think>",
        'I write "</think>" when I am done: B</think>',
        '<think>I write "</think>" when I am done: B',
        "<think>`</think>` ends it. B",
        "<reasoning>B is",
    ],
)
def test_a_thought_that_is_not_over_leaves_no_answer(text: str) -> None:
    assert split_reasoning(text).answer.strip() == ""
    assert not judge(Task("p/t", "Q", "contains", {"text": "B"}), text).passed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "B",
        "<b>B</b>",
        "A `<think>` tag opens it, and `</think>` closes it.",
        'Split at "</think>" and take the rest.',
        "def answer(text):\n    return text.split('</think>')[-1]",
        "```python\ntext = '''\n<think>\n'''\n```",
        "```\n<think>\nno thought\n</think>\n```",
        "~~~\n</think>\n~~~",
        "I think <em>B</em>.",
        "analysis of variance",
    ],
)
def test_what_is_only_mentioned_stays(text: str) -> None:
    assert split_reasoning(text) == split_reasoning(text) and split_reasoning(text).answer == text
    assert split_reasoning(text).reasoning == ()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"<think>\n{FENCED}\n</think>\nB", "B"),
        (f"<think>\n```python\nx = 1\n</think>\n{FENCED}", FENCED),  # the thought's block was left open
        (f"```python\nx = 1\n</think>\n{FENCED}", FENCED),
        ("<think>I must not write `</think>` yet.\n</think>\nB", "B"),
        ('<think>5" pipes</think> and 6" pipes', 'and 6" pipes'),
        ("<think>A</think>\nWrite `<think>` first.", "Write `<think>` first."),
        ("<think>A</think>\n```python\ns = '</think>'\n```", "```python\ns = '</think>'\n```"),
        ("<reasoning>A is\n<answer>\nB\n</answer>", "<answer>\nB\n</answer>"),  # forgot to close it
        ("<think>A is\n<answer>\nB\n</answer>", ""),  # a thought may try its answer out
        ("A</think>B<think>C</think>D", "B\nD"),
        (f"<|channel|>analysis<|message|>x<|end|>{CALL}", CALL),
    ],
)
def test_code_quotes_and_several_thoughts(text: str, answer: str) -> None:
    assert split_reasoning(text).answer.strip() == answer


def test_the_ranges_are_kept_with_the_verdict() -> None:
    text = "<think>A</think>\nB"
    assert judge(Task("p/t", "Q", "exact", {"text": "B"}), text).details["reasoning"] == [[0, 16]]
    assert "reasoning" not in judge(Task("p/t", "Q", "exact", {"text": "B"}), "B").details


@pytest.mark.parametrize(
    ("prompt", "opens"),
    [
        ("<|im_start|>assistant\n", False),
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),  # thinking is switched off
        ("[/INST][THINK]", True),
        ("<|start|>assistant", False),
        ("<|start|>assistant<|channel|>analysis<|message|>", True),
        ("", False),
    ],
)
def test_a_prompt_may_open_a_thought(prompt: str, opens: bool) -> None:
    assert opens_reasoning(prompt) is opens


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It could be B", ""),  # cut, without a mark of its own
        ("It could be A\n</think>\n\nB", "B"),
        ("<think>It could be A</think>B", "B"),  # and opens it once more
        ("I must write `</think>`. B", ""),
        ("", ""),
        ("perhaps A<|end|><|start|>assistant<|channel|>final<|message|>B", "B"),
    ],
)
def test_what_follows_such_a_prompt_is_a_thought_until_it_is_closed(text: str, answer: str) -> None:
    assert split_reasoning(text, opened=True).answer.strip() == answer
    task = Task("p/t", "Q", "contains", {"text": "B"})
    assert judge_many([(task, text)], opened=True)[0].passed is (answer == "B")


PIECES = ["<think>", "</think>", "`", '"', "```\n", "\n", "B", " ", "<|channel|>", "analysis", "<|message|>", "'"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_ranges_are_in_order_and_within_the_text(text: str) -> None:
    split = split_reasoning(text)
    ends = [place for span in split.reasoning for place in span]
    assert ends == sorted(ends) and all(0 <= place <= len(text) for place in ends)
    assert split.answer == text if not split.reasoning else len(split.answer) < len(text) + len(split.reasoning)
