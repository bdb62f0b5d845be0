"""Pictures of a report's figures, for pages that cannot run a script: `python tests/browser/figures.py DIR FOLDER`.

Writes FOLDER/NAME-1.png and so on, NAME being the name of the experiment's directory, DIR; `python -m workbench report
DIR --into PAGE` links to them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def draw(directory: Path, folder: Path) -> list[Path]:
    """The pictures, in the order of the report's figures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 960, "height": 800}, color_scheme="light")
        page.goto((directory / "report.html").resolve().as_uri(), timeout=300_000)
        page.wait_for_function("document.querySelectorAll('.plot-container').length > 0", timeout=300_000)
        pictures = []
        for number, figure in enumerate(page.query_selector_all("figure .js-plotly-plot"), 1):
            pictures.append(folder / f"{directory.resolve().name}-{number}.png")
            figure.screenshot(path=pictures[-1])
        browser.close()
    return pictures


if __name__ == "__main__":
    print(*draw(Path(sys.argv[1]), Path(sys.argv[2])), sep="\n")
