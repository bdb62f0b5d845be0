"""The heatmap: tokens and numbers in, self-contained HTML out.

Knows nothing of models, runs, records or Gradio. The payload is plain data (see `check`); the component itself
is `heatmap.js` and `heatmap.css` beside this file, which the page, the notebooks and exported files all share.
Text of a model is hostile by assumption: it travels as escaped JSON and enters the page by `textContent` only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

__all__ = ["check", "island", "render_fragment", "render_page", "script", "style"]

Theme = Literal["auto", "light", "dark"]

# Inside a <script> element only these can end it, start a comment, or (U+2028/9) end a line of old JavaScript.
_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
# No network, whatever the payload says: the file is one document with its own style and script.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def script() -> str:
    """The component's JavaScript: defines `SDPOHeatmap.mount(element, payload, options)` and `mountAll()`."""
    return files(__package__).joinpath("heatmap.js").read_text(encoding="utf-8")


def style() -> str:
    """The component's style sheet; every rule is under `.hm`."""
    return files(__package__).joinpath("heatmap.css").read_text(encoding="utf-8")


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: they become null, which the component shows as a missing value."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def island(data: Any) -> str:
    """`data` as JSON that is safe inside a script element: no `<`, `>`, `&` or U+2028/9 is left in it."""
    return json.dumps(_finite(data), ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def check(payload: Mapping[str, Any]) -> None:
    """Raise ValueError unless every view, number and top list of `payload` has one entry per token.

    A payload holds `tokens` [{"text", "id"}], `views` [{"name", "title", "unit", "signed", "how", "values"} and
    optionally "centre" (where the colours turn, 0 if absent), "range" (its two ends, null for an open one) and
    "formula"], `numbers` [{"name", "unit", "values"}], `top` (per token, [{"text", "id", "student", "teacher"}],
    probabilities), `noise_floor` (nats), `summary`, `title`, `view` (shown first) and optionally `limit` (the scale's
    end, shared by all attempts shown).
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
    if views and payload.get("view") not in {None, *(view["name"] for view in views)}:
        raise ValueError(f"there is no view {payload['view']!r}")


def _body(payload: Mapping[str, Any], theme: str) -> str:
    check(payload)
    return (
        f'<div class="hm-mount" data-theme="{theme}">'
        f'<script type="application/json">{island(payload)}</script>'
        "<noscript>This heatmap needs JavaScript.</noscript></div>"
        f"<script>{script()}\nSDPOHeatmap.mountAll();</script>"
    )


def render_page(payload: Mapping[str, Any], theme: Theme = "auto") -> str:
    """One HTML document with the heatmap of `payload`: no other file, no network; raises ValueError (see `check`)."""
    if theme not in ("auto", "light", "dark"):
        raise ValueError(f"theme is {theme!r}; choose auto, light or dark")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Token heatmap</title><style>{style()}</style></head>"
        f'<body class="hm-page" data-theme="{theme}">{_body(payload, theme)}</body></html>\n'
    )


def render_fragment(payload: Mapping[str, Any]) -> str:
    """The heatmap as a fragment for a notebook's output cell; follows the notebook's theme."""
    return f"<style>{style()}</style>{_body(payload, 'notebook')}"
