"""Templates of the teacher's prompt: slots, sections, turns, what is refused, and the settings of earlier versions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import SDPOConfig
from workbench.errors import ConfigError
from workbench.templates import OWN_TEMPLATES, PAPER, SLOTS, TEMPLATES, in_force, read_template, upgraded

FULL = {"question": "Q", "demonstration": "D", "failed_attempt": "A", "feedback": "F"}


def text(template: str, **fields: str) -> str:
    ((role, filled),) = read_template(template).turns(fields)
    assert role == "user"
    return filled


def test_slots_stand_in_any_order_and_empty_sections_vanish() -> None:
    example = "{#demonstration}{#feedback} and{/feedback} {demonstration}{/demonstration}"
    template = "{#feedback}Note: {feedback}\n{/feedback}{question}" + example
    assert text(template, question="Q", feedback="F") == "Note: F\nQ"
    assert text(template, question="Q", demonstration="D") == "Q D"
    assert text(template, question="Q", feedback="F", demonstration="D") == "Note: F\nQ and D"


@given(
    st.lists(st.sampled_from(["{question}", "{#feedback}", "{/feedback}", "{turn user}", "{}", "{0}", "\\", "%s", "x"]))
)
@settings(max_examples=60, deadline=None)
def test_trap_04_what_fills_a_slot_is_never_read_as_a_template(pieces: list[str]) -> None:
    """Trap 4. Fails when slots are filled one after the other with `str.replace`."""
    told = "".join(pieces)
    assert text("{feedback}|{question}|{demonstration}", question=told, feedback=told, demonstration=told) == (
        f"{told}|{told}|{told}"
    )


def test_other_braces_and_tags_behind_a_backslash_are_text() -> None:
    assert text("{a} {} \\n \\{feedback} \\\\{feedback} {question}", question="Q", feedback="F") == (
        "{a} {} \\n {feedback} \\F Q"
    )


def test_a_chat_alternates_and_ends_with_the_user() -> None:
    wrong = "{#failed_attempt}Not {failed_attempt}.{/failed_attempt}"
    template = "{feedback}{turn assistant} Noted. {turn user}" + wrong + "{turn user}{question}"
    assert read_template(template).turns(FULL) == (
        ("user", "F"),
        ("assistant", "Noted."),
        ("user", "Not A.\n\nQ"),
    )
    assert read_template(template).turns({})[0] == ("user", "")
    assert read_template(template).turns({})[-1] == ("user", "")


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_named_template_shows_all_and_leaves_no_trace_of_what_is_empty(name: str) -> None:
    template = read_template(name)
    assert template.slots == set(SLOTS)
    turns = template.turns({slot: f"<{slot}>" for slot in SLOTS})
    assert {slot for slot in SLOTS if any(f"<{slot}>" in text for _, text in turns)} == set(SLOTS)
    assert [role for role, _ in turns] == (["user", "assistant"] * len(turns))[: len(turns)] and len(turns) % 2
    if name != "paper":
        assert template.turns({"question": "Q"}) == (("user", "Q"),)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("hint-befor", "has no {question}"),
        ("{question}", "neither {feedback} nor {demonstration}"),
        ("{question}{#feedback}{feedback}", "does not end"),
        ("{question}{feedback}{/feedback}", "without {#feedback}"),
        ("{#feedback}{#question}{question}{/feedback}{feedback}{/question}", "without {#feedback}"),
        ("{question}{feedback}{turn assistant}Yes", "end it in {turn user}"),
        ("{question}{#feedback}{turn assistant}{feedback}{/feedback}", "end it in {turn user}"),
    ],
)
def test_what_is_wrong_with_a_template_is_one_sentence(template: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SDPOConfig(template=template)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_model_brings_its_own_template_unless_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(OWN_TEMPLATES.values()) <= set(TEMPLATES)
    monkeypatch.setattr("workbench.templates.OWN_TEMPLATES", {"smollm2-135m-instruct": "before"})
    for model in ("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", "/models/SmolLM2-135M-Instruct-Q8_0.gguf"):
        assert in_force("auto", model) == "before"
    assert in_force("auto", "embedded") == "paper"
    assert in_force("brackets", "smollm2") == "brackets"


OLD = {
    "template_solution": "\nCorrect solution:\n\n{}\n\n",
    "template_failed_attempt": "\nYour earlier attempt:\n\n{}\n\n",
    "template_feedback": "\nThe following is feedback from your unsuccessful earlier attempt:\n\n{}\n\n",
    "template_ending": "\n\nCorrectly solve the original question.\n",
}


def test_settings_of_an_earlier_version_mean_the_same() -> None:
    assert upgraded({"steps": 2, **OLD}) == {"steps": 2, "template": "paper"}
    assert upgraded({"steps": 2}) == {"steps": 2}
    demonstration, failed, feedback, ending = OLD.values()
    shown = demonstration.replace("{}", "D") + failed.replace("{}", "A") + feedback.replace("{}", "F")
    assert text(PAPER, **FULL) == "Q" + shown + ending


WORDS = st.lists(st.sampled_from(["{feedback}", "{#question}", "{turn user}", "{", "}", "\\", "{feed", "a"])).map(
    "".join
)


@given(WORDS, WORDS, WORDS)
@settings(max_examples=100, deadline=None)
def test_any_template_of_an_earlier_version_means_the_same(before: str, after: str, ending: str) -> None:
    before, after = before.replace("{}", ""), after.replace("{}", "")
    if (before + "{}" + after).count("{}") != 1:
        return
    old = {**OLD, "template_feedback": before + "{}" + after, "template_ending": ending}
    config = SDPOConfig(**upgraded(old))
    assert text(config.template, question="Q", feedback="F") == "Q" + before + "F" + after + ending
