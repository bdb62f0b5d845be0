"""The chat template: turns in, token ids out, the same way for every side of a comparison.

Templates differ in what they accept. Three things are settled here, once, so that student and self-teacher cannot
differ in them (trap 2): whether the model thinks (`enable_thinking`), where a system message goes if the template has
no turn for it, and the date. Knows nothing of tasks and feedback.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from workbench.errors import PolicyError
from workbench.templates import Turn

# Some templates (Llama 3.1 and later) write the date into the system turn. An attempt scored the day after it was
# sampled would then be scored under another prompt, so the date is always this one, which those templates themselves
# write where they find no clock.
TODAY = datetime(2024, 7, 26)
# transformers passes templates no functions but its own, so this macro precedes the template and shadows the clock.
_CODES = "".join(f" | replace('%{code}', '{TODAY.strftime(f'%{code}')}')" for code in "aAbBdHIjmMpSyY")
_FIXED_DATE = "{%- macro strftime_now(format) -%}{{ format" + _CODES + " }}{%- endmacro -%}"

_USER, _ASSISTANT = "USER-TEXT", "ASSISTANT-TEXT"  # probes, found again in what is rendered
# What a careless template changes or cuts: case, quotes, escapes, braces, spaces, line ends, letters, length.
_PROBE = (
    "Probe: \"Ä\" & 'é' <b>1 < 2</b> \\n {x} {{ y }} {% z %} %s\n\n    two  spaces\ta tab 檈\u2028"
    + " words" * 2_000
    + "."
)


class Chat:
    """A tokenizer's chat template with the policy's settings."""

    def __init__(self, tokenizer: Any, thinking: bool | None = None) -> None:
        self.tokenizer = tokenizer
        self.thinking = thinking

    def render(self, system: str | None, turns: str | Sequence[Turn]) -> tuple[str, tuple[int, ...]]:
        """Render one question, or turns that end in one, with the assistant's turn opened: text and ids.

        Special tokens in the messages stay text (trap 5). A system message for which the template has no turn goes
        to the front of the user's first turn, followed by a blank line, as in Gemma 3's own template. Raises
        whatever the template raises, and ValueError where it changes or loses a message, but for white space around it.
        """
        given = self._messages(system, [("user", turns)] if isinstance(turns, str) else turns)
        messages = self._filled(given)
        text = self._text(messages, add_generation_prompt=True)
        if not _are_in(given, text):
            raise ValueError("it changes or loses a part of the message; reword it, or repair the template")
        encoded = self.tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            sanitize_control_tokens=True,
            **self._options(),
        )
        return text, tuple(encoded["input_ids"])

    def text(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
        """Render turns as text."""
        return self._text(self._filled(messages), add_generation_prompt=add_generation_prompt)

    def _text(self, messages: list[dict[str, Any]], *, add_generation_prompt: bool) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt, **self._options()
            )
        )

    def has_system_turn(self) -> bool:
        """True where the template writes a system message; some refuse it, some drop it silently."""
        return self._keeps([_turn("system", _PROBE), _turn("user", _USER)])

    @cached_property
    def takes_parts(self) -> bool:
        """True where the template loses a plain text and keeps one in a list of content parts, as for images."""
        ask = [_turn("user", _PROBE)]
        return not self._keeps(ask, parts=False) and self._keeps(ask, parts=True)

    def keeps_question(self) -> bool:
        """True where the template writes the user's words as they are, with and without a system message."""
        return all(
            self._keeps(self._messages(system, [("user", _PROBE)]), parts=self.takes_parts)
            for system in (None, "SYSTEM-TEXT")
        )

    def _keeps(self, turns: list[dict[str, str]], *, parts: bool | None = None) -> bool:
        messages = self._filled(turns, parts=parts)
        try:
            return _are_in(turns, self._text(messages, add_generation_prompt=True))
        except Exception:  # Jinja's own errors, and what templates raise on purpose
            return False

    def _filled(self, turns: list[dict[str, str]], *, parts: bool | None = None) -> list[dict[str, Any]]:
        """Turns in the form that the template takes: plain texts, or lists of content parts."""
        if not (self.takes_parts if parts is None else parts):
            return list(turns)
        return [turn | {"content": [{"type": "text", "text": turn["content"]}]} for turn in turns]

    def has_thinking_switch(self) -> bool:
        """True where `enable_thinking` changes the rendered text."""
        ask = [_turn("user", _USER)]
        on, off = (Chat(self.tokenizer, thinking).text(ask, add_generation_prompt=True) for thinking in (True, False))
        return on != off

    def generation_suffix(self) -> str:
        """Text that the template appends to open the assistant's turn."""
        ask = [_turn("user", _USER)]
        without, opened = (self.text(ask, add_generation_prompt=flag) for flag in (False, True))
        return opened[len(without) :] if opened.startswith(without) else opened.rpartition(_USER)[2]

    def turn_end_id(self) -> int | None:
        """The first added token that the template writes after an assistant's turn, if it writes one.

        It need not be marked as special, and words of the template may stand before it.
        """
        text = self.text([_turn("user", _USER), _turn("assistant", _ASSISTANT)], add_generation_prompt=False)
        _, reply, after = text.lower().rpartition(_ASSISTANT.lower())  # some templates change the case of a reply
        if not reply:
            return None
        after = text[len(text) - len(after) :]
        added = {token.content: i for i, token in self.tokenizer.added_tokens_decoder.items()}
        places = {content: after.find(content) for content in added if not content.isspace()}
        ends = [content for content, place in places.items() if place >= 0]
        return added[min(ends, key=lambda content: (places[content], -len(content)))] if ends else None

    def check(self, model: str) -> None:
        """Raise PolicyError where the template cannot be used with these settings."""
        try:
            if self.thinking is not None and not self.has_thinking_switch():
                raise PolicyError(
                    f"The chat template of {model!r} has no thinking mode to switch on or off; leave `thinking` unset."
                )
            if not self.keeps_question():
                # What the template itself says of a plain question, if it refuses even that, comes first.
                self._text(self._filled([_turn("user", _USER)]), add_generation_prompt=True)
                raise PolicyError(
                    f"The chat template of {model!r} changes or loses the words of a question; repair it or choose "
                    "another model."
                )
            self.generation_suffix()
            self.turn_end_id()
        except PolicyError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise PolicyError(
                f"The chat template of {model!r} cannot be used ({reason}); repair it or choose another model."
            ) from error

    def _messages(self, system: str | None, turns: Sequence[Turn]) -> list[dict[str, str]]:
        messages = [_turn(role, text) for role, text in turns]
        if system is None:
            return messages
        if self.has_system_turn():
            return [_turn("system", system), *messages]
        return [_turn("user", f"{system}\n\n{turns[0][1]}"), *messages[1:]]

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {} if self.thinking is None else {"enable_thinking": self.thinking}
        template = self.tokenizer.get_chat_template()
        return options | {"chat_template": _FIXED_DATE + template} if "strftime_now" in template else options


def _are_in(turns: list[dict[str, str]], text: str) -> bool:
    """True where every turn's words are in a rendered text; templates may strip white space around them.

    A former reply is not looked for: templates of models that reason leave its thoughts out, on purpose.
    """
    return all(turn["content"].strip() in text for turn in turns if turn["role"] != "assistant")


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
