"""Parts of the documents that are made from the code: the diagram of imports, the tables of actions and of models.

`make docs` writes both anew; without it these tests fail where a document is no longer true.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import pytest
import torch
from test_layering import EDGES, ROOT, imported_modules, module_name, part_of, source_files

from workbench.config import LoraSettings
from workbench.policy.catalogue import candidates
from workbench.policy.memory import gigabytes
from workbench.service.action import Argument, Immediate
from workbench.service.actions import every_action

EVERYWHERE = {
    "records",
    "config",
    "templates",
    "errors",
}  # leaves that nearly every part imports; not in the diagram
FILES = {"app", "launch", "workbench", "__main__", "plugins", "probe", "statistics", "allocator", "teacher_context"}


def imports() -> dict[str, set[str]]:
    """Part -> the parts that its modules import, as the code has it."""
    imported: dict[str, set[str]] = {part: set() for part in EDGES if part != "__init__"}
    for path in source_files():
        module, is_package = module_name(path), path.name == "__init__.py"
        part = part_of(module)
        if module == "workbench" and is_package:
            continue  # it only hands out `Workbench` on first use
        for name in imported_modules(path.read_text(encoding="utf-8"), module, is_package=is_package):
            target = part_of(name)
            if name.partition(".")[0] == "workbench" and target != part and target in imported:
                imported[part].add(target)
    return imported


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    stack = list(graph[start])
    while stack:
        part = stack.pop()
        if part not in seen:
            seen.add(part)
            stack += graph[part]
    return seen


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same order with as few arrows as carry it: none that a longer way already draws."""
    return {
        part: {t for t in targets if not any(t in reachable(graph, other) for other in targets if other != t)}
        for part, targets in graph.items()
    }


def diagram() -> str:
    graph = {part: targets - EVERYWHERE for part, targets in imports().items() if part not in EVERYWHERE}
    lines = ["```mermaid", "flowchart TD"]
    for part in graph:
        name = {"app": "app.py", "kernels": "kernels/", "__main__": "__main__.py"}.get(part, part)
        label = name if name.endswith((".py", "/")) else f"{name}.py" if part in FILES else f"{name}/"
        lines.append(f'    {part.strip("_")}["{label}"]')
    for part, targets in reduced(graph).items():
        lines += [f"    {part.strip('_')} --> {target}" for target in sorted(targets)]
    return "\n".join([*lines, "```"])


def type_name(argument: Argument) -> str:
    if is_dataclass(argument.type):
        return "settings"
    options = get_args(argument.type) if isinstance(argument.type, UnionType) else (argument.type,)
    names = {str: "text", int: "int", float: "float", bool: "bool", NoneType: "nothing", Path: "file", list: "list"}
    origins = [get_origin(option) or option for option in options]
    return " or ".join(names.get(origin, "object") for origin in origins if origin is not NoneType)


def signature(argument: Argument) -> str:
    default: Any = argument.default
    if default is inspect.Parameter.empty:
        return f"`{argument.name}` {type_name(argument)}"
    shown = "defaults" if is_dataclass(default) else "nothing" if default is None else repr(default)
    return f"`{argument.name}` {type_name(argument)} = {shown}"


def actions() -> str:
    rows = ["| endpoint | what it does | arguments | waits for | Python |", "|---|---|---|---|---|"]
    for action in every_action().values():
        if action.endpoint:
            waits = "nothing" if isinstance(action, Immediate) else "its turn"
            arguments = ", ".join(signature(argument) for argument in action.arguments).replace("|", "\\|")
            python = f"`{action.python}`" if action.python else ""
            rows.append(f"| `/{action.name}` | {action.summary} | {arguments} | {waits} | {python} |")
    return "\n".join(rows)


def catalogue() -> str:
    rows = ["| model | parameters | download | needs on a CPU | needs on a GPU, in NF4 |", "|---|---|---|---|---|"]
    places = [candidates(torch.device(kind), LoraSettings(), free=None) for kind in ("cpu", "cuda")]
    for on_cpu, on_gpu in zip(*places, strict=True):
        sizes = (on_cpu.download_bytes, on_cpu.needed_bytes, on_gpu.needed_bytes)
        parameters = (
            f"{on_cpu.parameters / 1e9:.2g} B" if on_cpu.parameters >= 1e9 else f"{on_cpu.parameters // 10**6} M"
        )
        rows.append(f"| `{on_cpu.model}` | {parameters} | {' | '.join(map(gigabytes, sizes))} |")
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("document", "name", "make"),
    [
        ("architecture.md", "imports", diagram),
        ("interface.md", "actions", actions),
        ("policies.md", "catalogue", catalogue),
    ],
)
def test_what_is_made_from_the_code_is_up_to_date(document: str, name: str, make: Callable[[], str]) -> None:
    path = ROOT / "docs" / document
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: made from the code by `make docs` -->\n\n", f"\n\n<!-- /{name} -->"
    block = re.search(f"{re.escape(begin)}(.*?){re.escape(end)}", text, re.DOTALL)
    assert block is not None, f"docs/{document} has no place for {name}"
    generated = make()
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(text[: block.start(1)] + generated + text[block.end(1) :], encoding="utf-8")
        return
    assert block[1] == generated, f"docs/{document} is no longer true; run `make docs`"


def test_the_imports_have_no_circle() -> None:
    graph = imports()
    assert [part for part in graph if part in reachable(graph, part)] == []
