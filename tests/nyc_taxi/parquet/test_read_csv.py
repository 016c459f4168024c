"""Reading the mirror's CSV files: values, and refusals."""

from __future__ import annotations

import datetime
import gzip
import random
import re
from contextlib import nullcontext
from typing import Any

import pytest

from nyc_taxi.parquet import convert, read_csv
from nyc_taxi.parquet.quotes import QuoteCheck
from nyc_taxi.registry.model import ContractError
from tests.nyc_taxi.support import (
    GREEN_ROW,
    NO_AMOUNT,
    NO_INTEGER,
    NO_TIME,
    WHOLE_COPY,
    ZONES_HEADER,
    Folder,
    refused,
    zone,
)

NO_END = f"it is cut short: its gzip data does not end{WHOLE_COPY}"
CUT_GZIP = "green_tripdata_2021-01.csv.gz is not a valid green file: "


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks and row groups so small that a test's rows span several of both."""
    monkeypatch.setattr(read_csv, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(convert, "ROW_GROUP_ROWS", 100)


# Values that are kept


def test_every_column_may_be_empty(folder: Folder) -> None:
    assert folder.green(dict.fromkeys(GREEN_ROW, "")).rows == 1
    (row,) = folder.rows()
    assert {name for name, value in row.items() if value is not None} == {"source_month", "source_file"}


def test_empty_and_quoted_empty_are_null_and_words_are_not(folder: Folder) -> None:
    assert folder.zones(f'{ZONES_HEADER}1,,"",NA\n,null,None," "\n').rows == 2
    assert folder.rows() == [zone(1, None, None, "NA"), zone(None, "null", "None", " ")]


def test_quotes_commas_and_letters_beyond_ascii(folder: Folder) -> None:
    assert folder.zones(f'{ZONES_HEADER}1,"Queens, ""NY""","Saint Michaels Cemetery/Woodside",Zürich\n').rows == 1
    assert folder.rows() == [zone(1, 'Queens, "NY"', "Saint Michaels Cemetery/Woodside", "Zürich")]


def test_a_file_that_is_gzipped_twice_is_refused(folder: Folder) -> None:
    with pytest.raises(ContractError, match="it is gzipped twice; unpack it once at the source"):
        folder.green_bytes(gzip.compress(gzip.compress(b"VendorID\n1\n")))


NEVER_CLOSED = "a quote is never closed, so that all that follows is one field; get a whole copy from the source"
IN_THE_MIDDLE = "a quote is in the middle of a field; write a field with quotes in quotes"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ('1,a,b,c\n2,a,b,"c\n3,a,b,c\n4,a,b,c\n', f"line 3: {NEVER_CLOSED}"),
        ('1,a,b,"c', f"line 2: {NEVER_CLOSED}"),
        ('1,a,"b\nc",c\n2,a,b,"', f"line 4: {NEVER_CLOSED}"),
        ('1,a,b,"c""', f"line 2: {NEVER_CLOSED}"),
        ('1,a,b,"c\n2,a,b,"c"\n', f"line 3: {IN_THE_MIDDLE}"),
        ('1,a,b,"c"d\n', f"line 2: {IN_THE_MIDDLE}"),
        ('1,a,b,"c""d"e\n', f"line 2: {IN_THE_MIDDLE}"),
        ('1,a,b,c"d\n', f"line 2: {IN_THE_MIDDLE}"),
        ('1,a, "b",c\n', f"line 2: {IN_THE_MIDDLE}"),
        ('1,a,b,c"\n', f"line 2: {IN_THE_MIDDLE}"),
    ],
)
def test_quotes_that_would_swallow_rows_or_be_dropped_are_refused(folder: Folder, rows: str, problem: str) -> None:
    with pytest.raises(ContractError, match=re.escape(problem)):
        folder.zones(f"{ZONES_HEADER}{rows}")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('"a","b ""c"" d"\n"","""e"\nf,"g,\r\nh"""\n', None),
        ('a,b\nc,"d"', None),
        ('\ufeff"a",b', None),
        ("", None),
        ('a\n"', "line 2"),
        ('a\n"b" \nc', "line 2"),
        ('a\nb"\n', "line 2"),
        ('"a"b', "line 1"),
        ('"a\n\n"b"', "line 3"),
    ],
)
def test_quotes_are_checked_wherever_the_chunks_end(content: str, problem: str | None, size: int) -> None:
    check, data = QuoteCheck(), content.encode()
    with pytest.raises(ContractError, match=problem) if problem else nullcontext():
        check.feed(data[:3])  # Arrow's first chunk has a byte order mark as a whole
        for begin in range(3, len(data), size):
            check.feed(data[begin : begin + size])
        check.end()


def test_windows_line_ends_and_quoted_names(folder: Folder) -> None:
    lines = '"LocationID","Borough","Zone","service_zone"', '1,"EWR","Newark Airport","EWR"', '2,"Queens","JFK",""'
    assert folder.zones("".join(f"{line}\r\n" for line in lines)).rows == 2
    assert folder.rows() == [zone(1, "EWR", "Newark Airport", "EWR"), zone(2, "Queens", "JFK", None)]


def test_a_last_line_without_an_end(folder: Folder) -> None:
    assert folder.zones(f"{ZONES_HEADER}1,a,b,c\n2,d,e,f").rows == 2
    assert folder.rows()[1] == zone(2, "d", "e", "f")


def test_a_byte_order_mark_is_not_part_of_the_first_name(folder: Folder) -> None:
    assert folder.zones(b"\xef\xbb\xbf" + f"{ZONES_HEADER}1,a,b,c\n".encode()).rows == 1
    assert folder.rows() == [zone(1, "a", "b", "c")]
    assert folder.zones(b'\xef\xbb\xbf"LocationID","Borough","Zone","service_zone"\n1,a,b,c\n').rows == 1
    assert folder.rows() == [zone(1, "a", "b", "c")]


def test_names_may_be_spelt_otherwise(folder: Folder) -> None:
    assert folder.zones(" locationid ,BOROUGH,zone,Service_Zone\r\n1,a,b,c\r\n").rows == 1
    assert folder.rows() == [zone(1, "a", "b", "c")]


def test_columns_in_another_order_are_bound_by_name(folder: Folder) -> None:
    folder.green({"trip_distance": "7.5"})
    expected = folder.table()
    columns = list(GREEN_ROW)
    random.Random(1).shuffle(columns)
    assert columns != list(GREEN_ROW)
    folder.green({"trip_distance": "7.5"}, columns=columns)
    assert folder.table().equals(expected)


def test_an_index_is_left_out(folder: Folder) -> None:
    converted = folder.zones("__index_level_0__,LocationID,Borough,Zone,service_zone\n0,1,a,b,c\n")
    assert (converted.rows, converted.ignored) == (1, ())
    assert folder.rows() == [zone(1, "a", "b", "c")]


def test_a_column_that_only_the_tlc_requires_is_read_if_present(folder: Folder) -> None:
    folder.green({"cbd_congestion_fee": "0.75"}, columns=["CBD_congestion_fee", *GREEN_ROW][1:])
    assert folder.rows()[0]["cbd_congestion_fee"] is None
    folder.green({"CBD_congestion_fee": "0.75"}, columns=["CBD_congestion_fee", *GREEN_ROW])
    assert folder.rows()[0]["cbd_congestion_fee"] == 0.75


@pytest.mark.parametrize(("value", "expected"), [("", None), ("1", 1.0), ("1.25", 1.25)])
def test_an_ehail_fee_of_any_kind(folder: Folder, value: str, expected: float | None) -> None:
    folder.green({"ehail_fee": value})
    assert folder.rows()[0]["ehail_fee"] == expected


def test_bytes_that_are_not_utf_8_are_latin_1_value_by_value(folder: Folder) -> None:
    content = ZONES_HEADER.encode() + b"1,Caf\xc3\xa9,B02107\xa0,\xe9\n2,Queens,JFK,Z\xc3\xbcrich\n"
    assert folder.zones(content).rows == 2
    assert folder.rows() == [zone(1, "Café", "B02107\N{NO-BREAK SPACE}", "é"), zone(2, "Queens", "JFK", "Zürich")]


def test_times_outside_the_month_and_the_millennium_are_kept(folder: Folder) -> None:
    times = ["3019-12-31 23:59:59", "2008-12-31 23:07:22", "0001-01-01 00:00:00", "2021-03-14 02:30:00"]
    assert folder.green(*({"lpep_pickup_datetime": time} for time in times)).rows == 4
    assert [str(row["lpep_pickup_datetime"]) for row in folder.rows()] == times
    assert {row["source_month"] for row in folder.rows()} == {datetime.date(2021, 1, 1)}


def test_a_file_of_several_gzip_members_is_read_to_its_end(folder: Folder) -> None:
    header = ",".join(GREEN_ROW) + "\n"
    row = ",".join(GREEN_ROW.values()) + "\n"
    assert folder.green_bytes(gzip.compress(header.encode()) + gzip.compress(2 * row.encode())).rows == 2


def test_integers_may_be_written_as_floats(folder: Folder) -> None:
    folder.green({}, {"passenger_count": "5.0", "RatecodeID": "99.0"}, {"passenger_count": ""}, {"VendorID": " 2.0 "})
    assert [row["passenger_count"] for row in folder.rows()] == [1, 5, None, 1]
    assert [row["RatecodeID"] for row in folder.rows()] == [1, 99, 1, 1]
    assert {row["VendorID"] for row in folder.rows()} == {2}


@pytest.mark.usefixtures("small_blocks")
def test_no_row_is_lost_or_repeated_when_the_reader_falls_back(folder: Folder) -> None:
    rows = [{"PULocationID": str(number), "passenger_count": "1"} for number in range(3000)]
    rows[2000]["passenger_count"] = "1.0"
    assert folder.green(*rows).rows == 3000
    table = folder.table()
    assert table["PULocationID"].to_pylist() == list(range(3000))
    assert table["passenger_count"].to_pylist() == [1] * 3000


def test_large_numbers_written_as_floats_lose_nothing(folder: Folder) -> None:
    assert folder.zones(f"{ZONES_HEADER}9007199254740993.0,a,b,c\n9223372036854775807.0,a,b,c\n").rows == 2
    assert [row["LocationID"] for row in folder.rows()] == [9007199254740993, 9223372036854775807]


# Refusals

AT_SOURCE = "; check the file at the source"
FIELDS = "; write each row with the fields of the header"
COLUMNS = "its columns differ from the contract; "
ALL_MISSING = "missing: LocationID, Borough, Zone, service_zone; unknown: "
CONTENT: list[Any] = [
    pytest.param("", f"it is empty: it has no header{AT_SOURCE}", id="empty"),
    pytest.param("\n\n", f"it is empty: it has no header{AT_SOURCE}", id="blank lines"),
    pytest.param(ZONES_HEADER.strip(), f"it has a header but no rows{AT_SOURCE}", id="header without newline"),
    pytest.param(ZONES_HEADER, f"it has columns but no rows{AT_SOURCE}", id="header only"),
    pytest.param(f"{ZONES_HEADER}\n\n", f"it has columns but no rows{AT_SOURCE}", id="header and blank lines"),
    pytest.param("LocationID,Borough,Zone\n1,a,b\n", f"{COLUMNS}missing: service_zone", id="missing column"),
    pytest.param(
        "LocationID,Borough,Zone,service_zone,note\n1,a,b,c,d\n",
        f"{COLUMNS}unknown: note; set the variable unknown_columns to ignore to leave them out",
        id="unknown column",
    ),
    pytest.param("LocationID,Borough,Zone,service_zone,ZONE\n1,a,b,c,d\n", f"{COLUMNS}repeated: Zone", id="twice"),
    pytest.param("<html>not found</html>\n", f"{COLUMNS}{ALL_MISSING}<html>not found</html>", id="html"),
    pytest.param(
        b"\x1f\x8b\x08\x00",
        "it is gzip, but its name does not end in .gz; unpack it at the source",
        id="gzip by another name",
    ),
    pytest.param(
        b"PAR1\x00", "it is Parquet, not CSV; set the layout of the connection taxi_source to tlc", id="Parquet"
    ),
    pytest.param(ZONES_HEADER.encode("utf-16"), "it is UTF-16; write it as UTF-8", id="UTF-16"),
    pytest.param("\x00\x00\x00", f"{COLUMNS}{ALL_MISSING}\\x00\\x00\\x00", id="zeros"),
    pytest.param(
        f"{ZONES_HEADER}1,a,b,c\n2,a\n", f"row 3: Expected 4 columns, got 2: 2,a{FIELDS}", id="too few fields"
    ),
    pytest.param(
        f"{ZONES_HEADER}1,a,b,c,d\n", f"row 2: Expected 4 columns, got 5: 1,a,b,c,d{FIELDS}", id="too many fields"
    ),
    pytest.param(f"{ZONES_HEADER}1,a,b,c\nx,a,b,c\n", f"column LocationID: row 3: 'x' {NO_INTEGER}", id="letter"),
    pytest.param(f"{ZONES_HEADER}1.5,a,b,c\n", f"column LocationID: row 2: '1.5' {NO_INTEGER}", id="fraction"),
    pytest.param(
        f"{ZONES_HEADER}9223372036854775808,a,b,c\n",
        f"column LocationID: row 2: '9223372036854775808' {NO_INTEGER}",
        id="out of range",
    ),
]


@pytest.mark.parametrize(("content", "problem"), CONTENT)
def test_a_file_that_breaks_the_contract_is_refused(folder: Folder, content: str | bytes, problem: str) -> None:
    with refused(folder) as error:
        folder.zones(content)
    assert str(error.value) == f"taxi_zone_lookup.csv is not a valid zones file: {problem}"


@pytest.mark.parametrize(("content", "problem"), CONTENT)
def test_a_refusal_leaves_an_earlier_file(folder: Folder, content: str | bytes, problem: str) -> None:
    folder.zones(f"{ZONES_HEADER}1,a,b,c\n")
    with pytest.raises(ContractError):
        folder.zones(content)
    assert folder.rows() == [zone(1, "a", "b", "c")]
    assert folder.left() == ["target.parquet"]


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("lpep_pickup_datetime", "2021-02-30 00:15:56", f"'2021-02-30 00:15:56' {NO_TIME}"),
        ("lpep_dropoff_datetime", "01/02/2021 10:00:00", f"'01/02/2021 10:00:00' {NO_TIME}"),
        ("lpep_dropoff_datetime", "2021-01-01 25:00:00", f"'2021-01-01 25:00:00' {NO_TIME}"),
        (
            "lpep_pickup_datetime",
            "2021-01-01 00:15:56Z",
            f"'2021-01-01 00:15:56Z' {NO_TIME}",
        ),
        ("passenger_count", "1.5", f"'1.5' {NO_INTEGER}"),
        ("passenger_count", "1x", f"'1x' {NO_INTEGER}"),
        ("payment_type", "Cash", f"'Cash' {NO_INTEGER}"),
        ("fare_amount", "5,50", f"'5,50' {NO_AMOUNT}"),
        ("fare_amount", "5.5o", f"'5.5o' {NO_AMOUNT}"),
        ("congestion_surcharge", "$2.75", f"'$2.75' {NO_AMOUNT}"),
        ("tip_amount", "nan", f"'nan' {NO_AMOUNT}"),
        ("tip_amount", "NaN", f"'NaN' {NO_AMOUNT}"),
        ("tip_amount", "inf", f"'inf' {NO_AMOUNT}"),
        ("tip_amount", "-Infinity", f"'-Infinity' {NO_AMOUNT}"),
    ],
)
@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "in reverse"])
@pytest.mark.parametrize("unknown", [[], ["note"]], ids=["all known", "one unknown"])
def test_a_wrong_value_is_named_by_file_column_and_row(
    folder: Folder, column: str, value: str, problem: str, reverse: bool, unknown: list[str]
) -> None:
    columns = [*unknown, *(reversed(GREEN_ROW) if reverse else GREEN_ROW)]
    rows = [{}, {}, {column: value}, {}]
    with refused(folder) as error:
        folder.green(*({"note": "x", **row} for row in rows), columns=columns, accept_unknown=True)
    assert str(error.value) == f"{CUT_GZIP}column {column}: row 4: {problem}"


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("extra", "x", f"'x' {NO_AMOUNT}"),
        ("extra", "nan", f"'nan' {NO_AMOUNT}"),
        ("trip_type", "1.5", f"'1.5' {NO_INTEGER}"),
    ],
)
@pytest.mark.parametrize("before", ["1", "1.0"], ids=["integers", "integers as floats"])
def test_a_wrong_value_far_into_the_file_is_found(
    folder: Folder, column: str, value: str, problem: str, before: str
) -> None:
    good = {"VendorID": before}
    with refused(folder) as error:
        folder.green(*[good] * 2000, {**good, column: value}, *[good] * 2000)
    assert str(error.value) == f"{CUT_GZIP}column {column}: row 2002: {problem}"


@pytest.mark.usefixtures("small_blocks")
def test_a_row_cut_short_far_into_the_file_is_found(folder: Folder) -> None:
    row = ",".join(GREEN_ROW.values())
    lines = [",".join(GREEN_ROW), *[row] * 2000, "2,2021-01-01 00:15:56", *[row] * 2000, ""]
    with refused(folder) as error:
        folder.green_bytes(gzip.compress("\n".join(lines).encode()))
    assert str(error.value) == f"{CUT_GZIP}row 2002: Expected 20 columns, got 2: 2,2021-01-01 00:15:56{FIELDS}"


def test_the_first_of_several_wrong_values_is_named(folder: Folder) -> None:
    rows: list[dict[str, str]] = [{} for _ in range(50)]
    for number in (7, 8, 20, 49):
        rows[number] = {"passenger_count": f"{number}x"}
    with refused(folder) as error:
        folder.green(*rows)
    assert str(error.value) == f"{CUT_GZIP}column passenger_count: row 9: '7x' {NO_INTEGER}"


# Archives


def _months_bytes() -> bytes:
    """Return a gzipped file that is larger than one read of the header."""
    numbers = random.Random(0)
    rows = [",".join({**GREEN_ROW, "trip_distance": str(numbers.random())}.values()) for _ in range(20_000)]
    return gzip.compress("\n".join([",".join(GREEN_ROW), *rows, ""]).encode())


def _begins_with(content: bytes) -> str:
    return f"it begins with {content[:24].decode('ascii', 'backslashreplace')!r}"


@pytest.mark.parametrize("kept", [0.001, 0.01])
def test_an_archive_cut_short_before_its_first_rows_is_refused(folder: Folder, kept: float) -> None:
    content = _months_bytes()
    content = content[: int(len(content) * kept)]
    with refused(folder) as error:
        folder.green_bytes(content)
    assert str(error.value) == f"{CUT_GZIP}{NO_END}"


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.9999])
def test_an_archive_cut_short_is_refused(folder: Folder, kept: float) -> None:
    content = _months_bytes()
    with refused(folder) as error:
        folder.green_bytes(content[: int(len(content) * kept)])
    assert str(error.value) == f"{CUT_GZIP}{NO_END}"


def test_an_archive_without_its_checksum_is_refused(folder: Folder) -> None:
    with refused(folder) as error:
        folder.green_bytes(_months_bytes()[:-8])
    assert str(error.value) == f"{CUT_GZIP}{NO_END}"


def test_an_archive_with_a_wrong_checksum_is_refused(folder: Folder) -> None:
    whole = _months_bytes()
    with refused(folder) as error:
        folder.green_bytes(whole[:-8] + bytes(byte ^ 255 for byte in whole[-8:-4]) + whole[-4:])
    assert str(error.value) == f"{CUT_GZIP}it is damaged: its gzip checksum does not match{WHOLE_COPY}"


@pytest.mark.parametrize("behind", [b"<html>", b"\0\0x", b"\0" * 600_000 + b"x"], ids=["text", "zeros", "many zeros"])
def test_an_archive_with_something_behind_it_is_refused(folder: Folder, behind: bytes) -> None:
    with refused(folder) as error:
        folder.green_bytes(_months_bytes() + behind)
    problem = "it has bytes that are not gzip before or behind its data; remove them at the source"
    assert str(error.value) == f"{CUT_GZIP}{problem}"


@pytest.mark.parametrize("zeros", [1, 7, 8, 512, 600_000])
@pytest.mark.parametrize("members", [1, 2])
def test_zeros_behind_an_archive_are_padding(folder: Folder, zeros: int, members: int) -> None:
    row = ",".join(GREEN_ROW.values()) + "\n"
    contents = [",".join(GREEN_ROW) + "\n" + row, row][:members]
    archive = b"".join(gzip.compress(content.encode()) for content in contents)
    assert gzip.decompress(archive + bytes(zeros)).decode() == "".join(contents)
    assert folder.green_bytes(archive + bytes(zeros)).rows == members


@pytest.mark.parametrize("zeros", [0, 1, 10])
def test_the_zeros_in_which_an_archive_itself_ends_are_not_padding(folder: Folder, zeros: int) -> None:
    # An empty last member ends in eight zeros: its checksum and its length.
    text = "\n".join([",".join(GREEN_ROW), ",".join(GREEN_ROW.values()), ""])
    archive = gzip.compress(text.encode()) + gzip.compress(b"")
    assert archive.endswith(bytes(8))
    assert folder.green_bytes(archive + bytes(zeros)).rows == 1


def test_a_padded_archive_that_is_damaged_is_refused(folder: Folder) -> None:
    with refused(folder) as error:
        folder.green_bytes(_months_bytes()[:-100] + bytes(100))
    assert str(error.value).startswith(f"{CUT_GZIP}it is ")


@pytest.mark.parametrize("content", [b"VendorID\n1\n", b"<html>404</html>", b"PAR1\xff\x00"])
def test_a_file_that_is_not_gzip_is_refused_with_its_first_bytes(folder: Folder, content: bytes) -> None:
    with refused(folder) as error:
        folder.green_bytes(content)
    if content.startswith(b"PAR1"):
        problem = "it is Parquet, not CSV; set the layout of the connection taxi_source to tlc"
    else:
        problem = f"it is not gzip; {_begins_with(content)}; check the source's address"
    assert str(error.value) == f"{CUT_GZIP}{problem}"


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")], ids=["no bytes", "archive of nothing"])
def test_an_empty_archive_is_refused(folder: Folder, content: bytes) -> None:
    with refused(folder) as error:
        folder.green_bytes(content)
    assert str(error.value) == f"{CUT_GZIP}it is empty: it has no header{AT_SOURCE}"
