"""Plotly figures from plain data. Pure functions; colours that are legible on light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workbench.records import UpdateReport

INK = "#8a93a1"  # axes and labels: 3:1 or better on both backgrounds
LINE = GOOD = "#3f8fc9"  # the blue and the orange of the heatmap
BAD = "#ef8a35"
FORMER = "rgba(63,143,201,.45)"  # the same blue, for policies that are not in force
FULL, LABELLED = 0.78, 8  # longest bar, as a share of the gap between updates; most histograms with counts on bars
HEIGHT = 260  # pixels
LONGEST_NAME = 24  # characters of a branch in the legend
BRANCHES = (LINE, "#a26bd0", "#2f9e83", "#c2607a", "#8a7a2f")  # each 3:1 or better on both


class Node(Protocol):
    """A node of a timeline."""

    @property
    def update_id(self) -> str: ...

    @property
    def report(self) -> UpdateReport | None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """A node that is known by its id alone."""

    update_id: str
    report: UpdateReport | None = None


def learning_curves(
    branches: Sequence[tuple[str, Sequence[Node]]],
    measured: Mapping[str, Mapping[str, Any]],
    title: str = "held-out pass rate",
) -> Any:
    """Held-out pass rate along each branch from the start on, with 95 % Wilson intervals where measured.

    `branches`: name and nodes (`update_id`, `report`) from the root on, the one through the head first, which is drawn
    boldly; `measured`: per update id, `rate`, `low`, `high`, `passed`, `total` (rates 0 to 1); `title`: of the axis.
    None where there is no point to draw.
    """
    import plotly.graph_objects as go

    drawn = [
        (name, places)
        for name, path in branches
        if (places := [(i, rate) for i, node in enumerate(path) if (rate := _rate(node, measured))])
    ]
    if not drawn:
        return None
    figure = go.Figure()
    for number, (name, places) in enumerate(drawn):
        colour = BRANCHES[number % len(BRANCHES)]
        error = {"type": "data", "thickness": 1.5, "width": 5, "color": colour}
        error["array"] = [rate["high"] - rate["rate"] for _, rate in places]
        error["arrayminus"] = [rate["rate"] - rate["low"] for _, rate in places]
        figure.add_scatter(
            x=[i for i, _ in places],
            y=[rate["rate"] for _, rate in places],
            name=name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…",
            mode="lines+markers",
            line={"color": colour, "width": 1.5 if number else 2.5, "dash": "dot" if number else "solid"},
            marker={"size": 7 if number else 9},
            error_y=error,
            text=[rate["source"] for _, rate in places],
            hovertemplate="after %{x} updates: %{y:.0%}<br>%{text}<extra></extra>",
        )
    longest = max(len(path) for _, path in branches)
    _lay_out(
        figure,
        x={"title": "updates", "dtick": max(1, longest // 10), "range": [-0.3, max(1, longest - 1) + 0.3]},
        y={"title": title, "range": [0, 1.02], "tickformat": ".0%"},
    )
    rows = max(0, len(drawn) - 2)  # of the legend, where the page is narrow
    figure.update_layout(
        height=HEIGHT + 19 * rows,
        showlegend=len(drawn) > 1,
        legend={"orientation": "h", "y": 1.04, "yanchor": "bottom"},
    )
    return figure


def _rate(node: Node, measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Rate and interval at a node, and a note on its source; a rate that an update measured itself has no interval."""
    known = measured.get(node.update_id)
    if known:
        return {**known, "source": f"{known['passed']} of {known['total']} held-out tasks"}
    rate = None if node.report is None else node.report.side_effects.held_out_after
    return None if rate is None else {"rate": rate, "low": rate, "high": rate, "source": "as measured by the update"}


def reward_histograms(policies: Sequence[Mapping[str, Any]], last: int) -> Any:
    """Rewards of each policy's attempts: a sideways histogram for each, and their means as a line.

    `policies`: from `rewards.by_policy`; a full-length bar is all attempts of its policy. `last`: how many updates
    the head has, whose histogram is drawn boldly. None where there are no attempts.
    """
    if not policies:
        return None
    import plotly.graph_objects as go

    bars = [(policy, bin, count) for policy in policies for bin, count in enumerate(policy["counts"]) if count]
    figure = go.Figure()
    figure.add_bar(
        orientation="h",
        base=[policy["updates"] for policy, _, _ in bars],
        x=[FULL * count / len(policy["rewards"]) for policy, _, count in bars],
        y=[bin / 10 for _, bin, _ in bars],
        width=0.085,
        marker={
            "color": [LINE if policy["updates"] == last else FORMER for policy, _, _ in bars],
            "line": {"width": 0},
        },
        text=[str(count) if len(policies) <= LABELLED else "" for _, _, count in bars],
        textposition="outside",
        cliponaxis=False,
        customdata=[[after(policy["updates"]), count, len(policy["rewards"])] for policy, _, count in bars],
        hovertemplate="%{customdata[0]}: reward about %{y:.1f}<br>"
        "%{customdata[1]} of %{customdata[2]} attempts<extra></extra>",
    )
    figure.add_scatter(
        x=[policy["updates"] for policy in policies],
        y=[policy["mean"] for policy in policies],
        mode="lines+markers",
        line={"color": INK, "width": 1.5, "dash": "dot"},
        marker={"size": 8, "symbol": "diamond", "color": INK},
        customdata=[[after(policy["updates"]), len(policy["rewards"])] for policy in policies],
        hovertemplate="%{customdata[0]}: mean reward %{y:.2f}<br>of %{customdata[1]} attempts<extra></extra>",
    )
    _lay_out(
        figure,
        x={"title": "updates (bars: attempts)", "dtick": max(1, (last + 1) // 10), "range": [-0.2, last + 0.95]},
        y={"title": "reward at this task", "range": [-0.08, 1.1], "dtick": 0.5},
    )
    return figure


def after(updates: int) -> str:
    """Name a policy by the updates before it: "after 1 update"."""
    return f"after {updates} update{'' if updates == 1 else 's'}"


def predicted_and_realised(report: UpdateReport | None) -> Any:
    """Each token of the attempts that an update used: logit push across, realised change up; None without one.

    Tokens in the upper right or lower left quadrant moved as predicted.
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
    _lay_out(figure, x={"title": "logit push (predicted)", **cross}, y={"title": "realised change, nats", **cross})
    return figure


def rank_correlations(names: Sequence[str], rho: Sequence[Sequence[float | None]]) -> Any:
    """Spearman's rho of each pair of rows; "–" where one of them ranks nothing. None for fewer than two rows.

    The tiles are light on both backgrounds, so that the same dark digits are legible on them.
    """
    if len(names) < 2:
        return None
    import plotly.graph_objects as go

    figure = go.Figure(
        go.Heatmap(
            z=[[value or 0.0 for value in line] for line in rho],  # "–" gets a tile too
            x=list(names),
            y=list(names),
            text=[["–" if value is None else f"{value:.2f}".replace("-", "−") for value in line] for line in rho],
            texttemplate="%{text}",
            textfont={"color": "#111827", "size": 12},
            colorscale=[[0.0, "#f4a259"], [0.5, "#e9ecf0"], [1.0, "#6baed6"]],
            zmin=-1,
            zmax=1,
            xgap=2,
            ygap=2,
            showscale=False,
            hovertemplate="%{y} and %{x}: ρ %{text}<extra></extra>",
        )
    )
    _lay_out(figure, x={"tickangle": -40, "showgrid": False}, y={"autorange": "reversed", "showgrid": False})
    size = len(names)
    figure.update_layout(width=220 + 64 * size, height=150 + 30 * size, margin={"l": 200, "r": 12, "t": 12, "b": 130})
    return figure


def _lay_out(figure: Any, x: Mapping[str, Any], y: Mapping[str, Any]) -> None:
    """Lay out a figure with a transparent background and quiet axes: the same on a light and on a dark page."""
    axis = {"gridcolor": "rgba(138,147,161,.22)", "zeroline": False, "linecolor": INK, "fixedrange": True}
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13},
        height=HEIGHT,
        margin={"l": 66, "r": 12, "t": 12, "b": 44},
        showlegend=False,
        xaxis={**axis, **x},
        yaxis={**axis, **y},
    )
    for axis_layout in (figure.layout.xaxis, figure.layout.yaxis):
        axis_layout.title.font.size = 13  # like everything else: Plotly's default is larger
