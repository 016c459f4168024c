"""Conversion of a published file to typed Parquet: it keeps every value, or refuses the file."""

from __future__ import annotations

import csv
import datetime
import gzip
import logging
import random
import resource
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from local.cloud.source.defects import DEFECTS
from local.cloud.source.formats import Format
from nyc_taxi.parquet import convert, read_csv, read_parquet
from nyc_taxi.parquet.convert import Converted, to_parquet
from nyc_taxi.parquet.provenance import read_provenance
from nyc_taxi.parquet.schema import arrow_schema
from nyc_taxi.registry.columns import Layout, Type
from nyc_taxi.registry.datasets import DATASETS, FHV, FHVHV, GREEN, TRIP_DATASETS, YELLOW, ZONES
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import Month
from tests.nyc_taxi.support import (
    GREEN_ROW,
    JANUARY,
    NO_AMOUNT,
    NO_INTEGER,
    SYNTHETIC_ROWS,
    WHOLE_COPY,
    ZONES_HEADER,
    Folder,
    green_table,
    refused,
    zone,
)

# What the log says


@pytest.mark.parametrize("suffix", ["csv.gz", "csv", "parquet"])
def test_the_log_tells_how_far_the_conversion_is_and_its_end(
    folder: Folder, suffix: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nyc_taxi.common.progress.INTERVAL", 0.0)
    monkeypatch.setattr(convert, "ROW_GROUP_ROWS", 1)
    monkeypatch.setattr(convert, "READ_AHEAD", 1)
    monkeypatch.setattr(read_csv, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(read_parquet, "BATCH_ROWS", 50)
    caplog.set_level(logging.INFO)
    folder.synthetic("green", suffix)
    name = f"conversion of green_tripdata_2021-01.{suffix}"
    lines = [line.split(", ") for line in caplog.messages if name in line]
    rows = [int(line[0].rpartition(": ")[2].removesuffix(" rows").replace(",", "")) for line in lines]
    shares = [int(line[2].removesuffix("%")) for line in lines]
    assert len(lines) > 3
    assert rows == sorted(rows)
    assert rows[-1] == SYNTHETIC_ROWS
    assert shares == sorted(shares)
    assert (0 < shares[0] <= 100, shares[-1]) == (True, 100)
    assert lines[-1][0].startswith(f"End of {name}: ")


def test_a_refused_file_tells_no_end(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with refused(folder):
        folder.green({"fare_amount": "x"})
    assert "End of conversion" not in caplog.text


# Values that are kept


def test_a_row_keeps_its_values_and_gains_its_lineage(folder: Folder) -> None:
    assert folder.green({}) == Converted(1, ())
    expected: dict[str, Any] = {
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
        "cbd_congestion_fee": None,
        "source_month": datetime.date(2021, 1, 1),
        "source_file": "green_tripdata_2021-01.csv.gz",
    }
    assert folder.rows() == [expected]
    assert folder.left() == ["target.parquet"]
    assert folder.parquet(green_table(1)) == Converted(1, ())
    assert folder.rows() == [{**expected, "source_file": "green_tripdata_2021-01.parquet"}]


def test_the_parquet_has_the_registrys_schema_and_is_compressed_with_zstd(folder: Folder) -> None:
    for convert_one in (lambda: folder.green({}), lambda: folder.parquet(green_table())):
        convert_one()
        file = pq.ParquetFile(folder.target)
        assert file.schema_arrow.equals(arrow_schema(GREEN))
        group = file.metadata.row_group(0)
        assert {group.column(number).compression for number in range(group.num_columns)} == {"ZSTD"}


def test_identical_rows_are_all_kept_in_their_order(folder: Folder) -> None:
    assert folder.green({}, {}, {"PULocationID": "7"}, {}).rows == 4
    assert [row["PULocationID"] for row in folder.rows()] == [43, 43, 7, 43]
    assert folder.parquet(green_table(4, PULocationID=pa.array([43, 43, 7, 43]))).rows == 4
    assert [row["PULocationID"] for row in folder.rows()] == [43, 43, 7, 43]


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


def test_the_file_says_what_it_was_made_from_if_that_is_known(folder: Folder) -> None:
    source = folder.publish("green", "csv.gz")
    for line, read in (('green.csv.gz etag="5f2a" contract=abc', 'green.csv.gz etag="5f2a" contract=abc'), ("", None)):
        to_parquet(source, folder.target, dataset=GREEN, month=JANUARY, provenance=line)
        assert read_provenance(folder.target) == read
        assert pq.read_schema(folder.target).equals(arrow_schema(GREEN))


def test_columns_that_are_left_out_are_returned(folder: Folder) -> None:
    columns = ["note", *GREEN_ROW, "Other"]
    rows: list[dict[str, str]] = [{"note": "x", "Other": "1"}]
    assert folder.green(*rows, columns=columns, accept_unknown=True) == Converted(1, ("note", "Other"))
    result = folder.table()
    folder.green({})
    assert result.equals(folder.table())


def _random_row(numbers: random.Random, dataset: Dataset) -> dict[str, Any]:
    """Return a row of random values and nulls."""
    begin = datetime.datetime(1970, 1, 1)
    letters = "abcÄ,;\"' \t\N{SNOWMAN}0"
    make = {
        Type.INTEGER: lambda: numbers.choice([0, -1, numbers.randint(-(2**63), 2**63 - 1)]),
        Type.FLOAT: lambda: numbers.choice([0.0, -0.5, numbers.uniform(-1e9, 1e9), 5e-324, 1.7976931348623157e308]),
        Type.STRING: lambda: "".join(numbers.choices(letters, k=numbers.randint(1, 12))),
        Type.DATETIME: lambda: begin + datetime.timedelta(seconds=numbers.randint(-(10**9), 3 * 10**10)),
    }
    return {column.name: None if numbers.random() < 0.2 else make[column.type]() for column in dataset.source_columns}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda dataset: dataset.name)
def test_any_values_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset, seed: int) -> None:
    # Small blocks and row groups, so that the rows span several of both.
    monkeypatch.setattr(read_csv, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(convert, "ROW_GROUP_ROWS", 100)
    numbers = random.Random(seed)
    rows = [_random_row(numbers, dataset) for _ in range(1000)]
    source = tmp_path / dataset.file(Month(2020, 2)).source_path(Layout.MIRROR).name
    with gzip.open(source, "wt", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    target = tmp_path / "target.parquet"
    assert to_parquet(source, target, dataset=dataset, month=Month(2020, 2)).rows == 1000
    lineage = {"source_month": datetime.date(2020, 2, 1), "source_file": source.name}
    assert pq.read_table(target).to_pylist() == [{**row, **lineage} for row in rows]
    groups = pq.ParquetFile(target).metadata
    assert groups.num_row_groups > 1


# Schema drift: the synthetic months change their columns in the same months as the published ones

DRIFT = [
    ("yellow", "2011-02", "__index_level_0__", pa.int64()),
    ("yellow", "2019-01", "airport_fee", pa.null()),
    ("yellow", "2020-06", "airport_fee", pa.int32()),
    ("yellow", "2021-01", "airport_fee", pa.float64()),
    ("yellow", "2019-12", "passenger_count", pa.int64()),
    ("yellow", "2020-01", "passenger_count", pa.float64()),
    ("yellow", "2023-02", "Airport_fee", pa.float64()),
    ("yellow", "2023-02", "VendorID", pa.int32()),
    ("yellow", "2023-02", "store_and_fwd_flag", pa.large_string()),
    ("yellow", "2025-01", "cbd_congestion_fee", pa.float64()),
    ("green", "2021-01", "ehail_fee", pa.null()),
    ("green", "2021-02", "ehail_fee", pa.float64()),
    ("green", "2021-03", "ehail_fee", pa.int64()),
    ("green", "2021-01", "trip_type", pa.float64()),
    ("green", "2023-03", "PULocationID", pa.int32()),
    ("green", "2025-02", "cbd_congestion_fee", pa.float64()),
    ("fhv", "2021-01", "PUlocationID", pa.float64()),
    ("fhv", "2021-02", "PULocationID", pa.float64()),
    ("fhv", "2021-03", "DOlocationID", pa.int64()),
    ("fhv", "2021-04", "dropoff_datetime", pa.timestamp("us")),
    ("fhv", "2021-06", "SR_Flag", pa.null()),
    ("fhv", "2021-07", "SR_Flag", pa.int64()),
    ("fhvhv", "2019-02", "trip_miles", pa.float64()),
    ("fhvhv", "2023-02", "PULocationID", pa.int32()),
    ("fhvhv", "2025-01", "cbd_congestion_fee", pa.float64()),
]


@pytest.mark.parametrize(("dataset", "month", "column", "type_"), DRIFT)
def test_a_month_of_the_tlc_follows_the_contract_whatever_it_calls_and_types_its_columns(
    folder: Folder, dataset: str, month: str, column: str, type_: pa.DataType
) -> None:
    converted = folder.synthetic(dataset, "parquet", month=Month.parse(month))
    published = pq.read_table(folder.path / f"{dataset}_tripdata_{month}.parquet")
    assert published.schema.field(column).type == type_
    assert converted.schema.equals(arrow_schema(DATASETS[dataset]))
    assert converted.num_rows == SYNTHETIC_ROWS
    places = {name.lower(): place for place, name in enumerate(published.column_names)}
    for each in DATASETS[dataset].source_columns:
        place = places.get(each.name.lower())
        expected = [None] * SYNTHETIC_ROWS if place is None else published.column(place).to_pylist()
        assert converted[each.name].to_pylist() == expected, each.name


@pytest.mark.parametrize("month", ["2019-02", "2020-06", "2021-01", "2021-07"])
@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda dataset: dataset.name)
def test_a_month_of_either_layout_has_the_same_rows(folder: Folder, dataset: Dataset, month: str) -> None:
    csv_rows = folder.synthetic(dataset.name, "csv.gz", month=Month.parse(month))
    parquet_rows = folder.synthetic(dataset.name, "parquet", month=Month.parse(month))
    stem = folder.path / f"{dataset.name}_tripdata_{month}"
    with gzip.open(f"{stem}.csv.gz", "rt", encoding="latin-1") as text:
        mirror = {name.lower() for name in next(csv.reader(text))}
    tlc = {name.lower() for name in pq.read_schema(f"{stem}.parquet").names}
    columns = [column.name for column in dataset.source_columns if column.name.lower() in mirror & tlc]
    assert len(columns) == {"yellow": 18, "green": 20, "fhv": 7, "fhvhv": 6}[dataset.name]
    assert csv_rows.num_rows == parquet_rows.num_rows == SYNTHETIC_ROWS
    for column in [*columns, "source_month"]:
        assert csv_rows[column].to_pylist() == parquet_rows[column].to_pylist(), column
    for column in dataset.source_columns:
        for names, rows in ((mirror, csv_rows), (tlc, parquet_rows)):
            if column.name.lower() not in names:
                assert rows[column.name].null_count == SYNTHETIC_ROWS


# Defects: all defects of the synthetic source, in every dataset and format that can have them

CSV, PARQUET = "csv.gz", "parquet"
ZONE = {"yellow": "PULocationID", "green": "PULocationID", "fhv": "PUlocationID", "fhvhv": "PULocationID"}
NUMBER = {"yellow": "passenger_count", "green": "passenger_count", "fhv": "DOlocationID", "fhvhv": "DOLocationID"}
PICKUP = {dataset.name: dataset.pickup_column for dataset in TRIP_DATASETS}
DROPOFF = {
    "yellow": "tpep_dropoff_datetime",
    "green": "lpep_dropoff_datetime",
    "fhv": "dropOff_datetime",
    "fhvhv": "dropoff_datetime",
}
AMOUNT = {"yellow": "total_amount", "green": "total_amount", "fhvhv": "base_passenger_fare"}
TEXT = {
    "yellow": "store_and_fwd_flag",
    "green": "store_and_fwd_flag",
    "fhv": "Affiliated_base_number",
    "fhvhv": "dispatching_base_num",
}
OTHER = {"yellow": "green", "green": "yellow", "fhv": "fhvhv", "fhvhv": "fhv"}
AT_SOURCE = "; check the file at the source"
NO_ARCHIVE = "it is not gzip; it begins with {begin}; check the source's address"
REFUSALS = {
    (
        "unknown-column",
        CSV,
    ): "its columns differ from the contract; unknown: unknown_fee; set the variable "
    "unknown_columns to ignore to leave them out",
    (
        "unknown-column",
        PARQUET,
    ): "its columns differ from the contract; unknown: unknown_fee; set the variable "
    "unknown_columns to ignore to leave them out",
    ("missing-column", CSV): "its columns differ from the contract; missing: {zone}",
    ("missing-column", PARQUET): "its columns differ from the contract; missing: {zone}",
    ("renamed-column", CSV): "its columns differ from the contract; missing: {zone}; unknown: pickup_zone",
    ("renamed-column", PARQUET): "its columns differ from the contract; missing: {zone}; unknown: pickup_zone",
    ("column-twice", CSV): "its columns differ from the contract; repeated: {zone}",
    ("column-twice", PARQUET): "its columns differ from the contract; repeated: {zone}",
    ("letter-in-number", CSV): f"column {{number}}: row 201: '1x' {NO_INTEGER}",
    ("letter-in-number", PARQUET): f"column {{number}}: row 200: '1x' {NO_INTEGER}",
    ("fraction-in-integer", CSV): f"column {{number}}: row 201: '1.5' {NO_INTEGER}",
    ("fraction-in-integer", PARQUET): f"column {{number}}: row 200: 1.5 {NO_INTEGER}",
    ("not-a-number", CSV): f"column {{amount}}: row 201: 'nan' {NO_AMOUNT}",
    ("not-a-number", PARQUET): f"column {{amount}}: row 200: nan {NO_AMOUNT}",
    (
        "zone-aware-times",
        PARQUET,
    ): "column {pickup} has type timestamp[us, tz=UTC]; expected wall-clock time: write the column as TIMESTAMP "
    "without a time zone",
    ("no-rows", CSV): f"it has columns but no rows{AT_SOURCE}",
    ("no-rows", PARQUET): f"it has columns but no rows{AT_SOURCE}",
    ("not-gzip", CSV): NO_ARCHIVE,
    ("cut-short", CSV): f"it is cut short: its gzip data does not end{WHOLE_COPY}",
    ("cut-short", PARQUET): f"it is cut short: a Parquet file's footer is missing{WHOLE_COPY}",
    ("empty", CSV): f"it is empty: it has no header{AT_SOURCE}",
    ("empty", PARQUET): f"it is empty{AT_SOURCE}",
    ("html", CSV): NO_ARCHIVE,
    ("html", PARQUET): "it is not a Parquet file; it begins with {begin}; check the source's address and layout",
}
OTHERS_COLUMNS = {("wrong-dataset", CSV), ("wrong-dataset", PARQUET)}
RESOLVED = {
    ("float-integers", CSV),
    ("latin1", CSV),
    ("far-year", CSV),
    ("far-year", PARQUET),
    ("index-column", PARQUET),
    ("nanosecond-times", PARQUET),
    ("text-times", PARQUET),
}
# Defects that only the database checks find; tests/integration/test_dags_test.py covers them.
CHECKED = {("many-refunds", CSV), ("many-refunds", PARQUET), ("wrong-month", CSV), ("wrong-month", PARQUET)}
# FHV files have no amounts, and their synthetic years are outside the range of nanoseconds.
IMPOSSIBLE = {
    ("fhv", "not-a-number", CSV),
    ("fhv", "not-a-number", PARQUET),
    ("fhvhv", "not-a-number", CSV),
    ("fhv", "nanosecond-times", PARQUET),
}


def _every(defects: Any) -> list[Any]:
    return [
        pytest.param(dataset.name, name, suffix, id=f"{dataset.name}-{name}-{suffix}")
        for dataset in TRIP_DATASETS
        for name, suffix in sorted(defects)
        if (dataset.name, name, suffix) not in IMPOSSIBLE
    ]


def test_every_defect_is_tested_in_every_format_that_can_have_it() -> None:
    tested = [*REFUSALS, *OTHERS_COLUMNS, *RESOLVED, *CHECKED]
    formats = (Format.CSV_GZ, Format.PARQUET)
    assert sorted(tested) == sorted(
        (name, each.value) for name, defect in DEFECTS.items() for each in formats if each in defect.formats
    )


@pytest.mark.parametrize(("dataset", "defect", "suffix"), _every(REFUSALS))
def test_a_defect_is_refused_with_what_is_wrong(folder: Folder, dataset: str, defect: str, suffix: str) -> None:
    with refused(folder) as error:
        folder.synthetic(dataset, suffix, defect)
    source = folder.path / f"{dataset}_tripdata_2021-01.{suffix}"
    problem = REFUSALS[defect, suffix].format(
        zone=ZONE[dataset],
        number=NUMBER[dataset],
        pickup=PICKUP[dataset],
        amount=AMOUNT.get(dataset),
        begin=repr(source.read_bytes()[:24].decode("ascii", "backslashreplace")),
    )
    assert str(error.value) == f"{source.name} is not a valid {dataset} file: {problem}"


@pytest.mark.parametrize(("dataset", "defect", "suffix"), _every(OTHERS_COLUMNS))
def test_a_file_of_another_dataset_is_recognized(folder: Folder, dataset: str, defect: str, suffix: str) -> None:
    with refused(folder) as error:
        folder.synthetic(dataset, suffix, defect)
    name = f"{dataset}_tripdata_2021-01.{suffix}"
    problem = "its columns differ from the contract; missing: "
    assert str(error.value).startswith(f"{name} is not a valid {dataset} file: {problem}")
    or_this = " or fhvhv 2021-06" if (dataset, suffix) == ("fhvhv", CSV) else ""
    assert str(error.value).endswith(f"; its columns are those of {OTHER[dataset]}{or_this}")


@pytest.mark.parametrize(("dataset", "defect", "suffix"), _every(RESOLVED))
def test_a_drift_is_resolved(folder: Folder, dataset: str, defect: str, suffix: str) -> None:
    good = folder.synthetic(dataset, suffix)
    drifted = folder.synthetic(dataset, suffix, defect)
    last = {
        "latin1": (TEXT[dataset], "\N{LATIN SMALL LETTER E WITH ACUTE}\N{NO-BREAK SPACE}"),
        "far-year": (DROPOFF[dataset], datetime.datetime(3019, 2, 3, 4, 5, 6)),
    }
    if (dataset, defect) == ("fhvhv", "float-integers"):
        # The flag is text there, and stays as it is written.
        flags = [flag and f"{flag}.0" for flag in good["SR_Flag"].to_pylist()]
        assert drifted["SR_Flag"].to_pylist() == flags
        drifted, good = drifted.drop_columns("SR_Flag"), good.drop_columns("SR_Flag")
    if defect not in last:
        assert drifted.equals(good)
        return
    column, value = last[defect]
    assert good[column][-1].as_py() != value
    assert drifted[column].to_pylist() == [*good[column].to_pylist()[:-1], value]
    assert drifted.drop_columns(column).equals(good.drop_columns(column))


@pytest.mark.parametrize("suffix", [CSV, PARQUET])
@pytest.mark.parametrize("dataset", list(ZONE))
def test_an_unknown_column_can_be_left_out(folder: Folder, dataset: str, suffix: str) -> None:
    good = folder.synthetic(dataset, suffix)
    assert folder.synthetic(dataset, suffix, "unknown-column", accept_unknown=True).equals(good)


def test_a_refusal_leaves_an_earlier_file(folder: Folder) -> None:
    good = folder.synthetic("green", CSV)
    for suffix in (CSV, PARQUET):
        with pytest.raises(ContractError):
            folder.synthetic("green", suffix, "fraction-in-integer")
    assert folder.table().equals(good)
    assert folder.left() == ["target.parquet"]


# System errors, which are not the file's fault


@pytest.mark.parametrize("name", ["absent.csv", "absent.csv.gz", "absent.parquet"])
def test_a_missing_source_is_not_a_contract_error(folder: Folder, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        to_parquet(folder.path / name, folder.target, dataset=ZONES, month=None)
    assert folder.left() == []


def test_a_target_that_cannot_be_written_is_not_a_contract_error(folder: Folder) -> None:
    folder.target.parent.write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"File exists|Not a directory") as error:
        folder.zones(f"{ZONES_HEADER}1,a,b,c\n")
    assert not isinstance(error.value, ContractError)


def test_a_full_disk_is_not_a_contract_error_and_leaves_nothing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "ROW_GROUP_ROWS", 100)
    monkeypatch.setattr(read_csv, "BLOCK_BYTES", 4096)
    source = folder.path / "green_tripdata_2021-01.csv.gz"
    lines = [",".join({**GREEN_ROW, "trip_distance": str(number / 7)}.values()) for number in range(5000)]
    source.write_bytes(gzip.compress("\n".join([",".join(GREEN_ROW), *lines]).encode()))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        # pytest keeps the error, whose traceback keeps every local variable of the conversion alive.
        with pytest.raises(OSError, match="File too large") as kept:
            to_parquet(source, folder.target, dataset=GREEN, month=JANUARY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.left() == []
    assert not isinstance(kept.value, ContractError)
    assert [thread.name for thread in threading.enumerate() if thread.name == "reader"] == []


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
    source = tlc_data / file.source_path(Layout.MIRROR)
    target = tmp_path / file.parquet_name
    assert to_parquet(source, target, dataset=dataset, month=file.month).rows == rows

    table = pq.read_table(target)
    assert table.num_rows == rows
    assert table.schema.equals(arrow_schema(dataset))
    assert pc.unique(table["source_month"]).to_pylist() == [file.month.first_day]
    assert pc.unique(table["source_file"]).to_pylist() == [file.source_path(Layout.MIRROR).name]
    # Compares with an independent reading of the file, value by value.
    with gzip.open(source, "rt", newline="") as text:
        published = list(csv.DictReader(text))
    for column in dataset.source_columns:
        if column.name not in published[0]:
            assert table[column.name].null_count == rows
            continue
        read = {
            Type.INTEGER: int,
            Type.FLOAT: float,
            Type.STRING: str,
            Type.DATETIME: datetime.datetime.fromisoformat,
        }[column.type]
        values = [read(row[column.name]) if row[column.name] else None for row in published]
        assert table[column.name].to_pylist() == values, column.name


@pytest.mark.parametrize(
    ("case", "dataset", "month", "rows", "found"),
    [
        ("fhvhv-mirror-2021-06", FHVHV, "2021-06", 5, {"hvfhs_license_num": {None}, "SR_Flag": {"N"}}),
        ("fhv-tlc-csv-2019-2020", FHV, "2019-01", 2, {"Affiliated_base_number": {None}}),
        (
            "frac-seconds-9-zeros",
            GREEN,
            "2021-01",
            1,
            {"lpep_pickup_datetime": {datetime.datetime(2021, 1, 1, 0, 15, 56, 123456)}},
        ),
        ("leading-blank-line", GREEN, "2021-01", 1, {"VendorID": {2}}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_file_that_people_have_loads(
    tlc_data: Path, tmp_path: Path, case: str, dataset, month: str, rows: int, found: dict[str, set[Any]]
) -> None:
    if not (tlc_data / "cases" / case).is_dir():
        pytest.skip(f"{tlc_data} has no cases/{case}")
    table = _converted(tlc_data / "cases" / case, tmp_path, dataset, month)
    assert table.num_rows == rows
    for column, values in found.items():
        assert set(table[column].to_pylist()) == values


GREEN_UNKNOWN = {
    "VendorID",
    "store_and_fwd_flag",
    "RatecodeID",
    "passenger_count",
    "payment_type",
    "trip_type",
    "congestion_surcharge",
}


# Only the TLC's own files have the second one.
GREEN_EMPTY = {"ehail_fee", "cbd_congestion_fee"}


@pytest.mark.parametrize(("month", "unknown", "outside"), [("2021-01", 36_047, 3), ("2021-02", 29_109, 2)])
def test_the_nulls_of_a_real_green_month(
    tlc_data: Path, tmp_path: Path, month: str, unknown: int, outside: int
) -> None:
    table = _converted(tlc_data, tmp_path, GREEN, month)
    nulls = {name: table[name].null_count for name in table.column_names}
    assert {name for name, count in nulls.items() if count} == GREEN_UNKNOWN | GREEN_EMPTY
    assert {nulls[name] for name in GREEN_EMPTY} == {table.num_rows}
    # In each row, either all of them are null or none.
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
    assert to_parquet(tlc_data / ZONES.source_path, target, dataset=ZONES, month=None).rows == 265
    table = pq.read_table(target)
    assert table["LocationID"].to_pylist() == list(range(1, 266))
    assert table.slice(0, 1).to_pylist() == [zone(1, "EWR", "Newark Airport", "EWR")]
    assert pc.unique(table["source_month"]).to_pylist() == [None]


def _converted(tlc_data: Path, tmp_path: Path, dataset, month: str) -> pa.Table:
    file = dataset.file(Month.parse(month))
    to_parquet(
        tlc_data / file.source_path(Layout.MIRROR), tmp_path / "month.parquet", dataset=dataset, month=file.month
    )
    return pq.read_table(tmp_path / "month.parquet")


def _outside(table: pa.Table, column: str, month: str) -> int:
    """Return the number of rows with a pickup outside the file's month."""
    return pc.sum(pc.not_equal(pc.strftime(table[column], "%Y-%m"), month)).as_py()
