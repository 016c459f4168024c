"""Shared parts of the CSV and Parquet readers: record batches in the contract's columns and types, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from nyc_taxi.parquet.casting import NOUNS, REMEDIES, Converter, is_text
from nyc_taxi.parquet.schema import arrow_type
from nyc_taxi.registry.columns import Column
from nyc_taxi.registry.model import ContractError


class Reading(NamedTuple):
    """The rows of a file, in the columns of its dataset.

    Attributes:
        batches: the rows, as record batches of the dataset's ``source_columns``.
        ignored: the names of the file's columns that are left out.
        share: returns the share of the file that has been read, from 0 to 1.
    """

    batches: Iterator[pa.RecordBatch]
    ignored: tuple[str, ...]
    share: Callable[[], float]


class Binding(NamedTuple):
    """A column of the contract, and the source of its values.

    Attributes:
        column: the column.
        name: its name in the batches that are read; None if the file lacks it.
        convert: converts the values that are read to the column's type.
    """

    column: Column
    name: str | None
    convert: Converter


def conform(batch: pa.RecordBatch, bindings: Sequence[Binding], *, first_row: int) -> pa.RecordBatch:
    """Convert a batch to the contract's columns, order and types; columns that the file lacks are null.

    Args:
        batch: rows as they were read.
        bindings: the contract's columns, in order.
        first_row: the number of the batch's first row in the file, for messages.

    Raises:
        ContractError: a value does not fit its column's type; the message names column and row.
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
            problem = f"{_shown(values[index])} is not a valid {NOUNS[column.type]}; {REMEDIES[column.type]}"
            raise ContractError(f"column {column.name}: row {first_row + index}: {problem}") from error
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column, _, _ in bindings])


def is_system_error(error: Exception) -> bool:
    """Return whether the operating system raised the error; Arrow's errors about a file's content have no errno."""
    return isinstance(error, OSError) and error.errno is not None


def first_bytes(source: Path) -> str:
    """Return the first bytes of a file, for messages about files whose content does not match their name."""
    with source.open("rb") as file:
        return repr(file.read(24).decode("ascii", "backslashreplace"))


def _first_refused(values: pa.Array, convert: Converter) -> int:
    """Return the index of the first value that cannot be converted, by binary search."""
    begin, end = 0, len(values)  # the value is in [begin, end)
    while end - begin > 1:
        middle = (begin + end) // 2
        try:
            convert(values.slice(begin, middle - begin))
            begin = middle
        except pa.ArrowInvalid:
            end = middle
    return begin


def _shown(value: pa.Scalar, *, longest: int = 60) -> str:
    """Return the value as text; shortened, because a field may have hundreds of kilobytes."""
    if isinstance(value, pa.DictionaryScalar):
        value = value.value
    content = value.as_py() if not pa.types.is_timestamp(value.type) else value.cast(pa.string()).as_py()
    if isinstance(content, bytes):
        content = content.decode("utf-8", "backslashreplace")
    elif not is_text(value.type):
        return str(content)
    return repr(content) if len(content) <= longest else f"{content[:longest]!r}..."
