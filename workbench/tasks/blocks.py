"""Blocks: a task as people read it, in plain data that a page lays out. Nothing here is read from an answer.

A block is {"kind": "text", "text"}, {"kind": "options", "options": [{"letter", "text"}]} or {"kind": "table", "title",
"columns": [text], "rows": [[text]]}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Block = Mapping[str, Any]
LONGEST_CELL = 1000  # characters
_OPTION = re.compile(r"[ \t]*\(?([A-Z])\s?[.:)][ \t]*(\S.*)")


def text_block(text: str) -> Block:
    """A paragraph, with its line ends."""
    return {"kind": "text", "text": text}


def options_block(options: Mapping[str, str]) -> Block:
    """Options by letter."""
    return {"kind": "options", "options": [{"letter": key, "text": text} for key, text in options.items()]}


def table_block(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Block:
    """A table of texts, of which long ones are cut."""
    cut = [[cell if len(cell) <= LONGEST_CELL else f"{cell[:LONGEST_CELL]} …" for cell in row] for row in rows]
    return {"kind": "table", "title": title, "columns": list(columns), "rows": cut}


def question_blocks(prompt: str) -> list[Block]:
    """A question with its options as a list: the last run of lines "A: ...", "B: ...", at least two of them.

    An option reaches to the next one; the last is one line, and what follows it is text again.
    """
    lines = prompt.splitlines()
    candidates = [(place, match) for place, line in enumerate(lines) if (match := _OPTION.fullmatch(line))]
    run: list[tuple[int, re.Match[str]]] = []
    for place, match in candidates:
        if match[1] == "A":
            run = [(place, match)]
        elif run and ord(match[1]) == ord(run[-1][1][1]) + 1:
            run.append((place, match))
    if len(run) < 2:
        return [text_block(prompt)]
    ends = [*(place for place, _ in run[1:]), run[-1][0] + 1]
    options = {
        match[1]: "\n".join([match[2], *lines[place + 1 : end]]).strip()
        for (place, match), end in zip(run, ends, strict=True)
    }
    before, after = "\n".join(lines[: run[0][0]]).strip(), "\n".join(lines[ends[-1] :]).strip()
    blocks = [text_block(before) if before else None, options_block(options), text_block(after) if after else None]
    return [block for block in blocks if block is not None]


def is_block(block: Mapping[str, Any]) -> bool:
    """True for a block of one of the kinds, with texts in its fields."""
    if block.get("kind") == "text":
        return isinstance(block.get("text"), str)
    if block.get("kind") == "options":
        return all(isinstance(option.get(key), str) for option in block["options"] for key in ("letter", "text"))
    rows = [block.get("columns", ()), *block.get("rows", ())]
    is_table = block.get("kind") == "table" and isinstance(block.get("title"), str)
    return is_table and all(isinstance(cell, str) for row in rows for cell in row)
