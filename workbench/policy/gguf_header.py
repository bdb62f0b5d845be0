"""The header of a GGUF file: what it says of its model, and where its tensors lie; checked before anything is loaded.

Whatever a file claims, reading it takes bounded time and memory: counts and lengths have limits, every place is
inside the file, and the tensors are no more than the file's own bytes. A file that does not hold that is refused in one
sentence (`PolicyError`). Knows nothing of transformers. The format: github.com/ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import PolicyError

# Far above what any model has: some 50 fields, 1,000 tensors, 300,000 words with as many merges, a template of 20 KB.
MOST_FIELDS, MOST_TENSORS, MOST_ELEMENTS = 4_096, 65_536, 4_000_000
LONGEST_NAME, LONGEST_TEXT = 1 << 16, 1 << 22  # bytes
KEPT_ELEMENTS = 1_024  # of an array; a longer one (words, merges, scores) is only counted
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9  # types of values besides those
_BLOCK = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of the file."""

    name: str
    type_id: int  # of ggml
    shape: tuple[int, ...]  # in PyTorch's order
    start: int  # bytes from the start of the file
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """Everything in a GGUF file but the numbers of its tensors."""

    path: Path
    fields: Mapping[str, Any]  # numbers, texts, and arrays of numbers; of a long array and of texts only the count
    raw: Mapping[str, bytes]  # the fields as they stand in the file, without the long arrays
    tensors: tuple[StoredTensor, ...]

    @property
    def architecture(self) -> str:
        """Name of the model's architecture, as llama.cpp has it."""
        return str(self.fields["general.architecture"])

    def of_model(self, name: str) -> Any:
        """The field `name` of this architecture, or None."""
        return self.fields.get(f"{self.architecture}.{name}")

    def has_tensor(self, ending: str) -> bool:
        """True where a tensor's name ends like this."""
        return any(tensor.name.endswith(ending) for tensor in self.tensors)


def read_header(path: Path) -> Header:
    """Read and check the header of a GGUF file.

    Raises PolicyError: not a GGUF file, another version, damaged or truncated, beyond the limits above, a part of a
    model, not a model, tensors of a type that the package gguf cannot turn into numbers.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _header(path, data)
    except (struct.error, UnicodeDecodeError, ValueError) as error:  # mmap: an empty file
        raise _damaged(path, "its header ends in the middle") from error
    except OSError as error:
        raise PolicyError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error


def _header(path: Path, data: mmap.mmap) -> Header:
    if data[:4] != b"GGUF":
        raise PolicyError(f"{path} is not a GGUF file, whatever its name says; get it again.")
    version, tensor_count, field_count = struct.unpack_from("<IQQ", data, 4)
    if version not in (2, 3):
        what = "for machines of the other byte order" if version & 0xFFFF == 0 else f"of version {version}"
        raise PolicyError(f"{path} is a GGUF file {what}; get one of version 2 or 3, as llama.cpp writes it today.")
    if field_count > MOST_FIELDS or tensor_count > MOST_TENSORS:
        raise _damaged(path, f"it claims {field_count:,} fields and {tensor_count:,} tensors")
    walk = _Walk(path, data)
    fields: dict[str, Any] = {}
    raw: dict[str, bytes] = {}
    for _ in range(field_count):
        begin = walk.place
        key = walk.text(LONGEST_NAME)
        if key in fields:
            raise _damaged(path, f"the field {key!r} is there twice")
        fields[key], is_long = walk.value()
        if not is_long:
            raw[key] = data[begin : walk.place]
    _check_is_model(path, fields)
    return Header(path, fields, raw, _tensors(path, walk, tensor_count, fields))


class _Walk:
    """A place in the file that moves on with everything that is read."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.place, self.elements = path, data, 24, 0

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.data, self.place)
        self.place += struct.calcsize(form)
        return value

    def text(self, longest: int) -> str:
        length = self.number("<Q")
        if length > longest or self.place + length > len(self.data):
            raise _damaged(self.path, f"it claims a text of {length:,} bytes")
        self.place += length
        return self.data[self.place - length : self.place].decode()

    def value(self) -> tuple[Any, bool]:
        """One field's value, and whether it is an array too long to keep."""
        kind = self.number("<I")
        if kind in _SCALARS:
            return self.number(_SCALARS[kind]), False
        if kind == _TEXT:
            return self.text(LONGEST_TEXT), False
        if kind == _ARRAY:
            return self._array()
        raise _damaged(self.path, f"it has a value of the unknown type {kind}")

    def _array(self) -> tuple[Any, bool]:
        kind, count = self.number("<I"), self.number("<Q")
        self.elements += count
        if self.elements > MOST_ELEMENTS or kind not in (*_SCALARS, _TEXT):
            raise _damaged(self.path, f"it claims an array of {count:,} values of type {kind}")
        if kind == _TEXT:
            for _ in range(count):
                self.text(LONGEST_TEXT)
            return count, count > KEPT_ELEMENTS
        form = f"<{count}{_SCALARS[kind][1]}"
        if self.place + struct.calcsize(form) > len(self.data):
            raise _damaged(self.path, f"it claims an array of {count:,} numbers")
        if count <= KEPT_ELEMENTS:
            values = list(struct.unpack_from(form, self.data, self.place))
            self.place += struct.calcsize(form)
            return values, False
        self.place += struct.calcsize(form)
        return count, True


def _check_is_model(path: Path, fields: Mapping[str, Any]) -> None:
    kind = fields.get("general.type", "model")
    if kind != "model":
        raise PolicyError(f"{path} holds no model but something of the kind {kind!r}; name the model's own file.")
    if not isinstance(fields.get("general.architecture"), str):
        raise _damaged(path, "it does not name its architecture")
    parts = fields.get("split.count", 1)
    if parts not in (0, 1):
        raise PolicyError(
            f"{path} is one of {parts} parts of a model; join them with llama.cpp's `llama-gguf-split --merge` and "
            "name the result."
        )


def _tensors(path: Path, walk: _Walk, count: int, fields: Mapping[str, Any]) -> tuple[StoredTensor, ...]:
    """The table of tensors, whose numbers begin at the next multiple of the alignment after it."""
    table: list[tuple[str, tuple[int, ...], int, int]] = []
    for _ in range(count):
        name, dimensions = walk.text(LONGEST_NAME), walk.number("<I")
        if not 1 <= dimensions <= 4:
            raise _damaged(path, f"its tensor {name!r} has {dimensions} dimensions")
        shape = tuple(walk.number("<Q") for _ in range(dimensions))
        table.append((name, shape[::-1], walk.number("<I"), walk.number("<Q")))  # ggml names the last dimension first
    alignment = fields.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise _damaged(path, f"its alignment is {alignment}")
    begin = -(-walk.place // alignment) * alignment
    tensors = tuple(_stored(path, begin, *row) for row in table)
    _check_tensors(path, tensors, len(walk.data), begin, fields)
    return tensors


def _stored(path: Path, begin: int, name: str, shape: tuple[int, ...], type_id: int, offset: int) -> StoredTensor:
    try:
        block, block_bytes = _block_of(type_id)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise PolicyError(
            f"{path} holds tensors of the ggml type {type_id} ({name}), which the package gguf cannot turn into "
            "numbers; get the model in a common type, such as Q8_0, Q4_K_M or F16."
        ) from error
    if min(shape) < 1 or shape[-1] % block:
        raise _damaged(path, f"its tensor {name!r} has the shape {list(shape)}")
    return StoredTensor(name, type_id, shape, begin + offset, prod(shape) // block * block_bytes)


@cache
def _block_of(type_id: int) -> tuple[int, int]:
    """Weights and bytes of a block of a type. Raises where gguf does not know it or cannot dequantise it."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    kind = GGMLQuantizationType(type_id)
    weights, size_bytes = GGML_QUANT_SIZES[kind]
    dequantize(np.zeros((1, size_bytes), dtype=np.uint8), kind)
    return weights, size_bytes


def _check_tensors(
    path: Path, tensors: tuple[StoredTensor, ...], file_bytes: int, begin: int, fields: Mapping[str, Any]
) -> None:
    if len({tensor.name for tensor in tensors}) < len(tensors) or not tensors:
        raise _damaged(path, "a tensor is there twice" if tensors else "it has no tensors")
    last = max(tensors, key=lambda tensor: tensor.start + tensor.size_bytes)
    if last.start + last.size_bytes > file_bytes:
        raise _damaged(path, f"{last.name} ends at byte {last.start + last.size_bytes:,} of {file_bytes:,}")
    if sum(tensor.size_bytes for tensor in tensors) > file_bytes - begin:
        raise _damaged(path, "its tensors overlap")
    blocks = {int(match[1]) for tensor in tensors if (match := _BLOCK.match(tensor.name))}
    claimed = fields.get(f"{fields['general.architecture']}.block_count")
    if claimed != len(blocks) or blocks != set(range(len(blocks))):
        raise _damaged(path, f"it claims {claimed} layers and holds {len(blocks)}")


def _damaged(path: Path, what: str) -> PolicyError:
    return PolicyError(f"{path} is damaged or truncated ({what}); get it again.")
