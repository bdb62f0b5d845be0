"""Jobs of the timeline: moving the head, naming a branch, comparing two nodes. Knows nothing of Gradio."""

from __future__ import annotations

from typing import Any

from workbench.config import SDPOConfig
from workbench.errors import ConfigError, RunError
from workbench.service.checks import LONGEST_NAME, is_text
from workbench.service.job import Job
from workbench.service.state import Board, find


class TimelineJobs(Board):
    """What people do with the tree of updates."""

    def move(self, verb: str, update_id: str | None = None) -> Job:
        """`undo`, `redo` or `checkout` (with the id of an update); the job's result is the new head."""
        if verb not in ("undo", "redo", "checkout"):
            raise ConfigError(f"{verb!r} is not a move; choose undo, redo or checkout.")

        def run(workbench: Any, job: Job) -> str:
            workbench.checkout(update_id) if verb == "checkout" else getattr(workbench, verb)()
            self.publish_timeline(workbench, self.desk)
            return str(workbench.head)

        return self.desk.submit(verb, {"undo": "Undoing", "redo": "Redoing"}.get(verb, "Moving the head"), run)

    def branch(self, name: str) -> Job:
        """Updates from here on carry this name; the job's result is the name."""
        if not is_text(name) or not 0 < len(name.strip()) <= LONGEST_NAME:
            raise RunError(f"A branch needs a name of at most {LONGEST_NAME} characters; say what is tried on it.")

        def run(workbench: Any, job: Job) -> str:
            workbench.branch(name.strip())
            self.publish_timeline(workbench, self.desk)
            return name.strip()

        return self.desk.submit("branch", "Starting a branch", run)

    def compare_nodes(self, first: str, second: str, attempt_id: str | None, config: SDPOConfig) -> Job:
        """Two nodes side by side; the job's result is plain data with the heatmap's payload of the attempt."""
        if not first or not second:
            raise RunError("Choose two updates of the timeline to compare.")

        def run(workbench: Any, job: Job) -> dict[str, Any]:
            attempt = find(workbench, attempt_id) if attempt_id else None
            found = workbench.compare_nodes(first, second, attempt, config)
            sides = [
                {
                    "id": node.update_id,
                    "held_out": node.held_out and node.held_out.to_json(),
                    "written": node.written,
                    "passed": node.passed,
                }
                for node in (found.first, found.second)
            ]
            return {"nodes": sides, "distance": found.distance, "attempt": attempt_id or "", "heat": found.payload()}

        return self.desk.submit("compare", "Comparing two updates", run)
