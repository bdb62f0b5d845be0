"""Long and real text in the heatmap: layout, marks, scripts, characters of several tokens. All tests share one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from workbench import heatmap
from workbench.credit.group import per_line, per_sentence
from workbench.credit.statistics import strongest

pytestmark = pytest.mark.browser

FAMILY = ["👨", "\u200d", "👩\u200d", "👧"]
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
MARKDOWN = [
    *("# ", "Capitals", "\n\n", "It", " is", " **", "Sydney", "**", ".", " No", "!\n", "- ", "an", " item", "\n"),
    *("```", "py", "\n", "x", " = ", "1", "\n", "```", "\n\n", "> ", "said", "\n", "Last", "."),
]
PERSIAN = ["سل", "ام", ". ", "می\u200c", "خواهم", " GPT", "؟", "\n", "Latin", "."]
EMOJI = [
    "Hi ",
    *FAMILY,
    " ",
    "🇩",
    "🇪",
    " क",
    "्",
    "षि",
    " ",
    "",
    "",
    "澳",
    "é",
    "e",
    "\u0301",
    " ",
    ENGLAND,
    " c\u202ed",
]


def payload(tokens: list[str], values: list[float] | None = None, **changes: Any) -> dict[str, Any]:
    """A payload whose sums are those of Python."""
    numbers = [(-1.0) ** i * (1 + i % 7) for i in range(len(tokens))] if values is None else values
    pieces = {"lines": per_line, "sentences": per_sentence}
    view = {"name": "raw", "title": "Credit", "unit": "nats", "signed": True, "how": "", "values": numbers}
    rolled = {
        name: [list(p.positions) for p in roll(tokens, numbers, noise_floor=0.01)] for name, roll in pieces.items()
    }
    return {
        "id": "a",
        "tokens": [{"text": text, "id": i} for i, text in enumerate(tokens)],
        "views": [view],
        "noise_floor": 0.01,
        "view": "raw",
        **rolled,
        **changes,
    }


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An exported file, opened once; `show` puts other attempts into it."""
    path = tmp_path_factory.mktemp("text") / "heatmap.html"
    path.write_text(heatmap.render_page(payload(MARKDOWN)), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(path.as_uri())
    yield opened
    opened.close()
    assert problems == []


@pytest.fixture
def show(page: Any) -> Callable[..., Any]:
    def shown(tokens: list[str], values: list[float] | None = None, **changes: Any) -> Any:
        data = payload(tokens, values, **changes)
        heatmap.check(data)
        page.evaluate("(data) => { SDPOHeatmap.mount(document.querySelector('.hm-mount'), data); }", data)
        return page

    return shown


COPY = """([from, to]) => {
  const code = document.querySelector(".hm-code"), selected = getSelection(), range = document.createRange();
  const spans = [...code.querySelectorAll(".hm-t")];
  if (from === null) range.selectNodeContents(code);
  else { range.setStart(spans[from].firstChild, 1); range.setEnd(spans[to].firstChild, 1); }
  selected.removeAllRanges(); selected.addRange(range);
  const event = new ClipboardEvent("copy", { clipboardData: new DataTransfer(), bubbles: true, cancelable: true });
  code.dispatchEvent(event);
  return event.clipboardData.getData("text/plain");
}"""
KINDS = """[...document.querySelectorAll(".hm-row")].map((row) =>
  row.className.replace("hm-row", "").replace("hm-", "").trim())"""
CLUSTERS = """Object.fromEntries([...document.querySelectorAll(".hm-cluster")].map((one) =>
  [one.textContent, [...one.querySelectorAll(".hm-t")].map((span) => +span.dataset.i)]))"""
RIGHT_EDGES = (
    """(tokens) => tokens.map((i) => document.querySelector(`[data-i="${i}"]`).getBoundingClientRect().right)"""
)


def test_markdown_is_laid_out_as_text_and_code_as_lines(show: Callable[..., Any]) -> None:
    page = show(MARKDOWN)
    kinds = ["heading", "blank", "paragraph", "item", "fence", "fence", "fence", "blank", "quote", "paragraph"]
    assert page.evaluate(KINDS) == kinds
    assert page.locator(".hm-strong").all_inner_texts() == ["**", "Sydney", "**"]
    size = "(cls) => parseFloat(getComputedStyle(document.querySelector(`${cls} .hm-src`)).fontSize)"
    assert page.evaluate(size, ".hm-heading") > page.evaluate(size, ".hm-paragraph") > 15
    page.focus(".hm-code")
    page.keyboard.press("t")  # as lines: numbered, monospaced
    assert page.locator(".hm-no").all_inner_texts() == [str(number) for number in range(1, 11)]
    page.click("[data-layout='text']")
    assert page.evaluate(KINDS) == kinds and page.locator(".hm-no").count() == 0
    for code in (
        ["def", " f", "(xs):", "\n    ", "return", " xs", "[:3]"],
        ['{"name": "f",\n', ' "text": "It is so."}'],
    ):
        assert show(code).locator("[data-layout='lines']").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("tokens", [MARKDOWN, PERSIAN, EMOJI, ["a", "\u200b", "b\tc\r", "\n", "", "x" * 3000]])
def test_every_character_is_there_once_and_is_copied_as_it_is(show: Callable[..., Any], tokens: list[str]) -> None:
    page = show(tokens)
    for layout in ("text", "lines"):
        page.click(f"[data-layout='{layout}']")
        assert page.evaluate(COPY, [None, None]) == "".join(tokens)
        places = page.evaluate("[...document.querySelectorAll('.hm-t[role=option]')].map((one) => +one.dataset.i)")
        assert places == list(range(len(tokens)))


def test_a_part_is_copied_and_what_is_folded_is_not(show: Callable[..., Any]) -> None:
    page = show(["It", " is", "\u202e", " so", "."])
    assert page.evaluate(COPY, [0, 3]) == "t is\u202e "
    page = show(["<think>", "Hm", "</think>", "\n", "It is."], reasoning=[[0, 3]])
    assert page.evaluate(COPY, [None, None]) == "\nIt is."


def test_marks_stand_only_where_an_invisible_character_hides_something(page: Any) -> None:
    seen = [
        "".join(FAMILY),
        "❤\ufe0f 1\ufe0f\u20e3 👋🏽",
        ENGLAND,
        "می\u200cخواهم",
        "क्\u200dष",
        "א\u200f! abc",
        "ไทย\u200bไทย",
    ]
    seen += ["葛\U000e0100", "plain, naïve\t\n", "👁\ufe0f\u200d🗨\ufe0f"]
    hidden = {
        "a\u200bb": ["U+200B"],
        "a\u200cb\u200d": ["U+200C", "U+200D"],
        "so\u00adft": ["U+00AD"],
        "\u202eabc\u2066\u2069": ["U+202E", "U+2066", "U+2069"],
        "abc\u200f!": ["U+200F"],
        "می\u200c\u200cخ": ["U+200C", "U+200C"],  # two of them: not as people write
        "🏴\U000e0068\U000e0069\U000e007f": ["U+E0068", "U+E0069", "U+E007F"],  # no flag: words in tags
        "x\ufe0f\U000e0100\u3164\u2800\x1b\ufeff": ["U+FE0F", "U+E0100", "U+3164", "U+2800", "U+001B", "U+FEFF"],
    }
    marks = (
        "(texts) => texts.map((t) => SDPOHeatmap.kit.withMarks(t).filter((n) => n.nodeType).map((n) => n.textContent))"
    )
    assert page.evaluate(marks, seen) == [[]] * len(seen)
    assert page.evaluate(marks, list(hidden)) == list(hidden.values())


def test_a_character_of_several_tokens_is_one_glyph_with_a_stripe_for_each(show: Callable[..., Any]) -> None:
    page = show(EMOJI)
    assert page.evaluate(CLUSTERS) == {
        "".join(FAMILY): [1, 2, 3, 4],
        "🇩🇪": [6, 7],
        "क्षि": [8, 9, 10],
        "澳": [12, 13, 14],
        "e\u0301": [16, 17],
    }
    assert page.locator(".hm-ctl").all_inner_texts() == ["U+202E"]
    flag = page.locator(".hm-cluster").nth(1)
    assert flag.evaluate("(one) => one.style.background").count("color-mix") == 2
    box = flag.bounding_box()
    for share, token in ((0.25, 7), (0.75, 8)):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        assert f"token {token} of" in page.locator(".hm-tip").inner_text()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2)
    assert "token 7 of" in page.locator(".hm-panel").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    assert page.locator("[aria-selected='true']").get_attribute("data-i") == "7"
    assert "hm-cursor" in flag.get_attribute("class")


def test_right_to_left_text_reads_right_to_left(show: Callable[..., Any]) -> None:
    page = show(PERSIAN)
    rights = page.evaluate(RIGHT_EDGES, [0, 1, 3, 4, 5])
    assert rights == sorted(rights, reverse=True)  # Latin words among them too
    assert page.locator(".hm-src").nth(1).get_attribute("dir") is None  # the Latin line
    assert page.locator(".hm-ctl").count() == 0
    row, first = page.locator(".hm-src").first.bounding_box(), page.locator("[data-i='0'][role=option]").bounding_box()
    assert first["x"] + first["width"] == pytest.approx(row["x"] + row["width"], abs=1)
    page.focus(".hm-code")
    page.keyboard.press("ArrowLeft")  # where the text goes on
    assert page.locator("[aria-selected='true']").get_attribute("data-i") == "1"


def test_each_sentence_says_what_python_says_it_adds_up_to(show: Callable[..., Any]) -> None:
    tokens, values = ["It", " is", " B", ".", " No", "!", " Why", "?"], [0.5, 1.0, -4.0, 0.001, 2.0, 0.25, 0.0, 0.0]
    page = show(tokens, values)
    sums = [sentence.total for sentence in per_sentence(tokens, values, noise_floor=0.01)]
    assert sums == [-2.5, 2.25, 0.0]
    assert page.locator(".hm-sum").all_inner_texts() == ["−2.5", "+2.3", ""]
    page.focus(".hm-code")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert "sentence 2 adds up to +2.3 nats" in page.locator(".hm-live").inner_text()
    margin, text = page.locator(".hm-sum").first.bounding_box(), page.locator(".hm-src").bounding_box()
    assert margin["x"] >= text["x"] + text["width"]


def test_the_walk_by_size_counts_the_pivots_and_opens_what_is_folded(show: Callable[..., Any]) -> None:
    tokens = ["<think>", "Hm", "</think>", "\n", *[" word"] * 600, " end", "."]
    values = [0.0, 3.0, 0.0, 0.0, *[0.02] * 10, *[0.0] * 590, -9.0, 0.0]
    page = show(tokens, values, reasoning=[[0, 3]])
    pivots = strongest(values, 0.8, noise_floor=0.01)
    walked, onward = page.locator(".hm-walked"), page.get_by_label("Next token by size")
    assert walked.inner_text() == "2 tokens" and pivots == [604, 1]
    onward.click()
    assert walked.inner_text() == "1 of 2" and page.locator("[aria-selected='true']").get_attribute("data-i") == "604"
    box = page.locator("[data-i='604']").bounding_box()
    assert 0 <= box["y"] <= 800
    page.locator(".hm-thought").first.wait_for(state="hidden")
    onward.click()
    assert walked.inner_text() == "2 of 2" and page.locator("[data-i='1']").is_visible()
    onward.click()
    assert walked.inner_text() == "3 of 12"  # on through all that is above the noise
    page.get_by_label("Previous token by size").click()
    assert walked.inner_text() == "2 of 2"
