"""From published CSV to typed Parquet: every value as it was, or the file is refused."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import random
import resource
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from nyc_taxi import convert
from nyc_taxi.convert import csv_to_parquet
from nyc_taxi.datasets import GREEN, YELLOW, ZONES, ContractError, Dataset, Type
from nyc_taxi.months import Month
from nyc_taxi.schema import arrow_schema

JANUARY = Month(2021, 1)
ZONES_HEADER = "LocationID,Borough,Zone,service_zone\n"
GREEN_ROW = {
    "VendorID": "2",
    "lpep_pickup_datetime": "2021-01-01 00:15:56",
    "lpep_dropoff_datetime": "2021-01-01 00:19:52",
    "store_and_fwd_flag": "N",
    "RatecodeID": "1",
    "PULocationID": "43",
    "DOLocationID": "151",
    "passenger_count": "1",
    "trip_distance": "1.01",
    "fare_amount": "5.5",
    "extra": "0.5",
    "mta_tax": "0.5",
    "tip_amount": "0",
    "tolls_amount": "-3.25",
    "ehail_fee": "",
    "improvement_surcharge": "0.3",
    "total_amount": "6.8",
    "payment_type": "2",
    "trip_type": "1",
    "congestion_surcharge": "0",
}


class Folder:
    """A folder with one source file, and what is converted from it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.target = path / "out" / "target.parquet"

    def zones(self, content: str | bytes) -> int:
        """Convert ``content`` as the file of zones."""
        source = self.path / "taxi_zone_lookup.csv"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        return csv_to_parquet(source, self.target, dataset=ZONES, month=None)

    def green(self, *rows: dict[str, str], columns: Sequence[str] = tuple(GREEN_ROW)) -> int:
        """Convert a gzipped file with ``rows``, each given by its difference from ``GREEN_ROW``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([{**GREEN_ROW, **row}[name] for name in columns] for row in rows)
        return self.green_bytes(gzip.compress(text.getvalue().encode()))

    def green_bytes(self, content: bytes) -> int:
        """Convert ``content`` as the file of a green month."""
        source = self.path / "green_tripdata_2021-01.csv.gz"
        source.write_bytes(content)
        return csv_to_parquet(source, self.target, dataset=GREEN, month=JANUARY)

    def rows(self) -> list[dict[str, Any]]:
        return pq.read_table(self.target).to_pylist()

    def left(self) -> list[str]:
        """The files in the target's folder."""
        return sorted(path.name for path in self.target.parent.glob("*"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def _zone(number: int | None, borough: str | None, zone: str | None, service_zone: str | None) -> dict[str, Any]:
    return {
        "LocationID": number,
        "Borough": borough,
        "Zone": zone,
        "service_zone": service_zone,
        "source_month": None,
        "source_file": "taxi_zone_lookup.csv",
    }


# What is kept


def test_a_row_keeps_its_values_and_gains_its_lineage(folder: Folder) -> None:
    assert folder.green({}) == 1
    assert folder.rows() == [
        {
            "VendorID": 2,
            "lpep_pickup_datetime": datetime.datetime(2021, 1, 1, 0, 15, 56),
            "lpep_dropoff_datetime": datetime.datetime(2021, 1, 1, 0, 19, 52),
            "store_and_fwd_flag": "N",
            "RatecodeID": 1,
            "PULocationID": 43,
            "DOLocationID": 151,
            "passenger_count": 1,
            "trip_distance": 1.01,
            "fare_amount": 5.5,
            "extra": 0.5,
            "mta_tax": 0.5,
            "tip_amount": 0.0,
            "tolls_amount": -3.25,
            "ehail_fee": None,
            "improvement_surcharge": 0.3,
            "total_amount": 6.8,
            "payment_type": 2,
            "trip_type": 1,
            "congestion_surcharge": 0.0,
            "source_month": datetime.date(2021, 1, 1),
            "source_file": "green_tripdata_2021-01.csv.gz",
        }
    ]
    assert folder.left() == ["target.parquet"]


def test_the_parquet_has_the_registrys_schema_and_is_compressed_with_zstd(folder: Folder) -> None:
    folder.green({})
    file = pq.ParquetFile(folder.target)
    assert file.schema_arrow.equals(arrow_schema(GREEN))
    group = file.metadata.row_group(0)
    assert {group.column(number).compression for number in range(group.num_columns)} == {"ZSTD"}


def test_every_column_may_be_empty(folder: Folder) -> None:
    assert folder.green(dict.fromkeys(GREEN_ROW, "")) == 1
    (row,) = folder.rows()
    assert {name for name, value in row.items() if value is not None} == {"source_month", "source_file"}


def test_empty_and_quoted_empty_are_null_and_words_are_not(folder: Folder) -> None:
    assert folder.zones(f'{ZONES_HEADER}1,,"",NA\n,null,None," "\n') == 2
    assert folder.rows() == [_zone(1, None, None, "NA"), _zone(None, "null", "None", " ")]


def test_quotes_commas_and_letters_beyond_ascii(folder: Folder) -> None:
    assert folder.zones(f'{ZONES_HEADER}1,"Queens, ""NY""","Saint Michaels Cemetery/Woodside",Zürich\n') == 1
    assert folder.rows() == [_zone(1, 'Queens, "NY"', "Saint Michaels Cemetery/Woodside", "Zürich")]


def test_windows_line_ends_and_quoted_names(folder: Folder) -> None:
    lines = '"LocationID","Borough","Zone","service_zone"', '1,"EWR","Newark Airport","EWR"', '2,"Queens","JFK",""'
    assert folder.zones("".join(f"{line}\r\n" for line in lines)) == 2
    assert folder.rows() == [_zone(1, "EWR", "Newark Airport", "EWR"), _zone(2, "Queens", "JFK", None)]


def test_a_last_line_without_an_end(folder: Folder) -> None:
    assert folder.zones(f"{ZONES_HEADER}1,a,b,c\n2,d,e,f") == 2
    assert folder.rows()[1] == _zone(2, "d", "e", "f")


def test_columns_in_another_order_are_bound_by_name(folder: Folder) -> None:
    folder.green({"trip_distance": "7.5"})
    expected = pq.read_table(folder.target)
    columns = list(GREEN_ROW)
    random.Random(1).shuffle(columns)
    assert columns != list(GREEN_ROW)
    folder.green({"trip_distance": "7.5"}, columns=columns)
    assert pq.read_table(folder.target).equals(expected)


def test_identical_rows_are_all_kept_in_their_order(folder: Folder) -> None:
    assert folder.green({}, {}, {"PULocationID": "7"}, {}) == 4
    assert [row["PULocationID"] for row in folder.rows()] == [43, 43, 7, 43]


def test_times_outside_the_month_and_the_millennium_are_kept(folder: Folder) -> None:
    times = ["3019-12-31 23:59:59", "2008-12-31 23:07:22", "0001-01-01 00:00:00", "2021-03-14 02:30:00"]
    assert folder.green(*({"lpep_pickup_datetime": time} for time in times)) == 4
    assert [str(row["lpep_pickup_datetime"]) for row in folder.rows()] == times
    assert {row["source_month"] for row in folder.rows()} == {datetime.date(2021, 1, 1)}


def test_a_file_of_several_gzip_members_is_read_to_its_end(folder: Folder) -> None:
    header = ",".join(GREEN_ROW) + "\n"
    row = ",".join(GREEN_ROW.values()) + "\n"
    assert folder.green_bytes(gzip.compress(header.encode()) + gzip.compress(2 * row.encode())) == 2


def test_a_repeated_conversion_replaces_the_file(folder: Folder) -> None:
    folder.green({}, {}, {})
    folder.green({})
    assert len(folder.rows()) == 1
    assert folder.left() == ["target.parquet"]


def test_the_same_input_gives_the_same_bytes(folder: Folder) -> None:
    folder.green({}, {"ehail_fee": "1"})
    first = folder.target.read_bytes()
    folder.green({}, {"ehail_fee": "1"})
    assert folder.target.read_bytes() == first


def _random_row(numbers: random.Random, dataset: Dataset) -> dict[str, Any]:
    """Values that a column of each type can have, nulls among them."""
    begin = datetime.datetime(1970, 1, 1)
    letters = "abcÄ,;\"' \t\N{SNOWMAN}0"
    make = {
        Type.INTEGER: lambda: numbers.choice([0, -1, numbers.randint(-(2**63), 2**63 - 1)]),
        Type.FLOAT: lambda: numbers.choice([0.0, -0.5, numbers.uniform(-1e9, 1e9), 5e-324, 1.7976931348623157e308]),
        Type.STRING: lambda: "".join(numbers.choices(letters, k=numbers.randint(1, 12))),
        Type.DATETIME: lambda: begin + datetime.timedelta(seconds=numbers.randint(-(10**9), 3 * 10**10)),
    }
    return {column.name: None if numbers.random() < 0.2 else make[column.type]() for column in dataset.source_columns}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dataset", [YELLOW, GREEN], ids=lambda dataset: dataset.name)
def test_any_values_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset, seed: int) -> None:
    # Small blocks and groups, so that rows cross the borders of both.
    monkeypatch.setattr(convert, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(convert, "ROW_GROUP_ROWS", 100)
    numbers = random.Random(seed)
    rows = [_random_row(numbers, dataset) for _ in range(1000)]
    source = tmp_path / dataset.file(Month(2020, 2)).source_name
    with gzip.open(source, "wt", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    target = tmp_path / "target.parquet"
    assert csv_to_parquet(source, target, dataset=dataset, month=Month(2020, 2)) == 1000
    lineage = {"source_month": datetime.date(2020, 2, 1), "source_file": source.name}
    assert pq.read_table(target).to_pylist() == [{**row, **lineage} for row in rows]
    groups = pq.ParquetFile(target).metadata
    assert groups.num_row_groups > 1


# What is refused


@contextmanager
def _refused(folder: Folder) -> Iterator[pytest.ExceptionInfo[ContractError]]:
    """The block raises a ContractError; no file is left, and in a second time an earlier one is not touched."""
    with pytest.raises(ContractError) as error:
        yield error
    assert folder.left() == []


CONTENT = [
    ("", "taxi_zone_lookup.csv is empty: it has no header"),
    ("\n\n", "taxi_zone_lookup.csv is empty: it has no header"),
    (ZONES_HEADER, "taxi_zone_lookup.csv has a header and no rows"),
    (ZONES_HEADER + "\n\n", "taxi_zone_lookup.csv has a header and no rows"),
    (
        "LocationID,Borough,Zone\n1,a,b\n",
        "taxi_zone_lookup.csv does not have the columns of zones; missing: service_zone",
    ),
    (
        "LocationID,Borough,Zone,service_zone,note\n1,a,b,c,d\n",
        "taxi_zone_lookup.csv does not have the columns of zones; unknown: note",
    ),
    (
        "LocationID,Borough,Zone,service_zone,Zone\n1,a,b,c,d\n",
        "taxi_zone_lookup.csv does not have the columns of zones; repeated: Zone",
    ),
    (
        "locationid,Borough,Zone, service_zone\n1,a,b,c\n",
        "taxi_zone_lookup.csv does not have the columns of zones;"
        " missing: LocationID, service_zone; unknown: locationid,  service_zone",
    ),
    (
        "<html>not found</html>\n",
        "taxi_zone_lookup.csv does not have the columns of zones;"
        " missing: LocationID, Borough, Zone, service_zone; unknown: <html>not found</html>",
    ),
    (
        f"{ZONES_HEADER}1,a,b,c\n2,a\n",
        "taxi_zone_lookup.csv is no valid file of zones: CSV parse error: row 3: Expected 4 columns, got 2: 2,a",
    ),
    (
        f"{ZONES_HEADER}1,a,b,c,d\n",
        "taxi_zone_lookup.csv is no valid file of zones: CSV parse error: row 2: Expected 4 columns, got 5: 1,a,b,c,d",
    ),
    (
        f"{ZONES_HEADER}1,a,b,c\nx,a,b,c\n",
        "taxi_zone_lookup.csv is no valid file of zones: column LocationID: row 3: CSV conversion error to int64:"
        " invalid value 'x'",
    ),
    (
        f"{ZONES_HEADER}1.5,a,b,c\n",
        "taxi_zone_lookup.csv is no valid file of zones: column LocationID: row 2: CSV conversion error to int64:"
        " invalid value '1.5'",
    ),
    (
        f"{ZONES_HEADER}9223372036854775808,a,b,c\n",
        "taxi_zone_lookup.csv is no valid file of zones: column LocationID: row 2: CSV conversion error to int64:"
        " invalid value '9223372036854775808'",
    ),
    (
        ZONES_HEADER.encode() + b"1,a,b,c\n2,Queens\xa0,b,c\n",
        "taxi_zone_lookup.csv is no valid file of zones: column Borough: row 3: CSV conversion error to string:"
        " invalid UTF8 data",
    ),
]


@pytest.mark.parametrize(("content", "message"), CONTENT)
def test_a_file_that_breaks_the_contract_is_refused(folder: Folder, content: str | bytes, message: str) -> None:
    with _refused(folder) as error:
        folder.zones(content)
    assert str(error.value) == message


@pytest.mark.parametrize("content", [content for content, _ in CONTENT])
def test_a_refusal_leaves_an_earlier_file(folder: Folder, content: str | bytes) -> None:
    folder.zones(f"{ZONES_HEADER}1,a,b,c\n")
    with pytest.raises(ContractError):
        folder.zones(content)
    assert folder.rows() == [_zone(1, "a", "b", "c")]
    assert folder.left() == ["target.parquet"]


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("lpep_pickup_datetime", "2021-02-30 00:15:56", "timestamp[us]: invalid value '2021-02-30 00:15:56'"),
        ("lpep_dropoff_datetime", "01/02/2021 10:00:00", "timestamp[us]: invalid value '01/02/2021 10:00:00'"),
        ("lpep_dropoff_datetime", "2021-01-01 25:00:00", "timestamp[us]: invalid value '2021-01-01 25:00:00'"),
        (
            "lpep_pickup_datetime",
            "2021-01-01 00:15:56Z",
            "timestamp[us]: expected no zone offset in '2021-01-01 00:15:56Z'",
        ),
        ("passenger_count", "1.0", "int64: invalid value '1.0'"),
        ("payment_type", "Cash", "int64: invalid value 'Cash'"),
        ("fare_amount", "5,50", "double: invalid value '5,50'"),
        ("congestion_surcharge", "$2.75", "double: invalid value '$2.75'"),
    ],
)
def test_a_wrong_value_is_named_by_file_column_and_row(folder: Folder, column: str, value: str, problem: str) -> None:
    with _refused(folder) as error:
        folder.green({}, {}, {column: value}, {})
    assert str(error.value) == (
        f"green_tripdata_2021-01.csv.gz is no valid file of green: column {column}: row 4: CSV conversion error to"
        f" {problem}"
    )


def test_a_wrong_value_far_into_the_file_is_found(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(convert, "ROW_GROUP_ROWS", 100)
    with _refused(folder) as error:
        folder.green(*[{}] * 2000, {"extra": "x"}, *[{}] * 2000)
    assert "column extra: row 2002: " in str(error.value)


def test_the_column_is_named_when_the_order_is_another(folder: Folder) -> None:
    with _refused(folder) as error:
        folder.green({"extra": "x"}, columns=list(reversed(GREEN_ROW)))
    assert "column extra: row 2: " in str(error.value)


def _months_bytes() -> bytes:
    numbers = random.Random(0)
    rows = [",".join({**GREEN_ROW, "trip_distance": str(numbers.random())}.values()) for _ in range(5000)]
    return gzip.compress("\n".join([",".join(GREEN_ROW), *rows, ""]).encode())


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.9, 0.9999])
def test_a_truncated_gzip_file_is_refused(folder: Folder, kept: float) -> None:
    whole = _months_bytes()
    with _refused(folder) as error:
        folder.green_bytes(whole[: int(len(whole) * kept)])
    assert "green_tripdata_2021-01.csv.gz" in str(error.value)
    assert str(error.value).endswith("Truncated compressed stream")


def test_a_gzip_file_without_its_checksum_is_refused(folder: Folder) -> None:
    with _refused(folder) as error:
        folder.green_bytes(_months_bytes()[:-8])
    assert str(error.value).endswith("is no valid file of green: Truncated compressed stream")


def test_a_gzip_file_with_a_wrong_checksum_is_refused(folder: Folder) -> None:
    whole = _months_bytes()
    with _refused(folder) as error:
        folder.green_bytes(whole[:-8] + bytes(byte ^ 255 for byte in whole[-8:-4]) + whole[-4:])
    assert str(error.value).endswith("zlib inflate failed: incorrect data check")


@pytest.mark.parametrize("content", [b"VendorID\n1\n", b"<html>404</html>"])
def test_what_is_not_gzip_is_refused(folder: Folder, content: bytes) -> None:
    with _refused(folder) as error:
        folder.green_bytes(content)
    assert str(error.value) == (
        "green_tripdata_2021-01.csv.gz cannot be read: zlib inflate failed: incorrect header check"
    )


def test_an_empty_gzip_file_is_refused(folder: Folder) -> None:
    with _refused(folder) as error:
        folder.green_bytes(gzip.compress(b""))
    assert str(error.value) == "green_tripdata_2021-01.csv.gz is empty: it has no header"


# What is the machine's fault, and not the file's


def test_a_missing_source_is_no_broken_contract(folder: Folder) -> None:
    with pytest.raises(FileNotFoundError):
        csv_to_parquet(folder.path / "absent.csv", folder.target, dataset=ZONES, month=None)
    assert folder.left() == []


def test_a_target_that_cannot_be_made_is_no_broken_contract(folder: Folder) -> None:
    folder.target.parent.write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"File exists|Not a directory") as error:
        folder.zones(f"{ZONES_HEADER}1,a,b,c\n")
    assert not isinstance(error.value, ContractError)


def test_a_full_disk_is_no_broken_contract_and_leaves_nothing(folder: Folder) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    content = _months_bytes()
    source = folder.path / "green_tripdata_2021-01.csv.gz"
    source.write_bytes(content)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            csv_to_parquet(source, folder.target, dataset=GREEN, month=JANUARY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.left() == []


# Real months


@pytest.mark.parametrize(
    ("dataset", "month", "rows"),
    [
        (GREEN, "2021-01", 76_518),
        (GREEN, "2021-02", 64_572),
        *((YELLOW, month, 10_000) for month in ("2019-01", "2019-02", "2019-03", "2020-01", "2020-04", "2020-07")),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_real_month_keeps_every_value(tlc_data: Path, tmp_path: Path, dataset, month: str, rows: int) -> None:
    file = dataset.file(Month.parse(month))
    source = tlc_data / file.source_path
    target = tmp_path / file.parquet_name
    assert csv_to_parquet(source, target, dataset=dataset, month=file.month) == rows

    table = pq.read_table(target)
    assert table.num_rows == rows
    assert table.schema.equals(arrow_schema(dataset))
    assert pc.unique(table["source_month"]).to_pylist() == [file.month.first_day]
    assert pc.unique(table["source_file"]).to_pylist() == [file.source_name]
    # An independent reading of the file agrees, value by value.
    with gzip.open(source, "rt", newline="") as text:
        published = list(csv.DictReader(text))
    for column in dataset.source_columns:
        read = {
            Type.INTEGER: int,
            Type.FLOAT: float,
            Type.STRING: str,
            Type.DATETIME: datetime.datetime.fromisoformat,
        }[column.type]
        values = [read(row[column.name]) if row[column.name] else None for row in published]
        assert table[column.name].to_pylist() == values, column.name


GREEN_UNKNOWN = {
    "VendorID",
    "store_and_fwd_flag",
    "RatecodeID",
    "passenger_count",
    "payment_type",
    "trip_type",
    "congestion_surcharge",
}


@pytest.mark.parametrize(("month", "unknown", "outside"), [("2021-01", 36_047, 3), ("2021-02", 29_109, 2)])
def test_the_nulls_of_a_real_green_month(
    tlc_data: Path, tmp_path: Path, month: str, unknown: int, outside: int
) -> None:
    table = _converted(tlc_data, tmp_path, GREEN, month)
    nulls = {name: table[name].null_count for name in table.column_names}
    assert {name for name, count in nulls.items() if count} == GREEN_UNKNOWN | {"ehail_fee"}
    assert nulls["ehail_fee"] == table.num_rows
    # A row lacks all of them or none.
    columns = [table[name].is_null().to_pylist() for name in GREEN_UNKNOWN]
    together = Counter(zip(*columns, strict=True))
    assert together == {(True,) * 7: unknown, (False,) * 7: table.num_rows - unknown}
    assert _outside(table, "lpep_pickup_datetime", month) == outside


@pytest.mark.parametrize(
    ("month", "nulls", "outside"),
    [("2019-01", 6327, 0), ("2019-02", 0, 0), ("2019-03", 0, 1), ("2020-07", 0, 0)],
)
def test_a_real_yellow_month(tlc_data: Path, tmp_path: Path, month: str, nulls: int, outside: int) -> None:
    table = _converted(tlc_data, tmp_path, YELLOW, month)
    assert table["congestion_surcharge"].null_count == nulls
    assert _outside(table, "tpep_pickup_datetime", month) == outside


def test_the_real_zones(tlc_data: Path, tmp_path: Path) -> None:
    target = tmp_path / "taxi_zone_lookup.parquet"
    assert csv_to_parquet(tlc_data / ZONES.source_path, target, dataset=ZONES, month=None) == 265
    table = pq.read_table(target)
    assert table["LocationID"].to_pylist() == list(range(1, 266))
    assert table.slice(0, 1).to_pylist() == [_zone(1, "EWR", "Newark Airport", "EWR")]
    assert pc.unique(table["source_month"]).to_pylist() == [None]


def _converted(tlc_data: Path, tmp_path: Path, dataset, month: str) -> pa.Table:
    file = dataset.file(Month.parse(month))
    csv_to_parquet(tlc_data / file.source_path, tmp_path / "month.parquet", dataset=dataset, month=file.month)
    return pq.read_table(tmp_path / "month.parquet")


def _outside(table: pa.Table, column: str, month: str) -> int:
    """How many rows' pickups lie outside the file's month."""
    return pc.sum(pc.not_equal(pc.strftime(table[column], "%Y-%m"), month)).as_py()


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf"])
def test_what_is_no_amount_is_refused_with_its_column_and_row(folder: Folder, value: str) -> None:
    with pytest.raises(ContractError, match=r"green_tripdata_2021-01.csv.gz: column tip_amount: row 4: -?(nan|inf) is"):
        folder.green({}, {}, {"tip_amount": value}, {})
    assert folder.left() == []
