"""Writes synthetic months, as the mirror's csv.gz files or as the TLC's Parquet files.

The rows depend on the dataset, the month, the number of rows and ``VERSION`` alone: they are the same in both layouts
and on every machine. The bytes are so wherever zlib, or pyarrow, is the same. A file is drawn and written in chunks, so
the memory it needs does not grow with it. The schema and the defects are those of the published files: a tail block
without vendor, pickups outside the month, rows that occur twice, refunds.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from local.cloud.source import tlc
from local.cloud.source.datasets import DATASETS, Columns, Dataset, Part
from local.cloud.source.defects import Order, change_file, change_order, change_tables
from local.cloud.source.draws import Draws, Ints
from local.cloud.source.formats import Format, to_table, write
from local.cloud.source.months import Month

VERSION = 1
"""Goes up whenever the files come out otherwise than before."""

CHUNK_ROWS = 100_000
OUT_OF_MONTH_ROWS = 3
FEWEST_ROWS_WITH_DEFECTS = 30
DUPLICATE_EVERY = 10_000

_NEW_YEAR_2009 = 1_230_768_000


def write_month(dataset: str, month: Month, path: Path, *, rows: int, defects: Sequence[str] = ()) -> None:
    """Write one month of ``dataset`` to ``path``, which appears whole or not at all.

    Args:
        path: its name tells the format, see :meth:`Format.of`.
        defects: names of what ``defects.DEFECTS`` does to the file.

    Raises:
        KeyError: there is no such dataset.
        DefectError: the file cannot have one of the defects.
    """
    order = change_order(Order(dataset, month, rows, Format.of(path)), defects)

    def fill(file: BinaryIO) -> None:
        tables = _tables(order.dataset, order.month, order.rows, order.file_format)
        write(file, change_tables(tables, defects, rows=order.rows), order.file_format)
        change_file(file, defects)

    write_atomically(path, fill, modified=stamp(month))


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


def _tables(name: str, month: Month, rows: int, file_format: Format) -> Iterator[pa.Table]:
    """The rows of one file in tables of up to ``CHUNK_ROWS`` rows, and before them a table without rows."""
    yield to_table(name, month, defaultdict(lambda: np.empty(0, dtype=np.int64)), file_format)
    dataset = DATASETS[name]
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
            with_defects = not is_tail and rows >= FEWEST_ROWS_WITH_DEFECTS
            strays = _stray(dataset, part, columns) if with_defects else None
            if file_format is Format.PARQUET:  # after the draws for the columns of both layouts, which stay the same
                columns |= tlc.more_columns(name, part, columns)
            if strays is not None:
                _repeat_rows(part, columns, apart_from=strays)
            yield to_table(name, month, columns, file_format)


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
