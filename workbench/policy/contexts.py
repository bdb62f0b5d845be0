"""Credit of an attempt: its own token ids scored under several contexts, handed to the maths as logits.

Contexts: student (the question), teacher (the question with feedback, under the chosen teacher) and base (the
question, adapter off). Knows nothing of how a prompt is worded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from workbench.config import Teacher
from workbench.credit import TokenCredit
from workbench.errors import FeedbackError
from workbench.policy.policy import Policy
from workbench.policy.prompts import Prompt
from workbench.policy.scoring import completion_logits, null_noise_floor
from workbench.policy.teacher import teacher_logits, trust_region
from workbench.records import Attempt


def credit_of(
    policy: Policy,
    attempt: Attempt,
    student_ids: Sequence[int],
    teacher_prompt: Prompt,
    *,
    temperature: float,
    teacher: Teacher,
    rate: float,
    top_k: int = 8,
    noise_floor: float | None = None,
) -> TokenCredit:
    """Score one attempt under student, teacher and base.

    Args:
        student_ids: the student's prompt; teacher_prompt: the self-teacher's.
        temperature: of the sampling; divides the logits of all sides.
        teacher, rate: as in `teacher_logits`.
        top_k: alternatives kept per token, of each side.
        noise_floor: nats; None measures it on this attempt.

    Raises:
        FeedbackError: the attempt has no tokens. PolicyError: its scores are not finite.
    """
    if not attempt.token_ids:
        raise FeedbackError(f"Attempt {attempt.id} has no tokens, so there is nothing to give credit to.")
    prompts = [student_ids, teacher_prompt.ids]
    with torch.no_grad(), policy.untouched():
        live, reference = _both(policy, prompts, attempt.token_ids, temperature)
    student, base = live[0], reference[0]
    if teacher == "ema":
        q = teacher_logits(
            policy, prompts[1:], [attempt.token_ids], teacher=teacher, rate=rate, temperature=temperature
        )[0]
    else:
        q = _teacher(reference[1], live[1], teacher, rate)
    if noise_floor is None:
        noise_floor = null_noise_floor(policy, student_ids, attempt.token_ids, temperature)
    return TokenCredit.from_logits(
        attempt.id,
        token_strings(policy.tokenizer, attempt.token_ids),
        attempt.token_ids,
        student,
        q,
        base,
        noise_floor=noise_floor,
        temperature=temperature,
        top_k=top_k,
        decode=cache(partial(token_text, policy.tokenizer)),
    )


def _both(
    policy: Policy, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], temperature: float
) -> tuple[Tensor, Tensor]:
    """Logits (B, T, V) with the adapter on, and with it off: two passes serve every context."""
    completions = [token_ids] * len(prompts)
    live, _, _ = completion_logits(policy.bare, prompts, completions, temperature)
    with policy.base():
        reference, _, _ = completion_logits(policy.bare, prompts, completions, temperature)
    return live, reference


def _teacher(reference: Tensor, live: Tensor, teacher: Teacher, rate: float) -> Tensor:
    if teacher == "frozen" or (teacher == "trust_region" and rate == 0.0):
        return reference
    if teacher == "live" or (teacher == "trust_region" and rate == 1.0):
        return live
    return trust_region(reference, live, rate)


def token_strings(tokenizer: Any, token_ids: Sequence[int]) -> tuple[str, ...]:
    """Display text of each token; joined they are the decoded attempt, special tokens included by name.

    A byte-level token may hold a part of a character. Such a character is shown at its last token, whole; the
    tokens before it are shown empty. Bytes that never become a character are shown as the replacement sign.
    """
    strings: list[str] = []
    before: list[int] = []  # the last token that ended a character: some decoders drop a space at the very start
    held: list[int] = []  # tokens whose text is not a whole character yet
    for token_id in token_ids:
        text = _after(tokenizer, before, [*held, token_id])
        if _is_partial(tokenizer, token_id, text) and len(held) < 3:  # at most 4 bytes make a character
            held.append(token_id)
            strings.append("")
            continue
        strings.append(text)
        before, held = [token_id], []
    if held:
        strings[-1] = _after(tokenizer, before, held)
    return tuple(strings)


def token_text(tokenizer: Any, token_id: int) -> str:
    """Display text of a token on its own, with the space before it where it has one."""
    return _after(tokenizer, [token_id], [token_id])


def _after(tokenizer: Any, before: list[int], token_ids: list[int]) -> str:
    known = _decode(tokenizer, before) if before else ""
    return _decode(tokenizer, [*before, *token_ids])[len(known) :]


def _decode(tokenizer: Any, token_ids: list[int]) -> str:
    return str(tokenizer.decode(token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _is_partial(tokenizer: Any, token_id: int, text: str) -> bool:
    """Whether the text ends within a character; an added token is whole by itself."""
    return text.endswith("\N{REPLACEMENT CHARACTER}") and token_id not in tokenizer.added_tokens_decoder
