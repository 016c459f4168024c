"""Converts values from a file's types to the contract's types, exactly or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as compute
from pyarrow import types

from nyc_taxi.parquet.schema import arrow_type
from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.model import ContractError

# The names of the types in messages.
NOUNS = {
    Type.INTEGER: "integer",
    Type.FLOAT: "amount",
    Type.STRING: "text value",
    Type.DATE: "date",
    Type.DATETIME: "wall-clock time",
}

# Converts a whole array, or raises ArrowInvalid if one of its values does not fit.
Converter = Callable[[pa.Array], pa.Array]


def converter(given: pa.DataType, column: Column) -> Converter:
    """Return the conversion from values of the type ``given`` to values of ``column``.

    Wall-clock times have no time zone, so times with one are refused. Times as text are accepted in the form of CSV
    files, ``2021-01-01 00:15:56``.

    Raises:
        ContractError: there is no exact conversion; the message names the column and both types.
    """
    if types.is_dictionary(given):
        convert_entry = converter(given.value_type, column)
        return lambda values: convert_entry(values.dictionary_decode())
    if types.is_null(given):
        return _cast(arrow_type(column))
    for applies, convert in _CONVERTERS[column.type]:
        if applies(given):
            return convert
    raise ContractError(f"column {column.name} has type {given}; expected {NOUNS[column.type]}")


def whole_numbers(text: pa.Array) -> pa.Array:
    """Parse integers from text, which may be written as ``1.0``, as pandas does for a column with nulls.

    The digits are parsed as an integer and never as a float, so large numbers stay exact.
    """
    return compute.replace_substring_regex(compute.utf8_trim_whitespace(text), r"\.0+$", "").cast(pa.int64())


def is_text(given: pa.DataType) -> bool:
    """Return whether values of the type ``given`` are text."""
    return types.is_string(given) or types.is_large_string(given) or types.is_string_view(given)


def _cast(type_: pa.DataType) -> Converter:
    return lambda values: values.cast(type_)


def _same(values: pa.Array) -> pa.Array:
    return values


def _whole(values: pa.Array) -> pa.Array:
    # Out of range, the result of the cast depends on the processor.
    if compute.any(compute.greater_equal(values.cast(pa.float64()), 2.0**63)).as_py():
        raise pa.ArrowInvalid("not in range")
    return values.cast(pa.int64())


def _finite(values: pa.Array) -> pa.Array:
    """Refuse nan and inf, which Arrow accepts as numbers and the TLC does not write."""
    values = values.cast(pa.float64())
    if compute.index(compute.is_finite(values), False).as_py() >= 0:
        raise pa.ArrowInvalid("not finite")
    return values


def _text(values: pa.Array) -> pa.Array:
    """Decode bytes as UTF-8, and each value that is not valid UTF-8 as Latin-1; a file may have both."""
    values = values.cast(pa.binary())
    try:
        text = values.cast(pa.string())
    except pa.ArrowInvalid:
        text = pa.array([None if value is None else _decoded(value) for value in values.to_pylist()], pa.string())
    if compute.any(compute.match_substring(text, "\0")).as_py():  # Postgres cannot store it
        raise pa.ArrowInvalid("a NUL character")
    return text


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _is_bytes(given: pa.DataType) -> bool:
    return types.is_binary(given) or types.is_large_binary(given) or types.is_binary_view(given)


_DATETIME = pa.timestamp("us")
# For each type of the contract: the types that can be converted to it, and how.
_CONVERTERS: dict[Type, Sequence[tuple[Callable[[pa.DataType], bool], Converter]]] = {
    Type.INTEGER: (
        (types.is_int64, _same),
        (types.is_integer, _cast(pa.int64())),
        (types.is_floating, _whole),
        (types.is_decimal, _cast(pa.int64())),
    ),
    Type.FLOAT: (
        (types.is_floating, _finite),
        (types.is_integer, _cast(pa.float64())),
        # Through text, because Arrow's own cast does not always give the nearest double.
        (types.is_decimal, lambda values: values.cast(pa.string()).cast(pa.float64())),
    ),
    Type.STRING: (
        (is_text, _text),
        (_is_bytes, _text),
        (types.is_fixed_size_binary, _text),
    ),
    Type.DATE: (),
    Type.DATETIME: (
        (lambda given: types.is_timestamp(given) and given.tz is None, _cast(_DATETIME)),
        # Through plain strings, because Arrow cannot parse times in string views.
        (is_text, lambda values: values.cast(pa.string()).cast(_DATETIME)),
    ),
}
