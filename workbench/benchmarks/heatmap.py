"""The heatmap of a large group in a real Chromium: what travels, how long until it is painted, what pointing costs.

Numbers and texts are made up; their amount is that of 16 attempts with 2,000 tokens under every context, once
of code and once of prose: Markdown in five scripts, with emoji and characters that several tokens spell.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from workbench import heatmap
from workbench.benchmarks.browser import chromium
from workbench.credit import CONTEXTS, TokenCredit, TopToken

ATTEMPTS, TOKENS, ALTERNATIVES = 16, 2000, 12
POINTS = 40  # tokens that are pointed at in each repetition
WORDS = (
    "def",
    " f",
    "(",
    "xs",
    "):",
    "\n    ",
    "return",
    " sorted",
    "(xs, ",
    "reverse",
    "=True",
    ")",
    "\n",
    " 日本",
    "\t",
)
_PROSE = (
    "The| capital| of| Australia| is| **|Sydney|**.| It| was| founded| in| `1788`|. |Столица| Австралии| — |Сид|ней|. |"
    "می\u200cخوا|هم| بدانم|؟ |\n\n|## |Why|\n- |स|्त्र|ी| ने| कहा|। |||澳|大利亚|的首都|。|日本|語|\n\n|"
    "👨\u200d|👩\u200d|👧|🇩|🇪| ok.\n"
)
PROSE = tuple(_PROSE.split("|"))
SCROLLED = 120  # pixels, of each step

# Pointing: what happens until the answer stands in the layout, without waiting for the screen's next refresh.
_PAINT = """async (text) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const host = document.createElement("div");
  document.body.replaceChildren(host);
  await frame();
  const started = performance.now();
  window.SDPOHeatmap.mount(host, JSON.parse(text), { theme: "light" });
  await frame();
  return { paint: performance.now() - started };
}"""
_POINT = """(points) => {
  const host = document.body.firstChild, find = (selector) => host.querySelector(selector);
  const tip = find(".hm-tip"), code = find(".hm-code");
  const spans = [...host.querySelectorAll(".hm-t")].slice(0, 600), canvas = find(".hm-map canvas");
  const box = canvas.getBoundingClientRect(), hover = [], map = [], key = [];
  const timed = (target, event) => {
    const from = performance.now();
    target.dispatchEvent(event);
    tip.getBoundingClientRect();
    return performance.now() - from;
  };
  code.focus();
  for (let k = 0; k < points; k += 1) {
    const at = { clientX: box.left + box.width * k / points, clientY: box.top + 2 };
    hover.push(timed(spans[(k * 37) % spans.length], new PointerEvent("pointerover", { bubbles: true })));
    map.push(timed(canvas, new PointerEvent("pointermove", at)));
    key.push(timed(code, new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true })));
  }
  const views = find(".hm-view");
  views.value = "divergence";
  const view = timed(views, new Event("change"));
  return { hover, map, key, view, tokens: host.querySelectorAll(".hm-t[role=option]").length };
}"""
_SCROLL = """async (step) => {
  let frames = 0;
  for (let y = 0; y < document.documentElement.scrollHeight; y += step) {
    window.scrollTo(0, y);
    await new Promise((done) => requestAnimationFrame(done));
    frames += 1;
  }
  window.scrollTo(0, 0);
  return frames;
}"""


def time_heatmap(repetitions: int) -> dict[str, Any]:
    """Medians over repetitions (milliseconds; the first is a warm-up), the largest of them, and sizes in bytes."""
    credits = [_made(number, WORDS) for number in range(ATTEMPTS)]
    first, prose = _island(credits), _island([_made(number, PROSE) for number in range(ATTEMPTS)])
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_content(f"<!doctype html><style>{heatmap.style()}</style><body></body>")
        page.evaluate(heatmap.script())
        busy = _main_thread(page)
        samples = []
        for _ in range(1 + repetitions):
            busy()
            painted = page.evaluate(_PAINT, first)
            sample = {**painted, "cpu": busy(), **page.evaluate(_POINT, POINTS)}
            busy()
            sample["prose"], sample["prose_cpu"] = page.evaluate(_PAINT, prose)["paint"], busy()
            frames = page.evaluate(_SCROLL, SCROLLED)
            samples.append({**sample, "scroll": busy() / frames})
        samples = samples[1:]
    assert all(sample["tokens"] == TOKENS for sample in samples)
    times = {name: [value for sample in samples for value in sample[name]] for name in ("hover", "map", "key")}
    return {
        "attempts": ATTEMPTS,
        "tokens": TOKENS,
        "payload_bytes": len(first.encode()),
        "file_bytes": len(heatmap.to_html(credits).encode()),
        "paint_ms": statistics.median(sample["paint"] for sample in samples),
        "paint_cpu_ms": statistics.median(sample["cpu"] for sample in samples),  # of the page's main thread alone
        "paint_worst_ms": max(sample["paint"] for sample in samples),
        "prose_paint_ms": statistics.median(sample["prose"] for sample in samples),
        "prose_paint_cpu_ms": statistics.median(sample["prose_cpu"] for sample in samples),
        "scroll_cpu_ms": statistics.median(sample["scroll"] for sample in samples),  # of the prose, a frame
        "hover_ms": statistics.median(times["hover"]),
        "hover_worst_ms": max(times["hover"]),
        "map_hover_ms": statistics.median(times["map"]),
        "key_ms": statistics.median(times["key"]),
        "view_ms": statistics.median(sample["view"] for sample in samples),
    }


def _main_thread(page: Any) -> Callable[[], float]:
    """A clock that returns the main thread's processor time since its last call, in milliseconds."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    last = 0.0

    def since() -> float:
        nonlocal last
        now = next(m["value"] for m in session.send("Performance.getMetrics")["metrics"] if m["name"] == "TaskDuration")
        passed, last = 1000.0 * (now - last), now
        return passed

    return since


def _island(credits: Sequence[TokenCredit]) -> str:
    """The data that a host sends to show the first of these attempts beside the others."""
    payloads = [credit.payload(top=False) for credit in credits]
    rows = [heatmap.row(payload, str(number), False) for number, payload in enumerate(payloads, start=1)]
    return heatmap.island({**payloads[0], "group": rows})


def _made(seed: int, words: Sequence[str]) -> TokenCredit:
    """Make a credit with realistic numbers: most near 0, some far from it."""
    draw = random.Random(seed)

    def series(low: float, high: float) -> tuple[float, ...]:
        return tuple(draw.uniform(low, high) * draw.random() ** 4 for _ in range(TOKENS))

    def listed(place: int) -> tuple[TopToken, ...]:
        return tuple(
            TopToken(words[(place + k) % len(words)], 1000 + k, -0.1 - 2.0 * k, -0.2 - 1.9 * k * draw.random())
            for k in range(ALTERNATIVES)
        )

    return TokenCredit(
        f"a-{seed}",
        tuple(_drawn(words, seed, draw)),
        tuple(draw.randrange(4096) for _ in range(TOKENS)),
        {name: series(-8.0, 0.0) for name in CONTEXTS},
        *(series(0.0, 6.0), series(0.0, 0.69), series(0.0, 3.0), series(0.0, 3.0)),
        noise_floor=1e-3,
        temperature=1.0,
        alternatives=tuple(listed(place) for place in range(TOKENS)),
        advantage=-0.25,
    )


def _drawn(words: Sequence[str], seed: int, draw: random.Random) -> list[str]:
    """Draw tokens: prose keeps its order, in which characters are spelt by several tokens; code does not."""
    if words is PROSE:
        return [words[(seed + place) % len(words)] for place in range(TOKENS)]
    return [words[(seed + draw.randrange(len(words))) % len(words)] for _ in range(TOKENS)]
