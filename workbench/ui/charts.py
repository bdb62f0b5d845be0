"""Plotly figures from plain data. Pure functions; colours that read on a light and on a dark ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.records import UpdateReport

INK = "#8a93a1"  # axes and labels: 3:1 or better on both grounds
LINE = GOOD = "#3f8fc9"  # the blue and the orange of the heatmap
BAD = "#ef8a35"


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
    _lay_out(
        figure,
        x={"title": "updates", "dtick": max(1, len(path) // 10), "range": [-0.3, max(1, len(path) - 1) + 0.3]},
        y={"title": "held-out pass rate", "range": [0, 1.02], "tickformat": ".0%"},
    )
    return figure


def predicted_and_realised(report: UpdateReport | None) -> Any:
    """Each token of the attempts that an update used: predicted push across, realised change up; None without one.

    What lies in the upper right or lower left quarter went where it was predicted to.
    """
    if report is None:
        return None
    import plotly.graph_objects as go

    pairs = [pair for key in report.predicted for pair in zip(report.predicted[key], report.realised[key], strict=True)]
    figure = go.Figure(
        go.Scatter(
            x=[push for push, _ in pairs],
            y=[change for _, change in pairs],
            mode="markers",
            marker={
                "size": 8,
                "color": [GOOD if push * change > 0 else BAD for push, change in pairs],
                "opacity": 0.65,
            },
            hovertemplate="predicted %{x:.3g}, realised %{y:.3g} nats<extra></extra>",
        )
    )
    cross = {"zeroline": True, "zerolinecolor": INK, "zerolinewidth": 1}
    _lay_out(figure, x={"title": "predicted push", **cross}, y={"title": "realised change, nats", **cross})
    return figure


def _lay_out(figure: Any, x: Mapping[str, Any], y: Mapping[str, Any]) -> None:
    """Transparent ground, quiet axes: the same on a light and on a dark page."""
    axis = {"gridcolor": "rgba(138,147,161,.22)", "zeroline": False, "linecolor": INK, "fixedrange": True}
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13},
        height=260,
        margin={"l": 54, "r": 12, "t": 12, "b": 44},
        showlegend=False,
        xaxis={**axis, **x},
        yaxis={**axis, **y},
    )


def _rate(node: Mapping[str, Any], measured: Mapping[str, Mapping[str, Any]]) -> float | None:
    known = measured.get(node["update_id"])
    if known:
        return float(known["rate"])
    report = node.get("report")
    return None if report is None else report.side_effects.held_out_after
