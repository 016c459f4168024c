"""Converts a published CSV file to typed Parquet that follows the registry, in bounded memory.

Strict: every column of the contract must be there, no other may be, and every value must be of its column's type. A
file that does not agree is refused whole, with the file, the column and the row in the message.
"""

from __future__ import annotations

import csv
import queue
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.csv as pc
import pyarrow.parquet as pq

from nyc_taxi.datasets import ContractError, Dataset, Type
from nyc_taxi.files import whole_file
from nyc_taxi.months import Month
from nyc_taxi.schema import arrow_schema, arrow_type

# One block of CSV is parsed at a time and READ_AHEAD of them wait for the writer: this bounds the memory.
BLOCK_BYTES = 1 << 20
READ_AHEAD = 4
ROW_GROUP_ROWS = 1 << 16


def csv_to_parquet(source: Path, target: Path, *, dataset: Dataset, month: Month | None) -> int:
    """Convert one published CSV file, plain or gzipped by its name, to one Parquet file.

    Values are kept as they are: no row is dropped, moved or repeated, empty fields become nulls. The file's name and
    month are appended as the lineage columns.

    Args:
        source: the CSV file, with a header line.
        target: the Parquet file (zstd) to write. It appears whole and is replaced by a repeated call.
        dataset: the contract.
        month: the month whose file this is; None for a dataset without months.

    Returns:
        The number of rows.

    Raises:
        ContractError: the file is no CSV of this dataset: empty, without rows, cut short, a column missing or
            unknown, a row with too few fields, a value of another type.
        OSError: the source cannot be opened or the target cannot be written, for example because the disk is full.
    """
    _check_header(source, dataset)
    lineage = [pa.scalar(month.first_day if month else None, pa.date32()), pa.scalar(source.name, pa.string())]
    try:
        with whole_file(target) as temporary:
            rows = _write(_finite(_read_ahead(_batches(source, dataset)), source), temporary, dataset, lineage)
            if rows == 0:
                raise ContractError(_no_rows(source))
            return rows
    except (pa.ArrowInvalid, OSError) as error:
        if _is_the_systems(error):
            raise
        raise ContractError(_explain(source, dataset, error)) from error


def _check_header(source: Path, dataset: Dataset) -> None:
    """Compare the header with the contract before anything is converted."""
    try:
        with pa.input_stream(source, compression="detect") as stream:
            first_line = stream.read(1 << 16).split(b"\n", 1)[0]
    except OSError as error:
        if _is_the_systems(error):
            raise
        raise ContractError(f"{source.name} cannot be read: {error}") from error
    if not first_line.strip():
        raise ContractError(f"{source.name} is empty: it has no header")
    names = next(csv.reader([first_line.decode("utf-8", "replace").rstrip("\r")]))
    expected = [column.name for column in dataset.source_columns]
    if names != expected:
        missing = ", ".join(name for name in expected if name not in names)
        unknown = ", ".join(name for name in names if name not in expected)
        repeated = ", ".join(sorted({name for name in names if names.count(name) > 1}))
        problems = [
            f"{what}: {which}"
            for what, which in (("missing", missing), ("unknown", unknown), ("repeated", repeated))
            if which
        ]
        if problems:
            raise ContractError(f"{source.name} does not have the columns of {dataset.name}; {'; '.join(problems)}")


def _is_the_systems(error: Exception) -> bool:
    """Whether the operating system failed, and not the file's content: Arrow's own errors carry no number."""
    return isinstance(error, OSError) and error.errno is not None


def _open(source: Path, dataset: Dataset, *, use_threads: bool = True) -> pc.CSVStreamingReader:
    return pc.open_csv(
        source,
        read_options=pc.ReadOptions(use_threads=use_threads, block_size=BLOCK_BYTES),
        convert_options=pc.ConvertOptions(
            column_types={column.name: arrow_type(column) for column in dataset.source_columns},
            include_columns=[column.name for column in dataset.source_columns],
            # Only the empty field is null: the default list would also swallow words such as "NA".
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )


def _batches(source: Path, dataset: Dataset) -> Iterator[pa.RecordBatch]:
    yield from _open(source, dataset)


def _read_ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Parse in a thread while the caller writes: both release the interpreter, so that two cores are used."""
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
        except BaseException as error:  # handed to the caller's thread, which raises it
            put(error)

    reader = threading.Thread(target=read, name="csv-reader", daemon=True)
    reader.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        reader.join()


def _finite(batches: Iterator[pa.RecordBatch], source: Path) -> Iterator[pa.RecordBatch]:
    """Refuse what Arrow takes for a number and the TLC does not write: nan and inf.

    Raises:
        ContractError: naming the column and the row, counted with the header as Arrow does.
    """
    rows = 0
    for batch in batches:
        for field, column in zip(batch.schema, batch.columns, strict=True):
            if not pa.types.is_floating(field.type):
                continue
            index = compute.index(compute.is_finite(column), False).as_py()
            if index >= 0:
                raise ContractError(
                    f"{source.name}: column {field.name}: row {rows + index + 2}: {column[index]} is no amount"
                )
        rows += batch.num_rows
        yield batch


def _write(batches: Iterator[pa.RecordBatch], target: Path, dataset: Dataset, lineage: list[pa.Scalar]) -> int:
    schema = arrow_schema(dataset)
    rows = 0
    with pq.ParquetWriter(target, schema, compression="zstd", use_dictionary=_dictionary_columns(dataset)) as writer:
        for group in _row_groups(batches):
            columns = group.columns + [pa.repeat(value, group.num_rows) for value in lineage]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            rows += group.num_rows
    return rows


def _dictionary_columns(dataset: Dataset) -> list[str]:
    """The columns worth a dictionary: all but the times, whose values hardly repeat."""
    return [column.name for column in dataset.columns if column.type is not Type.DATETIME]


def _row_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Gather the small batches of the reader into row groups."""
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


def _explain(source: Path, dataset: Dataset, error: Exception) -> str:
    """Say what is wrong with the file, and where.

    Arrow knows the row only when it reads with one thread, so the file is read a second time, that way.
    """
    try:
        for _ in _open(source, dataset, use_threads=False):
            pass
    except (pa.ArrowInvalid, OSError) as located:
        error = located

    if "Empty CSV file" in str(error):  # Arrow's word for a header without a line end behind it
        return _no_rows(source)

    def column_name(match: re.Match[str]) -> str:
        return f"column {_header_names(source)[int(match.group(1))]}"

    reason = re.sub(r"In CSV column #(\d+)", column_name, str(error)).replace("Row #", "row ")
    return f"{source.name} is no valid file of {dataset.name}: {reason}"


def _no_rows(source: Path) -> str:
    return f"{source.name} has a header and no rows"


def _header_names(source: Path) -> list[str]:
    with pc.open_csv(source, read_options=pc.ReadOptions(use_threads=False)) as reader:
        return reader.schema.names
