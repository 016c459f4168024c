"""Writes synthetic months as the mirror's csv.gz files.

A file depends on the dataset, the month, the number of rows and ``VERSION`` alone: its rows are the same on every
machine, and its bytes wherever zlib is the same. It is drawn and written in chunks, so the memory it needs does not
grow with it. The schema and the defects are those of the published files: a tail block without vendor, pickups outside
the month, rows that occur twice, refunds.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from localcloud.source.datasets import DATASETS, NULL, Columns, Dataset, Kind, Part, Vocabulary
from localcloud.source.draws import Draws, Ints
from localcloud.source.months import Month

VERSION = 1
"""Goes up whenever the files come out otherwise than before."""

CHUNK_ROWS = 100_000
OUT_OF_MONTH_ROWS = 3
FEWEST_ROWS_WITH_DEFECTS = 30
DUPLICATE_EVERY = 10_000

_NEW_YEAR_2009 = 1_230_768_000
_AMOUNT_LOW, _AMOUNT_HIGH = -30_000, 60_000
_COMPRESSION_LEVEL = 5


def write_month(dataset: str, month: Month, path: Path, *, rows: int) -> None:
    """Write one month of ``dataset`` to ``path``, which appears whole or not at all.

    Raises:
        KeyError: there is no such dataset.
    """
    source = DATASETS[dataset]
    write_atomically(
        path, lambda file: _write_gzip(file, _csv_chunks(dataset, source, month, rows)), modified=stamp(month)
    )


def stamp(month: Month) -> int:
    """The modification time of a month's file: about when the TLC would publish it; another for each ``VERSION``."""
    return month.plus(2).end + VERSION


def write_atomically(path: Path, write: Callable[[BinaryIO], object], *, modified: int) -> None:
    """Let ``write`` fill a new file beside ``path``, set its time to ``modified``, and rename it to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        os.chmod(name, 0o644)
        os.utime(name, (modified, modified))
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _csv_chunks(name: str, dataset: Dataset, month: Month, rows: int) -> Iterator[bytes]:
    yield ",".join(dataset.columns).encode() + b"\n"
    tail_rows = rows * dataset.tail_share(month) // 1000
    for is_tail, block_rows in ((0, rows - tail_rows), (1, tail_rows)):
        for begin in range(0, block_rows, CHUNK_ROWS):
            part = Part(
                month=month,
                positions=np.arange(begin, min(begin + CHUNK_ROWS, block_rows), dtype=np.int64),
                rows=block_rows,
                draws=Draws(VERSION, int.from_bytes(name.encode()), month.year, month.number, rows, is_tail, begin),
            )
            columns = (dataset.tail if is_tail else dataset.main)(part)
            if not is_tail and rows >= FEWEST_ROWS_WITH_DEFECTS:
                strays = _stray(dataset, part, columns)
                _repeat_rows(part, columns, apart_from=strays)
            yield _to_csv(dataset, columns)


def _stray(dataset: Dataset, part: Part, columns: Columns) -> Ints:
    """Move three pickups of the block out of the month, one of them to 2008 or 2009; returns which rows of the part."""
    month = part.month
    long_ago = _NEW_YEAR_2009 + (month.number % 2) * 7200 - 3600 + month.number * 31
    moments = np.array([month.start - 129 - month.year % 60, long_ago, month.end + 86_400 * 12 + 64_807])
    places = np.array([part.rows // 8, part.rows // 4, part.rows * 2 // 5]) + 1 - part.positions[0]
    here = (places >= 0) & (places < part.size)
    rows = places[here]
    pickup, dropoff = columns[dataset.pickup], columns[dataset.dropoff]
    seconds = dropoff[rows] - pickup[rows]
    pickup[rows] = moments[here]
    dropoff[rows] = moments[here] + seconds
    return rows


def _repeat_rows(part: Part, columns: Columns, *, apart_from: Ints) -> None:
    """Make one row in the first third, and one in ten thousand, the same as the row before it."""
    first = part.rows // 3
    rows = np.flatnonzero((part.positions % DUPLICATE_EVERY == DUPLICATE_EVERY // 2) | (part.positions == first))
    rows = rows[(rows > 0) & ~np.isin(rows, apart_from) & ~np.isin(rows - 1, apart_from)]
    for values in columns.values():
        values[rows] = values[rows - 1]


def _to_csv(dataset: Dataset, columns: Columns) -> bytes:
    arrays = {name: _encode(columns[name], kind) for name, kind in dataset.columns.items()}
    sink = pa.BufferOutputStream()
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    pa.csv.write_csv(pa.table(arrays), sink, options)
    # The published files are not all UTF-8: they have no-break spaces in Latin-1.
    return sink.getvalue().to_pybytes().replace("\N{NO-BREAK SPACE}".encode(), b"\xa0")


def _encode(values: Ints, kind: Kind | Vocabulary) -> pa.Array:
    empty = values == NULL
    if kind is Kind.MOMENT:
        return pa.array(values.astype("datetime64[s]"))
    if kind is Kind.NUMBER:
        return pa.array(values, mask=empty)
    if kind is Kind.AMOUNT:
        return _amounts(values, empty)
    return pa.array(kind).take(pa.array(values, mask=empty))


def _amounts(values: Ints, empty: np.ndarray) -> pa.Array:
    """Hundredths as text: "7.0", "7.5", "7.25"."""
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


def _write_gzip(file: BinaryIO, chunks: Iterator[bytes]) -> None:
    """Write ``chunks`` as one gzip member without a time; they are compressed one by one, on all processors."""
    file.write(b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff")
    checksum, size = 0, 0
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        pending: list[Future[bytes]] = []
        for chunk in chunks:
            checksum, size = zlib.crc32(chunk, checksum), size + len(chunk)
            pending.append(pool.submit(_deflate, chunk))
            if len(pending) > workers:
                file.write(pending.pop(0).result())
        for compressed in pending:
            file.write(compressed.result())
    file.write(zlib.compressobj(wbits=-15).flush())
    file.write(checksum.to_bytes(4, "little") + (size % (1 << 32)).to_bytes(4, "little"))


def _deflate(chunk: bytes) -> bytes:
    # Ends at a byte's border and starts afresh after it, so that the pieces can stand one after another.
    compressor = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, -15)
    return compressor.compress(chunk) + compressor.flush(zlib.Z_FULL_FLUSH)
