"""Reads a published Parquet file as record batches of its dataset's columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nyc_taxi.parquet.batches import Binding, Reading, conform, first_bytes, is_system_error
from nyc_taxi.parquet.casting import converter
from nyc_taxi.parquet.column_matching import match_columns
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import Month

# The TLC's row groups have a million rows. Reading page by page bounds memory use.
BUFFER_BYTES = 1 << 16
BATCH_ROWS = 1 << 13
_MAGIC = b"PAR1"


def read_parquet(source: Path, dataset: Dataset, month: Month | None, *, accept_unknown: bool) -> Reading:
    """Read a Parquet file. Rows are numbered from 1.

    Raises:
        ContractError: the file is not a complete Parquet file, or its columns do not match the contract (raised at
            once), or a value does not match or the file is damaged (raised while the batches are read).
    """
    _check_ends(source)
    try:
        file = pq.ParquetFile(
            source,
            pre_buffer=False,
            buffer_size=BUFFER_BYTES,
            # The default for INT96, nanoseconds, overflows on years such as 3019.
            coerce_int96_timestamp_unit="us",
            page_checksum_verification=True,
        )
        schema = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        if is_system_error(error):
            raise
        raise ContractError(_damaged(error)) from error
    places, ignored = match_columns(schema.names, dataset, Layout.TLC, month, accept_unknown=accept_unknown)
    bindings = []
    for column, place in zip(dataset.source_columns, places, strict=True):
        if place is None:
            bindings.append(Binding(column, None, lambda values: values))
        else:
            field = schema.field(place)
            bindings.append(Binding(column, field.name, converter(field.type, column)))
    return Reading(_batches(file, bindings), ignored)


def _check_ends(source: Path) -> None:
    """Refuse a file that is not Parquet or is truncated, with a clearer message than Arrow's."""
    with source.open("rb") as file:
        begin = file.read(len(_MAGIC))
        if not begin:
            raise ContractError("it is empty")
        if begin != _MAGIC:
            raise ContractError(f"it is not a Parquet file; it begins with {first_bytes(source)}")
        file.seek(-len(_MAGIC), 2)
        if file.read() != _MAGIC or file.tell() < 3 * len(_MAGIC):
            raise ContractError("it is cut short: a Parquet file's footer is missing")


def _batches(file: pq.ParquetFile, bindings: Sequence[Binding]) -> Iterator[pa.RecordBatch]:
    rows = 0
    names = [name for _, name, _ in bindings if name is not None]
    try:
        for batch in file.iter_batches(BATCH_ROWS, columns=names):
            yield conform(batch, bindings, first_row=rows + 1)
            rows += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        if is_system_error(error):
            raise
        raise ContractError(_damaged(error)) from error
    if rows != file.metadata.num_rows:
        raise ContractError(f"it is damaged: its footer states {file.metadata.num_rows} rows, but it has {rows}")


def _damaged(error: Exception) -> str:
    return f"it is damaged: {' '.join(str(error).split())[:200]}"
