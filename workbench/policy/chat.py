"""The chat template: turns in, token ids out, the same way for every side of a comparison.

Templates differ in what they accept. Three things are settled here, once, so that student and self-teacher cannot
differ in them (trap 2): whether the model thinks (`enable_thinking`), where a system message goes if the template has
no turn for it, and the date. Knows nothing of tasks and feedback.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
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

_SYSTEM, _USER, _ASSISTANT = "SYSTEM-TEXT", "USER-TEXT", "ASSISTANT-TEXT"  # probes, found again in what is rendered


class Chat:
    """A tokenizer's chat template with the policy's settings."""

    def __init__(self, tokenizer: Any, thinking: bool | None = None) -> None:
        self.tokenizer = tokenizer
        self.thinking = thinking

    def render(self, system: str | None, turns: str | Sequence[Turn]) -> tuple[str, tuple[int, ...]]:
        """Render one question, or turns that end in one, with the assistant's turn opened: text and ids.

        Special tokens in the messages stay text (trap 5). A system message for which the template has no turn goes
        to the front of the user's first turn, followed by a blank line, as in Gemma 3's own template. Raises
        whatever the template raises.
        """
        messages = self._messages(system, [("user", turns)] if isinstance(turns, str) else turns)
        text = self.text(messages, add_generation_prompt=True)
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
        return str(
            self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt, **self._options()
            )
        )

    def has_system_turn(self) -> bool:
        """True where the template writes a system message; some refuse it, some drop it silently."""
        try:
            text = self.text([_turn("system", _SYSTEM), _turn("user", _USER)], add_generation_prompt=True)
        except Exception:  # Jinja's own errors, and what templates raise on purpose
            return False
        return _SYSTEM in text

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
        """The special token that the template writes after an assistant's turn, if it writes one."""
        text = self.text([_turn("user", _USER), _turn("assistant", _ASSISTANT)], add_generation_prompt=False)
        after = text.rpartition(_ASSISTANT)[2].lstrip()
        added = {token.content: i for i, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        ends = [content for content in added if after.startswith(content)]
        return added[max(ends, key=len)] if ends else None

    def check(self, model: str) -> None:
        """Raise PolicyError where the template cannot be used with these settings."""
        try:
            if self.thinking is not None and not self.has_thinking_switch():
                raise PolicyError(
                    f"The chat template of {model!r} has no thinking mode to switch on or off; leave `thinking` unset."
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


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
