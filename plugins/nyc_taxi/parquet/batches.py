"""What the readers of CSV and of Parquet have in common: rows in the contract's columns and types, or an error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from nyc_taxi.parquet.casting import NOUNS, Converter, is_text
from nyc_taxi.parquet.schema import arrow_type
from nyc_taxi.registry.columns import Column
from nyc_taxi.registry.model import ContractError


class Reading(NamedTuple):
    """What a file has for its dataset.

    Attributes:
        batches: its rows, as record batches of the dataset's ``source_columns``.
        ignored: the names of its columns that are left out.
    """

    batches: Iterator[pa.RecordBatch]
    ignored: tuple[str, ...]


class Binding(NamedTuple):
    """A column of the contract, and where its values come from.

    Attributes:
        column: the column.
        name: its name in the batches that are read; None if the file does not have it.
        convert: what makes the contract's type of what is read.
    """

    column: Column
    name: str | None
    convert: Converter


def conform(batch: pa.RecordBatch, bindings: Sequence[Binding], *, first_row: int) -> pa.RecordBatch:
    """Bring a batch into the contract's columns, order and types; the columns that the file lacks are null.

    Args:
        batch: some rows, as they were read.
        bindings: the contract's columns, in its order.
        first_row: the number of the batch's first row in its file, for messages.

    Raises:
        ContractError: a value cannot be of its column's type; the message names column and row.
    """
    arrays = []
    for column, name, convert in bindings:
        if name is None:
            arrays.append(pa.nulls(batch.num_rows, arrow_type(column)))
            continue
        values = batch.column(name)
        try:
            arrays.append(convert(values))
        except pa.ArrowInvalid as error:
            index = _first_refused(values, convert)
            problem = f"{_shown(values[index])} is no {NOUNS[column.type]}"
            raise ContractError(f"column {column.name}: row {first_row + index}: {problem}") from error
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column, _, _ in bindings])


def is_the_systems(error: Exception) -> bool:
    """Whether the operating system failed, and not the file's content: Arrow's own errors carry no number."""
    return isinstance(error, OSError) and error.errno is not None


def first_bytes(source: Path) -> str:
    """How the file begins, for messages about files that are something else than their name says."""
    with source.open("rb") as file:
        return repr(file.read(24).decode("ascii", "backslashreplace"))


def _first_refused(values: pa.Array, convert: Converter) -> int:
    """The index of the first value that cannot be converted, found by halving."""
    begin, end = 0, len(values)  # it is in [begin, end)
    while end - begin > 1:
        middle = (begin + end) // 2
        try:
            convert(values.slice(begin, middle - begin))
            begin = middle
        except pa.ArrowInvalid:
            end = middle
    return begin


def _shown(value: pa.Scalar) -> str:
    try:
        return repr(value.as_py()) if is_text(value.type) else str(value.as_py())
    except (ValueError, OverflowError):  # bytes that are not UTF-8, times that Python does not have
        return "the value"
