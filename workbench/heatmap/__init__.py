"""The heatmap: tokens and numbers in, self-contained HTML out.

Knows nothing of models, runs, records or Gradio. The payload is plain data (see `check`); the component itself is
the `.js` files and `heatmap.css` beside this file, which the page, the notebooks and exported files all share.
Text of a model is hostile by assumption: it travels as escaped JSON and enters the page by `textContent` only.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["check", "island", "render_frame", "render_page", "row", "script", "style", "to_html"]

Theme = Literal["auto", "light", "dark"]
Payload = Mapping[str, Any]

# One script, in this order: what a later part uses stands in an earlier one.
PARTS = ("text.js", "clusters.js", "blocks.js", "scale.js", "code.js", "map.js", "drawer.js", "heatmap.js")
MAPPED = ("raw", "centred", "divergence")  # views that a host sends of every attempt of a group
SIGNIFICANT_DIGITS = 6  # of every number that travels: the page shows four

# Inside a <script> element only these can end it, start a comment, or (U+2028/9) end a line of old JavaScript.
_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
# No network, whatever the payload says: the file is one document with its own style and script.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class HasPayload(Protocol):
    """Anything that can be drawn, such as `workbench.credit.TokenCredit`."""

    def payload(self) -> dict[str, Any]:
        """See `check`."""
        ...


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def script() -> str:
    """The component's JavaScript: defines `SDPOHeatmap.mount(element, payload, options)` and `mountAll()`."""
    return '(function () {\n"use strict";\n' + "\n".join(map(_asset, PARTS)) + "})();"


def style() -> str:
    """The component's style sheet; every rule is under `.hm`."""
    return _asset("heatmap.css")


def _travelling(value: Any) -> Any:
    """Numbers to six significant digits. JSON has no NaN or infinity: they become null, a missing value."""
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _travelling(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_travelling(item) for item in value]
    return value


def island(data: Any) -> str:
    """`data` as JSON that is safe inside a script element: no `<`, `>`, `&` or U+2028/9 is left in it."""
    return json.dumps(_travelling(data), ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def check(payload: Payload) -> None:
    """Raise ValueError unless every view, number and list of alternatives of `payload` has one entry per token.

    A payload holds `tokens` [{"text", "id"}], `views` [{"name", "title", "unit", "signed", "how", "values"} and
    optionally "centre" (where the colours turn, 0 if absent), "range" (its two ends, null for an open one) and
    "formula"], `numbers` [{"name", "unit", "values"}], `noise_floor` (nats), `summary`, `title`, `view` (shown
    first), and optionally
        id         of the attempt; `label` and `passed` where it is one of a group
        lines      positions of the tokens of each line, which a line's sum is taken over
        sentences  the same of each sentence
        reasoning  ranges [start, end) of tokens that were not judged: coloured as all are, and folded at first
        top        per token {"ids", "texts", "student", "teacher", "push"}: both sides' likeliest tokens, with the
                   rest of the vocabulary as one more entry of the last three (probabilities, and the loss's push)
        group      payloads of all attempts shown, or their parts `id`, `tokens`, `lines`, `sentences`, `views`,
                   `noise_floor`: the map, and one scale for all of them
        limits     {view: the scale's end}, where a host has attempts share it without a map
    """
    count = len(payload["tokens"])
    views = payload.get("views", ())
    for series in (*views, *payload.get("numbers", ())):
        if len(series["values"]) != count:
            raise ValueError(f"{series['name']} has {len(series['values'])} values for {count} tokens")
    for view in views:
        low, high = (end if end is not None else view.get("centre", 0) for end in view.get("range", (None, None)))
        if not low <= view.get("centre", 0) <= high:
            raise ValueError(f"the range of {view['name']} does not hold its centre")
    if payload.get("top") and len(payload["top"]) != count:
        raise ValueError(f"top has {len(payload['top'])} entries for {count} tokens")
    for piece in ("line", "sentence"):
        if any(not 0 <= i < count for positions in payload.get(f"{piece}s", ()) for i in positions):
            raise ValueError(f"a {piece} holds a position that is not among {count} tokens")
    if any(not 0 <= start <= end <= count for start, end in payload.get("reasoning", ())):
        raise ValueError(f"a range of reasoning does not lie within {count} tokens")
    if views and payload.get("view") not in {None, *(view["name"] for view in views)}:
        raise ValueError(f"there is no view {payload['view']!r}")


def row(payload: Payload, label: str, passed: bool) -> dict[str, Any]:
    """The small part of an attempt's payload that a host sends for `group`, beside the attempt that is shown."""
    kept = {name: payload[name] for name in ("id", "tokens", "lines", "sentences", "noise_floor")}
    views = [view for view in payload["views"] if view["name"] in MAPPED]
    return {**kept, "label": label, "passed": passed, "views": views}


def render_page(*payloads: Payload, theme: Theme = "auto") -> str:
    """One HTML document with the heatmap of one attempt, or of a group with its map: no other file, no network.

    Raises ValueError: no payload, or one that `check` refuses.
    """
    if theme not in ("auto", "light", "dark"):
        raise ValueError(f"theme is {theme!r}; choose auto, light or dark")
    if not payloads:
        raise ValueError("there is no attempt to draw")
    for payload in payloads:
        check(payload)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Token heatmap</title><style>{style()}</style></head>"
        f'<body class="hm-page" data-theme="{theme}"><div class="hm-mount" data-theme="{theme}">'
        f'<script type="application/json">{island(list(payloads))}</script>'
        "<noscript>This heatmap needs JavaScript.</noscript></div>"
        f"<script>{script()}\nSDPOHeatmap.mountAll();</script></body></html>\n"
    )


def to_html(credits: Sequence[HasPayload], path: str | Path | None = None, theme: Theme = "auto") -> str:
    """The page (see `render_page`) of the credits of a group, or of one; also written to `path` (UTF-8)."""
    page = render_page(*(credit.payload() for credit in credits), theme=theme)
    if path is not None:
        Path(path).write_text(page, encoding="utf-8", newline="\n")
    return page


def render_frame(*payloads: Payload) -> str:
    """The same page for a notebook's output cell, in a frame that can neither reach the notebook nor the network."""
    lines = max((len(payload.get("lines", ())) for payload in payloads), default=0)
    height = min(820, max(620, 400 + 36 * lines + 16 * len(payloads)))  # pixels; the frame can be dragged larger
    page = html.escape(render_page(*payloads), quote=True)
    return (
        f'<iframe sandbox="allow-scripts" title="Token heatmap" srcdoc="{page}" '
        f'style="width:100%;height:{height}px;border:0;resize:vertical"></iframe>'
    )
