"""Text of a file: its bytes within a limit, its encoding, its lines."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from workbench.errors import TaskError

LARGEST_FILE = 256 * 2**20  # bytes, of all files of a pack together, and of each once it is decompressed
LONGEST_ROW = 16 * 2**20  # characters
MOST_ROWS = 20_000  # a page lists them all
MOST_DIGITS = 4300  # of a whole number: Python writes no longer ones as text, so none could be stored
DEEPEST = 50  # levels of lists and objects inside each other
# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_bytes(path: Path) -> bytes:
    """Read a file of at most `LARGEST_FILE` bytes. Raises TaskError."""
    try:
        size = path.stat().st_size
        check_size(path.name, size)
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        if isinstance(error, TaskError):
            raise
        raise TaskError(f"The pack {str(path)!r} cannot be read ({error}); check the path.") from error


def check_size(name: str, size: int) -> None:
    """Raise TaskError for more bytes than are read."""
    if size > LARGEST_FILE:
        raise TaskError(
            f"{name} has {size:,} bytes; at most {LARGEST_FILE:,} are read, so leave out rows or columns, or split it."
        )


def check_rows(name: str, count: int) -> None:
    """Raise TaskError for more rows than are read."""
    if count > MOST_ROWS:
        raise TaskError(f"{name} has more than {MOST_ROWS:,} rows; split it into packs, or leave some out.")


def unpack(name: str, data: bytes) -> bytes:
    """Decompress the bytes of a .gz file, within the limit. Raises TaskError."""
    parts, inflater = [], zlib.decompressobj(wbits=31)
    try:
        size = 0
        while data:
            part = inflater.decompress(data, LARGEST_FILE + 1 - size)
            size += len(part)
            check_size(f"{name}, decompressed,", size)
            parts.append(part)
            data = inflater.unconsumed_tail
            if inflater.eof:  # several members may follow each other
                data, inflater = inflater.unused_data, zlib.decompressobj(wbits=31)
                if not data.startswith(b"\x1f\x8b"):
                    return b"".join(parts)
        raise TaskError(f"{name} ends too early; copy it again.")
    except (zlib.error, gzip.BadGzipFile) as error:
        raise TaskError(f"{name} is not a gzip file ({error}); decompress it first, or rename it.") from None


def decode(name: str, data: bytes) -> str:
    """Decode the bytes of a text file: UTF-8, or what its byte order mark says. Raises TaskError."""
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{name}, line {line}: this cannot be read as UTF-8 text; save the file as UTF-8.") from None
    return check_text(name, text)


def check_text(name: str, text: str) -> str:
    """Return the text of a file without its byte order mark. Raises TaskError for null bytes."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TaskError(f"{name}, line {line}: there are null bytes, as in no text; save the file as UTF-8.")
    return text.removeprefix("\ufeff")


def lines(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank. A line ends at LF or CRLF, and nowhere else.

    Raises TaskError for a line that is too long.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r").removeprefix("\ufeff")  # files with marks were put one after the other
        if len(line) > LONGEST_ROW:
            raise TaskError(f"{name}, line {number} has {len(line):,} characters; at most {LONGEST_ROW:,} are read.")
        if line.strip():
            yield number, line
