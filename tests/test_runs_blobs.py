"""Blobs: bit for bit, named by their content, stored once, never trusted unread."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
import torch

from workbench.errors import RunError
from workbench.runs.blobs import BlobStore


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def test_tensors_come_back_bit_for_bit(blobs: BlobStore) -> None:
    special = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    tensors = {
        "float": special,
        "bfloat": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).bfloat16(),
        "ids": torch.arange(7),
        "bytes": torch.get_rng_state(),
        "empty": torch.empty(0, 4),
        "scalar": torch.tensor(3.5, dtype=torch.float64),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "learned": torch.ones(2, requires_grad=True),
    }
    sha256 = blobs.put(tensors, {"step": 3, "betas": [0.9, 0.999], "name": "ü"})
    found = blobs.get(sha256)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        assert bits(found[name]) == bits(tensor.detach())
    assert blobs.metadata(sha256) == {"step": 3, "betas": [0.9, 0.999], "name": "ü"}
    assert hashlib.sha256(blobs.path(sha256).read_bytes()).hexdigest() == sha256


def test_tied_and_sliced_tensors_are_stored(blobs: BlobStore) -> None:
    base = torch.arange(12.0)
    found = blobs.get(blobs.put({"tied": base, "same": base, "slice": base[4:8]}))
    assert torch.equal(found["same"], base) and torch.equal(found["slice"], base[4:8])


def test_equal_content_is_one_file_in_any_order(blobs: BlobStore) -> None:
    a, b = torch.ones(3), torch.zeros(2)
    first = blobs.put({"a": a, "b": b}, {"x": 1, "y": 2})
    assert blobs.put({"b": b, "a": a}, {"y": 2, "x": 1}) == first
    assert blobs.put({"a": a, "b": b}, {"x": 1, "y": 3}) != first
    assert len(list(blobs.directory.iterdir())) == 2


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_damage_is_found_and_healed_by_putting_again(blobs: BlobStore, damage: str) -> None:
    sha256 = blobs.put({"a": torch.arange(100.0)})
    path = blobs.path(sha256)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-5] ^= 1
    else:
        del content[0 if damage == "empty" else -9 :]
    path.write_bytes(content)
    assert blobs.problem(sha256) == "is damaged"
    for read in (blobs.get, blobs.metadata):
        with pytest.raises(RunError, match=f"{sha256}.* is damaged"):
            read(sha256)
    assert blobs.put({"a": torch.arange(100.0)}) == sha256
    assert blobs.problem(sha256) is None


def test_a_missing_blob_is_one_sentence(blobs: BlobStore) -> None:
    assert blobs.problem("0" * 64) == "is missing" and not blobs.exists("0" * 64)
    with pytest.raises(RunError, match="is missing"):
        blobs.get("0" * 64)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "0" * 63, "A" * 64, "0" * 64 + "\n", "/" + "0" * 63])
def test_only_hashes_are_names(blobs: BlobStore, name: str) -> None:
    for use in (blobs.get, blobs.problem, blobs.exists):
        with pytest.raises(RunError, match="is not the name of a blob"):
            use(name)


@pytest.mark.parametrize("moment", ["blob.started", "blob.written", "blob.synced"])
def test_a_full_disk_leaves_no_file(tmp_path: Path, moment: str) -> None:
    def full(name: str) -> None:
        if name == moment:
            raise OSError(28, "No space left on device")

    blobs = BlobStore(tmp_path / "blobs", fail_point=full)
    with pytest.raises(RunError, match="is full; free some space"):
        blobs.put({"a": torch.ones(3)})
    assert list(blobs.directory.iterdir()) == []


def test_a_read_only_store_refuses(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="open read-only"):
        BlobStore(tmp_path / "blobs", read_only=True).put({"a": torch.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_blob_is_synced_before_it_is_named(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, rename = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        calls.append("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        sync(descriptor)

    def replace(*names: Path) -> None:
        calls.append("name")
        rename(*names)

    blobs.put({"a": torch.zeros(1)})
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    blobs.put({"a": torch.ones(1)})
    assert calls[-3:] == ["sync file", "name", "sync directory"]
