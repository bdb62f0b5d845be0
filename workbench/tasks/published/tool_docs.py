"""The tools that a prompt documents in the format of the ToolUse rows, as schemas.

Each tool is "NAME: what it does", then "Parameters: {...}", whose values say of each argument whether it is required,
its type and its meaning: "Required. integer. The number of the chapter."
"""

from __future__ import annotations

import json
import re
from typing import Any

_PARAMETERS = re.compile(r"^([^\s:]{1,200}):[ \t]*(.*)\nParameters:[ \t]*(?=\{)", re.MULTILINE)
_TYPES = ("string", "integer", "number", "boolean", "object", "array")
_LONGEST_DESCRIPTION = 500


def described_tools(prompt: str) -> list[dict[str, Any]]:
    """List the tools as {"name", "description", "parameters"}, the parameters as JSON Schema; none in other prompts."""
    tools = []
    for match in _PARAMETERS.finditer(prompt):
        try:
            parameters, _ = json.JSONDecoder().raw_decode(prompt, match.end())
        except (ValueError, RecursionError):
            continue
        schema = _schema(parameters)
        tools.append({"name": match[1], "description": match[2][:_LONGEST_DESCRIPTION], "parameters": schema})
    return tools


def _schema(parameters: dict[str, Any]) -> dict[str, Any]:
    texts = {name: str(text) for name, text in parameters.items()}
    properties = {name: _property(text) for name, text in texts.items()}
    required = [name for name, text in texts.items() if _words(text).lower().startswith("required.")]
    return {"type": "object", "properties": properties, "required": required}


def _property(text: str) -> dict[str, Any]:
    described = re.sub(r"^required\.\s*", "", _words(text), flags=re.IGNORECASE)
    types = _types(described.partition(".")[0])
    schema: dict[str, Any] = {"description": described[:_LONGEST_DESCRIPTION]}
    if types:
        schema["type"] = types[0] if len(types) == 1 else types
    inner = re.match(r"array\[\s*(\w+)\s*\]", described, re.IGNORECASE)
    if inner and _types(inner[1]):
        schema["items"] = {"type": _types(inner[1])[0]}
    return schema


def _types(words: str) -> list[str]:
    """Read the types that a description begins with: "integer", "string or integer", "Array[string]"; else none."""
    names = [re.sub(r"[\[({<].*", "", part).strip().lower() for part in re.split(r"\s+or\s+|[|/]", words)]
    return names if names and all(name in _TYPES for name in names) else []


def _words(text: str) -> str:
    return " ".join(text.split())
