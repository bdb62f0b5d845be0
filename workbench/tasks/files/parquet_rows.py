"""Rows of a parquet file, in batches within a limit of memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench.errors import TaskError
from workbench.tasks.files.text import LARGEST_FILE, check_rows

_BATCH = 64  # rows in memory as columns: a small file can hold the same long text for every row
LARGEST_TABLE = 2 * LARGEST_FILE  # bytes of all rows, decompressed


def read(name: str, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and values of each row. Raises TaskError for anything but a parquet file, and one that is too large.

    Of a struct inside a column, fields without a value are left out: parquet gives every row the fields of all.
    """
    import pyarrow  # here: it takes a third of a second to import
    import pyarrow.parquet

    number, size = 0, 0
    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data))
        check_rows(name, file.metadata.num_rows)
        for batch in file.iter_batches(batch_size=_BATCH, use_threads=False):
            size += batch.nbytes
            if size > LARGEST_TABLE:
                raise TaskError(
                    f"{name} is larger than {LARGEST_TABLE:,} bytes once it is decompressed; leave out columns, or "
                    "split it."
                )
            for values in batch.to_pylist():
                number += 1
                yield number, {column: _plain(value) for column, value in values.items()}
    except TaskError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TaskError(
            f"{name} cannot be read as a parquet file after row {number} ({reason}); write it again, or as JSON Lines."
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
