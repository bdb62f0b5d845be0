"""What the documents point to is there, and every picture is shown somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PICTURES = ROOT / "docs" / "images"


def targets(document: Path) -> Iterator[Path]:
    """The files that a document links to or shows."""
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:|#", link):
            yield (document.parent / link.partition("#")[0]).resolve()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    assert [str(path) for path in targets(document) if not path.exists()] == []


def test_every_picture_is_shown_and_all_are_small() -> None:
    shown = {path for document in DOCUMENTS for path in targets(document)}
    pictures = set(PICTURES.glob("*.png"))
    assert pictures and pictures <= shown
    assert sum(path.stat().st_size for path in pictures) < 3e6  # bytes
