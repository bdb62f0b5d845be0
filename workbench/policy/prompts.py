"""Prompts of the student and the self-teacher, as token ids.

Both prompts go through the same chat template with the same system message and end in the same assistant header
(trap 2). Text from people, models and sandboxes stays text: special tokens in it never become tokens (trap 5), braces
survive (trap 4), and only the fields of the teacher's prompt are ever shortened, never the question (trap 3).

Source: docs/algorithm.md, section 4 (the paper's reprompt). What the teacher's prompt says is `workbench.templates`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import PromptError
from workbench.policy.chat import Chat
from workbench.policy.policy import Policy
from workbench.records import Task
from workbench.templates import PAPER, Turn, in_force, read_template

CUT = "\n[...]\n"  # stands where the middle of a field was left out

Earlier = tuple[str, str]  # an earlier attempt's text, and the feedback on it


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt."""

    ids: tuple[int, ...]  # what the model reads
    text: str  # the same for people; a special token and its spelling look alike here, but not in the ids
    shortened: tuple[str, ...] = ()  # fields that were cut to fit: "demonstration", "failed attempt", "feedback"


def student_prompt(policy: Policy, task: Task, *, max_tokens: int | None = None) -> Prompt:
    """Render the question for the student.

    `max_tokens` bounds the prompt (None: the model's context). Raises PromptError: empty, over-long, or a message
    that the chat template refuses.
    """
    prompt = _render(policy, task, _question(task))
    limit = _limit(policy, max_tokens)
    if len(prompt.ids) > limit:
        raise PromptError(
            f"The question of task {task.id!r} takes {len(prompt.ids)} tokens, but {limit} fit; shorten it or sample "
            "fewer new tokens."
        )
    return prompt


def conversation_prompt(
    policy: Policy, task: Task, turns: Sequence[Earlier], *, max_tokens: int | None = None
) -> Prompt:
    """Render the question and each earlier attempt with its feedback, in the words of the paper's template.

    Empty attempts and feedback leave no trace. Where not all turns fit into `max_tokens` (None: the model's context),
    the oldest are left out; without turns it is the student's prompt. Raises PromptError as `student_prompt`.
    """
    limit = _limit(policy, max_tokens)
    fitting = student_prompt(policy, task, max_tokens=max_tokens)
    ending = teacher_text("")
    history = ""
    for attempt, feedback in reversed(turns):
        history = teacher_text("", failed_attempt=attempt, feedback=feedback).removesuffix(ending) + history
        prompt = _render(policy, task, _question(task) + history + ending)
        if len(prompt.ids) > limit:
            break
        fitting = prompt
    return fitting


def teacher_prompt(
    policy: Policy,
    task: Task,
    *,
    feedback: str,
    demonstration: str = "",
    failed_attempt: str = "",
    question: str | None = None,
    config: SDPOConfig | None = None,
    max_tokens: int | None = None,
) -> Prompt:
    """Render the same question for the self-teacher: with a demonstration, a failed attempt and feedback, if any.

    All three empty give the template-only context. `question` replaces the task's own: another task's (mismatched
    question), or "" (answer only); `config` has the template. Where the whole does not fit into `max_tokens` (None:
    the model's context), the long fields lose their middle, all to the same length, and `shortened` names them.
    Raises PromptError: as `student_prompt`, and where even empty fields do not fit.
    """
    fields = {
        "demonstration": demonstration.strip(),
        "failed attempt": failed_attempt.strip(),
        "feedback": feedback.strip(),
    }
    config = config or SDPOConfig()
    template = read_template(in_force(config.template, str(policy.facts["model"])))
    limit = _limit(policy, max_tokens)
    question_text = _question(task) if question is None else question

    def rendered(cap: int | None) -> Prompt:
        cut = {name: text if cap is None else shorten(text, cap) for name, text in fields.items()}
        shortened = tuple(name for name, text in fields.items() if cut[name] != text)
        filled = {"question": question_text, **{name.replace(" ", "_"): text for name, text in cut.items()}}
        prompt = _render(policy, task, template.turns(filled))
        return Prompt(prompt.ids, prompt.text, shortened)

    prompt = rendered(None)
    if len(prompt.ids) > limit:
        prompt = rendered(0)
        if len(prompt.ids) > limit:
            raise PromptError(
                f"The self-teacher's question for task {task.id!r} takes {len(prompt.ids)} tokens without any "
                f"feedback, but {limit} fit; shorten the question or sample fewer new tokens."
            )
        low, high = 0, max(len(text) for text in fields.values())
        while high - low > 1:  # invariant: `prompt` is rendered(low) and fits; rendered(high) does not
            middle = (low + high) // 2
            candidate = rendered(middle)
            if len(candidate.ids) <= limit:
                low, prompt = middle, candidate
            else:
                high = middle
    _assert_same_header(policy, _render(policy, task, _question(task)).ids, prompt.ids)
    return prompt


def teacher_text(question: str, demonstration: str = "", failed_attempt: str = "", feedback: str = "") -> str:
    """The self-teacher's turn in the words of the paper's template; empty fields leave no trace."""
    fields = {
        "question": question,
        "demonstration": demonstration,
        "failed_attempt": failed_attempt,
        "feedback": feedback,
    }
    ((_, text),) = read_template(PAPER).turns(fields)
    return text


def reply_opening(policy: Policy) -> str:
    """The end of every prompt: the text that opens the reply, where some templates open a thought as well."""
    return _chat(policy).generation_suffix()


def shorten(text: str, characters: int) -> str:
    """Cut the middle out of a text so that `characters` of it remain; 0 gives an empty field."""
    if len(text) <= characters:
        return text
    if characters == 0:
        return ""
    head = (characters + 1) // 2
    return text[:head] + CUT + text[len(text) - (characters - head) :]


def _question(task: Task) -> str:
    if not task.prompt.strip():
        raise PromptError(f"The question of task {task.id!r} is empty; write one.")
    return task.prompt


def _limit(policy: Policy, max_tokens: int | None) -> int:
    # One place is left for at least one sampled token.
    longest = policy.context_length - 1
    return longest if max_tokens is None else min(longest, max_tokens)


def render(chat: Chat, system: str | None, turns: str | Sequence[Turn], *, whose: str, what: str) -> Prompt:
    """Render a prompt: one turn of the user, or several. Raises PromptError, which says whose template refuses what."""
    try:
        text, ids = chat.render(system, turns)
    except Exception as error:  # Jinja's own errors, and what templates raise on purpose (no system turn, ...)
        reason = " ".join(str(error).split())[:200]
        raise PromptError(f"The chat template of {whose} refuses {what}: {reason}") from error
    return Prompt(ids, text)


def _render(policy: Policy, task: Task, turns: str | Sequence[Turn]) -> Prompt:
    return render(_chat(policy), task.system, turns, whose=str(policy.facts["model"]), what=f"task {task.id!r}")


def _chat(policy: Policy) -> Chat:
    return Chat(policy.tokenizer, policy.facts["thinking"])


def _assert_same_header(policy: Policy, student_ids: tuple[int, ...], teacher_ids: tuple[int, ...]) -> None:
    """Raise PromptError unless both prompts end in the same assistant header (trap 2)."""
    header = _chat(policy).generation_suffix()
    student, teacher = (_tail(policy.tokenizer, ids, header) for ids in (student_ids, teacher_ids))
    count = min(len(student), len(teacher))
    # A header that does not open with a token of its own may share its first one with the text before it.
    needed = max(1, len(policy.tokenizer.encode(header, add_special_tokens=False)) - 1) if header else 0
    if count < needed or student[len(student) - count :] != teacher[len(teacher) - count :]:
        raise PromptError(
            f"The chat template of {policy.facts['model']} ends the student's and the self-teacher's prompts in "
            "different assistant headers, so their scores cannot be compared; choose another model."
        )


def _tail(tokenizer: Any, ids: tuple[int, ...], header: str) -> tuple[int, ...]:
    """The longest sequence of final ids that spells nothing but the end of `header`."""
    count = 0
    while count < len(ids) and header.endswith(tokenizer.decode(list(ids[len(ids) - count - 1 :]))):
        count += 1
    return ids[len(ids) - count :]
