"""Imports only point down. The two dicts below are the diagram of docs/architecture.md, and this test holds it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BASE = {"records", "config", "templates", "errors"}

# part -> the parts it may import. A new part needs a row here and in docs/architecture.md.
EDGES: dict[str, set[str]] = {
    "errors": set(),
    "templates": {"errors"},
    "config": {"errors", "records", "templates"},
    "records": set(),
    "allocator": set(),
    "plugins": {"errors"},
    "kernels": set(),
    "heatmap": set(),
    "credit": {"kernels", "heatmap", "plugins", *BASE},
    "tasks": {"plugins", *BASE},
    "policy": {"credit", "kernels", *BASE},
    "embedded": {"policy", "tasks", *BASE},
    "runs": BASE,
    "teacher_context": {"credit", *BASE},
    "statistics": {"credit"},
    "probe": {"kernels", "policy", *BASE},
    "session": {"teacher_context", "probe", "statistics", "runs", "policy", "tasks", "credit", "heatmap", *BASE},
    "experiments": {"session", "statistics", "embedded", "tasks", "credit", *BASE},
    "workbench": {"experiments", "session", "tasks", *BASE},
    "service": {
        *("workbench", "experiments", "session", "statistics", "policy", "tasks", "credit", "allocator"),
        *BASE,
    },
    "ui": {"service", "experiments", "session", "tasks", "credit", "heatmap", *BASE},
    "benchmarks": {
        "workbench",
        "heatmap",
        "session",
        "policy",
        "runs",
        "tasks",
        "kernels",
        "credit",
        "allocator",
        *BASE,
    },
    "launch": {"ui", "service", "workbench", "session", "tasks", *BASE},
    "cli": {
        "launch",
        "benchmarks",
        "experiments",
        "workbench",
        "statistics",
        "embedded",
        "policy",
        "credit",
        "runs",
        "tasks",
        "plugins",
        *BASE,
    },
    "app": {"cli"},
    "__init__": {"workbench"},  # hands out `Workbench` on first use
    "__main__": {"cli"},
}

# library -> the parts that may import it; "what it knows nothing about", for the libraries where it matters.
HOMES: dict[str, set[str]] = {
    "gradio": {"ui"},
    "transformers": {"policy", "embedded"},
    "peft": {"policy"},
    "bitsandbytes": {"policy"},
    "triton": {"kernels"},
    "sqlite3": {"runs"},
    "torch": {"benchmarks", "kernels", "credit", "policy", "embedded", "runs", "session", "probe", "experiments"},
}
# These import nothing but the standard library.
LEAVES = {"errors", "config", "records", "templates", "heatmap", "allocator"}


def part_of(module: str) -> str:
    """The part that a module belongs to, e.g. "policy" for `workbench.policy.loading`."""
    names = module.split(".")
    if names[0] != "workbench":
        return names[0]
    # `from workbench import Workbench` reaches the facade
    return names[1] if len(names) > 1 else "workbench"


def imported_modules(source: str, module: str, *, is_package: bool) -> Iterator[str]:
    """Absolute names of all that is imported anywhere in the source, inside functions and TYPE_CHECKING too."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                is_part = base == "workbench" and alias.name in EDGES
                yield f"workbench.{alias.name}" if is_part else base


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """One sentence per import that the diagram forbids; empty when the module keeps to it."""
    part = "__init__" if module == "workbench" and is_package else part_of(module)
    if part not in EDGES:
        return [f"{module} belongs to no part of the diagram"]
    found = []
    for name in imported_modules(source, module, is_package=is_package):
        library, target = name.partition(".")[0], part_of(name)
        if library == "kernels":
            found.append(f"{module} imports {name}: that is another package; ours is workbench.kernels")
        elif library == "workbench":
            if target != part and target not in EDGES[part]:
                found.append(f"{module} imports {name}: {part} may not know {target}")
        elif part not in HOMES.get(library, {part}):
            found.append(f"{module} imports {name}: {library} does not belong in {part}")
        elif part in LEAVES and library not in sys.stdlib_module_names:
            found.append(f"{module} imports {name}: {part} is a leaf")
    return found


def source_files() -> list[Path]:
    files = [path for folder in ("workbench", "kernels") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [*files, *(path for path in [ROOT / "app.py"] if path.exists())]


def module_name(path: Path) -> str:
    names = list(path.relative_to(ROOT).with_suffix("").parts)
    names = names[:-1] if names[-1] == "__init__" else names
    return ".".join(["workbench", *names] if names[0] == "kernels" else names)


def test_imports_only_point_down() -> None:
    files = source_files()
    assert len(files) > 10
    found = [
        sentence
        for path in files
        for sentence in violations(
            path.read_text(encoding="utf-8"), module_name(path), is_package=path.name == "__init__.py"
        )
    ]
    assert found == []


def test_the_diagram_has_no_cycles() -> None:
    left = {part: set(targets) for part, targets in EDGES.items()}
    while left:
        bottom = {part for part, targets in left.items() if not targets & set(left)}
        assert bottom, f"these parts know each other in a circle: {sorted(left)}"
        left = {part: targets for part, targets in left.items() if part not in bottom}


def test_the_document_names_every_part() -> None:
    document = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in document.splitlines() if line.startswith("| `")]
    for part in set(EDGES) - {"__init__", "__main__"}:
        spellings = (f"`{part}.py`", f"`workbench/{part}.py`", f"`workbench/{part}/`", f"`{part}/`")
        assert any(spelling in row for row in rows for spelling in spellings), f"{part} has no row"


def module_imports(files: Iterable[Path]) -> dict[str, set[str]]:
    """Module -> the workbench's modules that it imports anywhere, inside functions and TYPE_CHECKING too.

    That a module's package is imported before it is not counted; that a package imports its modules is.
    """
    sources = {module_name(path): path for path in files}
    graph: dict[str, set[str]] = {}
    for module, path in sources.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        graph[module] = named_modules(tree, module, sources.keys(), is_package=path.name == "__init__.py") - {module}
    return graph


def named_modules(tree: ast.Module, module: str, known: Collection[str], *, is_package: bool) -> set[str]:
    """The known modules that a module names in its imports: `from package import module` names the module."""
    package = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            inside = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in known else base for name in inside}
    return found & set(known)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other by imports, each sorted; none where imports have a direction."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, waiting = set(), list(graph[start])
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += graph.get(module, set())
        reached[start] = seen
    groups = {
        tuple(sorted(other for other in reached[module] if module in reached.get(other, set())))
        for module in graph
        if module in reached[module]
    }
    return [list(group) for group in sorted(groups)]


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = module_imports(source_files())
    assert "workbench.errors" in graph["workbench.credit.scores"] and len(graph) > 150
    assert circles(graph) == []


def test_a_circle_is_found_wherever_the_import_stands() -> None:
    known = {"workbench.a", "workbench.b", "workbench.c", "workbench"}
    sources = {
        "workbench.a": "if TYPE_CHECKING:\n    from workbench.b import B",
        "workbench.b": "def f():\n    from workbench import c",
        "workbench.c": "from .a import A",
        "workbench": "from . import a",
    }
    graph = {
        name: named_modules(ast.parse(source), name, known, is_package=name == "workbench")
        for name, source in sources.items()
    }
    assert circles(graph) == [["workbench.a", "workbench.b", "workbench.c"]]
    graph["workbench.c"] = set()
    assert circles(graph) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("workbench.credit.loss", "from workbench.policy import Policy"),
        ("workbench.credit.loss", "import workbench.policy.loading as loading"),
        ("workbench.credit.loss", "from ..policy.loading import load"),
        ("workbench.credit.loss", "def f():\n    from workbench import runs"),
        ("workbench.runs.log", "if TYPE_CHECKING:\n    from workbench import Workbench"),
        ("workbench.policy.loading", "from workbench.tasks import judge"),
        ("workbench.policy.loading", "import gradio as gr"),
        ("workbench.experiments.learn", "from workbench.policy import sampling"),
        ("workbench.ui.page", "import sqlite3"),
        ("workbench.ui.page", "from workbench import Workbench"),
        ("workbench.service.queue", "import gradio as gr"),
        ("workbench.service.queue", "from workbench.ui import page"),
        ("workbench.launch", "import gradio as gr"),
        ("app", "from workbench.ui import build_ui"),
        ("workbench.cli", "import torch.nn.functional as F"),
        ("workbench.heatmap.page", "import numpy as np"),
        ("workbench.kernels.two_sided", "from workbench.config import SDPOConfig"),
        ("workbench.kernels.two_sided", "from kernels.rows import rows"),
        ("workbench.helpers", "import math"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("workbench.credit.loss", "import math\nimport torch\nfrom workbench.kernels.two_sided import rows"),
        ("workbench.credit.loss", "from .views import view\nfrom . import views\nfrom ..errors import ConfigError"),
        ("workbench.ui.page", "import gradio as gr\nfrom workbench import experiments, service"),
        ("workbench.service.queue", "from workbench import Workbench, experiments"),
        ("workbench.kernels.two_sided", "import torch\nfrom . import rows\nfrom workbench.kernels import rows as r"),
        ("workbench.launch", "from workbench import Workbench\nfrom workbench.ui import build_ui"),
        ("app", "from workbench.cli import main"),
    ],
)
def test_an_allowed_import_is_not(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_relative_imports_of_a_package_are_resolved() -> None:
    assert list(imported_modules("from .run import a", "workbench.tasks", is_package=True)) == ["workbench.tasks.run"]
    assert list(imported_modules("from .run import a", "workbench.tasks", is_package=False)) == ["workbench.run"]
