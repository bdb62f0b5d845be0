"""Moving the head of the timeline: the policy follows, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

from workbench.runs.timeline import checkout_target, redo_target, undo_target
from workbench.session.credit import CreditBook
from workbench.session.resuming import load_update
from workbench.session.transaction import transaction


class TimelineMoves(CreditBook):
    """A session that goes from one state of its policy to another."""

    def undo(self) -> str:
        """Back to the state before the last update, bit for bit; returns the new head. Raises RunError at the root."""
        with self._lock:
            return self._move(undo_target(self.run.timeline), self.run.undo, undone=self.head)

    def redo(self) -> str:
        """Forward to the update last undone; returns the new head. Raises RunError when there is none."""
        with self._lock:
            return self._move(redo_target(self.run.timeline), self.run.redo)

    def checkout(self, update_id: str) -> str:
        """To any update (or branch) of the timeline; returns the new head. Raises RunError when it is unknown."""
        with self._lock:
            target, _ = checkout_target(self.run.timeline, update_id)
            return self._move(target, lambda: self.run.checkout(update_id))

    def _move(self, target: str, move: Callable[[], str], *, undone: str | None = None) -> str:
        """The state is loaded before the log says so: one that cannot be moves nothing."""
        with transaction(self.policy, self.run):
            load_update(self.policy, self.run, target, undone=undone)
            return move()

    def branch(self, name: str) -> None:
        """Updates from here on carry this name. Raises RunError when the name is empty or taken."""
        with self._lock:
            self.run.branch(name)
