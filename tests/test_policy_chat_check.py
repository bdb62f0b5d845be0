"""Faults of tokenizers and chat templates that would show only in attempts: found on loading, each kind of them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from model_families import FAMILIES, make_family_tokenizer
from policy_factory import TEMPLATE, make_model_dir, make_tokenizer
from transformers import AutoTokenizer

from workbench.config import LoraSettings, PolicyConfig
from workbench.errors import PolicyError, PromptError
from workbench.policy import Policy, load_policy
from workbench.policy.chat import Chat
from workbench.policy.prompts import student_prompt
from workbench.records import Task

CONTENT = "{{ message.content }}"
TASK = Task("pack/one", "Write F(xs): sort,\n\n  then take <3> & 'stop'.", "person", system="Be Careful.")
WORDY = "Write f(xs) <|end|>"


def load(path: Path) -> Policy:
    return load_policy(PolicyConfig(str(path), "none", "cpu", lora=LoraSettings(rank=2)))


def with_template(content: str, assistant: str | None = None) -> str:
    """The plain template with the content of turns, or only of the assistant's, written in another way."""
    assert CONTENT in TEMPLATE
    if assistant is None:
        return TEMPLATE.replace(CONTENT, content)
    return TEMPLATE.replace(
        CONTENT + "<|end|>",
        "{% if message.role == 'assistant' %}" + assistant + "{% else %}" + content + "<|end|>{% endif %}",
    )


LOSES = {
    "lower": "{{ message.content | lower }}",
    "title": "{{ message.content | title }}",
    "escapes": "{{ message.content | e }}",
    "json": "{{ message.content | tojson }}",
    "cuts": "{{ message.content[:500] }}",
    "truncates": "{{ message.content | truncate(300) }}",
    "joins lines": "{{ message.content.split('\\n') | join(' ') }}",
    "joins words": "{{ message.content.split() | join(' ') }}",
    "loses all": "{{ message.text }}",
    "loses quotes": "{{ message.content | replace('\"', '') }}",
    "keeps the last line": "{{ message.content.split('\\n')[-1] }}",
}


@pytest.mark.parametrize("name", LOSES)
def test_a_template_that_changes_the_question_is_refused(name: str) -> None:
    """Fails when `Chat.check` does not probe the question."""
    chat = Chat(make_tokenizer(with_template(LOSES[name])))
    with pytest.raises(PolicyError, match=r"changes or loses the words of a question; repair it or choose"):
        chat.check("m")


def test_white_space_around_a_message_may_go() -> None:
    chat = Chat(make_tokenizer(with_template("{{ message.content | trim }}")))
    chat.check("m")
    assert "user\nhello<|end|>" in chat.render(None, "  hello \n")[0]


def test_a_loss_that_no_probe_shows_is_refused_at_the_prompt(tmp_path: Path) -> None:
    """Fails when `Chat.render` does not look for the message in what was rendered."""
    policy = load(make_model_dir(tmp_path, chat_template=with_template("{{ message.content | replace('sort', '') }}")))
    with pytest.raises(PromptError, match="changes or loses a part of the message"):
        student_prompt(policy, TASK)


PARTS = "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}"
STRICT_PARTS = (
    "{% for part in message.content %}{{ part['text'] if part is mapping else raise_exception('parts') }}{% endfor %}"
)


@pytest.mark.parametrize("content", [PARTS, STRICT_PARTS])
def test_content_parts_are_given_where_they_are_wanted(tmp_path: Path, content: str) -> None:
    """Fails when turns are given as plain texts always; special tokens in parts stay text (trap 5)."""
    policy = load(make_model_dir(tmp_path, chat_template=with_template(content)))
    prompt = student_prompt(policy, Task("pack/one", WORDY, "person", system="Be careful."))
    plain = Chat(make_tokenizer()).render("Be careful.", WORDY)
    assert (prompt.text, prompt.ids) == plain
    assert prompt.ids.count(policy.tokenizer.convert_tokens_to_ids("<|end|>")) == 2
    assert policy.tokenizer.convert_tokens_to_ids("<|end|>") == Chat(policy.tokenizer).turn_end_id()


ENDS = {
    "upper case": "{{ message.content | upper }}<|end|>\n",
    "lower case": "{{ message.content | lower }}<|end|>\n",
    "capitalised": "{{ message.content | capitalize }}<|end|>\n",
    "trimmed": "{{ message.content | trim }}<|end|>",
    "without its thoughts": "{{ message.content.split('</think>')[-1].lstrip() }}<|end|>",
    "after a thought": "<think>\n\n</think>\n\n{{ message.content }}<|end|>\n",
    "words before the end": "{{ message.content }} That is all.\n<|end|>\n",
    "a line before the end": "{{ message.content }}\n\n<|end|>",
    "two ends": "{{ message.content }}<|end|><|stop|>",
}


@pytest.mark.parametrize("name", ENDS)
def test_the_end_of_a_turn_is_found(name: str) -> None:
    """Fails when the reply is looked for as it was given, or its end only directly behind it."""
    tokenizer = make_tokenizer(with_template(CONTENT, ENDS[name]))
    assert Chat(tokenizer).turn_end_id() == tokenizer.convert_tokens_to_ids("<|end|>")


def test_an_end_that_is_not_marked_as_special_is_found() -> None:
    """`</think>` here stands for an end that was added as an ordinary token."""
    tokenizer = make_tokenizer(with_template(CONTENT, "{{ message.content }}</think>\n"))
    end = tokenizer.convert_tokens_to_ids("</think>")
    assert not tokenizer.added_tokens_decoder[end].special and Chat(tokenizer).turn_end_id() == end


def test_a_template_that_drops_the_reply_names_no_end() -> None:
    """Fails when what opens the prompt is taken for what follows the reply."""
    assert Chat(make_tokenizer(with_template(CONTENT, "<|stop|>"))).turn_end_id() is None


def add_tokens(path: Path, *, used: bool) -> None:
    """Give a model's tokenizer ChatML's tokens, as people do, without resizing its embedding."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    if used:
        tokenizer.chat_template = TEMPLATE.replace("<|start|>", "<|im_start|>").replace("<|end|>", "<|im_end|>")
    tokenizer.save_pretrained(path)


def test_tokens_beyond_the_embedding_are_refused(tmp_path: Path) -> None:
    """Fails (IndexError in the first attempt) without `check_embedding`."""
    add_tokens(make_model_dir(tmp_path), used=True)
    with pytest.raises(PolicyError, match=r"gives the id \d+ \('<\|im_start\|>'\), but .* has only \d+ rows; use the"):
        load(tmp_path)


def test_a_word_beyond_the_embedding_is_refused(tmp_path: Path) -> None:
    path = make_model_dir(tmp_path)
    written = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = written["model"]["vocab"]
    vocabulary["zq"] = 5_000
    written["model"]["merges"].append(["z", "q"])
    (path / "tokenizer.json").write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(PolicyError, match=r"gives the id 5000 \('zq'\)"):
        load(path)


def test_ids_that_nothing_gives_are_harmless(tmp_path: Path) -> None:
    """Added tokens that neither the template nor any text brings; fails when ids are only counted."""
    add_tokens(make_model_dir(tmp_path), used=False)
    policy = load(tmp_path)
    ids = student_prompt(policy, Task("pack/one", "Say <|im_start|>.", "person")).ids
    assert max(ids) < policy.facts["vocabulary"] < len(policy.tokenizer)


def forget_ends(path: Path, eos: int | None) -> None:
    """Take the end tokens out of a model's configuration, or write one there."""
    for name in ("config.json", "generation_config.json"):
        written = json.loads((path / name).read_text(encoding="utf-8"))
        written.pop("eos_token_id", None)
        if eos is not None:
            written["eos_token_id"] = eos
        (path / name).write_text(json.dumps(written), encoding="utf-8")


def test_a_default_end_that_is_an_ordinary_token_is_warned_of(tmp_path: Path) -> None:
    """Llama's configuration has the end 2 where it names none. Fails without `end_warning`."""
    path = make_model_dir(tmp_path, "llama")
    written = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
    written["added_tokens"] = [token for token in written["added_tokens"] if token["id"] != 2]
    (path / "tokenizer.json").write_text(json.dumps(written), encoding="utf-8")
    options = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))
    for key in ("additional_special_tokens", "extra_special_tokens"):
        options.pop(key, None)
    (path / "tokenizer_config.json").write_text(json.dumps(options), encoding="utf-8")
    forget_ends(path, None)
    with pytest.warns(UserWarning, match=r"ends attempts: 2 \('<\|stop\|>'\), which its configuration does not name"):
        policy = load(path)
    assert {"id": 2, "text": "<|stop|>"} in policy.facts["end_tokens"]
    assert "ordinary token" in policy.facts["end_warning"]


def test_an_ordinary_end_that_is_named_is_warned_of_too(tmp_path: Path) -> None:
    path = make_model_dir(tmp_path)
    forget_ends(path, 50)
    with pytest.warns(UserWarning, match=r"ends attempts: 50 \([^,]*\); name the right"):
        load(path)


def test_right_ends_are_listed_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        policy = load(make_model_dir(tmp_path))
    assert [end["text"] for end in policy.facts["end_tokens"]] == ["<|end|>", "<|stop|>"]
    assert policy.facts["end_warning"] is None


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_is_refused(family: str) -> None:
    chat = Chat(make_family_tokenizer(FAMILIES[family]))
    chat.check(family)
    assert chat.keeps_question() and not chat.takes_parts
