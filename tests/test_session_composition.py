"""`Session` is a table of contents: each method is one function, written once, under its own name."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import workbench.session as package
from workbench import Workbench
from workbench.session import Session
from workbench.session.core import OpenRun, SessionCore
from workbench.session.replay import Replay

FOLDER = Path(package.__file__).parent


def bound(owner: type) -> dict[str, Callable[..., Any]]:
    """The functions that a class takes from the modules beside it, by the name that it gives them."""
    taken = {name: getattr(owner, name) for name, value in vars(owner).items() if not name.startswith("_")}
    return {
        name: function
        for name, function in taken.items()
        if inspect.isfunction(function) and function.__module__ != owner.__module__
    }


def written(name: str) -> list[str]:
    """Places where the package has a function or a method of this name."""
    return [
        path.name
        for path in sorted(FOLDER.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]


def test_each_method_is_found_by_searching_once() -> None:
    methods = bound(Session)
    assert {"attempt", "credit", "update", "undo", "compare", "share"} <= methods.keys() and len(methods) > 45
    for name, function in methods.items():
        assert function.__name__ == name and inspect.getdoc(function), name
    assert written("attempt") == ["rounds.py"] and written("update") == ["updates.py"]


def test_a_replay_has_every_method_that_needs_no_model() -> None:
    states = {
        name: next(iter(inspect.signature(function, eval_str=True).parameters.values())).annotation
        for name, function in bound(Session).items()
        if not isinstance(inspect.getattr_static(Session, name), staticmethod)
    }
    assert set(states.values()) == {OpenRun, SessionCore}
    without_model = {name for name, state in states.items() if state is OpenRun}
    assert without_model == {name for name, state in states.items() if name in bound(Replay)}
    assert all(getattr(Replay, name) is getattr(Session, name) for name in without_model)


def test_there_is_one_line_of_classes_and_no_mixin() -> None:
    assert Workbench.__mro__ == (Workbench, Session, SessionCore, OpenRun, object)
    assert Replay.__mro__ == (Replay, OpenRun, object)
