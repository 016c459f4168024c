"""Synthetic months as Parquet: the same rows as the mirror's, with the schema changes of the TLC's files."""

from __future__ import annotations

import gzip
import io
import subprocess
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from local.cloud.settings import REPOSITORY
from local.cloud.source import formats
from local.cloud.source.datasets import DATASETS
from local.cloud.source.layouts import TLC
from local.cloud.source.months import Month
from local.cloud.source.synthetic import write_month

ROWS = 3_000
HIGH_VOLUME = (
    *("hvfhs_license_num", "dispatching_base_num", "originating_base_num", "request_datetime", "on_scene_datetime"),
    *("pickup_datetime", "dropoff_datetime", "PULocationID", "DOLocationID", "trip_miles", "trip_time"),
    *("base_passenger_fare", "tolls", "bcf", "sales_tax", "congestion_surcharge", "airport_fee", "tips", "driver_pay"),
    *("shared_request_flag", "shared_match_flag", "access_a_ride_flag", "wav_request_flag", "wav_match_flag"),
)
NULL, INT32, INT64, DOUBLE = pa.null(), pa.int32(), pa.int64(), pa.float64()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a month once and returns its path."""
    folder = tmp_path_factory.mktemp("written")

    @cache
    def path(dataset: str, month: str, suffix: str = "parquet", rows: int = ROWS) -> Path:
        target = folder / f"{dataset}-{month}-{rows}.{suffix}"
        write_month(dataset, Month.parse(month), target, rows=rows)
        return target

    return path


def schema(path: Path) -> dict[str, pa.DataType]:
    return {field.name: field.type for field in pq.read_schema(path)}


def text_table(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    content = gzip.decompress(path.read_bytes()).decode("latin-1").encode()
    options = pa.csv.ConvertOptions(strings_can_be_null=True, null_values=[""], column_types=types)
    return pa.csv.read_csv(io.BytesIO(content), convert_options=options)


@pytest.mark.parametrize("dataset", list(DATASETS))
@pytest.mark.parametrize("month", ["2019-02", "2020-08", "2021-03", "2025-02"])
def test_rows_equal_those_of_the_mirror(written, dataset: str, month: str) -> None:
    parquet = pq.read_table(written(dataset, month))
    names = {name.lower(): name for name in parquet.column_names}
    text_names = [name for name in DATASETS[dataset].columns if not (dataset == "fhvhv" and name == "SR_Flag")]
    columns = {name: parquet[names[name.lower()]] for name in text_names}
    # The CSV reader needs seconds to parse the year 3019.
    types = {
        name: pa.timestamp("s") if pa.types.is_timestamp(values.type) else values.type
        for name, values in columns.items()
    }
    text = text_table(written(dataset, month, "csv.gz"), types)
    assert len(text) == len(parquet) == ROWS
    for name, values in columns.items():
        assert values.cast(types[name]).to_pylist() == text[name].to_pylist(), name


def test_rows_equal_those_of_the_mirror_over_many_chunks(written) -> None:
    rows = 210_000
    path = written("green", "2021-01", rows=rows)
    text = text_table(written("green", "2021-01", "csv.gz", rows=rows), {"ehail_fee": DOUBLE})
    parquet = pq.read_table(path)
    assert text.column_names == parquet.column_names
    for name in text.column_names:
        assert parquet[name].cast(text[name].type).equals(text[name]), name


def test_row_group_size_does_not_depend_on_the_chunk_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert formats.ROW_GROUP_ROWS == 1_048_576
    monkeypatch.setattr(formats, "ROW_GROUP_ROWS", 45_000)
    whole, grouped = tmp_path / "whole.parquet", tmp_path / "grouped.parquet"
    write_month("green", Month(2021, 1), grouped, rows=100_000)
    monkeypatch.undo()
    write_month("green", Month(2021, 1), whole, rows=100_000)
    for path, expected in ((grouped, [45_000, 45_000, 10_000]), (whole, [100_000])):
        metadata = pq.read_metadata(path)
        assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == expected
    assert pq.read_table(grouped).equals(pq.read_table(whole))


def test_high_volume_columns_follow_the_calendar(written) -> None:
    before, since = (tuple(schema(written("fhvhv", month))) for month in ("2024-12", "2025-01"))
    assert before == HIGH_VOLUME
    assert since == (*HIGH_VOLUME, "cbd_congestion_fee")


@pytest.mark.parametrize(
    ("dataset", "month", "more"),
    [
        ("yellow", "2011-01", ["airport_fee"]),
        ("yellow", "2011-02", ["airport_fee", "__index_level_0__"]),
        ("yellow", "2011-03", ["airport_fee"]),
        ("yellow", "2023-01", ["airport_fee"]),
        ("yellow", "2023-02", ["Airport_fee"]),
        ("yellow", "2024-12", ["Airport_fee"]),
        ("yellow", "2025-01", ["Airport_fee", "cbd_congestion_fee"]),
        ("green", "2014-01", []),
        ("green", "2024-12", []),
        ("green", "2025-01", ["cbd_congestion_fee"]),
        ("fhv", "2025-01", []),
    ],
)
def test_columns_that_the_mirror_does_not_have(written, dataset: str, month: str, more: list[str]) -> None:
    assert list(schema(written(dataset, month))) == [*DATASETS[dataset].columns, *more]


@pytest.mark.parametrize(
    ("dataset", "column", "types"),
    [
        ("yellow", "airport_fee", {"2011-01": NULL, "2019-12": NULL, "2020-01": INT32, "2020-12": INT32}),
        ("yellow", "airport_fee", {"2021-01": DOUBLE, "2023-01": DOUBLE}),
        ("yellow", "passenger_count", {"2019-12": INT64, "2020-01": DOUBLE, "2023-01": DOUBLE, "2023-02": INT64}),
        ("yellow", "RatecodeID", {"2019-12": INT64, "2020-01": DOUBLE, "2023-01": DOUBLE, "2023-02": INT64}),
        ("yellow", "VendorID", {"2023-01": INT64, "2023-02": INT32}),
        ("yellow", "PULocationID", {"2023-01": INT64, "2023-02": INT32}),
        ("yellow", "DOLocationID", {"2023-01": INT64, "2023-02": INT32}),
        ("yellow", "store_and_fwd_flag", {"2023-01": pa.string(), "2023-02": pa.large_string()}),
        ("green", "ehail_fee", {"2021-01": NULL, "2021-02": DOUBLE, "2021-03": INT64, "2021-04": NULL}),
        ("green", "trip_type", {"2019-12": INT64, "2020-01": DOUBLE, "2023-01": DOUBLE, "2023-02": INT64}),
        ("green", "VendorID", {"2023-01": INT64, "2023-02": INT32}),
        ("fhvhv", "PULocationID", {"2023-01": INT64, "2023-02": INT32}),
        ("fhv", "PUlocationID", {"2021-01": DOUBLE, "2021-03": INT64, "2021-05": DOUBLE, "2021-07": INT64}),
        ("fhv", "DOLocationID", {"2021-02": DOUBLE, "2021-04": INT64, "2021-06": DOUBLE, "2021-08": INT64}),
        ("fhv", "SR_Flag", {"2021-01": NULL, "2021-06": NULL, "2021-07": INT64, "2021-12": INT64}),
        ("fhv", "dropOff_datetime", {"2021-01": pa.timestamp("us"), "2021-03": pa.timestamp("us")}),
        ("fhv", "dropoff_datetime", {"2021-02": pa.timestamp("us"), "2021-04": pa.timestamp("us")}),
    ],
)
def test_types_and_spelling_change_by_month(written, dataset: str, column: str, types: dict) -> None:
    assert {month: schema(written(dataset, month))[column] for month in types} == types


def test_fees_follow_the_calendar(written) -> None:
    def values(dataset: str, month: str, column: str) -> set[float | None]:
        return set(pq.read_table(written(dataset, month))[column].unique().to_pylist())

    assert values("yellow", "2019-12", "airport_fee") == {None}
    assert values("yellow", "2020-12", "airport_fee") == {0, None}
    assert values("yellow", "2021-01", "airport_fee") - {-1.25} == {0.0, 1.25, None}
    assert values("yellow", "2025-01", "Airport_fee") - {-1.75} == {0.0, 1.75, None}
    assert values("yellow", "2025-01", "cbd_congestion_fee") == {0.0, 0.75, -0.75}
    assert values("green", "2025-01", "cbd_congestion_fee") - {-0.75} == {0.0, 0.75}
    assert values("fhvhv", "2025-01", "cbd_congestion_fee") == {0.0, 1.5}


def test_high_volume_values_are_plausible(written) -> None:
    table = pq.read_table(written("fhvhv", "2021-06"))
    asked, there, pickup, dropoff = (table[name] for name in HIGH_VOLUME if name.endswith("datetime"))
    assert pc.all(pc.less(asked, pickup)).as_py()
    assert pc.all(pc.less_equal(there, pickup)).as_py()
    assert pc.seconds_between(pickup, dropoff).equals(table["trip_time"])
    by_lyft = pc.equal(table["hvfhs_license_num"], "HV0005")
    for name in ("on_scene_datetime", "originating_base_num"):
        assert pc.is_null(table[name]).equals(by_lyft), name
    others = [name for name in HIGH_VOLUME if name not in ("on_scene_datetime", "originating_base_num")]
    assert sum(table[name].null_count for name in others) == 0
    assert set(table["access_a_ride_flag"].unique().to_pylist()) == {"N", " "}
    assert set(table["wav_match_flag"].unique().to_pylist()) == {"N", "Y"}


def test_there_are_duplicate_rows(written) -> None:
    for dataset in DATASETS:
        rows = [tuple(row.values()) for row in pq.read_table(written(dataset, "2021-01")).to_pylist()]
        assert any(one == other for one, other in pairwise(rows)), dataset


@pytest.mark.parametrize("month", ["2015-01", "2021-01", "2021-02"])
def test_for_hire_vehicles_have_their_own_defects(written, month: str) -> None:
    table = pq.read_table(written("fhv", month))
    dropoff = table["dropoff_datetime" if month == "2021-02" else "dropOff_datetime"]
    assert pc.sum(pc.equal(pc.year(dropoff), 3019)).as_py() == 1
    broken = [base for base in table["Affiliated_base_number"].to_pylist() if base and not base.isascii()]
    assert broken == ["B02533\N{NO-BREAK SPACE}"]  # as UTF-8, the only encoding in Parquet


@pytest.mark.parametrize(("dataset", "month"), [("yellow", "2021-01"), ("fhvhv", "2025-01")])
def test_files_are_reproducible(written, tmp_path: Path, dataset: str, month: str) -> None:
    write_month(dataset, Month.parse(month), tmp_path / "again.parquet", rows=ROWS)
    assert (tmp_path / "again.parquet").read_bytes() == written(dataset, month).read_bytes()
    assert (tmp_path / "again.parquet").stat().st_mtime == written(dataset, month, "csv.gz").stat().st_mtime


@pytest.mark.parametrize("dataset", list(DATASETS))
@pytest.mark.parametrize("rows", [0, 1, 29, 30, 31])
def test_any_number_of_rows(written, dataset: str, rows: int) -> None:
    path = written(dataset, "2021-01", rows=rows)
    assert pq.read_metadata(path).num_rows == rows
    assert pq.read_schema(path).equals(pq.read_schema(written(dataset, "2021-01")))


@pytest.mark.parametrize("dataset", list(DATASETS))
def test_first_months_and_the_newest_can_be_written(written, dataset: str) -> None:
    for month in (TLC.first_months[dataset], Month(2026, 1)):
        assert pq.read_metadata(written(dataset, str(month), rows=100)).num_rows == 100


@pytest.mark.full  # test_row_group_size_does_not_depend_on_the_chunk_size covers the writer
def test_memory_use_is_bounded_by_a_row_group(cloud_python: Path, tmp_path: Path) -> None:
    # Measured through a small process: until exec, a child counts the memory of its parent as its own.
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> (20 if sys.platform == 'darwin' else 10))"
    )
    generate = [cloud_python, "-m", "local.cloud.source", "generate", "fhvhv", "2021-06", tmp_path / "out.parquet"]
    peaks = []
    for rows in (1_100_000, 2_200_000):
        command = [cloud_python, "-c", measure, *generate, "--rows", str(rows)]
        done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 60, peaks  # MB
