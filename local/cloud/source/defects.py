"""Schema drifts and defects that can be added to a synthetic file, so that tests need no handmade files.

A defect changes one of three things: the order (which rows are written, and in which format), the rows, table by table,
or the bytes of the finished file. A defect in a single row is in the last one, after a streaming reader has already
accepted all others.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from local.cloud.source.formats import Format
from local.cloud.source.months import Month
from local.cloud.source.tlc import INDEX

_CSV = frozenset({Format.CSV_GZ, Format.CSV})
_PARQUET = frozenset({Format.PARQUET})
_ALL = _CSV | _PARQUET


class DefectError(ValueError):
    """The defect is unknown, or cannot be added to the file."""


@dataclass(frozen=True)
class Order:
    """The rows and format of a file to write."""

    dataset: str
    month: Month
    rows: int
    file_format: Format


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a file.

    Attributes:
        table: the rows.
        first: number of rows before them.
        has_last: whether they include the file's last row.
    """

    table: pa.Table
    first: int
    has_last: bool


@dataclass(frozen=True)
class Defect:
    """A schema drift or defect, implemented by one of three functions.

    Attributes:
        description: the resulting file, in a few words.
        formats: formats that can have it.
        order: changes the order.
        rows: changes consecutive rows, but not their number; must give all pieces of a file the same schema.
        file: changes the finished file, which is open and positioned at its end.
    """

    description: str
    formats: frozenset[Format] = _ALL
    order: Callable[[Order], Order] | None = None
    rows: Callable[[Piece], pa.Table] | None = None
    file: Callable[[BinaryIO], None] | None = None


def change_order(order: Order, names: Iterable[str]) -> Order:
    """Return ``order`` as changed by the defects.

    Raises:
        DefectError: a defect is unknown or does not exist in this format; the message lists the valid ones.
    """
    for name in names:
        defect = _defect(name)
        if order.file_format not in defect.formats:
            formats = ", ".join(sorted(each.value for each in defect.formats))
            raise DefectError(f"a {order.file_format.value} file cannot have the defect {name}; it exists in {formats}")
        if defect.order:
            order = defect.order(order)
    return order


def change_tables(tables: Iterator[pa.Table], names: Sequence[str], *, rows: int) -> Iterator[pa.Table]:
    """Yield ``tables``, which have ``rows`` rows in total, as changed by the defects.

    Raises:
        DefectError: the rows have no value that a defect could change.
    """
    changes = [(name, change) for name in names if (change := _defect(name).rows)]
    if changes and not rows:
        raise DefectError(f"a file without rows cannot have the defect {changes[0][0]}")
    first = 0
    for table in tables:
        end = first + len(table)
        for name, change in changes:
            try:
                table = change(Piece(table, first, has_last=first < end == rows))
            except (DefectError, pa.ArrowInvalid) as error:
                raise DefectError(f"the file cannot have the defect {name}: {error}") from error
        yield table
        first = end


def change_file(file: BinaryIO, names: Iterable[str]) -> None:
    """Apply the defects to the finished file, which is open and positioned at its end."""
    for name in names:
        if change := _defect(name).file:
            change(file)


def _defect(name: str) -> Defect:
    try:
        return DEFECTS[name]
    except KeyError:
        raise DefectError(f"unknown defect {name}; choose from {', '.join(DEFECTS)}") from None


# -- columns -----------------------------------------------------------------------------------------------------------

_ZONES = ("PULocationID",)
_WHOLE_NUMBERS = ("passenger_count", "DOLocationID")
_AMOUNTS = ("total_amount", "base_passenger_fare")
_TOTALS = ("total_amount",)
_TEXTS = ("store_and_fwd_flag", "Affiliated_base_number", "dispatching_base_num")
_DROPOFFS = ("tpep_dropoff_datetime", "lpep_dropoff_datetime", "dropoff_datetime")


def _find(table: pa.Table, names: Sequence[str]) -> int:
    """Return the index of the first of ``names`` that is a column, ignoring case."""
    places = {name.lower(): place for place, name in enumerate(table.column_names)}
    for name in names:
        if name.lower() in places:
            return places[name.lower()]
    raise DefectError(f"it has no column {' or '.join(names)}")


def _with_column(table: pa.Table, place: int, values: pa.ChunkedArray, name: str | None = None) -> pa.Table:
    return table.set_column(place, name or table.column_names[place], values)


def _with_last(piece: Piece, names: Sequence[str], value: object, type_: pa.DataType | None = None) -> pa.Table:
    """Return the table with ``value`` in the file's last row, in the column ``names``, which is cast to ``type_``."""
    place = _find(piece.table, names)
    values = piece.table[place]
    values = values.cast(type_) if type_ else values
    if piece.has_last:
        last = pa.array([pa.scalar(value).cast(values.type).as_py()], values.type)
        values = pa.chunked_array([*values.slice(0, len(values) - 1).chunks, last], values.type)
    return _with_column(piece.table, place, values)


def _cast(table: pa.Table, applies: Callable[[pa.DataType], bool], cast: Callable[..., pa.ChunkedArray]) -> pa.Table:
    """Return the table with ``cast`` applied to the columns whose type ``applies``."""
    for place, field in enumerate(table.schema):
        if applies(field.type):
            table = _with_column(table, place, cast(table[place]))
    return table


# -- implementations ---------------------------------------------------------------------------------------------------

_OTHER_DATASETS = {"yellow": "green", "green": "yellow", "fhv": "fhvhv", "fhvhv": "fhv"}
_HTML = b"""<!DOCTYPE html>
<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>
"""


def _unknown_column(piece: Piece) -> pa.Table:
    return piece.table.append_column("unknown_fee", pa.array([1.5] * len(piece.table), pa.float64()))


def _missing_column(piece: Piece) -> pa.Table:
    return piece.table.remove_column(_find(piece.table, _ZONES))


def _renamed_column(piece: Piece) -> pa.Table:
    place = _find(piece.table, _ZONES)
    return _with_column(piece.table, place, piece.table[place], "pickup_zone")


def _column_twice(piece: Piece) -> pa.Table:
    place = _find(piece.table, _ZONES)
    return piece.table.append_column(piece.table.column_names[place].swapcase(), piece.table[place])


def _letter_in_number(piece: Piece) -> pa.Table:
    return _with_last(piece, _WHOLE_NUMBERS, "1x", pa.string())


def _fraction_in_integer(piece: Piece) -> pa.Table:
    return _with_last(piece, _WHOLE_NUMBERS, 1.5, pa.float64())


def _float_integers(piece: Piece) -> pa.Table:
    return _cast(
        piece.table,
        pa.types.is_integer,
        lambda values: pc.binary_join_element_wise(values.cast(pa.string()), "0", "."),
    )


def _latin1(piece: Piece) -> pa.Table:
    return _with_last(piece, _TEXTS, "\N{LATIN SMALL LETTER E WITH ACUTE}\N{NO-BREAK SPACE}")


def _not_a_number(piece: Piece) -> pa.Table:
    return _with_last(piece, _AMOUNTS, "nan")


def _many_refunds(piece: Piece) -> pa.Table:
    place = _find(piece.table, _TOTALS)
    values = piece.table[place]
    if pa.types.is_string(values.type):
        negative = pc.replace_substring_regex(values, "^-?", "-", max_replacements=1)
    else:
        negative = pc.negate(pc.abs(values))
    tenth = pa.array([row % 10 == 0 for row in range(piece.first, piece.first + len(values))])
    return _with_column(piece.table, place, pc.if_else(tenth, negative, values))


def _far_year(piece: Piece) -> pa.Table:
    return _with_last(piece, _DROPOFFS, datetime.datetime(3019, 2, 3, 4, 5, 6))


def _index_column(piece: Piece) -> pa.Table:
    if INDEX in piece.table.column_names:
        raise DefectError(f"it already has a column {INDEX}")
    end = piece.first + len(piece.table)
    return piece.table.append_column(INDEX, pa.array(range(piece.first, end), pa.int64()))


def _zone_aware_times(piece: Piece) -> pa.Table:
    return _cast(piece.table, pa.types.is_timestamp, lambda values: values.cast(pa.timestamp("us", "UTC")))


def _nanosecond_times(piece: Piece) -> pa.Table:
    return _cast(piece.table, pa.types.is_timestamp, lambda values: values.cast(pa.timestamp("ns")))


def _text_times(piece: Piece) -> pa.Table:
    return _cast(
        piece.table,
        pa.types.is_timestamp,
        lambda values: pc.strftime(values.cast(pa.timestamp("s")), "%Y-%m-%d %H:%M:%S"),
    )


def _cut_short(file: BinaryIO) -> None:
    file.truncate(file.seek(0, 2) * 2 // 3)


def _empty(file: BinaryIO) -> None:
    file.truncate(file.seek(0))


def _html(file: BinaryIO) -> None:
    _empty(file)
    file.write(_HTML)


# -- the table of defects ----------------------------------------------------------------------------------------------

DEFECTS: Mapping[str, Defect] = {
    "unknown-column": Defect("a last column unknown_fee", rows=_unknown_column),
    "missing-column": Defect("no column PULocationID", rows=_missing_column),
    "renamed-column": Defect("the column PULocationID is called pickup_zone", rows=_renamed_column),
    "column-twice": Defect("a last column pulOCATIONid with the values of PULocationID", rows=_column_twice),
    "letter-in-number": Defect(
        "1x in passenger_count or DOLocationID of the last row; in Parquet the column is text",
        rows=_letter_in_number,
    ),
    "fraction-in-integer": Defect(
        "1.5 in passenger_count or DOLocationID of the last row; in Parquet the column is DOUBLE",
        rows=_fraction_in_integer,
    ),
    "float-integers": Defect("integers written as 1.0, as pandas does", _CSV, rows=_float_integers),
    "latin1": Defect(
        "the bytes E9 A0, which are not UTF-8, in store_and_fwd_flag or a base number of the last row",
        _CSV,
        rows=_latin1,
    ),
    "not-a-number": Defect("nan in total_amount or base_passenger_fare of the last row", rows=_not_a_number),
    "many-refunds": Defect("a negative total_amount in every tenth row", rows=_many_refunds),
    "far-year": Defect("a drop-off in the year 3019 in the last row", rows=_far_year),
    "index-column": Defect(f"a last column {INDEX} with the row numbers", _PARQUET, rows=_index_column),
    "zone-aware-times": Defect("times with the time zone UTC", _PARQUET, rows=_zone_aware_times),
    "nanosecond-times": Defect("times in nanoseconds", _PARQUET, rows=_nanosecond_times),
    "text-times": Defect("times as text", _PARQUET, rows=_text_times),
    "no-rows": Defect("columns, but no rows", order=lambda order: replace(order, rows=0)),
    "wrong-dataset": Defect(
        "the rows of another dataset: yellow and green, fhv and fhvhv swapped",
        order=lambda order: replace(order, dataset=_OTHER_DATASETS[order.dataset]),
    ),
    "wrong-month": Defect("the rows of the next month", order=lambda order: replace(order, month=order.month.plus(1))),
    "not-gzip": Defect(
        "uncompressed CSV",
        frozenset({Format.CSV_GZ}),
        order=lambda order: replace(order, file_format=Format.CSV),
    ),
    "cut-short": Defect("the last third of the bytes is missing", file=_cut_short),
    "empty": Defect("no bytes", file=_empty),
    "html": Defect("the HTML page of an error 404 instead of the data", file=_html),
}
