"""The plugin's view, read from a credit that was computed by the embedded policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import Workbench


def test_surprise_is_read_from_a_credit(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "run") as workbench:
        (attempt,) = workbench.attempt(workbench.tasks("code-style")[0], n=1)
        attempt = workbench.give_feedback(attempt, "largest first", reward=0.0)
        credit = workbench.credit(attempt)
        assert credit.view("surprise") == pytest.approx([-logp for logp in credit.contexts["student"]])
        assert min(credit.view("surprise")) >= 0 and "surprise" in credit.views()
