"""The contexts under which an attempt's own token ids can be scored, by name, and how some of them are chosen.

A context is a prompt and a side that reads it. All views are arithmetic on what they give. Knows nothing of prompts'
wording and of models. Source: docs/algorithm.md, section 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from workbench.errors import ConfigError

Side = Literal["student", "teacher", "base"]  # the policy as it is; the chosen self-teacher; the adapter off
Contexts = str | Iterable[str]  # a name, or names; "all" among them stands for every one


@dataclass(frozen=True, slots=True)
class Context:
    """One way of reading the attempt."""

    name: str
    side: Side
    meaning: str  # what it reads, for people


CONTEXTS: Mapping[str, Context] = MappingProxyType(
    {
        context.name: context
        for context in (
            Context("student", "student", "the question"),
            Context("teacher", "teacher", "the question with the feedback"),
            Context("template_only", "teacher", "the question in the self-teacher's words, without any feedback"),
            Context("wrong_feedback", "teacher", "the question with another attempt's feedback"),
            Context("mismatched_question", "teacher", "another task's question with this attempt's feedback"),
            Context("answer_only", "teacher", "the feedback without the question"),
            Context("base", "base", "the question, read by the reference policy (adapter off)"),
        )
    }
)
# What the first coloured attempt needs; every further context is one more row of the same pass.
DEFAULT_CONTEXTS = ("student", "teacher", "base")
REQUIRED_CONTEXTS = ("student", "teacher")


def chosen(contexts: Contexts) -> tuple[str, ...]:
    """The names that were chosen, in the order of `CONTEXTS`, with the two that everything rests on.

    Raises ConfigError for a name that is no context.
    """
    requested = {contexts} if isinstance(contexts, str) else set(contexts)
    if "all" in requested:
        requested = requested - {"all"} | CONTEXTS.keys()
    unknown = sorted(requested - CONTEXTS.keys())
    if unknown:
        raise ConfigError(f"There is no context named {unknown[0]!r}; there are {', '.join(CONTEXTS)}, or 'all'.")
    return tuple(name for name in CONTEXTS if name in requested or name in REQUIRED_CONTEXTS)
