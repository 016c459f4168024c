"""Converts values of whatever type a file has them in to the contract's types: exactly, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as compute
from pyarrow import types

from nyc_taxi.parquet.schema import arrow_type
from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.model import ContractError

# What messages call values of a type.
NOUNS = {
    Type.INTEGER: "integer",
    Type.FLOAT: "amount",
    Type.STRING: "text",
    Type.DATE: "date",
    Type.DATETIME: "wall-clock time",
}

# Converts a whole array, or raises ArrowInvalid because of one of its values.
Converter = Callable[[pa.Array], pa.Array]


def converter(given: pa.DataType, column: Column) -> Converter:
    """What makes values of ``column`` of values of the type ``given``.

    Wall-clock times have no zone, so times with one are refused; times in text are taken in the form that CSV files
    have, ``2021-01-01 00:15:56``.

    Raises:
        ContractError: there is no exact way; the message names column and both types.
    """
    if types.is_dictionary(given):
        convert_entry = converter(given.value_type, column)
        return lambda values: convert_entry(values.dictionary_decode())
    if types.is_null(given):
        return _cast(arrow_type(column))
    for applies, convert in _CONVERTERS[column.type]:
        if applies(given):
            return convert
    raise ContractError(f"column {column.name} is of type {given}, which is no {NOUNS[column.type]}")


def whole_numbers(text: pa.Array) -> pa.Array:
    """Integers of text, which may write them as ``1.0``: so does pandas where a column has nulls.

    The digits are parsed, not the fraction that they would make: large numbers lose nothing.
    """
    return compute.replace_substring_regex(compute.utf8_trim_whitespace(text), r"\.0+$", "").cast(pa.int64())


def is_text(given: pa.DataType) -> bool:
    """Whether values of the type ``given`` are text."""
    return types.is_string(given) or types.is_large_string(given) or types.is_string_view(given)


def _cast(type_: pa.DataType) -> Converter:
    return lambda values: values.cast(type_)


def _same(values: pa.Array) -> pa.Array:
    return values


def _whole(values: pa.Array) -> pa.Array:
    # Beyond the range, what the cast does depends on the processor.
    if compute.any(compute.greater_equal(values.cast(pa.float64()), 2.0**63)).as_py():
        raise pa.ArrowInvalid("not in range")
    return values.cast(pa.int64())


def _finite(values: pa.Array) -> pa.Array:
    """What Arrow takes for a number and the TLC does not write is refused: nan and inf."""
    values = values.cast(pa.float64())
    if compute.index(compute.is_finite(values), False).as_py() >= 0:
        raise pa.ArrowInvalid("not finite")
    return values


def _text(values: pa.Array) -> pa.Array:
    """Text of bytes: UTF-8, and a value that is not is read as Latin-1. A file may have both."""
    values = values.cast(pa.binary())
    try:
        text = values.cast(pa.string())
    except pa.ArrowInvalid:
        text = pa.array([None if value is None else _decoded(value) for value in values.to_pylist()], pa.string())
    if compute.any(compute.match_substring(text, "\0")).as_py():  # Postgres can keep no such text
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
# For each type of the contract, the types that can become it.
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
        # By way of text: Arrow's own cast misses the nearest double.
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
        # As plain strings: Arrow reads no times in string views.
        (is_text, lambda values: values.cast(pa.string()).cast(_DATETIME)),
    ),
}
