"""Reading the TLC's Parquet files: drifting columns and types, and refusals."""

from __future__ import annotations

import datetime
import io
import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nyc_taxi.parquet import read_parquet
from nyc_taxi.parquet.schema import arrow_schema
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.registry.model import ContractError
from tests.nyc_taxi.support import (
    NO_AMOUNT,
    NO_INTEGER,
    NO_TIME,
    PICKUP,
    WHOLE_COPY,
    Folder,
    green_table,
    parquet_bytes,
    refused,
)

WALL_CLOCK = "wall-clock time: write the column as TIMESTAMP without a time zone"
ADDRESS = "; check the source's address and layout"
REFUSED = "green_tripdata_2021-01.parquet is not a valid green file: "
FAR = datetime.datetime(3019, 2, 3, 4, 5, 6)
# Julian day of 1970-01-01, from which INT96 counts; and microseconds of a day.
JULIAN_EPOCH = 2_440_588
DAY = 86_400 * 10**6


# Types that change from month to month


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("passenger_count", pa.array([1, None, 9], pa.int32()), [1, None, 9]),
        ("passenger_count", pa.array([1, None, 9], pa.int64()), [1, None, 9]),
        ("passenger_count", pa.array([1.0, None, 9.0]), [1, None, 9]),
        ("passenger_count", pa.array([1.0, None, 9.0], pa.float32()), [1, None, 9]),
        ("passenger_count", pa.array([Decimal("1.0"), None, Decimal("9.0")]), [1, None, 9]),
        ("passenger_count", pa.array([1, None, 9], pa.uint8()), [1, None, 9]),
        ("passenger_count", pa.array([1, None, 9]).dictionary_encode(), [1, None, 9]),
        ("passenger_count", pa.nulls(3), [None] * 3),
        ("ehail_fee", pa.nulls(3), [None] * 3),
        ("ehail_fee", pa.array([None, 0.5, 1.0]), [None, 0.5, 1.0]),
        ("ehail_fee", pa.array([None, 0, 1]), [None, 0.0, 1.0]),
        ("ehail_fee", pa.array([None, 0, 1], pa.int32()), [None, 0.0, 1.0]),
        ("fare_amount", pa.array([Decimal("0.07"), None, Decimal("-5.55")]), [0.07, None, -5.55]),
        ("fare_amount", pa.array([0.5, None, 2.25], pa.float32()), [0.5, None, 2.25]),
        ("store_and_fwd_flag", pa.array(["N", None, "Y"], pa.large_string()), ["N", None, "Y"]),
        ("store_and_fwd_flag", pa.array(["N", None, "Y"], pa.string_view()), ["N", None, "Y"]),
        ("store_and_fwd_flag", pa.array(["N", None, "Y"]).dictionary_encode(), ["N", None, "Y"]),
        ("store_and_fwd_flag", pa.array([b"Z\xc3\xbc", None, b"\xe9\xa0"]), ["Zü", None, "é\N{NO-BREAK SPACE}"]),
        ("store_and_fwd_flag", pa.nulls(3), [None] * 3),
        ("lpep_dropoff_datetime", pa.array([PICKUP, None, FAR], pa.timestamp("us")), [PICKUP, None, FAR]),
        ("lpep_dropoff_datetime", pa.array([PICKUP, None, FAR], pa.timestamp("ms")), [PICKUP, None, FAR]),
        ("lpep_dropoff_datetime", pa.array([PICKUP, None, PICKUP], pa.timestamp("ns")), [PICKUP, None, PICKUP]),
        ("lpep_dropoff_datetime", pa.array([str(PICKUP), None, str(FAR)]), [PICKUP, None, FAR]),
        ("lpep_dropoff_datetime", pa.array([str(PICKUP), None, str(FAR)], pa.string_view()), [PICKUP, None, FAR]),
        ("lpep_dropoff_datetime", pa.array([str(PICKUP), None, None]).dictionary_encode(), [PICKUP, None, None]),
        ("lpep_dropoff_datetime", pa.nulls(3), [None] * 3),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_a_column_of_another_type_has_the_same_values(
    folder: Folder, column: str, values: pa.Array, expected: list[Any]
) -> None:
    assert folder.parquet(green_table(**{column: values})).rows == 3
    table = folder.table()
    assert table.schema == arrow_schema(GREEN)
    assert table[column].to_pylist() == expected
    folder.parquet(green_table())
    assert table.drop_columns(column).equals(folder.table().drop_columns(column))


def test_the_year_3019_survives_int96_which_is_counted_in_nanoseconds(folder: Folder) -> None:
    times = pa.array([FAR, PICKUP, None], pa.timestamp("us"))
    content = parquet_bytes(green_table(lpep_dropoff_datetime=times), use_deprecated_int96_timestamps=True)
    schema = pq.read_metadata(io.BytesIO(content)).schema
    assert {schema.column(place).physical_type for place in (1, 2)} == {"INT96"}
    naive = pq.read_table(io.BytesIO(content))["lpep_dropoff_datetime"]
    assert naive.type == pa.timestamp("ns")
    assert naive.cast(pa.timestamp("us"), safe=False)[0].as_py() != FAR
    folder.parquet_bytes(content)
    assert folder.table()["lpep_dropoff_datetime"].to_pylist() == [FAR, PICKUP, None]


def _int96(nanoseconds: int, day: int) -> bytes:
    """The INT96 of a time: nanoseconds of the day, and the Julian day."""
    return struct.pack("<qI", nanoseconds, day)


def _with_dropoff(nanoseconds: int, day: int) -> bytes:
    """A file whose second dropoff is an INT96."""
    times = pa.array([PICKUP, FAR, None], pa.timestamp("us"))
    options = {"use_deprecated_int96_timestamps": True, "compression": "none", "use_dictionary": False}
    content = parquet_bytes(green_table(lpep_dropoff_datetime=times), **options)
    far = (FAR - datetime.datetime(1970, 1, 1)).days
    [old] = {_int96((FAR.hour * 3600 + FAR.minute * 60 + FAR.second) * 10**9, JULIAN_EPOCH + far)}
    assert content.count(old) == 1
    return content.replace(old, _int96(nanoseconds, day))


# The first days after the range of microseconds, and one that would be read as 2017.
_WRAPS = next(day for day in range(2**64 // DAY, 2**32) if 1_500_000_000 * 10**6 < day * DAY % 2**64 < 1.6e15)


@pytest.mark.parametrize(
    ("nanoseconds", "day"),
    [
        (1_001, JULIAN_EPOCH + 18_628),
        (DAY * 1000 - 1, JULIAN_EPOCH + 18_628),
        (1, JULIAN_EPOCH + 2_000_000),
        (0, JULIAN_EPOCH + _WRAPS),
        (0, JULIAN_EPOCH + 2**63 // DAY + 1),
        (0, 2**32 - 1),
    ],
)
def test_an_int96_that_microseconds_do_not_hold_is_refused(folder: Folder, nanoseconds: int, day: int) -> None:
    with pytest.raises(ContractError, match=r"column lpep_dropoff_datetime: row 2: .*a year beyond 9999; correct it"):
        folder.parquet_bytes(_with_dropoff(nanoseconds, day))


def test_an_int96_of_any_year_is_exact(folder: Folder) -> None:
    for year in (1, 1600, 1969, 2021, 2262, 9999):
        day = (datetime.datetime(year, 7, 1) - datetime.datetime(1970, 1, 1)).days
        folder.parquet_bytes(_with_dropoff(86_399_999_999_000, JULIAN_EPOCH + day))
        expected = datetime.datetime(year, 7, 1, 23, 59, 59, 999_999)
        assert folder.table()["lpep_dropoff_datetime"].to_pylist() == [PICKUP, expected, None]


# Names


def test_columns_are_bound_by_name_whatever_their_order_and_case(folder: Folder) -> None:
    folder.parquet(green_table())
    expected = folder.table()
    table = green_table()
    table = table.select(list(reversed(table.column_names)))
    table = table.rename_columns([f" {name.swapcase()}" for name in table.column_names])
    folder.parquet(table)
    assert folder.table().equals(expected)


def test_a_byte_order_mark_is_not_part_of_a_name(folder: Folder) -> None:
    table = green_table()
    first, *others = table.column_names
    assert folder.parquet(table.rename_columns([f"\N{ZERO WIDTH NO-BREAK SPACE}{first}", *others])).rows == 3
    assert folder.table()[first].to_pylist() == [2, 2, 2]


@pytest.mark.parametrize("name", ["cbd_congestion_fee", "CBD_Congestion_Fee"])
def test_a_column_that_is_there_early_is_taken(folder: Folder, name: str) -> None:
    converted = folder.parquet(green_table(**{name: pa.array([0.75, None, 0])}))
    assert converted.ignored == ()
    assert folder.table()["cbd_congestion_fee"].to_pylist() == [0.75, None, 0.0]
    folder.parquet(green_table())
    assert folder.table()["cbd_congestion_fee"].to_pylist() == [None] * 3


def test_an_index_is_left_out(folder: Folder) -> None:
    numbers = pa.array([7, 8, 9])
    converted = folder.parquet(green_table(__index_level_0__=numbers, __index_level_1__=numbers))
    assert (converted.rows, converted.ignored) == (3, ())
    assert folder.table().schema == arrow_schema(GREEN)


def test_unknown_columns_are_refused_or_left_out_whatever_they_hold(folder: Folder) -> None:
    table = green_table(
        note=pa.array(["x"] * 3),
        place=pa.array([{"VendorID": 1}] * 3),
        **{"VendorID.list": pa.array([[1]] * 3)},
    )
    with refused(folder) as error:
        folder.parquet(table)
    assert str(error.value) == (
        f"{REFUSED}its columns differ from the contract; unknown: note, place, VendorID.list;"
        " set the variable unknown_columns to ignore to leave them out"
    )
    converted = folder.parquet(table, accept_unknown=True)
    assert (converted.rows, converted.ignored) == (3, ("note", "place", "VendorID.list"))
    result = folder.table()
    folder.parquet(green_table())
    assert result.equals(folder.table())


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (green_table().drop_columns(["ehail_fee", "VendorID"]), "missing: VendorID, ehail_fee"),
        (green_table().append_column("vendorid", pa.array([1, 2, 3])), "repeated: VendorID"),
        (green_table().append_column("VendorID", pa.array([1, 2, 3])), "repeated: VendorID"),
        (green_table().rename_columns({"trip_type": "kind"}), "missing: trip_type; unknown: kind"),
    ],
    ids=["missing", "twice in another case", "twice", "renamed"],
)
def test_other_columns_are_refused(folder: Folder, table: pa.Table, problem: str) -> None:
    with refused(folder) as error:
        folder.parquet(table)
    assert str(error.value) == f"{REFUSED}its columns differ from the contract; {problem}"


def test_a_file_without_columns_is_refused(folder: Folder) -> None:
    with refused(folder) as error:
        folder.parquet(pa.table({}))
    names = [column.name for column in GREEN.source_columns if column.name != "cbd_congestion_fee"]
    assert str(error.value) == f"{REFUSED}its columns differ from the contract; missing: {', '.join(names)}"


# Refused values and types


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("trip_type", pa.array([1.0, 1.5, 2.5]), f"1.5 {NO_INTEGER}"),
        ("trip_type", pa.array([1.0, float("nan"), 1.0]), f"nan {NO_INTEGER}"),
        ("trip_type", pa.array([1.0, float("inf"), 1.0]), f"inf {NO_INTEGER}"),
        ("trip_type", pa.array([1, 2**63, 1], pa.uint64()), f"9223372036854775808 {NO_INTEGER}"),
        ("trip_type", pa.array([Decimal("1.0"), Decimal("1.5"), Decimal("1.0")]), f"1.5 {NO_INTEGER}"),
        ("trip_type", pa.array([1.0, 1.5, 1.0]).dictionary_encode(), f"1.5 {NO_INTEGER}"),
        ("tip_amount", pa.array([1.0, float("nan"), 1.0]), f"nan {NO_AMOUNT}"),
        ("tip_amount", pa.array([1.0, float("-inf"), 1.0]), f"-inf {NO_AMOUNT}"),
        ("tip_amount", pa.array([1, 2**53 + 1, 1]), f"9007199254740993 {NO_AMOUNT}"),
        ("lpep_pickup_datetime", pa.array([str(PICKUP), "noon", None]), f"'noon' {NO_TIME}"),
        (
            "lpep_pickup_datetime",
            pa.array([str(PICKUP), f"{PICKUP}Z", None]),
            f"'2021-01-01 00:15:56Z' {NO_TIME}",
        ),
        (
            "lpep_pickup_datetime",
            pa.array([0, 1, 0], pa.timestamp("ns")),
            f"1970-01-01 00:00:00.000000001 {NO_TIME}",
        ),
        (
            "lpep_pickup_datetime",
            pa.array([0, 2**61, 0], pa.timestamp("ms")),
            f"<value out of range: {2**61}> {NO_TIME}",
        ),
    ],
)
def test_a_wrong_value_is_named_by_file_column_and_row(
    folder: Folder, column: str, values: pa.Array, problem: str
) -> None:
    with refused(folder) as error:
        folder.parquet(green_table(**{column: values}))
    assert str(error.value) == f"{REFUSED}column {column}: row 2: {problem}"


@pytest.mark.parametrize("row_group_size", [100, 1700, 100_000])
def test_a_wrong_value_far_into_the_file_is_found(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, row_group_size: int
) -> None:
    monkeypatch.setattr(read_parquet, "BATCH_ROWS", 512)
    numbers = [1.0] * 5000
    numbers[3456] = 0.5
    with refused(folder) as error:
        folder.parquet(green_table(5000, trip_type=pa.array(numbers)), row_group_size=row_group_size)
    assert str(error.value) == f"{REFUSED}column trip_type: row 3457: 0.5 {NO_INTEGER}"


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("trip_type", pa.array([True] * 3), "bool; expected integer: write the column as INT64"),
        ("store_and_fwd_flag", pa.array([1] * 3), "int64; expected text value: write the column as STRING"),
        ("lpep_pickup_datetime", pa.array([PICKUP.date()] * 3), f"date32[day]; expected {WALL_CLOCK}"),
        (
            "lpep_pickup_datetime",
            pa.array([PICKUP] * 3, pa.timestamp("ms", "UTC")),
            f"timestamp[ms, tz=UTC]; expected {WALL_CLOCK}",
        ),
        (
            "lpep_pickup_datetime",
            pa.array([PICKUP] * 3, pa.timestamp("us", "America/New_York")),
            f"timestamp[us, tz=America/New_York]; expected {WALL_CLOCK}",
        ),
    ],
)
def test_a_wrong_type_is_named_by_file_and_column(folder: Folder, column: str, values: pa.Array, problem: str) -> None:
    with refused(folder) as error:
        folder.parquet(green_table(**{column: values}))
    assert str(error.value) == f"{REFUSED}column {column} has type {problem}"


# Incomplete files


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty; check the file at the source"),
        (b"<html>404</html>", f"it is not a Parquet file; it begins with '<html>404</html>'{ADDRESS}"),
        (b"VendorID,lpep\n2,2021\n", f"it is not a Parquet file; it begins with 'VendorID,lpep\\n2,2021\\n'{ADDRESS}"),
        (b"\x1f\x8b\x08\x00", f"it is not a Parquet file; it begins with '\\x1f\\\\x8b\\x08\\x00'{ADDRESS}"),
        (b"PAR", f"it is not a Parquet file; it begins with 'PAR'{ADDRESS}"),
        (b"PAR1", f"it is cut short: a Parquet file's footer is missing{WHOLE_COPY}"),
        (b"PAR1PAR1", f"it is cut short: a Parquet file's footer is missing{WHOLE_COPY}"),
        (b"PAR1\x00\x00", f"it is cut short: a Parquet file's footer is missing{WHOLE_COPY}"),
    ],
)
def test_a_file_that_is_not_parquet_is_refused(folder: Folder, content: bytes, problem: str) -> None:
    with refused(folder) as error:
        folder.parquet_bytes(content)
    assert str(error.value) == f"{REFUSED}{problem}"


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.9, 0.9999])
def test_a_file_cut_short_is_refused(folder: Folder, kept: float) -> None:
    whole = parquet_bytes(green_table(1000))
    with refused(folder) as error:
        folder.parquet_bytes(whole[: int(len(whole) * kept)])
    assert str(error.value) == f"{REFUSED}it is cut short: a Parquet file's footer is missing{WHOLE_COPY}"


def test_a_file_with_a_damaged_footer_is_refused(folder: Folder) -> None:
    whole = parquet_bytes(green_table())
    begin = _footer_begin(whole)
    with refused(folder) as error:
        folder.parquet_bytes(whole[:begin] + b"\xff" * 8 + whole[begin + 8 :])
    assert str(error.value).startswith(f"{REFUSED}it is damaged: Couldn't deserialize thrift: ")
    with refused(folder) as error:
        folder.parquet_bytes(whole[:-8] + struct.pack("<I", len(whole)) + whole[-4:])
    assert str(error.value).startswith(f"{REFUSED}it is damaged: Parquet file size is {len(whole)} bytes, smaller than")


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip"])
def test_a_file_with_a_damaged_page_is_refused(folder: Folder, compression: str) -> None:
    numbers = pa.array([number % 7919 / 8 for number in range(5000)])
    table = green_table(5000, trip_distance=numbers)
    content = bytearray(parquet_bytes(table, compression=compression, use_dictionary=False))
    page = _half_page(bytes(content), "trip_distance")
    content[page] = b"\xff" * len(content[page])
    with refused(folder) as error:
        folder.parquet_bytes(bytes(content))
    assert str(error.value).startswith(f"{REFUSED}it is damaged: ")


def test_damage_that_only_a_checksum_shows_is_refused(folder: Folder) -> None:
    numbers = pa.array([number % 7919 / 8 for number in range(5000)])
    table = green_table(5000, trip_distance=numbers)
    options: dict[str, Any] = {"compression": "none", "use_dictionary": False}
    content = bytearray(parquet_bytes(table, **options))
    page = _half_page(bytes(content), "trip_distance")
    content[page] = bytes(len(content[page]))
    folder.parquet_bytes(bytes(content))
    assert folder.table()["trip_distance"].to_pylist() != numbers.to_pylist()
    folder.target.unlink()
    content = bytearray(parquet_bytes(table, **options, write_page_checksum=True))
    page = _half_page(bytes(content), "trip_distance")
    content[page] = bytes(len(content[page]))
    with refused(folder) as error:
        folder.parquet_bytes(bytes(content))
    assert str(error.value).startswith(f"{REFUSED}it is damaged: could not verify page integrity, CRC checksum")


@pytest.mark.parametrize("announced", [12_344, 12_346])
def test_a_file_whose_footer_states_another_row_count_is_refused(folder: Folder, announced: int) -> None:
    whole = parquet_bytes(green_table(12_345))
    begin = _footer_begin(whole)
    # The first 64-bit number with that value in the footer is the file's row count; those of the row groups follow.
    footer = whole[begin:].replace(_thrift_number(12_345), _thrift_number(announced), 1)
    content = whole[:begin] + footer
    assert pq.read_metadata(io.BytesIO(content)).num_rows == announced
    with refused(folder) as error:
        folder.parquet_bytes(content)
    problem = f"it is damaged: its footer states {announced} rows, but it has 12345"
    assert str(error.value) == f"{REFUSED}{problem}{WHOLE_COPY}"


def test_a_row_group_with_fewer_rows_than_stated_is_refused(folder: Folder) -> None:
    whole = parquet_bytes(green_table(12_345))
    begin = _footer_begin(whole)
    content = whole[:begin] + whole[begin:].replace(_thrift_number(12_345), _thrift_number(12_346))
    assert pq.read_metadata(io.BytesIO(content)).row_group(0).num_rows == 12_346
    with refused(folder) as error:
        folder.parquet_bytes(content)
    assert str(error.value).startswith(f"{REFUSED}it is damaged: ")


def test_columns_without_rows_are_refused(folder: Folder) -> None:
    with refused(folder) as error:
        folder.parquet(green_table(0))
    assert str(error.value) == f"{REFUSED}it has columns but no rows; check the file at the source"


def _footer_begin(content: bytes) -> int:
    (length,) = struct.unpack("<I", content[-8:-4])
    return len(content) - 8 - length


def _half_page(content: bytes, name: str) -> slice:
    """Return the position of the second half of a column's only page."""
    metadata = pq.read_metadata(io.BytesIO(content))
    place = metadata.schema.names.index(name)
    column = metadata.row_group(0).column(place)
    end = column.data_page_offset + column.total_compressed_size
    return slice(end - column.total_compressed_size // 2, end)


def _thrift_number(number: int) -> bytes:
    """Return a 64-bit number in thrift's compact protocol, preceded by its field type."""
    number, content = number << 1, [0x16]
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])
