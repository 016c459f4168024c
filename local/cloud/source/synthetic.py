"""Writes synthetic months, as the mirror's csv.gz files or the TLC's Parquet files.

The rows depend only on the dataset, the month, the number of rows and ``VERSION``: both layouts have the same rows, on
every machine. The bytes are the same with the same version of zlib (csv.gz) or pyarrow (Parquet). Files are drawn
and written in chunks, so memory use does not grow with their size. Schema and defects are those of published files: a
tail block without vendor, pickups outside the month, duplicate rows, refunds.
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
"""Increased whenever the content of the files changes."""

CHUNK_ROWS = 100_000
FEWEST_ROWS_WITH_DEFECTS = 30
DUPLICATE_EVERY = 10_000

_NEW_YEAR_2009 = 1_230_768_000


def write_month(dataset: str, month: Month, path: Path, *, rows: int, defects: Sequence[str] = ()) -> None:
    """Write one month of ``dataset`` to ``path``, atomically.

    Args:
        dataset: name of the dataset.
        month: the month.
        path: the file; its suffix determines the format, see :meth:`Format.of`.
        rows: number of rows.
        defects: names in ``defects.DEFECTS``, to add to the file.

    Raises:
        KeyError: the dataset is unknown.
        DefectError: the file cannot have one of the defects.
    """
    order = change_order(Order(dataset, month, rows, Format.of(path)), defects)

    def fill(file: BinaryIO) -> None:
        tables = _tables(order.dataset, order.month, order.rows, order.file_format)
        write(file, change_tables(tables, defects, rows=order.rows), order.file_format)
        change_file(file, defects)

    write_atomically(path, fill, modified=stamp(month))


def stamp(month: Month) -> int:
    """Return the modification time of a month's file: roughly its publication, and different for each ``VERSION``."""
    return month.plus(2).end + VERSION


def write_atomically(path: Path, write: Callable[[BinaryIO], object], *, modified: int) -> None:
    """Write a temporary file with ``write``, set its time to ``modified``, and rename it to ``path``."""
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
    """Yield a table without rows, then the rows of a file in tables of up to ``CHUNK_ROWS`` rows."""
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
            if file_format is Format.PARQUET:  # drawn last, so that the columns of both layouts stay the same
                columns |= tlc.more_columns(name, part, columns)
            if strays is not None:
                _repeat_rows(part, columns, apart_from=strays)
            yield to_table(name, month, columns, file_format)


def _stray(dataset: Dataset, part: Part, columns: Columns) -> Ints:
    """Move three pickups of the block out of the month, one of them to 2008 or 2009; return their rows in the part."""
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
    """Overwrite the row after the first third, and one row in ten thousand, with the row before it."""
    first = part.rows // 3
    rows = np.flatnonzero((part.positions % DUPLICATE_EVERY == DUPLICATE_EVERY // 2) | (part.positions == first))
    rows = rows[(rows > 0) & ~np.isin(rows, apart_from) & ~np.isin(rows - 1, apart_from)]
    for values in columns.values():
        values[rows] = values[rows - 1]
