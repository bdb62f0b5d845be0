"""Plotly figures from plain data. Pure functions; colours that read on a light and on a dark ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

INK = "#8a93a1"  # axes and labels: 3:1 or better on both grounds
LINE = "#3f8fc9"


def learning_curve(path: Sequence[Mapping[str, Any]], measured: Mapping[str, Mapping[str, Any]]) -> Any:
    """Held-out pass rate along the path from the start to the head, with 95 % Wilson intervals where measured.

    `path`: nodes from the root on, each with `update_id` and `report`; `measured`: per update id, `rate`, `low`,
    `high`, `passed`, `total` (rates 0 to 1). None where there is no point to draw.
    """
    rates = [_rate(node, measured) for node in path]
    places = [i for i, rate in enumerate(rates) if rate is not None]
    if not places:
        return None
    import plotly.graph_objects as go

    above, below, texts = [], [], []
    for i in places:
        known = measured.get(path[i]["update_id"])
        rate = rates[i] or 0.0
        above.append(known["high"] - rate if known else 0.0)
        below.append(rate - known["low"] if known else 0.0)
        texts.append(f"{known['passed']} of {known['total']} held-out tasks" if known else "as the update measured it")
    figure = go.Figure(
        go.Scatter(
            x=places,
            y=[rates[i] for i in places],
            mode="lines+markers",
            line={"color": LINE, "width": 2.5},
            marker={"size": 9},
            error_y={"type": "data", "array": above, "arrayminus": below, "thickness": 1.5, "width": 5, "color": LINE},
            text=texts,
            hovertemplate="after %{x} updates: %{y:.0%}<br>%{text}<extra></extra>",
        )
    )
    axis = {"gridcolor": "rgba(138,147,161,.22)", "zeroline": False, "linecolor": INK, "fixedrange": True}
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13},
        height=260,
        margin={"l": 54, "r": 12, "t": 12, "b": 44},
        showlegend=False,
        xaxis={
            **axis,
            "title": "updates",
            "dtick": max(1, len(path) // 10),
            "range": [-0.3, max(1, len(path) - 1) + 0.3],
        },
        yaxis={**axis, "title": "held-out pass rate", "range": [0, 1.02], "tickformat": ".0%"},
    )
    return figure


def _rate(node: Mapping[str, Any], measured: Mapping[str, Mapping[str, Any]]) -> float | None:
    known = measured.get(node["update_id"])
    if known:
        return float(known["rate"])
    report = node.get("report")
    return None if report is None else report.side_effects.held_out_after
