"""A real Chromium for the page's tests. Waits are long because a busy machine is slow, not because the page is.

The pictures in the documentation are taken by the tests that use `picture`: `make pictures`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from forked import serving

from workbench.benchmarks.browser import ROOT, chromium
from workbench.errors import ConfigError

PATIENCE_MS = 180_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that take pictures, so that `-m picture` runs them alone."""
    for item in items:
        if "picture" in getattr(item, "fixturenames", ()):
            item.add_marker("picture")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for the whole session."""
    try:
        with chromium() as running:
            yield running
    except ConfigError as error:
        pytest.skip(str(error))


@contextmanager
def pages_of(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; fails in the end if a script of any of them throws, or if it talks to another machine."""
    problems: list[str] = []
    contexts = []

    def open_page(width: int = 1280, height: int = 900, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
        page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        local = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:")
        page.on("request", lambda r: None if r.url.startswith(local) else problems.append(f"network: {r.url}"))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages of one test; see `pages_of`."""
    with pages_of(browser) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def shared_page(browser: Any) -> Iterator[Any]:
    """One page for all tests of a module, since loading it is what costs most; see `pages_of`."""
    with pages_of(browser) as open_page:
        yield open_page()


@pytest.fixture
def picture() -> Callable[..., None]:
    """Takes a picture of the page, as NAME.png in the folder that $PICTURES names; none where it names none.

    It shows what the window shows from the page's top, or from `at` on; with `since` the page from there to its end.
    Both are selectors.
    """

    def taken(page: Any, name: str, *, at: str = "body", since: str = "") -> None:
        folder = os.environ.get("PICTURES")
        if not folder:
            return
        page.mouse.move(0, 0)  # nothing looks pointed at
        path = Path(folder) / f"{name}.png"
        if not since:
            page.evaluate(
                "(s) => scrollTo(0, document.querySelector(s).getBoundingClientRect().top + scrollY - 16)", at
            )
            page.screenshot(path=path)
            return
        top = page.evaluate("(s) => document.querySelector(s).getBoundingClientRect().top + scrollY - 16", since)
        wide, high = page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        page.screenshot(path=path, full_page=True, clip={"x": 0, "y": top, "width": wide, "height": high - top})

    return taken


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `app.py` with the embedded policy on a fresh run."""
    if not (ROOT / "workbench" / "embedded" / "weights" / "model.safetensors").is_file():
        pytest.skip("the embedded policy's weights are not in this checkout")
    with serving(tmp_path_factory.mktemp("runs") / "test") as address:
        yield address


@pytest.fixture(scope="module")
def client(app: str) -> Any:
    """A program's connection to the page of the module, made once: it reads the description of all endpoints."""
    return pytest.importorskip("gradio_client").Client(app, verbose=False)
