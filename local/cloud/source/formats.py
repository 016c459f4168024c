"""Writes the rows of a month as CSV, as in the mirror, or as Parquet, as at the TLC.

A file is written from consecutive tables. The first has no rows and defines the columns.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from local.cloud.source import tlc
from local.cloud.source.datasets import DATASETS, NULL, Kind, Vocabulary
from local.cloud.source.draws import Ints
from local.cloud.source.months import Month

_AMOUNT_LOW, _AMOUNT_HIGH = -30_000, 60_000
_COMPRESSION_LEVEL = 5
# As in the TLC's files.
ROW_GROUP_ROWS = 1 << 20
# Some texts in published CSV files are not UTF-8, but Latin-1.
_LATIN_1 = ("\N{NO-BREAK SPACE}", "\N{LATIN SMALL LETTER E WITH ACUTE}")


class Format(Enum):
    """The format of a file."""

    CSV_GZ = "csv.gz"
    CSV = "csv"
    PARQUET = "parquet"

    @classmethod
    def of(cls, path: Path) -> Format:
        """Return the format for the suffix of ``path``: csv.gz unless it is .parquet or .csv."""
        return {".parquet": cls.PARQUET, ".csv": cls.CSV}.get(path.suffix, cls.CSV_GZ)


def to_table(dataset: str, month: Month, columns: Mapping[str, Ints], file_format: Format) -> pa.Table:
    """Convert drawn columns to a table with the names and types of the file format."""
    if file_format is Format.PARQUET:
        fields = tlc.fields(dataset, month)
        arrays = [_typed(columns[field.column], field) for field in fields]
        return pa.table(arrays, schema=pa.schema([(field.name, field.type) for field in fields]))
    return pa.table({name: _text(columns[name], kind) for name, kind in DATASETS[dataset].columns.items()})


def write(file: BinaryIO, tables: Iterator[pa.Table], file_format: Format) -> None:
    """Write ``tables`` to ``file``, holding only a few in memory for CSV, and one row group for Parquet."""
    _WRITERS[file_format](file, tables)


# -- Parquet -----------------------------------------------------------------------------------------------------------


def _typed(values: Ints, field: tlc.Field) -> pa.Array:
    empty = values == NULL
    if pa.types.is_null(field.type):
        assert empty.all()
        return pa.nulls(len(values))
    if field.kind is Kind.MOMENT:
        return pa.array(np.where(empty, 0, values).astype("datetime64[s]"), mask=empty).cast(field.type)
    if field.kind is Kind.AMOUNT:
        return pa.array(values / 100, mask=empty).cast(field.type)
    if field.kind is Kind.NUMBER:
        return pa.array(values, mask=empty).cast(field.type)
    return pa.array(field.kind, field.type).take(pa.array(values, mask=empty))


def _write_parquet(file: BinaryIO, tables: Iterator[pa.Table]) -> None:
    with pq.ParquetWriter(file, next(tables).schema) as writer:
        for group in _row_groups(tables):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
            del group  # free its memory before the next one is gathered


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Regroup the rows into tables of ``ROW_GROUP_ROWS`` rows; the last one has the rest."""
    gathered: list[pa.Table] = []
    for table in tables:
        gathered.append(table)
        if sum(map(len, gathered)) >= ROW_GROUP_ROWS:
            rows = pa.concat_tables(gathered)
            gathered = [rows.slice(ROW_GROUP_ROWS)]
            rows = rows.slice(0, ROW_GROUP_ROWS)
            yield rows
            del rows
    if any(map(len, gathered)):
        yield pa.concat_tables(gathered)


# -- text --------------------------------------------------------------------------------------------------------------


def _text(values: Ints, kind: Kind | Vocabulary) -> pa.Array:
    empty = values == NULL
    if kind is Kind.MOMENT:
        return pa.array(values.astype("datetime64[s]"))
    if kind is Kind.NUMBER:
        return pa.array(values, mask=empty)
    if kind is Kind.AMOUNT:
        return _amounts(values, empty)
    return pa.array(kind).take(pa.array(values, mask=empty))


def _amounts(values: Ints, empty: np.ndarray) -> pa.Array:
    """Format hundredths as text: "7.0", "7.5", "7.25"."""
    table = _amount_table()
    places = values - _AMOUNT_LOW
    beyond = ((values < _AMOUNT_LOW) | (values >= _AMOUNT_HIGH)) & ~empty
    if beyond.any():
        others, inverse = np.unique(values[beyond], return_inverse=True)
        places[beyond] = len(table) + inverse
        table = pa.concat_arrays([table, pa.array([str(value / 100) for value in others.tolist()])])
    return table.take(pa.array(places, mask=empty))


@cache
def _amount_table() -> pa.Array:
    return pa.array([str(value / 100) for value in range(_AMOUNT_LOW, _AMOUNT_HIGH)])


def _csv_chunks(tables: Iterator[pa.Table]) -> Iterator[bytes]:
    yield ",".join(next(tables).column_names).encode() + b"\n"
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    for table in tables:
        sink = pa.BufferOutputStream()
        pa.csv.write_csv(table, sink, options)
        text = sink.getvalue().to_pybytes()
        for letter in _LATIN_1:
            text = text.replace(letter.encode(), letter.encode("latin-1"))
        yield text


def _write_csv(file: BinaryIO, tables: Iterator[pa.Table]) -> None:
    file.writelines(_csv_chunks(tables))


def _write_gzip(file: BinaryIO, tables: Iterator[pa.Table]) -> None:
    """Write the text as one gzip member without a timestamp, compressing its chunks in parallel."""
    file.write(b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff")
    checksum, size = 0, 0
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        pending: list[Future[bytes]] = []
        for chunk in _csv_chunks(tables):
            checksum, size = zlib.crc32(chunk, checksum), size + len(chunk)
            pending.append(pool.submit(_deflate, chunk))
            if len(pending) > workers:
                file.write(pending.pop(0).result())
        for compressed in pending:
            file.write(compressed.result())
    file.write(zlib.compressobj(wbits=-15).flush())
    file.write(checksum.to_bytes(4, "little") + (size % (1 << 32)).to_bytes(4, "little"))


def _deflate(chunk: bytes) -> bytes:
    # A full flush ends on a byte boundary and resets the state, so that compressed chunks can be concatenated.
    compressor = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, -15)
    return compressor.compress(chunk) + compressor.flush(zlib.Z_FULL_FLUSH)


_WRITERS: dict[Format, Callable[[BinaryIO, Iterator[pa.Table]], None]] = {
    Format.CSV_GZ: _write_gzip,
    Format.CSV: _write_csv,
    Format.PARQUET: _write_parquet,
}
