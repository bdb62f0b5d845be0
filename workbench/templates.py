r"""Templates of the self-teacher's prompt: one text with slots, or a chat of turns, filled literally.

    {question} {demonstration} {failed_attempt} {feedback}   slots: here the text goes
    {#feedback} ... {/feedback}                              a section: left out where its slot is empty
    {turn user} {turn assistant}                             a turn begins; without these, all is one turn of the user
    \{feedback}                                              a backslash makes a tag plain text

All other braces are plain text, and what fills a slot is never read as a template (trap 4). Source of the template
"paper": the paper's public code; the sentence before a failed attempt, and the other templates, are this project's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from types import MappingProxyType
from typing import Any, Literal

from workbench.errors import ConfigError

Role = Literal["user", "assistant"]
Turn = tuple[Role, str]
SLOTS = ("question", "demonstration", "failed_attempt", "feedback")
_TAG = re.compile(r"(\\*)\{(?:([#/]?)(" + "|".join(SLOTS) + r")|turn (user|assistant))\}")

PAPER = (
    "{question}"
    "{#demonstration}\nCorrect solution:\n\n{demonstration}\n\n{/demonstration}"
    "{#failed_attempt}\nYour earlier attempt:\n\n{failed_attempt}\n\n{/failed_attempt}"
    "{#feedback}\nThe following is feedback from your unsuccessful earlier attempt:\n\n{feedback}\n\n{/feedback}"
    "\n\nCorrectly solve the original question.\n"
)
_EXAMPLE = "{#demonstration}A correct answer to the question below:\n\n{demonstration}\n\n{/demonstration}"
_WRONG = "{#failed_attempt}A wrong answer to the question below:\n\n{failed_attempt}\n\n{/failed_attempt}"
_EXAMPLE_AFTER = "{#demonstration}\n\nA correct answer:\n\n{demonstration}{/demonstration}"
_WRONG_AFTER = "{#failed_attempt}\n\nA wrong answer:\n\n{failed_attempt}{/failed_attempt}"

# Name -> template. Every one of them has a place for each of the slots.
TEMPLATES: Mapping[str, str] = MappingProxyType(
    {
        "paper": PAPER,
        "before": _EXAMPLE + _WRONG + "{#feedback}{feedback}\n\n{/feedback}{question}",
        "hint-before": _EXAMPLE + _WRONG + "{#feedback}Hint: {feedback}\n\n{/feedback}{question}",
        "hint-after": "{question}" + _EXAMPLE_AFTER + _WRONG_AFTER + "{#feedback}\n\nHint: {feedback}{/feedback}",
        "brackets": "{question}" + _EXAMPLE_AFTER + _WRONG_AFTER + "{#feedback} ({feedback}){/feedback}",
        "chat": (
            _EXAMPLE
            + _WRONG
            + "{#feedback}{feedback}{turn assistant}Understood. I will keep that in mind.{/feedback}"
            + "{turn user}{question}"
        ),
        "dialogue": (
            "{#demonstration}{question}{turn assistant}{demonstration}{turn user}{/demonstration}"
            "{question}{#failed_attempt}{turn assistant}{failed_attempt}{turn user}That is wrong.{/failed_attempt}"
            "{#feedback}{turn user}{feedback} Answer the question again.{/feedback}"
        ),
    }
)
OWN = "auto"  # the template that the model brings, else the paper's
# Part of a model's name, in lower case, as copies and GGUF files of it keep it -> the template that `study templates`
# found best for it, on tasks that it was not chosen by. An entry needs that measurement; none is finished yet.
OWN_TEMPLATES: Mapping[str, str] = MappingProxyType({})
_ALIASES: Mapping[str, str] = MappingProxyType({"smollm2": "smollm2-135m-instruct"})


def own_template(model: str) -> str:
    """Name of the template that a model brings, by the model's name; "paper" where none was measured for it."""
    name = _ALIASES.get(model, model.lower())
    return next((template for part, template in OWN_TEMPLATES.items() if part in name), "paper")


def in_force(template: str, model: str) -> str:
    """The template that a setting stands for with a model: the model's own for "auto", else as given."""
    return own_template(model) if template == OWN else template


def template_text(template: str) -> str:
    """The text of a template that is given by its name or its text."""
    return PAPER if template == OWN else TEMPLATES.get(template, template)


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read: its pieces in order, each (kind, text): "text", "slot", "#", "/" or "turn"."""

    pieces: tuple[tuple[str, str], ...]

    @property
    def slots(self) -> frozenset[str]:
        """Names of the slots that it has a place for."""
        return frozenset(text for kind, text in self.pieces if kind == "slot")

    def turns(self, fields: Mapping[str, str]) -> tuple[Turn, ...]:
        """Fill it: turns of user and assistant in alternation, of which the first and the last are the user's.

        `fields`: slot -> text; one that is absent is empty. In a chat of several turns, white space around a turn goes,
        turns without text are left out, and neighbours of one role become one turn.
        """
        turns: list[tuple[Role, list[str]]] = [("user", [])]
        hidden = 0  # how many sections that are left out are open here
        for kind, text in self.pieces:
            if kind in "#/":
                hidden += (0 if fields.get(text) else 1) * (1 if kind == "#" else -1)
            elif not hidden and kind == "turn":
                turns.append(("assistant" if text == "assistant" else "user", []))
            elif not hidden:
                turns[-1][1].append(fields.get(text, "") if kind == "slot" else text)
        filled: list[Turn] = [(role, "".join(parts)) for role, parts in turns]
        return tuple(filled) if len(filled) == 1 else _alternating(filled)


def _alternating(turns: list[Turn]) -> tuple[Turn, ...]:
    """See `Template.turns`. A first or last turn without text stays where the question of a control is empty."""
    merged: list[Turn] = []
    for place, (role, text) in enumerate(turns):
        stripped = text.strip()
        if not stripped and place < len(turns) - 1:
            continue
        if merged and merged[-1][0] == role:
            merged[-1] = (role, "\n\n".join(part for part in (merged[-1][1], stripped) if part))
        else:
            merged.append((role, stripped))
    return tuple(merged) if merged[0][0] == "user" else (("user", ""), *merged)


@lru_cache(maxsize=64)
def read_template(text: str) -> Template:
    """Read a template's text, or the template of that name ("auto": the paper's).

    Raises ConfigError, in one sentence: an unknown name, no question, nothing to show, a section that does not close, a
    chat that ends in an assistant's turn.
    """
    template = Template(_pieces(template_text(text)))
    if "question" not in template.slots:
        known = ", ".join([OWN, *TEMPLATES])
        raise ConfigError(
            f"The template {_shown(text)} has no {{question}}; write {{question}} where the question goes, or give "
            f"one of {known}."
        )
    if not template.slots & {"feedback", "demonstration"}:
        raise ConfigError(
            "The template has neither {feedback} nor {demonstration}, so its teacher would know no more than the "
            "student; write where they go."
        )
    _check_sections(template)
    for present in product(("", "x"), repeat=len(SLOTS)):
        if template.turns(dict(zip(SLOTS, present, strict=True)))[-1][0] != "user":
            raise ConfigError(
                "The template can end in {turn assistant}; end it in {turn user}, which the model answers."
            )
    return template


def _pieces(text: str) -> tuple[tuple[str, str], ...]:
    pieces: list[tuple[str, str]] = []
    end = 0
    for match in _TAG.finditer(text):
        slashes, mark, slot, role = match.groups()
        literal = text[end : match.start()] + "\\" * (len(slashes) // 2)
        end = match.end()
        if len(slashes) % 2:
            pieces.append(("text", literal + match.group()[len(slashes) :]))
            continue
        pieces += [("text", literal), ("turn", role) if role else (mark or "slot", slot)]
    return tuple(piece for piece in [*pieces, ("text", text[end:])] if piece[1])


def _check_sections(template: Template) -> None:
    opened: list[str] = []
    for kind, name in template.pieces:
        if kind == "#":
            opened.append(name)
        elif kind == "/" and (not opened or opened.pop() != name):
            raise ConfigError(f"The template has {{/{name}}} without {{#{name}}} before it; write both, or neither.")
    if opened:
        raise ConfigError(f"The section {{#{opened[-1]}}} of the template does not end; write {{/{opened[-1]}}}.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def _plain(text: str, *, last: bool = False) -> str:
    """Write a text so that a template holds it as plain text; `last`: no tag follows it."""
    escaped = _TAG.sub(lambda match: match[1] * 2 + "\\" + match[0][len(match[1]) :], text)
    return escaped if last else escaped + "\\" * (len(escaped) - len(escaped.rstrip("\\")))


_PARTS = ("template_solution", "template_failed_attempt", "template_feedback")  # in their order, before the ending


def upgraded(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as an earlier version stored them, with its four fields `template_...` as one template.

    They stood after the question, in this order, each around a `{}`. Settings without them are returned as they are.
    """
    kept = {name: value for name, value in stored.items() if not name.startswith("template_")}
    if not all(isinstance(stored.get(name), str) for name in (*_PARTS, "template_ending")):
        return kept
    template = "{question}"
    for name, slot in zip(_PARTS, SLOTS[1:], strict=True):
        before, after = (_plain(part) for part in str(stored[name]).split("{}"))
        template += f"{{#{slot}}}{before}{{{slot}}}{after}{{/{slot}}}"
    template += _plain(str(stored["template_ending"]), last=True)
    return {**kept, "template": "paper" if template == PAPER else template}
