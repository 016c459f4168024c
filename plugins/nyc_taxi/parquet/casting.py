"""Converts values from a file's types to the contract's types, exactly or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as compute
from pyarrow import types

from nyc_taxi.parquet.schema import arrow_type
from nyc_taxi.parquet.spelling import DATETIME, EXACT_BELOW, amounts, finite, integers, storable, times
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
# What to do about a value that is not one of its type.
REMEDIES = {
    Type.INTEGER: "correct it at the source, to the form 12",
    Type.FLOAT: "correct it at the source, to the form 5.5",
    Type.STRING: "correct it at the source: no NUL characters, at most 4,096 bytes",
    Type.DATE: "correct it at the source, to the form 2021-01-01",
    Type.DATETIME: "correct it at the source, to the form 2021-01-01 00:15:56",
}
# The Parquet types to use instead of one that is refused.
_PARQUET_TYPES = {
    Type.INTEGER: "INT64",
    Type.FLOAT: "DOUBLE",
    Type.STRING: "STRING",
    Type.DATE: "DATE",
    Type.DATETIME: "TIMESTAMP without a time zone",
}
# The longest text in bytes; bounds the memory of a batch. The longest of the TLC's has about 50.
MAX_TEXT_BYTES = 4096

# Converts a whole array, or raises ArrowInvalid if one of its values does not fit.
Converter = Callable[[pa.Array], pa.Array]


def converter(given: pa.DataType, column: Column) -> Converter:
    """Return the conversion from values of the type ``given`` to values of ``column``.

    Numbers and times as text are accepted in the spellings of CSV files. Wall-clock times have no time zone, so times
    with one are refused.

    Raises:
        ContractError: there is no exact conversion; the message names the column and both types.
    """
    if types.is_dictionary(given):
        convert_entry = converter(given.value_type, column)
        return lambda values: convert_entry(_decoded_entries(values))
    if types.is_null(given):
        return _cast(arrow_type(column))
    for applies, convert in _CONVERTERS[column.type]:
        if applies(given):
            return convert
    raise ContractError(
        f"column {column.name} has type {given}; expected {NOUNS[column.type]}: "
        f"write the column as {_PARQUET_TYPES[column.type]}"
    )


def csv_converter(column: Column) -> Converter:
    """Return the conversion of values that Arrow's CSV reader has already parsed as the type of ``column``.

    It refuses more than it must: all values that Arrow may have parsed in another way than
    :mod:`nyc_taxi.parquet.spelling` does. The reader then reads the rows as text.
    """
    return {Type.INTEGER: _not_negative, Type.FLOAT: _exactly_held, Type.DATETIME: times}.get(column.type, _text)


def is_text(given: pa.DataType) -> bool:
    """Return whether values of the type ``given`` are text."""
    return types.is_string(given) or types.is_large_string(given) or types.is_string_view(given)


def is_text_or_bytes(given: pa.DataType) -> bool:
    """Return whether values of the type ``given`` are text, or bytes that may be text."""
    return is_text(given) or types.is_binary(given) or types.is_large_binary(given) or types.is_binary_view(given)


def _cast(type_: pa.DataType) -> Converter:
    return lambda values: values.cast(type_)


def _same(values: pa.Array) -> pa.Array:
    return values


def _whole(values: pa.Array) -> pa.Array:
    # Out of range, the result of the cast depends on the processor.
    if compute.any(compute.greater_equal(values.cast(pa.float64()), 2.0**63)).as_py():
        raise pa.ArrowInvalid("not in range")
    return values.cast(pa.int64())


def _held(values: pa.Array) -> pa.Array:
    """Return integers as doubles; refuse those that no double holds. Arrow's own cast refuses all above 2^53."""
    doubles = values.cast(pa.float64(), safe=False)
    # Rounded up to the end of the range, the result of the cast back would depend on the processor.
    end = 2.0**64 if types.is_uint64(values.type) else 2.0**63
    if compute.any(compute.greater_equal(doubles, end)).as_py() or not doubles.cast(values.type).equals(values):
        raise pa.ArrowInvalid("an integer that no double holds")
    return doubles


def _not_negative(values: pa.Array) -> pa.Array:
    # Arrow's CSV reader takes 0xffffffffffffffff for -1.
    if compute.any(compute.less(values, 0)).as_py():
        raise pa.ArrowInvalid("a negative number")
    return values


def _exactly_held(values: pa.Array) -> pa.Array:
    """Refuse nan, inf, and numbers so large that an integer may have been rounded."""
    if not compute.all(compute.less(compute.abs(values), EXACT_BELOW), min_count=0).as_py():
        raise pa.ArrowInvalid("a large number")
    return values


def _parsed(parse: Converter) -> Converter:
    # Through plain strings, because Arrow cannot parse string views.
    return lambda values: parse(values.cast(pa.binary()).cast(pa.string()))


def _decoded_entries(values: pa.DictionaryArray) -> pa.Array:
    """Return the values of a dictionary; refuse long texts first, because each may be repeated in every row."""
    if is_text_or_bytes(values.dictionary.type):
        lengths = compute.binary_length(values.dictionary.cast(pa.binary()))
        _refuse_long(lengths.take(values.indices))
    return values.dictionary_decode()


def _refuse_long(lengths: pa.Array) -> None:
    longest = compute.max(lengths).as_py()
    if longest is not None and longest > MAX_TEXT_BYTES:
        raise pa.ArrowInvalid("a long text")


def _text(values: pa.Array) -> pa.Array:
    """Decode bytes as UTF-8, and each value that is not valid UTF-8 as Latin-1; a file may have both."""
    values = values.cast(pa.binary())
    _refuse_long(compute.binary_length(values))
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


# For each type of the contract: the types that can be converted to it, and how.
_CONVERTERS: dict[Type, Sequence[tuple[Callable[[pa.DataType], bool], Converter]]] = {
    Type.INTEGER: (
        (types.is_int64, _same),
        (types.is_integer, _cast(pa.int64())),
        (types.is_floating, _whole),
        (types.is_decimal, _cast(pa.int64())),
        (is_text_or_bytes, _parsed(integers)),
    ),
    Type.FLOAT: (
        (types.is_floating, lambda values: finite(values.cast(pa.float64()))),
        (types.is_integer, _held),
        # Through text, because Arrow's own cast does not always give the nearest double.
        (types.is_decimal, lambda values: amounts(values.cast(pa.string()))),
        (is_text_or_bytes, _parsed(amounts)),
    ),
    Type.STRING: (
        (is_text_or_bytes, _text),
        (types.is_fixed_size_binary, _text),
    ),
    Type.DATE: (),
    Type.DATETIME: (
        (
            lambda given: types.is_timestamp(given) and given.tz is None,
            lambda values: storable(values.cast(DATETIME)),
        ),
        (is_text_or_bytes, _parsed(times)),
    ),
}
