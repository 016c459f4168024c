"""Reads a published CSV file as record batches of its dataset's columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv as pc

from nyc_taxi.parquet.batches import Binding, Reading, conform, is_system_error
from nyc_taxi.parquet.casting import converter, csv_converter
from nyc_taxi.parquet.column_matching import match_columns
from nyc_taxi.parquet.gzip_file import GZIP_MAGIC, check_beginning, open_csv_bytes
from nyc_taxi.parquet.quotes import checked
from nyc_taxi.parquet.schema import arrow_type
from nyc_taxi.registry.columns import Column, Layout, Type
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import Month

# CSV is parsed one block at a time; bounds memory use.
BLOCK_BYTES = 1 << 19
HEADER_BYTES = 1 << 16


class _Header(NamedTuple):
    """The names of the columns, and the number of empty lines before them."""

    names: list[str]
    empty_lines: int


class _Way(NamedTuple):
    """A way to read the rows.

    Attributes:
        as_text: parse the values with ``nyc_taxi.parquet.spelling`` instead of Arrow's CSV reader.
        with_rows: read with one thread, because only then does Arrow's error name the row, and find the end of a row
            even if a quoted field has line breaks.
    """

    as_text: bool
    with_rows: bool


# From the fastest to the slowest.
_WAYS = (_Way(False, False), _Way(True, False), _Way(True, True))


def read_csv(source: Path, dataset: Dataset, month: Month | None, *, accept_unknown: bool) -> Reading:
    """Read a CSV file, gzipped if its name ends in ``.gz``. The header is row 1; empty lines are not counted.

    Raises:
        ContractError: the header does not match the contract (raised at once), or a row does not match or the file is
            truncated (raised while the batches are read).
    """
    header = _header(source)
    places, ignored = match_columns(header.names, dataset, Layout.MIRROR, month, accept_unknown=accept_unknown)
    bound = dict(zip(dataset.source_columns, places, strict=True))
    position = _Position(source)
    return Reading(_batches(source, bound, header, position), ignored, position.share)


def _header(source: Path) -> _Header:
    check_beginning(source)
    try:
        with open_csv_bytes(source).stream as stream:
            head = stream.read(HEADER_BYTES)
    except OSError as error:
        if is_system_error(error):
            raise
        raise ContractError(_archive_problem(str(error))) from error
    if head.startswith(GZIP_MAGIC):
        raise ContractError("it is gzipped twice; unpack it once at the source")
    for number, line in enumerate(re.split(rb"\r\n|\r|\n", head.removeprefix(b"\xef\xbb\xbf"))):
        if line.strip():
            return _Header(next(csv.reader([line.decode("utf-8", "replace")])), number)
    raise ContractError("it is empty: it has no header; check the file at the source")


class _Position:
    """How much of a file has been read, in whichever way."""

    def __init__(self, source: Path) -> None:
        self._size = source.stat().st_size
        self.packed: pa.NativeFile | None = None

    def share(self) -> float:
        """Return the share from 0 to 1."""
        if self.packed is None or self.packed.closed:
            return 0.0 if self.packed is None else 1.0
        return float(self.packed.tell() / self._size)


def _batches(
    source: Path, bound: dict[Column, int | None], header: _Header, position: _Position
) -> Iterator[pa.RecordBatch]:
    """Read in the fastest way, and continue in a slower one from the row at which that fails."""
    rows = 0
    for way in _WAYS:
        bindings = [_binding(column, place, way) for column, place in bound.items()]
        try:
            opened = open_csv_bytes(source)
            position.packed = opened.packed
            for batch in _from_row(rows, _open(checked(opened.stream), bound, header, way)):
                yield conform(batch, bindings, first_row=rows + 2)
                rows += batch.num_rows
            return
        except ContractError:
            if way.as_text:
                raise
        except (pa.ArrowInvalid, OSError) as error:
            if is_system_error(error):
                raise
            refusal = _explained(str(error), header, rows)
    raise ContractError(refusal)


def _binding(column: Column, place: int | None, way: _Way) -> Binding:
    convert = converter(pa.binary(), column) if way.as_text else csv_converter(column)
    return Binding(column, None if place is None else column.name, convert)


def _read_type(column: Column, way: _Way) -> pa.DataType:
    if way.as_text or column.type is Type.STRING:
        return pa.binary()  # some values are not UTF-8
    # Arrow's CSV reader would accept a date, or hours alone, as a time.
    return pa.string() if column.type is Type.DATETIME else arrow_type(column)


def _open(stream: pa.NativeFile, bound: dict[Column, int | None], header: _Header, way: _Way) -> pc.CSVStreamingReader:
    names = [f"#{place}" for place in range(len(header.names))]  # columns that are left out need names, too
    read = {column.name: _read_type(column, way) for column, place in bound.items() if place is not None}
    for column, place in bound.items():
        if place is not None:
            names[place] = column.name
    return pc.open_csv(
        stream,
        read_options=pc.ReadOptions(
            use_threads=not way.with_rows,
            block_size=BLOCK_BYTES,
            column_names=names,
            skip_rows=header.empty_lines + 1,
        ),
        parse_options=pc.ParseOptions(newlines_in_values=way.with_rows),
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


def _explained(error: str, header: _Header, rows: int) -> str:
    """Return what is wrong with the file, from Arrow's message."""
    if "Could not skip initial" in error:  # Arrow's message for a header without a line break after it
        return "it has a header but no rows; check the file at the source"
    if "straddling object" in error:
        return f"after row {rows + 1}: a row is longer than {BLOCK_BYTES:,} bytes; check its quotes and line ends"
    if found := re.search(r"Row #(\d+): (Expected .*)", error, re.DOTALL):
        # Arrow counts the lines before the header.
        row, problem = int(found[1]) - header.empty_lines, found[2]
        return f"row {row}: {problem}; write each row with the fields of the header"
    return _archive_problem(error)


def _archive_problem(error: str) -> str:
    remedy = "get a whole copy from the source"
    if "Truncated compressed stream" in error:
        return f"it is cut short: its gzip data does not end; {remedy}"
    if "incorrect data check" in error or "incorrect length check" in error:
        return f"it is damaged: its gzip checksum does not match; {remedy}"
    if re.search("incorrect header check|unknown compression method|unknown header flags|header crc", error):
        return "it has bytes that are not gzip before or behind its data; remove them at the source"
    return f"it is damaged: {error}; {remedy}"
