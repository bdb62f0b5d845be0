"""Two nodes of a real run side by side; and the distance of adapters against matrices written out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench import Workbench
from workbench.config import SamplingConfig, SDPOConfig
from workbench.errors import RunError
from workbench.heatmap import check
from workbench.policy.distance import adapter_distance

IMPOSSIBLE = {"tests": [{"function": "f", "args": [[3, 1, 2, 5]], "expected": "nothing"}]}


def test_the_distance_is_that_of_the_products_written_out() -> None:
    torch.manual_seed(0)
    first, second = (
        {
            f"{layer}.lora_{part}.weight": torch.randn(shape)
            for layer, (out, width) in {"q": (7, 5), "v": (4, 9)}.items()
            for part, shape in (("A", (2, width)), ("B", (out, 2)))
        }
        for _ in range(2)
    )
    products = [
        [side[f"{layer}.lora_B.weight"] @ side[f"{layer}.lora_A.weight"] for layer in "qv"] for side in (first, second)
    ]
    norms = [float(torch.cat([product.flatten() for product in side]).norm()) for side in products]
    apart = float(torch.cat([(x - y).flatten() for x, y in zip(*products, strict=True)]).norm())
    assert adapter_distance(first, second) == pytest.approx(apart / max(norms), rel=1e-5)
    assert adapter_distance(first, first) == pytest.approx(0.0, abs=1e-6)
    nothing = {name: tensor * 0 for name, tensor in first.items()}
    assert adapter_distance(nothing, nothing) == 0.0 and adapter_distance(nothing, first) == pytest.approx(1.0)


def test_two_nodes_are_compared_and_the_head_stays(tmp_path: Path) -> None:
    with Workbench.open(tmp_path / "run") as workbench:
        task = workbench.add_task(prompt="Write f(xs): sort, then take 3.", environment="python", answer=IMPOSSIBLE)
        attempts = workbench.attempt(task, 2, sampling=SamplingConfig(max_new_tokens=12))
        informed = [workbench.give_feedback(attempt, "sort descending.") for attempt in attempts]
        plain = workbench.credit(informed[0], SDPOConfig(teacher="live"), contexts=("student", "teacher"))
        workbench.held_out(count=2)
        report = workbench.update(informed, SDPOConfig(steps=1))
        events, before = len(workbench.events()), workbench.policy.state()
        comparison = workbench.compare_nodes("root", report.update_id, informed[0], SDPOConfig(teacher="live"))
        assert comparison.first.credit is not None and comparison.second.credit is not None
        assert comparison.first.credit.contexts == plain.contexts  # exactly what was scored before the update
        realised = report.realised[informed[0].id]
        assert comparison.change == pytest.approx(realised, abs=1e-5)  # and what the update reported
        assert comparison.first.held_out is not None and comparison.first.held_out.total == 2
        assert comparison.second.held_out is None
        assert (comparison.first.written, comparison.second.written) == (2, 0)
        assert comparison.distance == pytest.approx(1.0)  # the adapter did nothing before its first update
        check(comparison.payload())
        assert workbench.head == report.update_id and len(workbench.events()) == events
        after = workbench.policy.state()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert workbench.compare_nodes("root", "root").distance == 0.0
        with pytest.raises(RunError, match="no update 'u-none'"):
            workbench.compare_nodes("root", "u-none")
