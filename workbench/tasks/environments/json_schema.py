"""JSON Schemas for the environment `json`: checked on loading, applied to values; nothing is ever fetched.

A module of its own, imported where a task has a schema: the library takes a second to import.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import referencing
from jsonschema import Draft202012Validator, validators
from referencing.jsonschema import DRAFT202012

from workbench.errors import TaskError
from workbench.tasks.reading.text import brief

Matches = Callable[[str, str], bool]  # (pattern, text)


def check_schema(schema: dict[str, Any]) -> None:
    """Raise TaskError for what is no schema, refers to something outside of it, or cannot be tried safely."""
    if any(key == "patternProperties" for key, _ in _keywords(schema)):
        raise TaskError("The schema has patternProperties, which cannot be tried safely; name the properties.")
    try:
        Draft202012Validator.check_schema(schema)
        _check_references(schema)
        for pattern in patterns(schema):
            re.compile(pattern)
        list(problems(schema, {}, lambda pattern, text: True))
    except jsonschema.SchemaError as error:
        raise TaskError(f"The schema is not a JSON Schema ({brief(error.message)}); correct it.") from None
    except re.error as error:
        raise TaskError(f"A pattern of the schema cannot be used ({error}); correct it.") from None
    except RecursionError:
        raise TaskError("The schema refers to itself without end; correct it.") from None


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a schema at any depth, with its value."""
    if isinstance(schema, dict):
        yield from schema.items()
        for item in schema.values():
            yield from _keywords(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _keywords(item)


def patterns(schema: Any) -> Iterator[str]:
    """List the different patterns of a schema."""
    listed = (item for key, item in _keywords(schema) if key == "pattern" and isinstance(item, str))
    return iter(dict.fromkeys(listed))


def _check_references(schema: dict[str, Any]) -> None:
    """Raise TaskError where a schema refers to anything that is not in it: nothing is ever fetched."""
    resource = referencing.Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = referencing.Registry().with_resource("", resource).resolver()
    for key, reference in _keywords(schema):
        if key not in ("$ref", "$dynamicRef") or not isinstance(reference, str):
            continue
        try:
            if not reference.startswith("#"):
                raise referencing.exceptions.Unresolvable(reference)
            resolver.lookup(reference)
        except referencing.exceptions.Unresolvable:
            raise TaskError(f"The schema refers to {reference!r}, which is not in it; put it in.") from None


def problems(schema: dict[str, Any], value: Any, matches: Matches) -> Iterator[str]:
    """Describe where a value does not fit a schema, outermost first. A required value is not named."""

    def pattern(_: Any, regex: str, instance: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
        if isinstance(instance, str) and not matches(regex, instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {regex!r}")

    validator = validators.extend(Draft202012Validator, {"pattern": pattern})(schema, registry=referencing.Registry())
    for error in sorted(validator.iter_errors(value), key=lambda error: len(error.absolute_path)):
        message = "is not the required value" if error.validator == "const" else brief(error.message, 120)
        yield f"{error.json_path}: {message}."
