"""Finding the Python program in an attempt's text: fenced blocks as CommonMark has them, and which of them is meant.

Nothing of a text is executed: programs are parsed with `ast` and no more.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

_FENCE = re.compile(r"(?P<prefix>(?:[ \t]*(?:[-*+]|\d{1,9}[.)]|>))*[ \t]*)(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)")
# A model may open a block in the middle of a line; only one that says what it is counts as one then.
_LATE_FENCE = re.compile(r"(?P<prefix>.*\S[ \t]*?)(?P<fence>`{3,})(?P<info>(?:python[23]?|py)[ \t]*)", re.IGNORECASE)
_END_TAG = re.compile(r"(?<=[`~])\s*</[\w:-]{1,30}>$")  # behind a closing fence: "```</answer>"
_PYTHON = re.compile(r"i?py(?:thon)?[\d.]*|cpython|pypy[\d.]*")
_NEUTRAL = frozenset({"", "text", "txt", "plain", "plaintext", "code", "markdown", "md", "program", "solution"})
# Beginnings of lines with which bare programs begin; prose before and after such a program is left out.
_CODE = re.compile(
    r"(?:def|class|import|from|async def|if __name__|for|while)\b|@\w|[A-Za-z_][\w., ]*?(?:\[.*\])? ?=[^=]|print\("
)
_BEGINNINGS, _CUTS = 20, 20  # how many are tried of places where a bare program may begin, and of its ends
_WRITERS = frozenset({"print", "write", "writelines"})


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    language: str  # the first word of its info string in lower case; "" where there is none
    text: str  # without the fences, and without their indentation

    @property
    def is_python(self) -> bool:
        """True where it says so."""
        return _PYTHON.fullmatch(self.language) is not None


def read_program(text: str, functions: Collection[str] = (), *, trim: bool = True) -> str | None:
    """Read the program that an attempt means; None where there is none.

    Of several blocks, the last that parses and defines `functions` ("f", "Class.method"), or, where that is empty,
    that does something; blocks on which it depends are put before it. A text without fences is the program; with
    `trim`, without prose around it.
    """
    blocks = [block for block in fenced_blocks(text) if block.text.strip()]
    named = {block.text for block in blocks if block.is_python}
    pieces = [block.text for block in blocks if block.is_python or not block.language]
    if not pieces:
        pieces = [block.text for block in blocks if block.language in _NEUTRAL]
    fitting = [index for index, piece in enumerate(pieces) if _fits(piece, functions, sure=piece in named)]
    if fitting:
        return _whole(pieces, fitting, functions)
    outside = text if not blocks and not _has_fence(text) else _outside(text)
    program = _bare(outside, functions, trim=trim)
    if program is not None and (not pieces or _fits(program, functions)):
        return program
    return _least_wrong(pieces, functions) if pieces else None


def fenced_blocks(text: str) -> list[Block]:
    """List the fenced blocks of a text, those within blocks of prose too; one that is not closed goes to the end."""
    blocks: list[Block] = []
    for language, lines in _scan(text):
        if lines is None or language is None:
            continue
        inner = "\n".join(lines) + ("\n" if lines else "")
        nested = [] if _PYTHON.fullmatch(language) or not _has_fence(inner) else fenced_blocks(inner)
        blocks += [block for block in nested if block.text.strip()] or [Block(language, _outdented(inner))]
    return blocks


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n|\n|\r", text)


def _has_fence(text: str) -> bool:
    return any(map(_opening, _lines(text)))


def _opening(line: str) -> re.Match[str] | None:
    return _FENCE.fullmatch(line) or _LATE_FENCE.fullmatch(line)


def _scan(text: str) -> Iterator[tuple[str | None, list[str]]]:
    """Go through a text: (language, lines) of each block, and (None, lines) of what is between them."""
    language: str | None = None
    fence, indent, quoted, held = "", 0, False, list[str]()
    for line in _lines(text):
        if language is None:
            opened = _opening(line)
            if opened is None:
                held.append(line)
                continue
            yield None, held
            prefix, fence = opened["prefix"], opened["fence"]
            is_late = _FENCE.fullmatch(line) is None
            if is_late:
                yield None, [prefix]
            indent, quoted, held = 0 if is_late else len(prefix.expandtabs(4)), ">" in prefix and not is_late, []
            language = _language(opened["info"])
            continue
        inner = re.sub(r"^[ \t]*>[ ]?", "", line) if quoted else line
        stripped = _END_TAG.sub("", inner.strip())
        if stripped.startswith(fence) and not stripped.strip(fence[0]):
            yield language, held
            language, held = None, []
        else:
            held.append(_unindented(inner, 0 if quoted else indent))
    # One that is not closed may have been cut within its closing fence.
    while language is not None and held and not held[-1].strip().replace(fence[0], "", len(fence) - 1):
        held.pop()
    yield language, held


def _language(info: str) -> str:
    word = re.match(r"[\s{.]*([\w.+#-]*)", info)
    return word[1].lower() if word else ""


def _unindented(line: str, indent: int) -> str:
    """Take at most as much of a line's indentation as its fence has."""
    rest = line.lstrip(" \t")
    width = len(line[: len(line) - len(rest)].expandtabs(4))
    return line if indent == 0 else " " * max(0, width - indent) + rest


def _outdented(code: str) -> str:
    first = next((line for line in code.split("\n") if line.strip()), "")
    return textwrap.dedent(code) if first[:1] in (" ", "\t") else code


def _outside(text: str) -> str:
    return "\n".join(line for language, lines in _scan(text) if language is None for line in lines)


# Which one is meant -----------------------------------------------------------------------------------------------
@lru_cache(maxsize=32)
def _parsed(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _fits(code: str, functions: Collection[str], *, sure: bool = False) -> bool:
    """True where a piece defines what is tested; without tests of functions, where it does something.

    What stands in a block without a language may be a program's output, and a list of numbers parses too: unless it is
    `sure` to be a program, a script must write.
    """
    tree = _parsed(code)
    if tree is None:
        return False
    if functions:
        return all(_defines(tree, name) for name in functions)
    if sure:
        return any(isinstance(node, ast.Call | ast.Import | ast.ImportFrom | ast.Assign) for node in ast.walk(tree))
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(getattr(called, "id", getattr(called, "attr", None)) in _WRITERS for called in calls)


def _defines(tree: ast.Module, name: str) -> bool:
    owner, _, method = name.rpartition(".")
    if owner:
        return owner.split(".")[0] in _stored(tree)
    methods = {
        inner.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "Solution"
        for inner in node.body
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return name in _stored(tree) or method in methods


def _least_wrong(pieces: Sequence[str], functions: Collection[str]) -> str:
    """The piece whose error is worth telling: it names what is tested, or parses, or is the last."""
    names = [name.rpartition(".")[2] for name in functions]
    for piece in reversed(pieces):
        if names and all(re.search(rf"\bdef\s+{re.escape(name)}\b", piece) for name in names):
            return piece
    return next((piece for piece in reversed(pieces) if functions and _parsed(piece) is not None), pieces[-1])


def _stored(tree: ast.AST) -> set[str]:
    """Names that a module may define when it is executed: not those within its functions and classes."""
    names: set[str] = set()
    pending: list[ast.AST] = list(ast.iter_child_nodes(tree))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        if not isinstance(node, ast.Lambda):
            pending += ast.iter_child_nodes(node)
    return names


def _missing(tree: ast.AST) -> set[str]:
    """Names that a module uses and nowhere defines: neither Python has them, nor any part of the module."""
    used: set[str] = set()
    known = _stored(tree) | set(dir(builtins)) | {"__name__", "__file__"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else known).add(node.id)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler) and node.name:
            known.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            known |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return used - known


def _whole(pieces: Sequence[str], fitting: Sequence[int], functions: Collection[str]) -> str:
    """The last of the fitting pieces, with those that it needs; of scripts, the last that then lacks nothing."""
    for place in reversed(fitting):
        program, complete = _joined(pieces, place, functions)
        if complete or functions:
            return program
    return _joined(pieces, fitting[-1], functions)[0]


def _joined(pieces: Sequence[str], place: int, functions: Collection[str]) -> tuple[str, bool]:
    """(a piece after those that define what it uses and does not define, whether that is everything).

    Of functions, a later piece may define it too. To a script no piece is added that is one itself.
    """
    trees = [_parsed(piece) for piece in pieces]
    chosen = trees[place]
    assert chosen is not None  # it fits, so it parses
    lacking, taken = _missing(chosen), {place}
    for index in [*reversed(range(place)), *(range(place + 1, len(pieces)) if functions else ())]:
        tree = trees[index]
        if tree is None or (not functions and _acts(tree)):
            continue
        defined = _stored(tree)
        if lacking & defined or (lacking and "*" in defined):  # of `from math import *` nobody knows what it brings
            taken.add(index)
            lacking = set() if "*" in defined else (lacking - defined) | (_missing(tree) - _stored(chosen))
    before = [pieces[index].rstrip("\n") + "\n" for index in sorted(taken - {place})]
    return "".join(before) + pieces[place], not lacking


def _acts(tree: ast.Module) -> bool:
    """True where a module does more than to define and to read."""
    return any(isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) for node in tree.body) or any(
        isinstance(node, ast.If | ast.For | ast.While) for node in tree.body
    )


def _bare(text: str, functions: Collection[str], *, trim: bool) -> str | None:
    """The program in a text that has no fences, or stands outside them; None where there is nothing like one."""
    if not trim or _fits(text, functions, sure=True):
        return text if text.strip() else None
    lines = _lines(text)
    starts = [index for index, line in enumerate(lines) if _CODE.match(line)]
    for start in starts[:_BEGINNINGS]:
        piece = _until_prose(lines[start:])
        if piece is not None and _fits(piece, functions):
            return piece
    return text if starts else None


def _until_prose(lines: list[str]) -> str | None:
    """The longest beginning of some lines that parses, cut where an error is; None where none does."""
    for _ in range(_CUTS):
        piece = "\n".join(lines).rstrip() + "\n"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(piece)
            return piece if lines else None
        except SyntaxError as error:
            lines = lines[: min(error.lineno or 1, len(lines)) - 1]
        except (ValueError, RecursionError, MemoryError):
            return None
    return None
