"""Reads a published Parquet file as record batches of its dataset's columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from nyc_taxi.parquet.batches import Binding, Reading, conform, first_bytes, is_system_error
from nyc_taxi.parquet.casting import REMEDIES, converter, is_text_or_bytes
from nyc_taxi.parquet.column_matching import match_columns
from nyc_taxi.registry.columns import Layout, Type
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import Month

# The TLC's row groups have a million rows. Reading page by page bounds memory use.
BUFFER_BYTES = 1 << 16
BATCH_ROWS = 1 << 13
# The largest column of a row group, unpacked; a page is unpacked as a whole. The TLC's have about 8 MB.
MAX_CHUNK_BYTES = 1 << 30
# The largest footer, which is read as a whole. The TLC's have about 10 kB.
MAX_FOOTER_BYTES = 1 << 23
_MAGIC = b"PAR1"
# Seconds that microseconds of 64 bits hold.
_MAX_SECONDS = 2**63 // 10**6
_READING: dict[str, Any] = {"pre_buffer": False, "buffer_size": BUFFER_BYTES, "page_checksum_verification": True}
_REMEDY = "get a whole copy from the source"


def read_parquet(source: Path, dataset: Dataset, month: Month | None, *, accept_unknown: bool) -> Reading:
    """Read a Parquet file. Rows are numbered from 1.

    Raises:
        ContractError: the file is not a complete Parquet file, or its columns do not match the contract (raised at
            once), or a value does not match or the file is damaged (raised while the batches are read).
    """
    _check_ends(source)
    file = _opened(source)
    schema = file.schema_arrow
    places, ignored = match_columns(schema.names, dataset, Layout.TLC, month, accept_unknown=accept_unknown)
    bindings = []
    for column, place in zip(dataset.source_columns, places, strict=True):
        if place is None:
            bindings.append(Binding(column, None, lambda values: values))
        else:
            field = schema.field(place)
            bindings.append(Binding(column, field.name, converter(field.type, column)))
    with _damage_refused():
        _check_sizes(file.metadata, {binding.name for binding in bindings})
        _check_int96(source, file, {binding.name for binding in bindings})
    taken = _Taken(file.metadata.num_rows)
    return Reading(_batches(file, bindings, taken), ignored, taken.share)


def _opened(source: Path) -> pq.ParquetFile:
    """Open the file, so that its texts are read as dictionaries: a long text is found before it is repeated."""
    # The default for INT96, nanoseconds, overflows on years such as 3019.
    options = {**_READING, "coerce_int96_timestamp_unit": "us"}
    with _damage_refused():
        file = pq.ParquetFile(source, **options)
        texts = [field.name for field in file.schema_arrow if is_text_or_bytes(field.type)]
        file.close()
        file = pq.ParquetFile(source, read_dictionary=texts, **options)
        file.schema_arrow  # noqa: B018 - a schema that Arrow does not know fails here
        return file


@contextmanager
def _damage_refused() -> Iterator[None]:
    """Turn Arrow's errors into refusals; names in a damaged footer, for example, are not UTF-8."""
    try:
        yield
    except ContractError:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        if is_system_error(error):
            raise
        raise ContractError(_damaged(error)) from error


def _check_sizes(metadata: pq.FileMetaData, names: Collection[str | None]) -> None:
    """Refuse a file with a column that would not fit into memory."""
    for place in range(metadata.num_row_groups):
        group = metadata.row_group(place)
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema in names and column.total_uncompressed_size > MAX_CHUNK_BYTES:
                raise ContractError(
                    f"column {column.path_in_schema}: row group {place} has {column.total_uncompressed_size:,} bytes, "
                    f"more than {MAX_CHUNK_BYTES:,}; write smaller row groups"
                )


def _check_int96(source: Path, file: pq.ParquetFile, names: Collection[str | None]) -> None:
    """Refuse a time of the type INT96 that microseconds do not hold: Arrow drops nanoseconds, and wraps far years.

    Read as seconds, no INT96 is out of range. Read as nanoseconds, it wraps by 2^64, as the product does here.
    """
    leaves = map(file.schema.column, range(len(file.schema.names)))
    columns = [leaf.path for leaf in leaves if leaf.physical_type == "INT96" and leaf.path in names]
    if not columns:
        return
    files = [pq.ParquetFile(source, coerce_int96_timestamp_unit=unit, **_READING) for unit in ("s", "us", "ns")]
    rows = 0
    for batches in zip(*(one.iter_batches(BATCH_ROWS, columns=columns) for one in files), strict=True):
        for name in columns:
            seconds, micros, nanos = (batch.column(name).cast(pa.int64()) for batch in batches)
            is_held = compute.and_(
                compute.less(compute.abs(seconds), _MAX_SECONDS), compute.equal(compute.multiply(micros, 1000), nanos)
            )
            if (place := compute.index(is_held, False).as_py()) >= 0:
                raise ContractError(
                    f"column {name}: row {rows + place + 1}: its INT96 has a fraction of a microsecond, or a year "
                    f"beyond 9999; {REMEDIES[Type.DATETIME]}"
                )
        rows += batches[0].num_rows


def _check_ends(source: Path) -> None:
    """Refuse a file that is not Parquet or is truncated, with a clearer message than Arrow's."""
    with source.open("rb") as file:
        begin = file.read(len(_MAGIC))
        if not begin:
            raise ContractError("it is empty; check the file at the source")
        if begin != _MAGIC:
            problem = f"it is not a Parquet file; it begins with {first_bytes(source)}"
            raise ContractError(f"{problem}; check the source's address and layout")
        file.seek(-len(_MAGIC), 2)
        if file.read() != _MAGIC or (size := file.tell()) < 3 * len(_MAGIC):
            raise ContractError(f"it is cut short: a Parquet file's footer is missing; {_REMEDY}")
        file.seek(-2 * len(_MAGIC), 2)
        footer = int.from_bytes(file.read(4), "little")
        if MAX_FOOTER_BYTES < footer < size:
            problem = f"its footer has {footer:,} bytes, more than {MAX_FOOTER_BYTES:,}"
            raise ContractError(f"{problem}; write fewer columns and row groups")


@dataclass
class _Taken:
    """How many rows have been read, of how many that the footer states."""

    stated: int
    rows: int = 0

    def share(self) -> float:
        """Return the share from 0 to 1."""
        return self.rows / self.stated if self.stated else 0.0


def _batches(file: pq.ParquetFile, bindings: Sequence[Binding], taken: _Taken) -> Iterator[pa.RecordBatch]:
    rows = 0
    names = [name for _, name, _ in bindings if name is not None]
    with _damage_refused():
        for batch in file.iter_batches(BATCH_ROWS, columns=names):
            yield conform(batch, bindings, first_row=rows + 1)
            rows += batch.num_rows
            taken.rows = rows
    if rows != file.metadata.num_rows:
        stated = file.metadata.num_rows
        raise ContractError(f"it is damaged: its footer states {stated} rows, but it has {rows}; {_REMEDY}")


def _damaged(error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    if isinstance(error, MemoryError):
        return f"a part of it does not fit into memory: {reason}; write smaller row groups and pages"
    return f"it is damaged: {reason}; {_REMEDY}"
