"""Reads a published CSV file as record batches of its dataset's columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc

from nyc_taxi.parquet.batches import Binding, Reading, conform, first_bytes, is_system_error
from nyc_taxi.parquet.casting import converter, whole_numbers
from nyc_taxi.parquet.column_matching import match_columns
from nyc_taxi.parquet.schema import arrow_type
from nyc_taxi.registry.columns import Column, Layout, Type
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import Month

# CSV is parsed one block at a time; bounds memory use.
BLOCK_BYTES = 1 << 19
HEADER_BYTES = 1 << 16


def read_csv(source: Path, dataset: Dataset, month: Month | None, *, accept_unknown: bool) -> Reading:
    """Read a CSV file, gzipped if its name ends in ``.gz``. The header is row 1; empty lines are not counted.

    Raises:
        ContractError: the header does not match the contract (raised at once), or a row does not match or the file is
            truncated (raised while the batches are read).
    """
    names = _header(source)
    places, ignored = match_columns(names, dataset, Layout.MIRROR, month, accept_unknown=accept_unknown)
    bound = dict(zip(dataset.source_columns, places, strict=True))
    return Reading(_batches(source, bound, width=len(names)), ignored)


def _header(source: Path) -> list[str]:
    try:
        with pa.input_stream(source, compression="detect") as stream:
            head = stream.read(HEADER_BYTES)
    except OSError as error:
        if is_system_error(error):
            raise
        raise ContractError(f"it cannot be read: {error}; it begins with {first_bytes(source)}") from error
    line = re.split(rb"[\r\n]", head, maxsplit=1)[0]
    if not line.strip():
        raise ContractError("it is empty: it has no header")
    return next(csv.reader([line.decode("utf-8-sig", "replace")]))


def _batches(source: Path, bound: dict[Column, int | None], width: int) -> Iterator[pa.RecordBatch]:
    """Read in the fastest way, and continue in a slower one from the row at which that fails.

    Arrow's integer parser comes first; then integers are read as text, because some files write them as ``1.0``. The
    last way uses one thread, because only then does Arrow's error name the row.
    """
    rows = 0
    for integers_as_text, use_threads in ((False, True), (True, True), (True, False)):
        bindings = [_binding(column, place, integers_as_text) for column, place in bound.items()]
        try:
            reader = _open(source, bound, width, integers_as_text=integers_as_text, use_threads=use_threads)
            for batch in _from_row(rows, reader):
                yield conform(batch, bindings, first_row=rows + 2)
                rows += batch.num_rows
            return
        except (pa.ArrowInvalid, OSError) as error:
            if is_system_error(error):
                raise
            refusal = _explained(error, bound)
    raise ContractError(refusal)


def _binding(column: Column, place: int | None, integers_as_text: bool) -> Binding:
    text_to_integer = integers_as_text and column.type is Type.INTEGER
    convert = whole_numbers if text_to_integer else converter(_read_type(column, integers_as_text), column)
    return Binding(column, None if place is None else column.name, convert)


def _read_type(column: Column, integers_as_text: bool) -> pa.DataType:
    if column.type is Type.STRING:
        return pa.binary()  # some values are not UTF-8
    if column.type is Type.INTEGER and integers_as_text:
        return pa.string()
    return arrow_type(column)


def _open(
    source: Path, bound: dict[Column, int | None], width: int, *, integers_as_text: bool, use_threads: bool
) -> pc.CSVStreamingReader:
    names = [f"#{place}" for place in range(width)]  # columns that are left out need names, too
    read = {column.name: _read_type(column, integers_as_text) for column, place in bound.items() if place is not None}
    for column, place in bound.items():
        if place is not None:
            names[place] = column.name
    return pc.open_csv(
        source,
        read_options=pc.ReadOptions(use_threads=use_threads, block_size=BLOCK_BYTES, column_names=names, skip_rows=1),
        convert_options=pc.ConvertOptions(
            column_types=read,
            include_columns=list(read),
            # Only an empty field is null; the default list would also turn words such as "NA" into nulls.
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )


def _from_row(rows: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Iterate over the batches without their first ``rows`` rows."""
    for batch in batches:
        if rows < batch.num_rows:
            yield batch.slice(rows)
        rows = max(0, rows - batch.num_rows)


def _explained(error: Exception, bound: dict[Column, int | None]) -> str:
    """Return Arrow's message with the names of the columns."""
    if "Could not skip initial" in str(error):  # Arrow's message for a header without a line break after it
        return "it has a header but no rows"
    columns = {place: column.name for column, place in bound.items()}
    reason = re.sub(r"In CSV column #(\d+)", lambda match: f"column {columns[int(match.group(1))]}", str(error))
    reason = re.sub(r"CSV (conversion error to [^:]+|parse error): ", "", reason)
    return reason.replace("Row #", "row ")
