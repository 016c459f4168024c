"""Casting: values are converted to the contract's types exactly, or refused."""

from __future__ import annotations

import datetime
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from nyc_taxi.parquet.casting import NOUNS, REMEDIES, converter, is_text
from nyc_taxi.parquet.schema import arrow_type
from nyc_taxi.parquet.spelling import integers
from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.model import ContractError

NOON = datetime.datetime(2021, 1, 1, 12, 30, 5)
FAR = datetime.datetime(3019, 2, 3, 4, 5, 6)


def _column(kind: Type) -> Column:
    return Column("x", kind, "X.")


def _converted(values: pa.Array, kind: Type) -> list[Any]:
    result = converter(values.type, _column(kind))(values)
    assert result.type == arrow_type(_column(kind))
    return result.to_pylist()


# Conversions


@pytest.mark.parametrize(
    "type_",
    [
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float16(), pa.float32(), pa.float64()),
        *(pa.decimal64(5, 1), pa.decimal128(5, 0), pa.decimal256(7, 3)),
    ],
    ids=str,
)
def test_whole_numbers_become_integers_and_amounts_whatever_their_type(type_: pa.DataType) -> None:
    values = pa.array(["1", None, "100"]).cast(pa.float32() if type_ == pa.float16() else type_).cast(type_)
    assert _converted(values, Type.INTEGER) == [1, None, 100]
    assert _converted(values, Type.FLOAT) == [1.0, None, 100.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([-(2**63), 2**63 - 1]), [-(2**63), 2**63 - 1]),
        (pa.array([2**63 - 1], pa.uint64()), [2**63 - 1]),
        (pa.array([-(2.0**63), 2.0**63 - 1024, -0.0]), [-(2**63), 2**63 - 1024, 0]),
        (pa.array([Decimal(2**63 - 1), Decimal(-(2**63))]), [2**63 - 1, -(2**63)]),
    ],
    ids=["int64", "uint64", "double", "decimal"],
)
def test_integers_are_converted_up_to_the_ends_of_their_range(values: pa.Array, expected: list[int]) -> None:
    assert _converted(values, Type.INTEGER) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([0.1, 5e-324, -1.7976931348623157e308, None]), [0.1, 5e-324, -1.7976931348623157e308, None]),
        (pa.array([0.5, 1.1], pa.float32()), [0.5, 1.10000002384185791015625]),
        (pa.array([2**53, -(2**53), 2**53 + 2, -(2**63), None]), [2.0**53, -(2.0**53), 2.0**53 + 2, -(2.0**63), None]),
        (pa.array([2**64 - 2048, 2**53 + 2], pa.uint64()), [2.0**64 - 2048, 2.0**53 + 2]),
        (pa.array([Decimal("0.07"), Decimal("-12345.67"), None]), [0.07, -12345.67, None]),
        (pa.array([Decimal("0E-8"), Decimal("0.00000001")], pa.decimal128(20, 8)), [0.0, 1e-8]),
    ],
    ids=["double", "float", "integer", "uint64", "decimal", "small decimal"],
)
def test_amounts_are_the_nearest_there_is(values: pa.Array, expected: list[float | None]) -> None:
    assert _converted(values, Type.FLOAT) == expected


@pytest.mark.parametrize(
    "type_",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()],
    ids=str,
)
def test_text_is_text_whatever_its_type(type_: pa.DataType) -> None:
    values = pa.array(["", "B00001", None, "Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich"], pa.string()).cast(type_)
    assert _converted(values, Type.STRING) == ["", "B00001", None, "Zürich"]


def test_text_of_a_fixed_width_is_text() -> None:
    assert _converted(pa.array([b"Y", None, b"N"], pa.binary(1)), Type.STRING) == ["Y", None, "N"]


def test_a_value_that_is_not_utf_8_is_latin_1_and_its_neighbours_stay_what_they_are() -> None:
    values = pa.array([b"Caf\xc3\xa9", b"B02107\xa0", None, b"\xe9\xa0", b""])
    assert _converted(values, Type.STRING) == ["Café", "B02107\N{NO-BREAK SPACE}", None, "é\N{NO-BREAK SPACE}", ""]


@pytest.mark.parametrize("type_", [pa.string(), pa.binary()], ids=str)
def test_text_with_a_nul_character_is_refused(type_: pa.DataType) -> None:
    values = pa.array(["B00001", None, "B\0"], pa.string()).cast(type_)
    with pytest.raises(pa.ArrowInvalid, match="NUL"):
        _converted(values, Type.STRING)
    assert _converted(values.slice(0, 2), Type.STRING) == ["B00001", None]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_wall_clock_times_of_every_resolution(unit: str) -> None:
    assert _converted(pa.array([NOON, None], pa.timestamp(unit)), Type.DATETIME) == [NOON, None]
    if unit != "ns":  # nanoseconds end in 2262
        assert _converted(pa.array([FAR], pa.timestamp(unit)), Type.DATETIME) == [FAR]


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_times_in_text_are_read_as_csv_has_them(type_: pa.DataType) -> None:
    values = pa.array(["2021-01-01 12:30:05", None, "3019-02-03 04:05:06"], pa.string()).cast(type_)
    assert _converted(values, Type.DATETIME) == [NOON, None, FAR]


@pytest.mark.parametrize("kind", Type)
def test_a_column_without_a_type_has_no_values(kind: Type) -> None:
    assert _converted(pa.nulls(3), kind) == [None, None, None]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([7, None, 7]), Type.INTEGER, [7, None, 7]),
        (pa.array([2.0, 2.0]), Type.INTEGER, [2, 2]),
        (pa.array([0.5, None]), Type.FLOAT, [0.5, None]),
        (pa.array(["N", None, "N"]), Type.STRING, ["N", None, "N"]),
        (pa.array([b"\xa0", b"N"]), Type.STRING, ["\N{NO-BREAK SPACE}", "N"]),
        (pa.array(["2021-01-01 12:30:05"] * 2), Type.DATETIME, [NOON, NOON]),
        (pa.array([NOON, NOON], pa.timestamp("ms")), Type.DATETIME, [NOON, NOON]),
    ],
)
def test_a_dictionary_is_what_its_entries_are(values: pa.Array, kind: Type, expected: list[Any]) -> None:
    assert _converted(values.dictionary_encode(), kind) == expected


# Refusals


@pytest.mark.parametrize(
    ("type_", "kinds"),
    [
        (pa.string(), {Type.DATE}),
        (pa.binary(), {Type.DATE}),
        (pa.int64(), {Type.STRING, Type.DATE, Type.DATETIME}),
        (pa.float64(), {Type.STRING, Type.DATE, Type.DATETIME}),
        (pa.decimal128(5, 2), {Type.STRING, Type.DATE, Type.DATETIME}),
        (pa.bool_(), set(Type)),
        (pa.timestamp("us"), set(Type) - {Type.DATETIME}),
        (pa.timestamp("us", "UTC"), set(Type)),
        (pa.timestamp("s", "America/New_York"), set(Type)),
        (pa.date32(), set(Type)),
        (pa.time64("us"), set(Type)),
        (pa.duration("us"), set(Type)),
        (pa.list_(pa.int64()), set(Type)),
        (pa.struct([("a", pa.int64())]), set(Type)),
        (pa.dictionary(pa.int32(), pa.bool_()), set(Type)),
    ],
    # Sorted, because pytest-xdist workers must collect the same ids, and the order of a set differs between them.
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else f"{len(value)} types",
)
def test_a_type_without_an_exact_conversion_is_refused(type_: pa.DataType, kinds: set[Type]) -> None:
    given = type_.value_type if pa.types.is_dictionary(type_) else type_
    for kind in Type:
        if kind not in kinds:
            assert callable(converter(type_, _column(kind)))
            continue
        with pytest.raises(ContractError) as error:
            converter(type_, _column(kind))
        assert str(error.value).startswith(f"column x has type {given}; expected {NOUNS[kind]}: write the column as ")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (pa.scalar(1.5), Type.INTEGER),
        (pa.scalar(float("nan")), Type.INTEGER),
        (pa.scalar(float("inf")), Type.INTEGER),
        (pa.scalar(float("-inf")), Type.INTEGER),
        (pa.scalar(2.0**63), Type.INTEGER),
        (pa.scalar(-(2.0**63) - 2048), Type.INTEGER),
        (pa.scalar(1e300), Type.INTEGER),
        (pa.scalar(0.5, pa.float16()), Type.INTEGER),
        (pa.scalar(2**63, pa.uint64()), Type.INTEGER),
        (pa.scalar(Decimal("1.50")), Type.INTEGER),
        (pa.scalar(Decimal(2**63)), Type.INTEGER),
        (pa.scalar(float("nan")), Type.FLOAT),
        (pa.scalar(float("inf")), Type.FLOAT),
        (pa.scalar(float("-inf"), pa.float32()), Type.FLOAT),
        (pa.scalar(2**53 + 1), Type.FLOAT),
        (pa.scalar(2**63 - 1), Type.FLOAT),
        (pa.scalar(-(2**63) + 1), Type.FLOAT),
        (pa.scalar(2**64 - 1, pa.uint64()), Type.FLOAT),
        (pa.scalar("2021-01-01 12:30:05Z"), Type.DATETIME),
        (pa.scalar("2021-01-01 12:30:05-05:00"), Type.DATETIME),
        (pa.scalar("2021-02-30 12:30:05"), Type.DATETIME),
        (pa.scalar("01/02/2021 12:30"), Type.DATETIME),
        (pa.scalar(1, pa.timestamp("ns")), Type.DATETIME),
        (pa.scalar(2**62, pa.timestamp("s")), Type.DATETIME),
    ],
)
def test_a_value_that_would_change_is_refused(value: pa.Scalar, kind: Type) -> None:
    convert = converter(value.type, _column(kind))
    assert len(convert(pa.nulls(2, value.type))) == 2
    with pytest.raises(pa.ArrowInvalid):
        convert(pa.repeat(value, 2))


@pytest.mark.parametrize("number", [2**53 + 2, 2**53 + 1, 2**63 - 1024, 2**63 - 1])
def test_an_integer_amount_is_taken_or_refused_whatever_its_type(number: int) -> None:
    kinds = [pa.array([number]), pa.array([number], pa.uint64()), pa.array([Decimal(number)]), pa.array([str(number)])]
    taken = []
    for values in kinds:
        with suppress(pa.ArrowInvalid):
            taken.append(_converted(values, Type.FLOAT))
    assert taken == ([[float(number)]] * len(kinds) if int(float(number)) == number else [])


# Whole numbers in text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("1.0", 1),
        ("1.000", 1),
        ("1.", 1),
        ("+1", 1),
        ("001", 1),
        ("0x0C", 12),
        ("", None),
        (" \t", None),
        ("-7.0", -7),
        ("0.0", 0),
        (" 12.0 ", 12),
        ("9223372036854775807.0", 2**63 - 1),
        ("-9223372036854775808.0", -(2**63)),
        (None, None),
    ],
)
def test_an_integer_may_be_written_as_a_float(text: str | None, number: int | None) -> None:
    assert integers(pa.array([text], pa.string())).to_pylist() == [number]


@pytest.mark.parametrize(
    "text", [".0", ".", "1.5", "1.01", "1.0.0", "1,0", "1e2", "1x", "x", "+-1", "nan", "9223372036854775808.0"]
)
def test_text_that_is_not_a_whole_number_is_refused(text: str) -> None:
    with pytest.raises(pa.ArrowInvalid):
        integers(pa.array([text]))


def test_text_types() -> None:
    assert [is_text(each) for each in (pa.string(), pa.large_string(), pa.string_view())] == [True] * 3
    assert [is_text(each) for each in (pa.binary(), pa.int64(), pa.null())] == [False] * 3


def test_every_type_has_a_noun() -> None:
    assert set(NOUNS) == set(REMEDIES) == set(Type)
