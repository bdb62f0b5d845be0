"""Everything on the page is reachable by a program: the table in docs/interface.md, held against the page itself."""

from __future__ import annotations

import importlib
import re
from fnmatch import fnmatch
from pathlib import Path

import gradio as gr
import pytest

from workbench import Workbench
from workbench.service import make_queue
from workbench.ui import build_ui
from workbench.ui.replay import CONTROLS

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "interface.md"
SHOWN = (gr.HTML, gr.Plot, gr.Code, gr.File)  # what is read, or pressed where the page's script draws it


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    return build_ui(make_queue(lambda: None))


@pytest.fixture(scope="module")
def table() -> list[list[set[str]]]:
    """The names in the three cells of each row."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Every control from a program")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")][1:]
    return [[set(re.findall(r"`([^`]+)`", cell)) for cell in row] for row in rows]


def test_every_control_is_in_the_table_and_no_other(page: gr.Blocks, table: list[list[set[str]]]) -> None:
    blocks = [block for block in page.blocks.values() if isinstance(block, (*CONTROLS, *SHOWN))]
    assert [block for block in blocks if not block.elem_id] == []
    ids = [block.elem_id for block in blocks]
    assert len(ids) == len(set(ids)) > 100
    named = set().union(*(controls for controls, _, _ in table))
    assert {control for control in ids if not any(fnmatch(control, name) for name in named)} == set()
    assert {name for name in named if not any(fnmatch(control, name) for control in ids)} == set()


def test_every_endpoint_is_in_the_table_and_no_other(page: gr.Blocks, table: list[list[set[str]]]) -> None:
    public = {f"/{handler.api_name}" for handler in page.fns.values() if handler.api_visibility == "public"}
    named = set().union(*(endpoints for _, endpoints, _ in table))
    assert {name for name in named if name.startswith("/")} == public


def test_every_call_of_the_table_exists(table: list[list[set[str]]]) -> None:
    attributes = set(dir(Workbench)) | {"run", "policy", "stop", "spans"}  # made when it is opened; arguments
    for name in set().union(*(calls for _, _, calls in table)):
        if name.startswith("workbench."):
            importlib.import_module(name)
        else:
            assert name in attributes, name
    assert all(endpoints and calls for _, endpoints, calls in table)
