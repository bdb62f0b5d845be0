"""Values in a text, as JSON or as Python writes literals: parsed, never evaluated."""

from __future__ import annotations

import ast
import io
import json
import keyword
import re
import tokenize
from typing import Any, NoReturn

LONGEST_LITERAL = 20_000  # characters of a Python literal; JSON has no limit of its own
RESERVED = "__reserved"  # behind the name of an argument that is a keyword of Python
_NAMED_LIKE_KEYWORD = re.compile(rf"\b(?:{'|'.join(keyword.kwlist)})\s{{0,9}}=(?!=)")
_CLOSING = {"{": "}", "[": "]", "(": ")"}
_NAMES = {"true": True, "false": False, "null": None, "none": None}  # words of JSON inside a Python literal


class Unreadable(ValueError):
    """There is no value where one was looked for."""


def decode(text: str, start: int) -> tuple[Any, int]:
    """Decode the object or list that begins at a position: the value, and the position after it.

    JSON first, line ends within its texts allowed; then a Python literal (`True`, single quotes, tuples as lists, a
    comma too many). Raises Unreadable.
    """
    try:
        return _JSON.raw_decode(text, start)
    except (ValueError, RecursionError):  # also of a number with too many digits, and of nesting without end
        end = closing(text, start)
        return literal(text[start:end]), end


def decode_all(text: str) -> Any:
    """Decode a text that is one value and nothing else. Raises Unreadable."""
    stripped = text.strip()
    try:
        value, end = _JSON.raw_decode(stripped)
    except (ValueError, RecursionError):
        return literal(stripped)
    if end != len(stripped):
        raise Unreadable("something follows the value")
    return value


def literal(source: str) -> Any:
    """Turn a Python literal into plain JSON data. Raises Unreadable for anything else, calls and names included."""
    expressions = parse(source)
    if len(expressions) != 1:
        raise Unreadable("it is not one value")
    return value_of(expressions[0])


def parse(source: str) -> list[ast.expr]:
    """Parse Python expressions, one a line, which are not run; an argument may have the name of a keyword, as `from`.

    Such a name gets the suffix `RESERVED`. Of `name = f(a=1)` the call is taken: a name for its result changes nothing.
    Raises Unreadable for other text, and for long text.
    """
    if len(source) > LONGEST_LITERAL:
        raise Unreadable("the literal is too long")
    try:
        body = ast.parse(_without_keywords(source.strip())).body
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise Unreadable(type(error).__name__) from None
    return [_expression(statement) for statement in body]


def _expression(statement: ast.stmt) -> ast.expr:
    match statement:
        case ast.Expr(value=value):
            return value
        case ast.Assign(targets=[ast.Name()], value=ast.Call() | ast.Await() as value):
            return value
    raise Unreadable("it is a statement")


def _without_keywords(source: str) -> str:
    if not _NAMED_LIKE_KEYWORD.search(source):
        return source
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    renamed = [
        (token.type, token.string + RESERVED * (keyword.iskeyword(token.string) and following.string == "="))
        for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True)
    ]
    return tokenize.untokenize(renamed).strip()


def value_of(node: ast.expr) -> Any:
    """Turn the syntax tree of a literal into plain JSON data. Raises Unreadable for anything else."""
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.Name(id=name) if name.lower() in _NAMES:
            return _NAMES[name.lower()]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [value_of(element) for element in elements]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as number)):
            return -number if isinstance(sign, ast.USub) else number
        case ast.Dict(keys=keys, values=values):
            names = [key.value if isinstance(key, ast.Constant) else None for key in keys]
            if all(isinstance(name, str) for name in names):
                return {str(name): value_of(value) for name, value in zip(names, values, strict=True)}
    raise Unreadable(f"{type(node).__name__} is no literal")


def closing(text: str, start: int) -> int:
    """Find the position after the bracket that closes the one at `start`; brackets in quotes do not count.

    Raises Unreadable where there is none within the longest literal.
    """
    awaited, quote, position = [], "", start
    limit = min(len(text), start + LONGEST_LITERAL)
    while position < limit:
        char = text[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in _CLOSING:
            awaited.append(_CLOSING[char])
        elif awaited and char == awaited[-1]:
            awaited.pop()
        position += 1
        if not awaited and not quote:
            return position
    raise Unreadable("the bracket is not closed")


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")  # NaN and Infinity, which Python's decoder takes by itself


_JSON = json.JSONDecoder(strict=False, parse_constant=_refuse)
