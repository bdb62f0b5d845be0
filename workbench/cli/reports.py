"""The command `report`: the results of an experiment so far, as JSON, HTML and Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.output import JsonOption, Output
from workbench.errors import ConfigError, RunError


def report(
    directory: Annotated[Path, typer.Argument(help="Directory of an experiment, as given to it with --run.")],
    into: Annotated[
        Path | None,
        typer.Option(help="A Markdown page whose block of this experiment is filled with the tables."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write report.json and report.html of an experiment, finished or running."""
    output = Output(as_json)
    output.summary({"report": write_report(output, directory, into)})


def write_report(output: Output, directory: Path, into: Path | None = None) -> dict[str, str]:
    """Write the report beside the runs, print its tables, and return the paths of its files.

    `into`: a page with the lines `<!-- NAME -->` and `<!-- /NAME -->`, NAME being the directory's; the tables replace
    what stands between them, and the JSON is written to NAME.json in the folder beside the page that has its name.
    Raises ConfigError where there is no experiment, or no such block.
    """
    from workbench.experiments.findings import make_report
    from workbench.experiments.journal import Record, read
    from workbench.experiments.report import shown
    from workbench.policy.selfcheck import hardware
    from workbench.runs import Run

    records: list[Record] = []
    for path in [directory, *sorted(directory.glob("seed-*"))]:
        if (path / "run.sqlite").exists():
            with Run.open(path, read_only=True) as run:
                records += read(run.events()).values()
    document = make_report(records, hardware())
    for table in document.tables:
        output.table(table.title, table.columns, [[shown(cell) for cell in row] for row in table.rows])
    files = {"json": directory / "report.json", "html": directory / "report.html"}
    data, name = json.dumps(document.to_json()) + "\n", directory.resolve().name
    try:
        _write(files["json"], data)
        _write(files["html"], document.to_html())
        if into is not None:
            page = into.read_text(encoding="utf-8")
            _write(into, _filled(page, name, document.to_markdown(f"{into.stem}/{name}")))
            into.with_suffix("").mkdir(exist_ok=True)
            _write(into.with_suffix("") / f"{name}.json", data)
    except OSError as error:
        raise RunError(f"The report of {directory} cannot be written: {error}.") from error
    output.say(f"Report: {files['html']}")
    return {name: str(path) for name, path in files.items()}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")  # the same bytes on every system


def _filled(page: str, name: str, tables: str) -> str:
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ConfigError(f"The page has no block of {name}; add the lines {begin} and {end} where its tables belong.")
    return page[: page.index(begin) + len(begin)] + f"\n\n{tables}\n\n" + page[page.index(end) :]
