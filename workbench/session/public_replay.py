"""A replay for the public: one run, and nothing about the runs beside it. Knows nothing of pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.errors import RunError
from workbench.session.replay import Replay


class PublicReplay(Replay):
    """A replay that neither lists nor reads other runs, and writes no archive."""

    def runs(self) -> list[Any]:
        """The facts of this run alone."""
        name = Path(self.run.path).absolute().name
        return [facts for facts in super().runs() if facts.name == name]

    def runs_beside(self) -> list[str]:
        """No other run is named."""
        return []

    def compare_runs(self, other: str) -> Any:
        """Raise RunError: only this run is shown."""
        raise RunError("This page shows one run only; compare runs on the machine that has them.")

    def export_run(self, path: str | Path) -> Path:
        """Raise RunError: each archive would be a copy of the run on the server's disk."""
        raise RunError("This page offers no archives; ask its owner for the run.")
