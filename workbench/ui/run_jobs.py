"""Jobs of whole runs: listing, opening, exporting, importing, sharing. Knows nothing of Gradio."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.errors import RunError
from workbench.ui.board import Board
from workbench.ui.job import Job

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")

NO_ARCHIVE = "There is no archive; upload a run's archive, a file that ends in .zip."


def checked_run(name: object) -> str:
    """The name of a run's directory. Raises RunError for what is none: no path leads out of the runs' directory."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise RunError("A run is named by letters, digits, '.', '_' and '-', at most 60 of them; choose such a name.")
    return name


class RunJobs(Board):
    """What people do with runs; all of them lie in the directory of the one that is open."""

    def runs(self) -> Job:
        """The job's result is a list of `RunFacts` as plain data."""
        return self.desk.submit("runs", "Looking at the runs", lambda workbench, job: self._list(workbench))

    def _list(self, workbench: Any) -> list[dict[str, Any]]:
        found = [asdict(facts) for facts in workbench.runs()]
        self.desk.publish(runs=tuple(found))
        return found

    def open_run(self, name: str) -> Job:
        """Go on with another run, with the same model; the job's result is its name. Where it fails, this one stays."""
        checked_run(name)

        def run(workbench: Any, job: Job) -> str:
            here = Path(workbench.run.path)
            if workbench.run.read_only:
                raise RunError(
                    "This is a replay of one run, without its model; open another with: sdpo-workbench app --run DIR."
                )
            if here.name != name:
                settings = workbench.config
                path = here.parent / name
                self.desk.take(type(workbench).open(path, model=settings.model, device=settings.device))
            self._list(self.desk.workbench)
            return name

        return self.desk.submit("open", f"Opening the run {name}", run)

    def export_run(self, directory: str | Path) -> Job:
        """Write the run as one archive into a directory; the job's result is its path."""

        def run(workbench: Any, job: Job) -> Path:
            path: Path = workbench.export_run(Path(directory) / f"{Path(workbench.run.path).name}.zip")
            return path

        return self.desk.submit("export", "Exporting the run", run)

    def import_run(self, archive: str | Path, name: str) -> Job:
        """Make a run of an archive, beside the open one; the job's result is its name."""
        checked_run(name)

        def run(workbench: Any, job: Job) -> str:
            target = Path(workbench.run.path).parent / name
            if target.exists():
                raise RunError(f"There is a run {name} already; give the archive's file another name.")
            workbench.import_run(archive, target)
            self._list(workbench)
            return name

        return self.desk.submit("import", f"Importing the run {name}", run)

    def share(self) -> Job:
        """The job's result is one HTML page of the run's newest scored attempts."""
        return self.desk.submit("share", "Writing the page to share", lambda workbench, job: workbench.share())
