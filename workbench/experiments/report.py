"""Reports: an experiment's results as tables and figures, written as JSON, as one HTML file, and as Markdown tables.

The HTML file needs no network: it contains plotly.js once. Knows nothing of what the numbers mean.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.statistics import Estimate, HeldOut

Cell = str | int | float | bool | None | Estimate | HeldOut

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8886; }}
div.table {{ overflow-x: auto; }}
pre {{ white-space: pre-wrap; }}
</style>{plotly}</head><body>
<h1>{title}</h1>
{body}
<details><summary>Settings and hardware</summary><pre>{settings}</pre></details>
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; `note` says what the intervals are and how to read them."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Results of an experiment."""

    name: str  # of the experiment: "learn", "ablate-teacher", ...
    title: str
    settings: Mapping[str, Any]
    tables: Sequence[Table]
    figures: Sequence[tuple[str, Any]]  # (caption, Plotly figure)
    points: Mapping[str, Any]  # what the tables were made of: seed -> arm -> data of its steps

    def to_json(self) -> dict[str, Any]:
        """Plain data, to six significant digits; numbers that are not finite become None."""
        tables = [
            {
                "title": table.title,
                "note": table.note,
                "columns": list(table.columns),
                "rows": [[_to_plain(cell) for cell in row] for row in table.rows],
            }
            for table in self.tables
        ]
        header = {"experiment": self.name, "title": self.title, "settings": self.settings}
        return {**header, "tables": tables, "points": _to_plain(self.points)}

    def to_html(self) -> str:
        """One self-contained page."""
        from plotly.offline import get_plotlyjs

        parts = []
        for caption, figure in self.figures:
            drawn = figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})
            parts.append(f"<figure>{drawn}<figcaption>{html.escape(caption)}</figcaption></figure>")
        parts += [_html_table(table) for table in self.tables]
        return _PAGE.format(
            title=html.escape(self.title),
            plotly=f"<script>{get_plotlyjs()}</script>" if self.figures else "",
            body="\n".join(parts),
            settings=html.escape(json.dumps(self.settings, indent=1)),
        )

    def to_markdown(self, images: str) -> str:
        """The tables, and links to pictures of the figures: `images`-1.png and so on (tests/browser/figures.py)."""
        parts = [_markdown_table(table) for table in self.tables]
        parts += [f"![{caption}]({images}-{number}.png)" for number, (caption, _) in enumerate(self.figures, 1)]
        return "\n\n".join(parts)


def shown(cell: Cell, digits: int = 3) -> str:
    """Format a cell for people: intervals in brackets, infinity as "not reached"; `digits`: significant ones."""

    def number(value: float) -> str:
        if math.isnan(value):
            return "–"
        if math.isinf(value):
            return "not reached"
        return f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"

    if isinstance(cell, HeldOut):
        return f"{number(cell.rate)} ({number(cell.low)} to {number(cell.high)})"
    if isinstance(cell, Estimate):
        is_degenerate = math.isnan(cell.low + cell.high) or math.isinf(
            cell.low
        )  # "not reached" throughout is written once
        return number(cell.value) + ("" if is_degenerate else f" ({number(cell.low)} to {number(cell.high)})")
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return number(cell) if isinstance(cell, float) else "" if cell is None else str(cell)


def _to_plain(value: Any) -> Any:
    if isinstance(value, Estimate | HeldOut):
        return _to_plain(value.to_json())
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(shown(cell))}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    note = f"<p>{html.escape(table.note)}</p>" if table.note else ""
    return f'<h2>{html.escape(table.title)}</h2>{note}<div class="table"><table><tr>{head}</tr>{rows}</table></div>'


def _markdown_table(table: Table) -> str:
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    lines = [f"**{table.title}**", *([table.note] if table.note else []), ""]
    lines += [row(list(table.columns)), "|" + "---|" * len(table.columns)]
    return "\n".join([*lines, *(row([shown(cell) for cell in cells]) for cells in table.rows)])
