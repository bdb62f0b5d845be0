"""`make test-gpu`: the round on CUDA in NF4 on the shape of a 4B model; the same code on a tiny shape everywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from gpu_round import QWEN3_4B, TINY, record_round, write_random_model

RECORD = Path(__file__).resolve().parents[1] / "build" / "gpu-round.json"
PHASES = {"load", "sample", "credit", "update", "undo", "null test"}
DISK_BYTES = 10 * 10**9  # 8.1 GB of weights, and the run


def check(record: dict[str, Any], weights: int) -> None:
    assert record["phases"].keys() == PHASES
    assert all(phase["seconds_s"] > 0 and phase["peak_bytes"] > 0 for phase in record["phases"].values())
    assert record["undo_is_exact"] and record["null_test"]["ok"]
    assert record["loss_nats"]["after"] < record["loss_nats"]["before"]
    in_use = sum(part["bytes"] for kind, part in record["held"].items() if not kind.startswith("adapter"))
    assert record["policy"]["memory"]["weights_bytes"] == in_use
    assert record["policy"]["parameters"] == weights // 2  # as they lie on disk, in bf16


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_the_recorder_on_a_tiny_shape(tmp_path: Path, quantization: str) -> None:
    device = torch.device("cpu")
    weights = write_random_model(tmp_path / "model", TINY, device, shard_bytes=50_000)
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 1
    record = record_round(
        tmp_path / "model", tmp_path / "run", quantization=quantization, device=device, attempts=2, max_new_tokens=8
    )
    check(json.loads(json.dumps(record)), weights)
    assert record["tokens"] <= 16 and record["policy"]["vocabulary"] == TINY["vocab_size"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_round_on_the_shape_of_a_4b_model(tmp_path: Path) -> None:
    """Writes what each phase took to build/gpu-round.json."""
    free = shutil.disk_usage(tmp_path).free
    if free < DISK_BYTES:
        pytest.skip(f"{free / 1e9:.1f} GB are free in {tmp_path}, {DISK_BYTES / 1e9:.0f} are needed")
    device = torch.device("cuda")
    weights = write_random_model(tmp_path / "model", QWEN3_4B, device)
    torch.cuda.empty_cache()
    record = record_round(
        tmp_path / "model", tmp_path / "run", quantization="nf4", device=device, attempts=4, max_new_tokens=256
    )
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1))
    print(json.dumps(record["phases"], indent=1))
    check(record, weights)
