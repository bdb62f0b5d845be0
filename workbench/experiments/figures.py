"""Figures of reports: Plotly charts of estimates with their intervals. Pure functions of plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.statistics import Estimate

# Okabe and Ito's colours, which colour-blind readers can tell apart; black and yellow are not legible everywhere.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("solid", "dash", "dot")  # for what comes after the colours
GREY = "#8a93a1"
FEW = 10  # steps of an axis, up to which each has its label

Series = Mapping[str, Sequence[tuple[float, Estimate]]]  # name -> (x, estimate of y), in order of x


def curves(
    series: Series,
    *,
    x: str,
    y: str,
    y_range: tuple[float, float] | None = None,
    steps: bool = False,
    logarithmic: bool = False,
) -> Any:
    """Lines with shaded intervals; `x` and `y` name the axes with their units.

    `steps`: constant between points; `logarithmic`: the x axis.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    crowded = len(series) > len(COLOURS)  # then the names go beside the figure, and bands must not blur into each other
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = {"color": colour, "width": 2.5, "dash": DASHES[number // len(COLOURS) % len(DASHES)]}
        line |= {"shape": "hv"} if steps else {}
        known = [(at, estimate) for at, estimate in points if not math.isnan(estimate.low)]
        if known:
            along = [at for at, _ in known]
            figure.add_scatter(
                x=[*along, *reversed(along)],
                y=[*(estimate.high for _, estimate in known), *(estimate.low for _, estimate in reversed(known))],
                mode="lines",
                fill="toself",
                fillcolor=_faint(colour, 0.05 if crowded else 0.18),
                line={"width": 0, "shape": "linear"},
                hoverinfo="skip",
                legendgroup=name,
                showlegend=False,
            )
        figure.add_scatter(
            x=[at for at, _ in points],
            y=[estimate.value for _, estimate in points],
            name=name,
            legendgroup=name,
            mode="lines" if steps or len(points) > 40 else "lines+markers",
            line=line,
            hovertemplate=f"{name}<br>%{{x}}: %{{y:.3g}}<extra></extra>",
        )
    places = [at for points in series.values() for at, _ in points]
    figure = _laid_out(figure, x, y, y_range)
    if crowded:
        figure.update_layout(legend={"orientation": "v", "y": 1})
    if logarithmic:
        figure.update_xaxes(type="log")
    elif all(at.is_integer() and abs(at) <= FEW for at in map(float, places)):
        figure.update_xaxes(dtick=1)  # counts have no halves
    return figure


def bars(values: Mapping[str, Estimate], *, x: str, y: str, y_range: tuple[float, float] | None = None) -> Any:
    """One marker per name with its interval, from left to right."""
    import plotly.graph_objects as go

    known = [0.0 if math.isnan(estimate.low) else 1.0 for estimate in values.values()]
    figure = go.Figure(
        go.Scatter(
            x=list(values),
            y=[estimate.value for estimate in values.values()],
            mode="markers",
            marker={"size": 10, "color": COLOURS[0]},
            error_y={
                "type": "data",
                "array": [
                    k and estimate.high - estimate.value for k, estimate in zip(known, values.values(), strict=True)
                ],
                "arrayminus": [
                    k and estimate.value - estimate.low for k, estimate in zip(known, values.values(), strict=True)
                ],
                "color": COLOURS[0],
            },
        )
    )
    return _laid_out(figure, x, y, y_range)


def scatter(points: Sequence[tuple[float, float]], *, x: str, y: str) -> Any:
    """One marker per point."""
    import plotly.graph_objects as go

    marker = {"size": 8, "color": COLOURS[0], "opacity": 0.6}
    figure = go.Figure(
        go.Scatter(x=[at for at, _ in points], y=[value for _, value in points], mode="markers", marker=marker)
    )
    return _laid_out(figure, x, y, None)


def _laid_out(figure: Any, x: str, y: str, y_range: tuple[float, float] | None) -> Any:
    axis = {"gridcolor": "rgba(138,147,161,.22)", "zeroline": False, "linecolor": GREY}
    axis |= {"automargin": True, "exponentformat": "power"}  # 8×10⁻⁵ rather than 80μ
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY, "size": 13},
        height=380,
        margin={"l": 60, "r": 12, "t": 12, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        xaxis={**axis, "title": {"text": x}},
        yaxis={**axis, "title": {"text": y.replace(", ", ",<br>")}} | ({"range": list(y_range)} if y_range else {}),
    )
    return figure


def _faint(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
