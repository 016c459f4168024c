"""Converts a published file to typed Parquet that matches the registry, in bounded memory.

The conversion is strict: the file must have every required column, and every value must fit its column's type exactly.
A file that does not match is refused as a whole; the message names the file, the column and the row. Rows are numbered
from 1; in CSV, the header is row 1, and empty lines are not counted.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from nyc_taxi.common.files import whole_file
from nyc_taxi.common.progress import Progress
from nyc_taxi.common.text import printable
from nyc_taxi.parquet.provenance import METADATA_KEY
from nyc_taxi.parquet.read_csv import read_csv
from nyc_taxi.parquet.read_parquet import read_parquet
from nyc_taxi.parquet.schema import arrow_schema
from nyc_taxi.registry.columns import Type
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import Month

# Maximum number of batches queued for the writer; bounds memory use.
READ_AHEAD = 8
ROW_GROUP_ROWS = 1 << 16

log = logging.getLogger(__name__)


class Converted(NamedTuple):
    """The result of a conversion: the number of rows, and the names of the source's columns that were left out."""

    rows: int
    ignored: tuple[str, ...]


def to_parquet(
    source: Path,
    target: Path,
    *,
    dataset: Dataset,
    month: Month | None,
    provenance: str = "",
    accept_unknown: bool = False,
) -> Converted:
    """Convert one published file to one Parquet file: Parquet if its name ends in ``.parquet``, else CSV.

    Values, rows and their order are kept. Columns are matched by name and written in the registry's order, followed by
    the lineage columns; columns that the source's layout lacks are null, and so are empty CSV fields.

    Args:
        source: a Parquet file, or a CSV file with a header line, gzipped if its name ends in ``.gz``.
        target: the Parquet file (zstd) to write, atomically; an existing one is replaced.
        dataset: the contract.
        month: the month of the file; None for a dataset without months.
        provenance: the line that ``read_provenance`` returns for the target; none is written if it is empty.
        accept_unknown: whether to leave out unknown columns instead of refusing the file.

    Raises:
        ContractError: the file does not match the dataset's contract: it is empty, truncated or damaged, a column is
            missing, unknown or repeated, a row has too few fields, or a value does not fit its column's type.
        DiskFullError: the disk is full.
        OSError: the source cannot be opened or the target cannot be written.
    """
    read = read_parquet if source.suffix == ".parquet" else read_csv
    lineage = [pa.scalar(month.first_day if month else None, pa.date32()), pa.scalar(source.name, pa.string())]
    try:
        reading = read(source, dataset, month, accept_unknown=accept_unknown)
        progress = Progress(log, f"conversion of {source.name}")
        # Closed explicitly: otherwise an exception that is kept somewhere would keep the reader thread and the file.
        with whole_file(target) as temporary, progress, closing(_read_ahead(reading.batches)) as ahead:

            def report(rows: int) -> None:
                progress.reach(rows=rows, size=temporary.stat().st_size, share=reading.share)

            rows = _write(ahead, temporary, dataset, lineage, provenance, report)
            progress.complete(rows=rows, size=temporary.stat().st_size)
            if rows == 0:
                raise ContractError("it has columns but no rows; check the file at the source")
    except ContractError as error:
        # Without the original error: Arrow's text quotes values of the file as they are, also escape sequences.
        raise _refusal(source, dataset, error) from None
    return Converted(rows, reading.ignored)


def _refusal(source: Path, dataset: Dataset, error: ContractError) -> ContractError:
    # Thirty names of columns fit, and the advice after them.
    return ContractError(f"{source.name} is not a valid {dataset.name} file: {printable(error, longest=4000)}")


def _read_ahead(batches: Iterator[pa.RecordBatch]) -> Generator[pa.RecordBatch, None, None]:
    """Read in a thread while the caller writes; both release the GIL, so they use two cores."""
    waiting: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(READ_AHEAD)
    stopped = threading.Event()

    def put(item: pa.RecordBatch | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                break
            except queue.Full:
                continue

    def read() -> None:
        try:
            for batch in batches:
                put(batch)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:  # raised again in the caller's thread
            put(error)

    reader = threading.Thread(target=read, name="reader", daemon=True)
    reader.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        reader.join()


def _write(
    batches: Iterator[pa.RecordBatch],
    target: Path,
    dataset: Dataset,
    lineage: list[pa.Scalar],
    provenance: str,
    report: Callable[[int], None],
) -> int:
    """Write the file and return its number of rows; reports the number so far before each row group but the first."""
    schema = arrow_schema(dataset)
    rows = 0
    with pq.ParquetWriter(target, schema, compression="zstd", use_dictionary=_dictionary_columns(dataset)) as writer:
        if provenance:
            writer.add_key_value_metadata({METADATA_KEY: provenance})
        for group in _row_groups(batches):
            if rows:
                report(rows)
            columns = group.columns + [pa.repeat(value, group.num_rows) for value in lineage]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            rows += group.num_rows
    return rows


def _dictionary_columns(dataset: Dataset) -> list[str]:
    """Return the columns to dictionary-encode: all but the times, whose values rarely repeat."""
    return [column.name for column in dataset.columns if column.type is not Type.DATETIME]


def _row_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Combine the reader's small batches into row groups."""
    gathered: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        gathered.append(batch)
        rows += batch.num_rows
        if rows >= ROW_GROUP_ROWS:
            yield pa.Table.from_batches(gathered)
            gathered, rows = [], 0
    if gathered:
        yield pa.Table.from_batches(gathered)
