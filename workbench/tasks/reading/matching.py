"""Comparing the calls of an answer with those that a task expects: values by their types, calls in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.tasks.reading.calls import Call
from workbench.tasks.reading.values import Unreadable, decode_all

# Names of types as tools' schemas have them, beside JSON Schema's own.
_TYPES = {
    **{name: name for name in ("string", "integer", "number", "boolean", "array", "object", "null")},
    **{"str": "string", "text": "string", "int": "integer", "long": "integer", "float": "number", "double": "number"},
    **{"bool": "boolean", "list": "array", "tuple": "array", "dict": "object", "map": "object", "none": "null"},
}
_NO_ARGUMENTS: Mapping[str, Any] = {}


def types_of(schema: object) -> frozenset[str]:
    """Types that a schema allows, by JSON Schema's names; none where it does not say."""
    if not isinstance(schema, Mapping):
        return frozenset()
    named = schema.get("type")
    listed = [named] if isinstance(named, str) else list(named) if isinstance(named, list | tuple) else []
    types = {_TYPES.get(str(name).lower(), "") for name in listed}
    for key in ("anyOf", "oneOf"):
        for choice in schema.get(key) or ():
            types |= types_of(choice)
    return frozenset() if "" in types else frozenset(types)


def same(expected: object, given: object, schema: object = None) -> bool:
    """Compare two values of plain JSON: 1 is 1.0, true is not 1, and "1" is not 1 unless the schema allows both.

    Where the expected value itself is not of the schema's type, the same value in the schema's type is right as well.
    """
    if _same(expected, given, schema):
        return True
    if _kind(expected) == _kind(given) or not types_of(schema) or not fits_type(given, schema):
        return False
    # Text that spells the value: right where the schema allows both, and where it allows the given one only.
    spelled = "string" in (_kind(expected), _kind(given))
    return spelled and _same(_spelled(expected), _spelled(given), None)


def fits_type(value: object, schema: object) -> bool:
    """True where a value is of a type that a schema allows, or the schema does not say."""
    types, kind = types_of(schema), _kind(value)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return not types or kind in types or (kind == "number" and "integer" in types and whole)


def _same(expected: object, given: object, schema: object) -> bool:
    if isinstance(expected, Mapping):
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        of = properties if isinstance(properties, Mapping) else {}
        return (
            isinstance(given, Mapping)
            and expected.keys() == given.keys()
            and all(same(value, given[key], of.get(key)) for key, value in expected.items())
        )
    if isinstance(expected, list | tuple):
        items = schema.get("items") if isinstance(schema, Mapping) else None
        return (
            isinstance(given, list | tuple)
            and len(expected) == len(given)
            and all(same(value, other, items) for value, other in zip(expected, given, strict=True))
        )
    return _kind(expected) == _kind(given) and expected == given


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "object" if isinstance(value, Mapping) else "array"


def _spelled(value: object) -> object:
    """Read a text as the value that it spells, where it spells one."""
    if not isinstance(value, str):
        return value
    try:
        return decode_all(value)
    except Unreadable:
        return value


class Tool:
    """A tool as a task describes it: the schemas of its arguments by name, in order."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        """`description`: {"name", "parameters"}, also inside {"function": ...}; parameters as JSON Schema."""
        function = description.get("function", description)
        self.name = str(function["name"])
        parameters = function.get("parameters") or function.get("input_schema") or _NO_ARGUMENTS
        properties = parameters.get("properties")
        self.schemas: Mapping[str, Any] = properties if isinstance(properties, Mapping) else _NO_ARGUMENTS


def named_arguments(call: Call, tool: Tool | None) -> Mapping[str, Any] | None:
    """Arguments of a call by name: those without a name get the tool's, in its order. None where it has too few."""
    if call.arguments is None or not call.positional:
        return call.arguments
    names = list(tool.schemas)[: len(call.positional)] if tool else []
    if len(names) < len(call.positional) or set(names) & call.arguments.keys():
        return None
    return {**dict(zip(names, call.positional, strict=True)), **call.arguments}


class Expected:
    """A call that a task expects."""

    def __init__(self, call: Mapping[str, Any], tool: Tool | None) -> None:
        """`call`: {"name", "arguments", "accepted"?, "optional"?}, as the environment `tool_calls` has it."""
        self.name, self.tool = str(call["name"]), tool
        self.arguments: Mapping[str, Any] = call.get("arguments") or _NO_ARGUMENTS
        self._accepted: Mapping[str, Any] = call.get("accepted") or _NO_ARGUMENTS
        optional = call.get("optional", ())
        self.may_be_left_out = optional is True
        self._optional = frozenset(() if optional is True else optional)
        self._schemas = tool.schemas if tool else _NO_ARGUMENTS

    def names(self, call: Call) -> bool:
        """True where a call is of this tool."""
        return self.name in (call.name, call.name.removeprefix("functions."))

    def differing(self, call: Call) -> list[str] | None:
        """Names of the arguments in which a call of this tool differs; None where its arguments cannot be read."""
        given = named_arguments(call, self.tool)
        if given is None:
            return None
        differing = [name for name in self.arguments if not self._right(name, given, call.untyped)]
        return differing + [name for name in given if name not in self.arguments and not self._extra(name, given[name])]

    def _right(self, name: str, given: Mapping[str, Any], untyped: bool) -> bool:
        schema = self._schemas.get(name)
        values = [self.arguments[name], *self._accepted.get(name, ())]
        if name not in given:
            return name in self._optional or self._is_default(name, self.arguments[name])
        forms = [given[name], _spelled(given[name])] if untyped else [given[name]]
        return any(same(value, form, schema) for value in values for form in forms)

    def _extra(self, name: str, value: object) -> bool:
        """True where an argument that is not expected does no harm: an accepted one, or the tool's default."""
        accepted = self._accepted.get(name, ())
        return any(same(other, value, self._schemas.get(name)) for other in accepted) or self._is_default(name, value)

    def _is_default(self, name: str, value: object) -> bool:
        schema = self._schemas.get(name)
        return isinstance(schema, Mapping) and "default" in schema and same(schema["default"], value, schema)


def pair(expected: Sequence[Expected], calls: Sequence[Call], *, ordered: bool) -> dict[int, int] | None:
    """Pair each call with an expected one that it meets, by index; None where a call or an expected one is left over.

    In any order, or in the given one; expected calls that may be left out need no call.
    """
    fits = [[target.names(call) and target.differing(call) == [] for target in expected] for call in calls]
    required = [index for index, target in enumerate(expected) if not target.may_be_left_out]
    if ordered:
        return _in_order(fits, expected)
    pairs = largest_pairing(fits)
    turned = largest_pairing([[row[index] for row in fits] for index in required])
    # Where all calls can be paired, and all that is required can, then both at once can (Mendelsohn and Dulmage).
    return pairs if len(pairs) == len(calls) and len(turned) == len(required) else None


def _in_order(fits: Sequence[Sequence[bool]], expected: Sequence[Expected]) -> dict[int, int] | None:
    reached: dict[int, dict[int, int]] = {0: {}}  # number of calls that are paired: how
    for index, target in enumerate(expected):
        after = dict(reached) if target.may_be_left_out else {}
        for count, pairs in reached.items():
            if count < len(fits) and fits[count][index]:
                after.setdefault(count + 1, {**pairs, count: index})
        reached = after
    return reached.get(len(fits))


def largest_pairing(fits: Sequence[Sequence[bool]]) -> dict[int, int]:
    """Pair as many rows with a column of their own as possible: row = column. A plain bipartite matching."""
    row_of: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        for column, fit in enumerate(fits[row]):
            if fit and column not in seen:
                seen.add(column)
                if column not in row_of or place(row_of[column], seen):
                    row_of[column] = row
                    return True
        return False

    for row in range(len(fits)):
        place(row, set())
    return {row: column for column, row in row_of.items()}
