"""Checks of a tokenizer and its chat template against the model: ids without an embedding, tokens that end attempts.

A model whose tokenizer was given tokens for chat, but whose embedding was never resized, has ids that it cannot read.
A configuration that names no end token gets the one of its class, which may be an ordinary word. Neither shows before
the first attempt, so both are looked for on loading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from workbench.errors import PolicyError
from workbench.policy.chat import Chat


def check_embedding(chat: Chat, rows: int, model: str) -> None:
    """Refuse a tokenizer whose text or chat template gives ids that the embedding, of `rows` rows, does not have.

    Ids beyond it that nothing gives are harmless, and so are rows without an id. Raises PolicyError, which names one.
    """
    token_id = next(_given_beyond(chat, rows), None)
    if token_id is not None:
        token = chat.tokenizer.convert_ids_to_tokens(token_id)
        raise PolicyError(
            f"The tokenizer of {model!r} gives the id {token_id} ({token!r}), but the model's embedding has only "
            f"{rows} rows; use the tokenizer that the model was trained with, or resize the embedding and train it."
        )


def _given_beyond(chat: Chat, rows: int) -> Iterator[int]:
    """Ids from `rows` on that a prompt can contain, or that should end an attempt."""
    tokenizer = chat.tokenizer
    beyond = sorted(i for i in tokenizer.get_vocab().values() if i >= rows)
    if not beyond:
        return
    given = {i for system in (None, "system") for i in chat.render(system, "question")[1]}
    given.update(i for i in (chat.turn_end_id(),) if i is not None)
    yield from sorted(given & set(beyond))
    # Other added tokens are never made from text (trap 5), except white space.
    added = {i: token.content for i, token in tokenizer.added_tokens_decoder.items()}
    for token_id in beyond:
        text = added.get(token_id) or tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
        if (token_id not in added or text.isspace()) and token_id in tokenizer.encode(text, add_special_tokens=False):
            yield token_id


def end_tokens(tokenizer: Any, ids: Sequence[int]) -> list[dict[str, Any]]:
    """The tokens that end an attempt, for people: `id` and `text`; text None where the tokenizer has no such id."""
    return [{"id": i, "text": tokenizer.convert_ids_to_tokens(i)} for i in ids]


def end_warning(tokenizer: Any, ids: Sequence[int], named: bool, model: str) -> str | None:
    """One sentence where an ordinary token, or none, ends attempts; else None.

    `named`: whether the model's files name an end token, which otherwise is the default of its class.
    """
    if not ids:
        return f"No token of {model!r} ends an attempt, so each runs to its limit; name eos_token_id in config.json."
    ordinary = [i for i in ids if i not in tokenizer.added_tokens_decoder and i not in tokenizer.all_special_ids]
    if not ordinary:
        return None
    listed = ", ".join(f"{i} ({tokenizer.convert_ids_to_tokens(i)!r})" for i in ordinary)
    why = "" if named else ", which its configuration does not name and is the default of its class"
    return f"An ordinary token of {model!r} ends attempts: {listed}{why}; name the right eos_token_id in config.json."
