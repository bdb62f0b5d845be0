"""The letter that an answer chooses: explicit answers first, the last of several, and no words, units or pairs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.records import FeedbackPart, Task
from workbench.tasks import check_task, judge
from workbench.tasks.reading.letters import options_in, read_letter

USUAL = dict.fromkeys("ABCDEFGHIJ", "")
TEXTS = {"A": "1.69", "B": "2.49 pC", "C": "carbon dioxide", "D": "A proton"}

# Text, and the letter in it; "" where it chooses none.
READINGS = [
    ("I'd go with B since A is clearly wrong.", "B"),
    ("I choose B, though A is obviously not far off.", "B"),
    ("We pick option (c); B is clearly incorrect.", "C"),
    ("People select the answer by habit. It is D.", "D"),
    ("The answer is B because I computed the integral.", "B"),
    ("Answer: B. I hope this helps!", "B"),
    ("The answer is B. Note that A is a common distractor.", "B"),
    ("Answer: B, at 25 °C", "B"),
    ("(b)", "B"),
    ("答案是B。", "B"),
    ("So \\boxed{\\text{B}}.", "B"),
    ("ANSWER: BC", ""),
    (" C", "C"),
    ("The answer is B. I am sure.", "B"),
    ("answer is B, I think", "B"),
    ("answer: b", "B"),
    ("(B)", "B"),
    ("**A**", "A"),
    ("$A$", "A"),
    ("\\boxed{B}", "B"),
    ("\\boxed{\\text{E}}", "E"),
    ("\\boxed{E: text}", "E"),
    ("Option B", "B"),
    ("AB", ""),
    ("I think a car is fast", ""),
    ("I", "I"),
    ("A", "A"),
    ("b", "B"),
    ("<answer>\nB\n</answer>", "B"),
    ("<answer>B", "B"),
    ("<answer>A</answer> no wait <answer>\n A \n</answer>", "A"),
    ("The answer is not A.", ""),
    ("The answer is not A, it is C.", "C"),
    ("The answer isn't A but C.", "C"),
    ("It is not A but B.", "B"),
    ("A and B", ""),
    ("Answer: A and C", ""),
    ("Answer: A or C", ""),
    ("Answer: A, C", ""),
    ("Answer: A/B", ""),
    ("Both A and C are right", ""),
    ("I first thought A, but it is B.", "B"),
    ("B? No: A.", "A"),
    ("Is the answer A? No, B.", "B"),
    ("If the answer is A, then x. So B.", "B"),
    ("选B", "B"),
    ("故选B", "B"),
    ("应该选择B。", "B"),
    ("正确答案为:B", "B"),
    ("答案：Ｂ", "B"),
    ("Ｂ", "B"),
    ("B选项正确", "B"),
    ("不选A,选C", "C"),
    ("答案不是A，而是C", "C"),
    ("Antwort:\n\nAntwort: C", "C"),
    ("Die richtige Antwort ist C.", "C"),
    ("La bonne réponse est C.", "C"),
    ("La respuesta correcta es la C.", "C"),
    ("A resposta correta é C", "C"),
    ("La risposta corretta è C", "C"),
    ("Ответ: C", "C"),
    ("Правильный ответ — C", "C"),
    ("정답은 C입니다", "C"),
    ("答えはCです", "C"),
    ("正解：C", "C"),
    ("Đáp án đúng là C", "C"),
    ("Jawaban yang benar adalah C", "C"),
    ("الإجابة الصحيحة هي C", "C"),
    ("सही उत्तर: C", "C"),
    ("The correct answer is (B).", "B"),
    ("The correct answer is: **B) 1.69**", "B"),
    ("**Answer:** B", "B"),
    ("**Answer**: B", "B"),
    ("## Answer\nB", "B"),
    ("Final Answer: $\\boxed{B}$", "B"),
    ("Final answer is option B", "B"),
    ("The correct option is B", "B"),
    ("B is correct.", "B"),
    ("Option B is the correct answer. Option A is wrong.", "B"),
    ("B is the right answer; A is incorrect", "B"),
    ("I choose C", "C"),
    ("I would pick B — a safe choice.", "B"),
    ("The answer is B because a car moves.", "B"),
    ("I'd go with option c", "C"),
    ("B\n\nExplanation: A is smaller, and C is larger.", "B"),
    ("B) 2.49\n\nBecause A and C are wrong.", "B"),
    ("A) no\nB) yes\nC) no\nThe answer is therefore B", "B"),
    ("The answer is a matter of taste", ""),
    ("Answer: A car is fast", ""),
    ("Answer: I think it is B", "B"),
    ("The answer is A, since", "A"),
    ("answer is a.", "A"),
    ("The answer is **a)**", "A"),
    ("vitamin C is needed", ""),
    ("at 25 C", ""),
    ("It is 5 A", ""),
    ("B-cells are", ""),
    ("The answer is A. Wait, no. The answer is D.", "D"),
    ("\\boxed{A} hmm \\boxed{D}", "D"),
    ("The answer is A.\n\n<answer>D</answer>", "D"),
    ("\\boxed{42}\nSo B", "B"),
    ("<answer>The answer is B</answer>", "B"),
    ("<answer>Option B</answer>", "B"),
    ("<answer>A and B</answer>", ""),
    ("<answer>AB</answer> so A", ""),
    ("<answer></answer>", ""),
    ("The answer to question 3 is B.", "B"),
    ("The answer must therefore be B", "B"),
    ("Answer choices:\nA) x\nB) y\nI pick B", "B"),
    ("The final answer is $\\text{(B)}$", "B"),
    ("My answer: [B]", "B"),
    ("Answer - B", "B"),
    ("Answer => B", "B"),
    ("Answer B", "B"),
    ("the answer could be A or B", ""),
    ("None of the above", ""),
    ("The answer is E.", "E"),
    ("E = mc^2 so B", "B"),
    ("Let A = 3 and B = 4. Then C", "C"),
    ("ans: c", "C"),
    ("Correct answer: C.", "C"),
    ("The answer is C: A and B are wrong.", "C"),
    ("C. A and B are wrong because", "C"),
    ("B.", "B"),
    ("b)", "B"),
    ("B: 1.69", "B"),
    ("[[B]]", "B"),
    ('"B"', "B"),
    ("'B'", "B"),
    ('{"answer": "B"}', "B"),
    ("`B`", "B"),
    ("*B*", "B"),
    ("_B_", "B"),
    ("<b>B</b>", "B"),
    ("\\text{B}", "B"),
    ("\\mathbf{B}", "B"),
    ("\\(B\\)", "B"),
    ("The answer is\n\nB", "B"),
    ("The answer is: \n\n**(B)** 1.69", "B"),
    ("Statement A is false, B holds, so the answer should be B", "B"),
    ("therefore the answer cannot be A", ""),
    ("It can't be C, so D", "D"),
    ("We can rule out A, B and C", ""),
    ("Neither A nor B", ""),
    ("the right choice would be D", "D"),
    ("So the answer is B, not A.", "B"),
    ("The answer is A... no, B", "A"),
    ("B and A are both plausible but the answer is A", "A"),
    ("Answer: B (A is wrong)", "B"),
    ("Answer: C and it is because", "C"),
    ("Answer:B", "B"),
    ("answer:b", "B"),
    ("ANSWER IS D. A is incorrect.", "D"),
    ("答案：B和C", ""),
    ("答案是B而不是A", "B"),
    ("最终答案：(B)", "B"),
    ("答案是选项B", "B"),
    ("选项B正确", "B"),
    ("The best option is B", "B"),
    ("Answer: Option (b)", "B"),
    ("The answer is “B”", "B"),
    ("The answer is B\u200b", "B"),
    ("I am sure.", ""),
    ("The answer is I.", "I"),
    ("So do I.", ""),
    ("Answer: I", "I"),
    ("Doğru cevap B'dir.", "B"),
    ("Ⓑ", "B"),
    ("Is it B?", ""),
    ("If the answer is B, then x follows.", ""),
    ("If the answer were A, x would hold. The answer is B.", "B"),
    ("La respuesta no es B", ""),
    ("A resposta não é B", ""),
    ("La réponse n'est pas B", ""),
    ("Ответ не B", ""),
    ("No, B", "B"),
]


@pytest.mark.parametrize(("text", "letter"), READINGS)
def test_the_letter_that_a_text_chooses(text: str, letter: str) -> None:
    assert read_letter(text, USUAL).letter == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("1.69", "A"),
        ("The answer is 1.69.", "A"),
        ("The answer is carbon dioxide.", "C"),
        ("Carbon Dioxide", "C"),
        ("<answer>2.49 pC</answer>", "B"),
        ("\\boxed{1.69}", "A"),
        ("The answer is 1.6", ""),
        ("The answer is A proton", "D"),
        ("The answer is 1.695", ""),
        ("Answer: C carbon dioxide", "C"),
        ("The answer is A 1.69", "A"),
        ("I eat carbon dioxide", ""),
        ("So I say D", "D"),
        ("The answer is C=CC(=O)O.", ""),
        ("E", "E"),
        ("The answer is E", "E"),
    ],
)
def test_an_option_s_text_stands_for_its_letter(text: str, letter: str) -> None:
    assert read_letter(text, TEXTS).letter == letter


def test_an_option_s_text_may_begin_with_a_letter_or_be_one() -> None:
    formulas = {"A": "CC(=O)O", "B": "O=C=O", "C": "W in Ag"}
    for text, letter in (
        ("The answer is O=C=O.", "B"),
        ("The answer is W in Ag.", "C"),
        ("<answer>CC(=O)O</answer>", "A"),
    ):
        assert read_letter(text, formulas).letter == letter
    swapped = {"A": "B", "B": "A"}
    assert read_letter("The answer is A.", swapped).letter == read_letter("<answer>A</answer>", swapped).letter == "A"


def test_options_are_found_in_a_question() -> None:
    listed = "Which is it?\n\nA: -0.01\nB: 1.69\n\nC: 2.49\nPlease reason step by step."
    assert options_in(listed) == {"A": "-0.01", "B": "1.69", "C": "2.49"}
    assert options_in("(A) red\n(B) blue") == {"A": "red", "B": "blue"}
    assert options_in("Name one.") == options_in("A: the only one") == {}
    assert options_in("A) x\nB) y\nNow:\nA) red\nB) blue") == {"A": "red", "B": "blue"}  # after an example
    asked = Task("p/t", listed, "choice", {"choice": "B"})
    assert judge(asked, "The answer is 1.69.").passed and not judge(asked, "The answer is 2.49.").passed


def test_a_task_says_how_many_options_there_are() -> None:
    many = Task("p/t", "Q", "choice", {"choice": "Q", "options": 20})
    assert judge(many, "It must be Q").passed and not judge(many, "It must be R").passed
    named = Task("p/t", "Q", "choice", {"choice": "B", "options": ["red", "light blue"]})
    assert judge(named, "Light Blue").passed and not judge(named, "red").passed
    assert judge(Task("p/t", "Q", "choice", {"choice": "B", "options": {"A": "red", "B": "blue"}}), "blue").passed


def test_the_verdict_shows_what_was_read_and_why_it_failed() -> None:
    task = Task("p/t", "Q", "choice", {"choice": "B"})
    right, wrong, several, none = (judge(task, text) for text in ("It is B.", "Answer: C", "Answer: B and C", "Hm."))
    assert [one.details["read_as"] for one in (right, wrong, several, none)] == ["B", "C", "B and C", ""]
    assert (right.feedback, wrong.feedback) == ("", "C is not the right choice.")
    assert wrong.parts[0] == FeedbackPart("outcome", wrong.feedback)
    assert several.parts[0].kind == none.parts[0].kind == "format"
    assert all("B" not in part.text for part in (*wrong.parts, *none.parts) if part.kind != "answer")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"choice": "b"},
        {"choice": "Z"},
        {"choice": "C", "options": ["x", "y"]},
        {"choice": "A", "options": 1},
        {"choice": "A", "options": True},
        {"choice": "A", "options": ["x", 2]},
        {"choice": "A", "options": {"A": "x", "BB": "y"}},
    ],
)
def test_a_choice_that_is_no_option_is_refused(answer: dict) -> None:
    with pytest.raises(Exception, match="'choice' needs choice"):
        check_task(Task("p/t", "Q", "choice", answer))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.sampled_from("ABCDEFGHIJ"))
def test_a_last_box_is_what_counts_whatever_stands_before_it(before: str, letter: str) -> None:
    assert read_letter(f"{before}\n\\boxed{{{letter}}}", USUAL).letter == letter
