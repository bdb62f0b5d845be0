"""Credit of an attempt: its own token ids scored under several contexts, handed to the maths as logits.

Contexts: student (the question), teacher (the question with feedback, under the chosen teacher) and base (the
question, adapter off). Knows nothing of how a prompt is worded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.config import Teacher
from workbench.credit import TokenCredit
from workbench.errors import FeedbackError
from workbench.policy.policy import Policy
from workbench.policy.prompts import Prompt
from workbench.policy.scoring import completion_logits, null_noise_floor
from workbench.policy.teacher import trust_region
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
    if noise_floor is None:
        noise_floor = null_noise_floor(policy, student_ids, attempt.token_ids, temperature)
    return TokenCredit.from_logits(
        attempt.id,
        token_strings(policy.tokenizer, attempt.token_ids),
        attempt.token_ids,
        student,
        _teacher(reference[1], live[1], teacher, rate),
        base,
        noise_floor=noise_floor,
        temperature=temperature,
        top_k=top_k,
        decode=lambda token_id: token_strings(policy.tokenizer, [token_id])[0],
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
    held: list[int] = []  # tokens whose text is not a whole character yet
    for token_id in token_ids:
        text = _decode(tokenizer, [*held, token_id])
        if text.endswith("\N{REPLACEMENT CHARACTER}") and len(held) < 3 and not _is_whole(tokenizer, token_id):
            held.append(token_id)  # at most 4 bytes make a character
            strings.append("")
            continue
        strings.append(text)
        held = []
    if held:
        strings[-1] = _decode(tokenizer, held)
    return tuple(strings)


def _decode(tokenizer: Any, token_ids: list[int]) -> str:
    return str(tokenizer.decode(token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _is_whole(tokenizer: Any, token_id: int) -> bool:
    """An added token, or one that is itself the replacement sign: nothing that follows can complete it."""
    return token_id in tokenizer.added_tokens_decoder
