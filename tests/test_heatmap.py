"""The heatmap's Python side: one file, no network, hostile text stays data."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import heatmap

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "<!--",
    "${alert(1)}",
    "{{7*7}}",
    "\u2028\u2029",
]


def payload(texts: list[str], **changes: Any) -> dict[str, Any]:
    """A payload whose credit falls from +1 to -1 over the tokens."""
    values = [1.0 - 2.0 * i / max(1, len(texts) - 1) for i in range(len(texts))]
    view = {"name": "raw", "title": "raw credit", "unit": "nats", "signed": True, "how": "", "values": values}
    numbers = [{"name": "student", "unit": "nats", "values": [-1.0] * len(texts)}]
    tokens = [{"text": text, "id": i} for i, text in enumerate(texts)]
    base = {
        "title": "t",
        "tokens": tokens,
        "views": [view],
        "numbers": numbers,
        "noise_floor": 0.01,
        "top": [],
        "summary": "s",
    }
    return {**base, "view": "raw", **changes}


class Scripts(HTMLParser):
    """Collects what a browser would see: the elements, their attributes and the text of each script."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.attributes: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        self.links += [name for name, _ in attrs if name.startswith("on")]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.scripts:
            self.scripts[-1] += data


def parsed(html: str) -> Scripts:
    parser = Scripts()
    parser.feed(html)
    return parser


def test_the_page_is_one_file_without_network() -> None:
    page = heatmap.render_page(payload(["def", " f"]))
    seen = parsed(page)
    assert seen.links == []
    assert "default-src 'none'" in page
    address = page.replace("http://www.w3.org/2000/svg", "")  # the name of SVG's elements, which nothing loads
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest", address)


def test_hostile_text_is_only_data() -> None:
    calm, hostile = (parsed(heatmap.render_page(payload(texts))) for texts in (["a"] * len(HOSTILE), HOSTILE))
    assert hostile.tags == calm.tags  # not one element more
    assert json.loads(hostile.scripts[0])[0]["tokens"] == [{"text": text, "id": i} for i, text in enumerate(HOSTILE)]


@given(st.text())
def test_an_island_gives_back_any_text_and_cannot_end_its_element(text: str) -> None:
    island = heatmap.island({"text": text})
    assert not set("<>&\u2028\u2029") & set(island)
    assert json.loads(island) == {"text": text}


def test_numbers_travel_with_six_digits_and_what_json_lacks_becomes_null() -> None:
    assert json.loads(heatmap.island([float("nan"), float("inf"), 1.5, -0.123456789])) == [None, None, 1.5, -0.123457]


def test_component_never_parses_text_as_html() -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", heatmap.script()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"view": "absent"},
        {"top": [[]]},
        {"lines": [[0], [2]]},
        {"sentences": [[0, -1]]},
        {"numbers": [{"name": "kl", "unit": "nats", "values": [1.0]}]},
    ],
)
def test_series_that_do_not_match_the_tokens_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        heatmap.render_page(payload(["a", "b"], **changes))


@pytest.mark.parametrize("ends", [[1.2, 1.4], [None, 0.8], [1.4, None]])
def test_a_range_without_its_centre_is_refused(ends: list[float | None]) -> None:
    data = payload(["a", "b"])
    data["views"][0] |= {"centre": 1.0, "range": [0.8, 1.2]}
    heatmap.check(data)
    data["views"][0]["range"] = ends
    with pytest.raises(ValueError, match="does not hold its centre"):
        heatmap.check(data)


def test_the_theme_must_be_known() -> None:
    assert 'data-theme="dark"' in heatmap.render_page(payload(["a"]), theme="dark")
    with pytest.raises(ValueError):
        heatmap.render_page(payload(["a"]), theme='x"><script>')  # type: ignore[arg-type]


def test_a_group_is_one_file_and_no_attempt_is_refused(tmp_path: Path) -> None:
    class Scored:
        def __init__(self, text: str) -> None:
            self.text = text

        def payload(self) -> dict[str, Any]:
            return payload([self.text, "b"])

    page = heatmap.to_html([Scored("one"), Scored("two")], tmp_path / "group.html")
    assert (tmp_path / "group.html").read_text(encoding="utf-8") == page
    attempts = json.loads(parsed(page).scripts[0])
    assert [attempt["tokens"][0]["text"] for attempt in attempts] == ["one", "two"]
    with pytest.raises(ValueError, match="no attempt"):
        heatmap.to_html([])


def test_a_notebook_gets_the_page_in_a_frame_that_hostile_text_cannot_leave() -> None:
    seen = parsed(heatmap.render_frame(payload([*HOSTILE, '"><script>alert(1)</script>'])))
    assert seen.tags == ["iframe"]
    frame = seen.attributes[0]
    assert frame["sandbox"] == "allow-scripts"  # no same origin: it cannot reach the notebook
    inner = parsed(str(frame["srcdoc"]))
    assert json.loads(inner.scripts[0])[0]["tokens"][-1]["text"].startswith('"><script>')


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stays_readable_on_every_colour(theme: str) -> None:
    """WCAG AA (4.5 to 1), also at the scale's ends and for what is greyed out as noise."""
    blocks = re.findall(r"\{\s*(--hm-bg:[^}]*)\}", heatmap.style())
    colours = dict(re.findall(r"(--hm-[a-z-]+): (#[0-9a-f]{6})", blocks[0 if theme == "light" else 1]))
    pairs = [("ink", "bg"), ("ink", "neg"), ("ink", "pos"), ("ink", "mag"), ("soft", "bg"), ("quiet", "quiet-bg")]
    for text, ground in pairs:
        light, dark = sorted((_luminance(colours[f"--hm-{name}"]) for name in (text, ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (theme, text, ground)
