"""The heatmap in a real browser: what is seen, said, and reached by keyboard; hostile text stays text."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import heatmap

pytestmark = pytest.mark.browser

TEXTS = ["def", " f", "(", "xs", "):", "\n    ", "return", " sorted", "(xs, ", "reverse", ")", "\n"]
STUDENT = [-0.1, -0.2, -0.1, -0.3, -0.1, -0.2, -0.4, -0.5, -0.6, -0.34, -0.1, -0.2]
TEACHER = [-0.1, -0.2, -0.1, -0.3, -0.1, -0.2, -0.4, -0.2, -0.9, -6.9, -0.1, -0.2]
CREDIT = [teacher - student for teacher, student in zip(TEACHER, STUDENT, strict=True)]


def payload(texts: list[str], credit: list[float], **changes: Any) -> dict[str, Any]:
    def view(name: str, values: list[float], signed: bool = True) -> dict[str, Any]:
        return {"name": name, "title": name, "unit": "nats", "signed": signed, "how": f"how {name}", "values": values}

    top = [
        {
            "ids": [i, 99],
            "texts": [text, "<b>"],
            "student": [0.71, 0.2, 0.09],
            "teacher": [0.001, 0.9, 0.099],
            "push": [-2.0, 1.5, 0.5],
        }
        for i, text in enumerate(texts)
    ]
    base = {
        "id": "a1",
        "title": "Attempt 1",
        "tokens": [{"text": text, "id": i} for i, text in enumerate(texts)],
        "views": [
            view("raw", credit),
            view("turned", [-value for value in credit]),
            view("size", [abs(v) for v in credit], False),
        ],
        "numbers": [
            {"name": "student", "unit": "nats", "values": [-0.34] * len(texts)},
            {"name": "teacher", "unit": "nats", "values": [-0.34 + value for value in credit]},
        ],
        "noise_floor": 0.01,
        "top": top,
        "summary": "One sentence.",
        "view": "raw",
    }
    return {**base, **changes}


@pytest.fixture
def show(new_page: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    def shown(data: dict[str, Any] | list[dict[str, Any]], theme: str = "light", **options: Any) -> Any:
        path = tmp_path / "heatmap.html"
        attempts = data if isinstance(data, list) else [data]
        path.write_text(heatmap.render_page(*attempts, theme=theme), encoding="utf-8")  # type: ignore[arg-type]
        page = new_page(**options)
        page.goto(path.as_uri())
        return page

    return shown


def style(page: Any, token: int, name: str) -> str:
    script = "([i, name]) => getComputedStyle(document.querySelector(`[data-i='${i}']`))[name]"
    page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    return str(page.evaluate(script, [token, name]))


def rgb(colour: str) -> tuple[float, ...]:
    """Components 0 to 1 of `rgb(...)` or `color(srgb ...)`."""
    numbers = [
        float(part) for part in colour.split("(")[1].rstrip(")").replace("srgb", "").replace(",", " ").split()[:3]
    ]
    return tuple(n if "srgb" in colour else n / 255 for n in numbers)


@pytest.mark.parametrize(("theme", "negative"), [("light", "#f4a259"), ("dark", "#a04e00")])
def test_the_strongest_token_has_the_full_colour_and_its_sign_is_also_a_line(
    show: Callable[..., Any], theme: str, negative: str
) -> None:
    page = show(payload(TEXTS, CREDIT), theme)
    expected = tuple(int(negative[i : i + 2], 16) / 255 for i in (1, 3, 5))
    assert rgb(style(page, 9, "backgroundColor")) == pytest.approx(expected, abs=0.02)
    assert style(page, 9, "borderBottomStyle") == "dashed"
    assert style(page, 7, "borderBottomStyle") == "solid"
    ground = rgb(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    weak, strong = (math.dist(rgb(style(page, i, "backgroundColor")), ground) for i in (8, 9))
    assert 0 < weak < 0.2 * strong  # -0.3 against -6.56 nats, linear


def test_tokens_below_the_noise_floor_are_grey_and_carry_no_sign(show: Callable[..., Any]) -> None:
    page = show(payload(TEXTS, [0.009, *CREDIT[1:]]))
    assert "hm-q" in page.locator("[data-i='0']").get_attribute("class")
    assert style(page, 0, "borderBottomColor") == "rgba(0, 0, 0, 0)"
    assert "below 0.010" in page.locator(".hm-legend").inner_text()


def test_code_is_shown_as_code(show: Callable[..., Any]) -> None:
    page = show(payload(TEXTS, CREDIT))
    assert page.locator(".hm-no").all_inner_texts() == ["1", "2"]
    assert page.locator(".hm-nl").count() == 2  # newlines are visible, and the last one opens no empty line
    lines = page.evaluate("[...document.querySelectorAll('.hm-src')].map((line) => line.textContent)")
    assert lines == ["def f(xs):", "    return sorted(xs, reverse)"]
    assert "monospace" in style(page, 0, "fontFamily")


def test_hovering_shows_exact_numbers(show: Callable[..., Any]) -> None:
    page = show(payload(TEXTS, CREDIT))
    page.hover("[data-i='9']")
    tip = page.locator(".hm-tip").inner_text()
    assert "`reverse`" in tip and "token 10 of 12, id 9" in tip and "−6.560 nats" in tip and "−0.3400 nats" in tip
    page.mouse.move(5, 5)
    assert page.locator(".hm-tip").is_hidden()


def test_a_token_opens_with_both_distributions_and_its_formula(show: Callable[..., Any]) -> None:
    page = show(payload(TEXTS, CREDIT))
    page.click("[data-i='9']")
    panel = page.locator(".hm-panel")
    assert "A = log q − log π = log .001 − log .71 = −6.90 − (−0.34) = −6.56 nats" in panel.inner_text()
    rows = [text.split() for text in page.locator(".hm-alts tbody tr").all_inner_texts()]
    assert rows == [  # sorted by the larger of both probabilities; what is not listed comes last
        ["`<b>`", ".20", ".90", "+1.5"],
        ["`reverse`sampled", ".71", ".001", "−2.0"],
        ["all", "others", ".090", ".099", "+0.50"],
    ]
    widths = page.evaluate("[...document.querySelectorAll('.hm-alt i')].map((bar) => bar.style.width)")
    assert widths == ["20%", "90%", "71%", "0.1%", "9%", "9.9%"]
    assert page.locator(".hm-act").count() == 0  # a file cannot run the policy
    page.click(".hm-close")
    assert panel.is_hidden()


def test_everything_is_reached_by_keyboard_from_one_tab_stop(show: Callable[..., Any]) -> None:
    page = show(payload(TEXTS, CREDIT))
    assert page.locator(".hm-code [tabindex], .hm-code button").count() == 0
    page.focus(".hm-code")
    chosen = page.locator("[aria-selected='true']")

    def press(*keys: str) -> str:
        for key in keys:
            page.keyboard.press(key)
        return str(chosen.get_attribute("data-i"))

    assert press("ArrowRight") == "1"
    assert press("End") == "11" and press("Home") == "0"
    assert press("n") == "9"  # the largest; then the next by size
    assert press("n") in ("7", "8")
    assert press("p") == "9"
    assert "number 1 of 3 by size" in page.locator(".hm-live").inner_text()
    assert int(press("ArrowUp")) <= 5  # the line above; its newline is a part of token 5
    assert int(press("ArrowDown")) >= 6
    press("Enter")
    assert page.locator(".hm-panel").is_visible()
    press("Escape")
    assert page.locator(".hm-panel").is_hidden()
    press("?")
    assert "previous, next token" in page.locator(".hm-keys").inner_text()


def test_views_and_scales_change_the_colours_and_the_legend(show: Callable[..., Any]) -> None:
    page = show(payload(TEXTS, CREDIT, limits={"raw": 10.0}))
    assert "one scale for all attempts shown" in page.locator(".hm-legend").inner_text()
    assert "+10 nats" in page.locator(".hm-legend").inner_text()
    faint = style(page, 8, "backgroundColor")
    page.click("[data-scale='asinh']")
    assert style(page, 8, "backgroundColor") != faint
    page.click("[data-scale='rank']")
    assert "by rank" in page.locator(".hm-legend").inner_text()
    page.select_option(".hm-view", "turned")
    assert style(page, 9, "borderBottomStyle") == "solid"
    page.select_option(".hm-view", "size")
    assert "hm-m" in page.locator("[data-i='9']").get_attribute("class")
    assert page.locator(".hm-how").inner_text() == "how size"


def test_a_weight_is_coloured_around_one_and_on_its_own_range(show: Callable[..., Any]) -> None:
    """Above 1 like a positive credit, below it like a negative one; the range's ends are the full colours."""
    weights = [1.0, 1.2, 0.8, 1.1, *[1.0] * 8]
    view = {"name": "rlsd", "title": "RLSD weight", "unit": "weight", "signed": True, "how": "", "values": weights}
    view |= {"centre": 1.0, "range": [0.8, 1.2], "formula": "exp(sign(A_seq) · A), clipped"}
    divergences = [0.1 * i for i in range(12)]
    jsd = {"name": "jsd", "title": "JSD", "unit": "nats", "signed": False, "how": "", "values": divergences}
    jsd |= {"centre": 0.0, "range": [0.0, 2.0], "formula": "JSD"}
    data = payload(TEXTS, CREDIT, view="rlsd")
    page = show({**data, "views": [*data["views"], view, jsd]})
    kinds = [page.locator(f"[data-i='{i}']").get_attribute("class").split()[1] for i in range(4)]
    assert kinds == ["hm-q", "hm-p", "hm-n", "hm-p"]
    shares = [
        page.evaluate(f"document.querySelector(\"[data-i='{i}']\").style.getPropertyValue('--w')") for i in (1, 2, 3)
    ]
    assert shares == ["100.0%", "100.0%", "50.0%"]
    legend = page.locator(".hm-legend").inner_text()
    assert "0.80" in legend and "1.2 weight" in legend and "the view's whole range" in legend
    assert "solid line above 1.0, dashed below" in legend and "+1.2" not in legend
    page.click("[data-i='3']")
    assert "exp(sign(A_seq) · A), clipped = 1.10 weight" in page.locator(".hm-panel").inner_text()
    page.select_option(".hm-view", "jsd")
    assert page.evaluate("document.querySelector(\"[data-i='10']\").style.getPropertyValue('--w')") == "50.0%"
    assert page.locator(".hm-ramp").inner_text().split() == ["0", "2.0", "nats"]


def test_two_views_share_a_token_and_disagreement_is_boxed(show: Callable[..., Any]) -> None:
    page = show(payload(TEXTS, CREDIT, against="turned"))
    assert "hm-differs" in page.locator("[data-i='9']").get_attribute("class")
    assert "gradient" in style(page, 9, "backgroundImage")


LINES = [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11]]


def group() -> list[dict[str, Any]]:
    """Two attempts whose second line differs; the second one's credit is twice as large."""
    doubled = [2 * value for value in CREDIT]
    other = [text.replace("reverse", "key") for text in TEXTS]
    first = payload(TEXTS, CREDIT, lines=LINES, label="1", passed=False)
    second = payload(other, doubled, lines=LINES, id="a2", title="Attempt 2", label="2", passed=True, summary="Two.")
    return [first, second]


def test_each_line_says_what_it_adds_up_to(show: Callable[..., Any]) -> None:
    page = show(payload(TEXTS, [0.009, *CREDIT[1:]], lines=LINES))
    assert page.locator(".hm-sum").all_inner_texts() == ["", "−6.6"]  # 0.3 - 0.3 - 6.56; noise counts as nothing
    page.focus(".hm-code")
    page.keyboard.press("End")
    assert "line 2 adds up to −6.6 nats" in page.locator(".hm-live").inner_text()
    page.select_option(".hm-view", "size")
    assert page.locator(".hm-sum").nth(1).inner_text() == "7.2"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_group_has_a_map_one_scale_and_its_attempts_at_hand(show: Callable[..., Any], theme: str) -> None:
    page = show(group(), theme)
    assert page.locator(".hm-map-label").all_inner_texts() == ["1 ✗", "2 ✓"]
    assert "+13 nats one scale for all attempts shown" in " ".join(page.locator(".hm-legend").inner_text().split())
    strong = page.evaluate("document.querySelector(\"[data-i='9']\").style.getPropertyValue('--w')")
    assert strong == "50.0%"  # of the group's scale, which the other attempt fills
    pixel = """(k) => {
        const canvas = document.querySelectorAll(".hm-map canvas")[k], x = Math.floor((9.5 / 12) * canvas.width);
        return [...canvas.getContext("2d").getImageData(x, 0, 1, 1).data.slice(0, 3)];
    }"""
    full = {"light": [0xF4, 0xA2, 0x59], "dark": [0xA0, 0x4E, 0x00]}[theme]
    assert page.evaluate(pixel, 1) == pytest.approx(full, abs=3)
    assert math.dist(page.evaluate(pixel, 0), full) > 40

    page.focus(".hm-code")
    page.keyboard.press("]")
    assert page.locator(".hm-title").inner_text() == "Attempt 2"
    assert page.locator(".hm-summary").inner_text() == "Two."
    page.keyboard.press("[")
    box = page.locator(".hm-map canvas").nth(1).bounding_box()
    at = {"x": box["width"] * 9.5 / 12, "y": box["height"] / 2}
    page.locator(".hm-map canvas").nth(1).hover(position=at)
    assert "attempt 2, token 10 of 12" in page.locator(".hm-tip").inner_text()
    page.locator(".hm-map canvas").nth(1).click(position=at)
    assert page.locator(".hm-title").inner_text() == "Attempt 2"
    assert page.locator(".hm-panel-tok").inner_text() == "`key`"


def test_equal_lines_are_added_up_over_the_group(show: Callable[..., Any]) -> None:
    page = show(group())
    page.click(".hm-map-lines summary")
    rows = [" ".join(text.split()) for text in page.locator(".hm-map-lines tr").all_inner_texts()[1:]]
    assert [row.rsplit(" ", 4)[1:] for row in rows] == [
        ["1", "of", "2", "−13"],
        ["1", "of", "2", "−6.6"],
        ["2", "of", "2", "0"],
    ]


def test_a_span_is_marked_by_keyboard_and_told_to_the_host(show: Callable[..., Any]) -> None:
    page = show(payload(TEXTS, CREDIT))
    page.evaluate("addEventListener('hm-span', (e) => { window.told = [e.detail.start, e.detail.end]; })")
    page.focus(".hm-code")
    page.keyboard.press("ArrowRight")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate("window.told") == [1, 5] and page.locator(".hm-span").count() == 4
    page.keyboard.press("Shift+ArrowLeft")
    assert page.evaluate("window.told") == [1, 4]
    page.locator("[data-i='8']").click(modifiers=["Shift"])
    assert page.evaluate("window.told") == [1, 9] and "marked 2 to 9" in page.locator(".hm-live").inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate("window.told") == [0, 0] and page.locator(".hm-span").count() == 0


def test_the_evidence_is_a_curve(show: Callable[..., Any]) -> None:
    data = payload(TEXTS, CREDIT)
    evidence = [sum(CREDIT[: i + 1]) for i in range(len(CREDIT))]
    data["views"].append({**data["views"][0], "name": "evidence", "title": "Evidence curve", "values": evidence})
    page = show(data)
    assert "Σ A −6.6 nats" in page.locator(".hm-cumulative").inner_text()
    assert page.locator(".hm-curve").get_attribute("d").count("L") == 11


def test_a_notebook_shows_it_in_a_sandboxed_frame(new_page: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "cell.html").write_text(heatmap.render_frame(payload(HOSTILE[:6], [1.0] * 6)), encoding="utf-8")
    page = new_page()
    page.goto((tmp_path / "cell.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("[data-i='2']").click()
    assert frame.locator(".hm-panel-tok").inner_text() == "`${alert(3)}`"


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "${alert(3)}",
    "{{7*7}}",
    "\u202egnp.exe",
    "a\u200bb",
    "\x1b[31m\x00",
    "<|im_end|>",
    "\ufffd",
    "",
    "x" * 1_000_000,
]


def test_hostile_text_is_shown_and_does_nothing(show: Callable[..., Any]) -> None:
    page = show(payload(HOSTILE, [1.0] * len(HOSTILE), title=HOSTILE[0], summary=HOSTILE[1]))
    assert page.locator(".hm img, .hm script").count() == 0
    assert page.locator("[data-i='0']").text_content() == HOSTILE[0]
    assert page.locator("[data-i='2']").text_content() == "${alert(3)}"
    assert page.locator("[data-i='3']").text_content() == "{{7*7}}"
    assert page.locator(".hm-ctl").all_inner_texts()[:4] == ["U+202E", "U+200B", "U+001B", "U+0000"]
    shown = page.evaluate("document.querySelector('.hm').textContent")
    assert not set(shown) & set("\u202e\u200b\x1b\x00")
    assert len(shown) < 10_000 and "998,000 more characters" in shown
    page.click("[data-i='0']")
    assert page.locator(".hm-panel-tok").inner_text() == f"`{HOSTILE[0]}`"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_the_system_theme(show: Callable[..., Any], scheme: str) -> None:
    page = show(payload(TEXTS, CREDIT), "auto", width=400, height=800, scheme=scheme)
    page.click("[data-i='9']")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(24, 24, 27)"}[scheme]


def test_long_attempts_and_empty_ones_work(show: Callable[..., Any]) -> None:
    page = show(payload(["word "] * 1999 + ["end"], [math.sin(i) for i in range(2000)]))
    page.focus(".hm-code")
    page.keyboard.press("End")
    assert page.locator("[aria-selected='true']").text_content() == "end"
    page = show(payload([], []))
    assert "no tokens" in page.locator(".hm-code").inner_text()


def test_reasoning_is_folded_keeps_its_colours_and_opens_by_key_and_mouse(show: Callable[..., Any]) -> None:
    texts = ["<think>", "xs", "?\n", "</think>", "\n", "return", "(xs)", "\n"]
    credit = [0.1, 0.2, -0.3, 0.1, 0.1, -0.6, 0.3, 0.1]
    page = show(payload(texts, credit, lines=[[0, 1, 2], [3, 4], [5, 6, 7]], reasoning=[[0, 4]]))
    fold, code = page.locator(".hm-fold"), page.locator(".hm-code")
    seen = "() => [...document.querySelectorAll('.hm-t')].filter((one) => one.offsetParent).map((one) => one.dataset.i)"
    assert fold.inner_text() == "▸ Reasoning, 4 tokens: not judged" and fold.get_attribute("aria-expanded") == "false"
    assert page.evaluate(seen) == ["4", "5", "6", "7"]
    assert page.locator(".hm-no").all_inner_texts() == [
        "1",
        "2",
        "",
        "3",
    ]  # a line that is half reasoning keeps its number
    fold.focus()
    page.keyboard.press("Enter")
    assert fold.get_attribute("aria-expanded") == "true" and len(page.evaluate(seen)) == 8
    assert "hm-n" in page.locator("[data-i='2']").get_attribute("class")
    code.focus()
    page.keyboard.press("r")
    assert page.evaluate(seen) == ["4", "5", "6", "7"]
    page.keyboard.press("Home")  # a token in it is visited
    assert len(page.evaluate(seen)) == 8
    sums = page.locator(".hm-sum").all_inner_texts()
    assert (
        len(sums) == 4 and sums[2] == ""
    )  # of the first two lines and the last; the half line counts with its first half


def test_without_reasoning_nothing_is_folded(show: Callable[..., Any]) -> None:
    assert not show(payload(TEXTS, CREDIT)).locator(".hm-fold").is_visible()
    page = show(payload(["<think>", "xs"], [0.1, 0.2], reasoning=[[0, 2]]))  # nothing else would be seen
    assert (
        page.locator("[data-i='0']").is_visible() and page.locator(".hm-fold").get_attribute("aria-expanded") == "true"
    )
