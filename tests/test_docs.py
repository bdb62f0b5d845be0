"""Documents: their links lead somewhere, and every picture is shown somewhere."""

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


GLOSSARY = ROOT / "docs" / "glossary.md"


def anchor(term: str) -> str:
    """The anchor of a term, formed as GitHub forms those of headings."""
    return re.sub(r"[^\w\- ]", "", term.lower()).replace(" ", "-")


def test_every_term_of_the_page_is_in_the_glossary() -> None:
    script = (ROOT / "workbench" / "ui" / "static" / "terms.js").read_text(encoding="utf-8")
    terms = re.findall(r'^  "?([^":]+)"?: "', script, re.MULTILINE)
    assert len(terms) >= 10
    anchors = re.findall(r'<a id="([^"]+)"></a>', GLOSSARY.read_text(encoding="utf-8"))
    assert [term for term in terms if anchor(term) not in anchors] == []


def test_every_hint_of_the_page_is_quoted_from_the_glossary() -> None:
    script = (ROOT / "workbench" / "ui" / "static" / "terms.js").read_text(encoding="utf-8")
    entries = dict.fromkeys(re.findall(r"^- (.+?)(?=\n- |\n\n|\Z)", GLOSSARY.read_text(encoding="utf-8"), re.M | re.S))
    plain = [" ".join(entry.replace("on the page,", "here,").replace("`", "").split()) for entry in entries]
    for term, hint in re.findall(r'^  "?([^":]+)"?: "(.+)",$', script, re.MULTILINE):
        quoted = re.compile(rf": {re.escape(hint.removesuffix('.'))}(?=[ .]|$)", re.IGNORECASE)
        assert any(f'id="{anchor(term)}"' in entry and quoted.search(entry) for entry in plain), term


def test_the_glossary_explains_each_term_once() -> None:
    text = GLOSSARY.read_text(encoding="utf-8")
    anchors = re.findall(r'<a id="([^"]+)"></a>', text)
    headings = [anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    everything = [*anchors, *headings]
    assert [name for name in everything if everything.count(name) > 1] == []
    assert [link for link in re.findall(r"\]\(#([^)]+)\)", text) if link not in everything] == []


def test_the_paths_in_the_documents_exist() -> None:
    """Paths that are written as code, in the documents that say where things live."""
    for document in (GLOSSARY, ROOT / "docs" / "algorithm.md", ROOT / "README.md"):
        written = re.findall(r"`([\w.]+(?:/[\w.]+)+/?)`", document.read_text(encoding="utf-8"))
        known = [path for path in written if path.split("/")[0] in {item.name for item in ROOT.iterdir()}]
        assert known, document.name
        assert [path for path in known if not (ROOT / path).exists()] == []


def test_every_path_of_the_file_map_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listing = re.search(r"## File map\n\n```\n(.*?)```", readme, re.DOTALL)
    assert listing is not None
    paths = [line.split()[0] for line in listing[1].splitlines()]
    assert [path for path in paths if not (ROOT / path).exists() or path.endswith("/") != (ROOT / path).is_dir()] == []
    parts = {f"workbench/{item.name}/" for item in (ROOT / "workbench").iterdir() if (item / "__init__.py").exists()}
    assert parts <= set(paths)  # a new part gets its line
