"""Credit of an attempt: its own token ids scored in several contexts, passed to the operators as hidden states.

A context is a prompt and a side that reads it (`workbench.credit.contexts`). One packed pass with the adapter on, and
one with it off or averaged where a context needs that, serve all contexts. Knows nothing of a prompt's wording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, get_args

import torch
from torch import Tensor

from workbench.config import Teacher
from workbench.credit import CONTEXTS, TokenCredit
from workbench.errors import FeedbackError
from workbench.kernels.projection import Side
from workbench.policy.policy import Policy, Weights
from workbench.policy.sampling import BASE, LIVE
from workbench.policy.scoring import completion_places, null_noise_floor
from workbench.policy.teacher import mixed_side, teacher_weights
from workbench.records import Attempt

Ids = Sequence[int]


def credit_of(
    policy: Policy,
    attempt: Attempt,
    prompts: Mapping[str, Ids],
    *,
    temperature: float,
    teacher: Teacher,
    rate: float,
    top_k: int = 8,
    noise_floor: float | None = None,
    absent: Mapping[str, str] | None = None,
    advantage: float | None = None,
) -> TokenCredit:
    """Score one attempt in each context.

    Args:
        prompts: ids by the context's name; "student" and "teacher" are among them.
        temperature: of the sampling; divides the logits of all sides.
        teacher, rate: as in `teacher_side`.
        top_k: alternatives kept per token, of each side.
        noise_floor: nats; None measures it on this attempt.
        absent, advantage: recorded with the credit; see `TokenCredit`.

    Raises:
        FeedbackError: the attempt has no tokens. PolicyError: its scores are not finite.
    """
    if not attempt.token_ids:
        raise FeedbackError(f"Attempt {attempt.id} has no tokens, so there is nothing to credit.")
    sides = _packed(policy, prompts, attempt.token_ids, temperature, teacher, rate)
    if noise_floor is None:
        noise_floor = null_noise_floor(policy, prompts["student"], attempt.token_ids, temperature)
    return TokenCredit.from_sides(
        attempt.id,
        token_strings(policy.tokenizer, attempt.token_ids),
        attempt.token_ids,
        sides.pop("student"),
        sides.pop("teacher"),
        sides,
        noise_floor=noise_floor,
        temperature=temperature,
        top_k=top_k,
        decode=cache(partial(token_text, policy.tokenizer)),
        absent=absent,
        advantage=advantage,
    )


def _packed(
    policy: Policy, prompts: Mapping[str, Ids], token_ids: Ids, temperature: float, teacher: Teacher, rate: float
) -> dict[str, Side]:
    """Read every context as T rows: one pass per set of weights, over all contexts that these weights read."""
    shares = {name: _shares(CONTEXTS[name].side, teacher, rate) for name in prompts}
    read: dict[str, dict[Weights, Tensor]] = {name: {} for name in prompts}
    with torch.no_grad(), policy.untouched():
        for kind in get_args(Weights):
            names = [name for name in prompts if kind in shares[name]]
            if not names:
                continue
            rows = [prompts[name] for name in names]
            with policy.reading_as(kind):
                hidden = completion_places(policy, rows, [token_ids] * len(rows)).hidden  # (B, T, H)
            for name, row in zip(names, hidden, strict=True):
                read[name][kind] = row
    return {name: mixed_side(policy, read[name], shares[name], temperature) for name in prompts}


def _shares(side: str, teacher: Teacher, rate: float) -> Mapping[Weights, float]:
    """Weights that read a context, and their shares; weights without a share in the mixture are left out."""
    if side == "student":
        return LIVE
    return BASE if side == "base" else teacher_weights(teacher, rate)


def token_strings(tokenizer: Any, token_ids: Sequence[int]) -> tuple[str, ...]:
    """Display text of each token; joined they are the decoded attempt, special tokens included by name.

    A byte-level token may hold a part of a character, or the end of one and the start of the next. A character is
    shown at its last token, whole; tokens that end none are shown empty. Bytes that never become a character are shown
    as the replacement sign.
    """
    strings: list[str] = []
    # Some decoders drop a space at the very start, so every token but the first is decoded behind a letter. It is no
    # token of the attempt: behind a byte of the character before, byte-fallback decoders would take both for broken.
    before: list[int] = []
    letter = tokenizer.encode("a", add_special_tokens=False)[-1:]
    pending: list[int] = []  # tokens since the last place where a character ended with its token
    begun = 0  # of these, how many since the one that began the character that is not whole yet, with it
    shown = 0  # characters of their text that are shown
    for token_id in token_ids:
        pending.append(token_id)
        begun += 1
        text = _after(tokenizer, before, pending)
        # At most 4 bytes make a character, so after 4 tokens it will never be one.
        whole = not _is_partial(tokenizer, token_id, text) or begun == 4
        ready = len(text) if whole else _ready(text)
        strings.append(text[shown:ready])
        if whole:
            before, pending, begun, shown = letter, [], 0, 0
        elif ready > shown:  # the token ends a character and begins another
            begun, shown = 1, ready
    if pending:
        strings[-1] += _after(tokenizer, before, pending)[shown:]
    return tuple(strings)


def _ready(text: str) -> int:
    """Number of characters at the front of a text that later tokens cannot change: all but a broken one at its end.

    Decoders write a replacement sign for it, or one for each of its at most 3 bytes.
    """
    end = len(text)
    while end and len(text) - end < 3 and text[end - 1] == "\N{REPLACEMENT CHARACTER}":
        end -= 1
    return end


def token_text(tokenizer: Any, token_id: int) -> str:
    """Display text of a token on its own, with the space before it where it has one."""
    return _after(tokenizer, [token_id], [token_id])


def _after(tokenizer: Any, before: list[int], token_ids: list[int]) -> str:
    prefix = _decode(tokenizer, before) if before else ""
    return _decode(tokenizer, [*before, *token_ids])[len(prefix) :]


def _decode(tokenizer: Any, token_ids: list[int]) -> str:
    return str(tokenizer.decode(token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _is_partial(tokenizer: Any, token_id: int, text: str) -> bool:
    """True where the text ends within a character; an added token is always whole."""
    return text.endswith("\N{REPLACEMENT CHARACTER}") and token_id not in tokenizer.added_tokens_decoder
