"""Tensors on disk, named by the SHA-256 of their file: `blobs/<sha256>.safetensors`. Never pickle.

A blob is durable before its name is returned. Equal content is stored once; a damaged file is replaced when its
content is put again. Knows nothing of events.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError
from workbench.runs.failpoints import FailPoint, no_fail_point
from workbench.runs.files import disk_error, put_in_place, read_only_error, sync_directory

if TYPE_CHECKING:
    from torch import Tensor

_NAME = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = ".tmp"
_METADATA_KEY = "workbench"  # one key: safetensors does not order several, and equal content must hash equally


class BlobStore:
    """The blobs of one run directory. Safe to use from several threads; `directory` is made on the first put."""

    def __init__(self, directory: Path, *, read_only: bool = False, fail_point: FailPoint = no_fail_point) -> None:
        self.directory = directory
        self._read_only = read_only
        self._fail_point = fail_point

    def put(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None) -> str:
        """Store named tensors (any shape, any device) and JSON-serialisable metadata; returns the blob's SHA-256.

        On return the blob is durable. Raises RunError when the disk is full, unwritable, or the run is read-only.
        """
        if self._read_only:
            raise read_only_error(self.directory.parent)
        content = _serialise(tensors, metadata or {})
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            self._write(sha256, content)
        except OSError as error:
            raise disk_error(self.directory, error) from error
        self._fail_point("blob.durable")
        return sha256

    def get(self, sha256: str) -> dict[str, Tensor]:
        """The tensors of a blob, on the CPU, bit for bit. Raises RunError when it is missing or damaged."""
        from safetensors.torch import load

        return load(self._read(sha256))

    def metadata(self, sha256: str) -> dict[str, Any]:
        """The metadata that was put with a blob. Raises RunError when it is missing or damaged."""
        content = self._read(sha256)
        (header_bytes,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + header_bytes])
        return json.loads(header["__metadata__"][_METADATA_KEY])

    def problem(self, sha256: str) -> str | None:
        """Why a blob cannot be used ("is missing", "is damaged", ...), or None when its content matches its name."""
        try:
            with self.path(sha256).open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        return None if actual == sha256 else "is damaged"

    def exists(self, sha256: str) -> bool:
        """True where a blob of this name exists; its content is not checked."""
        return self.path(sha256).is_file()

    def path(self, sha256: str) -> Path:
        """Path of a blob. Raises RunError for anything but 64 lower-case hexadecimal digits."""
        if not _NAME.fullmatch(sha256):
            raise RunError(f"{sha256[:80]!r} is not the name of a blob; a name is 64 hexadecimal digits.")
        return self.directory / f"{sha256}.safetensors"

    def sweep(self) -> None:
        """Remove the temporary files that a killed process left; only for the holder of the run's lock."""
        for leftover in self.directory.glob(f"*{_TEMPORARY}"):
            leftover.unlink(missing_ok=True)

    def _read(self, sha256: str) -> bytes:
        path = self.path(sha256)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise RunError(f"Blob {path.name} is missing; restore the file.") from error
        except OSError as error:
            raise disk_error(path, error) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise RunError(f"Blob {path.name} is damaged; restore it from a copy.")
        return content

    def _write(self, sha256: str, content: bytes) -> None:
        path = self.path(sha256)
        self.directory.mkdir(exist_ok=True)
        sync_directory(self.directory.parent)
        if self.problem(sha256) is None:
            # An earlier put may have been killed before its name was durable; after a sync it is.
            sync_directory(self.directory)
            return
        descriptor, name = tempfile.mkstemp(suffix=_TEMPORARY, dir=self.directory)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                self._fail_point("blob.started")
                file.write(content)
                file.flush()
                self._fail_point("blob.written")
                os.fsync(file.fileno())
            self._fail_point("blob.synced")
            put_in_place(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._fail_point("blob.replaced")
        sync_directory(self.directory)


def _serialise(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    from safetensors.torch import save

    seen: set[int] = set()
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        # safetensors refuses tensors that share memory (tied weights, slices of one buffer).
        plain[name] = value.clone() if storage in seen else value
        seen.add(storage)
    text = json.dumps(metadata, sort_keys=True, allow_nan=False)
    return save(plain, {_METADATA_KEY: text})
