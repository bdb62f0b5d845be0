"""Output of the commands, and the options that they share."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.config import PolicyConfig
from workbench.errors import ConfigError, FeedbackError

if TYPE_CHECKING:
    from workbench import Workbench
    from workbench.records import Attempt
    from workbench.runs import Event

DEFAULT_RUN = Path("runs/demo")

RunOption = Annotated[Path, typer.Option("--run", help="Directory of the run; resumed if it exists.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON line per committed event, and a summary object last.")
]


class Output:
    """Prints for people, or for programs."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def event(self, event: Event) -> None:
        """Print one committed event, for programs only; called on the run's own thread."""
        if self.as_json:
            self._line({"event": event.id, "kind": event.kind})

    def listed(self, data: Mapping[str, Any]) -> None:
        """Print one entry of a list, for programs only."""
        if self.as_json:
            self._line(data)

    def say(self, text: str) -> None:
        """Print a line, for people only."""
        if not self.as_json:
            print(text, flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table, for people only."""
        if self.as_json:
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        grid = Table(*columns, title=title, title_justify="left")
        for row in rows:
            grid.add_row(*(Text(_cell(value)) for value in row))  # Text: brackets in a program are no markup
        Console().print(grid)

    def summary(self, data: Mapping[str, Any]) -> None:
        """Print the object that ends a command's output, for programs only."""
        if self.as_json:
            self._line(data)

    def _line(self, data: Mapping[str, Any]) -> None:
        # One write: events come from another thread.
        sys.stdout.write(json.dumps(data) + "\n")
        sys.stdout.flush()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def opened(output: Output, run: Path, policy: PolicyConfig) -> Iterator[Workbench]:
    """Open the workbench of a run, its events going to `output`; close it afterwards."""
    from workbench import Workbench  # loads torch and transformers, which other commands do without

    with Workbench.open(run, **policy.arguments(), on_event=output.event) as workbench:
        yield workbench


def find_attempt(workbench: Workbench, attempt_id: str) -> Attempt:
    """Find an attempt of the run by its id, or the newest by "latest". Raises FeedbackError where there is none."""
    attempts = workbench.attempts()
    if attempt_id == "latest" and attempts:
        return attempts[-1]
    for attempt in attempts:
        if attempt.id == attempt_id:
            return attempt
    raise FeedbackError.no_attempt(attempt_id)


def whole_numbers(text: str, option: str) -> list[int]:
    """Parse the numbers of an option such as "1,2,3", each at least 1. Raises ConfigError."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ConfigError(f"{option} is {text!r}; write whole numbers from 1, separated by commas, such as 1,2,3.")
    return numbers
