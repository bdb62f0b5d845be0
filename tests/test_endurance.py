"""The endurance benchmarks in small: real programs killed, real updates counted, a real log grown."""

from __future__ import annotations

import json

import pytest

from workbench.cli import main


def last_line(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_kills_of_the_real_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """A learning run and the page at random moments, and a program at two fail points."""
    assert main(["bench", "kills", "--count", "2", "--json"]) == 0
    found = last_line(capsys)
    assert found["random_kills"] == {"learn": 1, "app": 1} and found["problems"] == []
    assert found["kills_at_fail_points"] == {"open.directory, time 1": 1, "blob.replaced, time 1": 1}
    assert found["acknowledged_events"] > 0


def test_a_run_of_a_thousand_attempts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "store", "--attempts", "1000", "--json"]) == 0
    found = last_line(capsys)
    assert found["attempts"] == 1000 and 0 < found["append_s"]["median"] < found["append_s"]["p99"]
    assert found["stored_bytes"] > 1_000_000 and found["open_s"] > 0
