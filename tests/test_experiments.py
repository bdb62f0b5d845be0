"""Experiments on the real embedded policy, as small as they can be and still be able to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import Workbench
from workbench.errors import ConfigError
from workbench.experiments.learn import LearnSettings, to_json
from workbench.experiments.localise import localise, wrong_tokens


@pytest.mark.parametrize(
    ("attempt", "right", "wrong"),
    [
        ([1, 2, 3], [1, 2, 3], [False, False, False]),
        ([1, 9, 3], [1, 2, 3], [False, True, False]),  # another token
        ([1, 9, 2, 3], [1, 2, 3], [False, True, False, False]),  # one too many
        ([1, 3], [1, 2, 3], [False, True]),  # one missing: what stands in its place
    ],
)
def test_wrong_tokens_are_those_that_differ_by_alignment(
    attempt: list[int], right: list[int], wrong: list[bool]
) -> None:
    assert wrong_tokens(attempt, right) == wrong


def test_negative_credit_finds_the_wrong_token(tmp_path: Path) -> None:
    """A constant credit would give 0.5 and find nothing; the sign of the credit turned round would give about 0."""
    with Workbench.open(tmp_path / "run") as workbench:
        found = localise(workbench, "remark", count=8)
        assert found["programs"] == 8
        assert found["auroc"] > 0.9 and found["worst_is_wrong"] >= 0.75
        with pytest.raises(ConfigError, match="no kind of evidence"):
            localise(workbench, "gossip")


def test_a_learning_run_yields_a_point_per_round_and_updates_the_policy(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "run") as workbench:
        settings = LearnSettings(rounds=2, questions=2, attempts=4, held_out=6, measure_every=2)
        points = list(workbench.learn("house-rules@11:remark", settings=settings))
        assert [point.round for point in points] == [0, 1, 2]
        assert [point.generations for point in points] == [0, 8, 16]
        assert points[0].held_out is not None and points[1].held_out is None and points[2].held_out is not None
        assert workbench.head == points[2].update_id != "root"
        assert to_json(points[2])["held_out"]["total"] == 6
