"""Texts as they are compared: apart from how a machine writes line ends and accents."""

from __future__ import annotations

import re
import unicodedata

_FRAME = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL | re.IGNORECASE)


def comparable(text: str) -> str:
    """Normalise line ends (CRLF is LF) and composed characters (e and an accent are é)."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n"))


def without_frame(text: str) -> str:
    """Take off the answer tag around a whole text; any other text stays as it is."""
    match = _FRAME.fullmatch(text.strip())
    return match[1] if match else text


def brief(text: str, longest: int = 60) -> str:
    """Shorten a text to one line for people."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
