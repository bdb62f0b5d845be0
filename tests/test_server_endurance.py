"""Nonsense and crowds at a real page, in small: the benchmarks `fuzz` and `load` with few inputs and two clients."""

from __future__ import annotations

import pytest

from workbench.benchmarks.fuzz import fuzz
from workbench.benchmarks.load import Client, load
from workbench.benchmarks.measure import slope


def test_nonsense_leaks_nothing_changes_nothing_and_stops_nothing() -> None:
    found = fuzz(60)
    assert found["inputs"] == 60 and found["endpoints"] > 15
    assert found["leaks"] == found["changes_by_refused_calls"] == found["named_endpoints_without_a_reason"] == []
    assert found["serves_afterwards"]
    assert found["answers"]["refused in words"] > 5


def test_two_clients_get_their_own_answers_and_nothing_is_lost() -> None:
    told: list[str] = []
    found = load(2, 4.0, told.append)
    assert found["mixed_up"] == found["broken"] == found["lost"] == []
    assert found["answers"] >= 2 and found["answers_per_client"]["min"] >= 1
    assert told and told[-1].endswith("MiB")


def test_a_mix_up_would_be_noticed() -> None:
    class Other:
        """A page that answers about someone else."""

        def ask(self, name: str, **values: object) -> dict[str, list[dict[str, str]]]:
            return {"attempts": [{"id": "a", "task_id": "other", "group_id": "g"}]}

    client = Client(1, Other())  # type: ignore[arg-type]
    client.sample()
    assert client.answers.mixed_up == ["client 1: attempts at another task"]


def test_the_slope_s_interval_holds_the_truth_and_widens_with_noise() -> None:
    xs = [float(x) for x in range(100)]
    exact = slope(xs, [2 * x + 1 for x in xs])
    assert exact["estimate"] == pytest.approx(2) and exact["high"] - exact["low"] < 1e-6
    rough = slope(xs, [2 * x + 40 * ((x // 5 * 7) % 3) for x in xs])
    assert rough["low"] < 2 < rough["high"] and rough["high"] - rough["low"] > 0.05
    assert set(slope(range(9), [8.0] * 9).values()) == {0.0}
