"""Schema drifts and defects of synthetic files."""

from __future__ import annotations

import datetime
import gzip
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.cloud.source.__main__ import main
from local.cloud.source.defects import DEFECTS, DefectError
from local.cloud.source.formats import Format
from local.cloud.source.months import Month
from local.cloud.source.synthetic import write_month

ROWS = 200
FAR = datetime.datetime(3019, 2, 3, 4, 5, 6)
CSV_FORMATS = ("csv.gz", "csv")


class Folder:
    """Writes files with the command, into the test's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def generate(self, dataset: str, suffix: str, *defects: str, month: str = "2021-01", rows: int = ROWS) -> Path:
        target = self.path / f"{dataset}-{'-'.join(defects)}.{suffix}"
        named = [word for name in defects for word in ("--defect", name)]
        main(["generate", dataset, month, str(target), "--rows", str(rows), *named])
        return target

    def bytes(self, *arguments: str) -> bytes:
        return self.generate(*arguments).read_bytes()

    def lines(self, dataset: str, suffix: str, *defects: str) -> list[list[bytes]]:
        """Return the fields of a CSV file by line, beginning with the header."""
        content = self.bytes(dataset, suffix, *defects)
        return [line.split(b",") for line in (gzip.decompress(content) if suffix == "csv.gz" else content).splitlines()]

    def table(self, dataset: str, *defects: str) -> pa.Table:
        return pq.read_table(self.generate(dataset, "parquet", *defects))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def changed(lines: list[list[bytes]], good: list[list[bytes]]) -> dict[tuple[int, bytes], bytes]:
    """Return the fields that differ, by row (from 1) and column."""
    assert lines[0] == good[0]
    assert len(lines) == len(good)
    return {
        (row, name): field
        for row, (line, other) in enumerate(zip(lines, good, strict=True))
        for name, field, before in zip(good[0], line, other, strict=True)
        if field != before
    }


def test_plain_csv_equals_the_unpacked_archive(folder: Folder) -> None:
    assert folder.bytes("fhv", "csv") == gzip.decompress(folder.bytes("fhv", "csv.gz"))


# -- columns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["yellow", "green", "fhv", "fhvhv"])
@pytest.mark.parametrize("suffix", ["csv.gz", "csv", "parquet"])
def test_column_defects(folder: Folder, dataset: str, suffix: str) -> None:
    def header(*defects: str) -> list[str]:
        if suffix == "parquet":
            return folder.table(dataset, *defects).column_names
        lines = folder.lines(dataset, suffix, *defects)
        assert len(lines) == ROWS + 1
        assert {len(line) for line in lines} == {len(lines[0])}
        return [name.decode() for name in lines[0]]

    good = header()
    zone = "PUlocationID" if dataset == "fhv" else "PULocationID"
    assert header("unknown-column") == [*good, "unknown_fee"]
    assert header("missing-column") == [name for name in good if name != zone]
    assert header("renamed-column") == ["pickup_zone" if name == zone else name for name in good]
    assert header("column-twice") == [*good, zone.swapcase()]
    assert header("missing-column", "unknown-column") == [*(name for name in good if name != zone), "unknown_fee"]


def test_index_column_numbers_all_rows(folder: Folder) -> None:
    path = folder.generate("green", "parquet", "index-column", rows=210_000)
    index = pq.read_table(path)["__index_level_0__"]
    assert index.type == pa.int64()
    assert index.to_pylist() == list(range(210_000))
    assert pq.read_schema(path).names[-1] == "__index_level_0__"


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "defect", "column", "value"),
    [
        ("yellow", "letter-in-number", b"passenger_count", b"1x"),
        ("green", "letter-in-number", b"passenger_count", b"1x"),
        ("fhv", "letter-in-number", b"DOlocationID", b"1x"),
        ("fhvhv", "letter-in-number", b"DOLocationID", b"1x"),
        ("yellow", "fraction-in-integer", b"passenger_count", b"1.5"),
        ("fhv", "fraction-in-integer", b"DOlocationID", b"1.5"),
        ("yellow", "not-a-number", b"total_amount", b"nan"),
        ("green", "not-a-number", b"total_amount", b"nan"),
        ("yellow", "latin1", b"store_and_fwd_flag", b"\xe9\xa0"),
        ("fhv", "latin1", b"Affiliated_base_number", b"\xe9\xa0"),
        ("fhvhv", "latin1", b"dispatching_base_num", b"\xe9\xa0"),
        ("yellow", "far-year", b"tpep_dropoff_datetime", b"3019-02-03 04:05:06"),
        ("green", "far-year", b"lpep_dropoff_datetime", b"3019-02-03 04:05:06"),
        ("fhv", "far-year", b"dropOff_datetime", b"3019-02-03 04:05:06"),
        ("fhvhv", "far-year", b"dropoff_datetime", b"3019-02-03 04:05:06"),
    ],
)
@pytest.mark.parametrize("suffix", CSV_FORMATS)
def test_defect_is_in_the_last_row_of_csv(
    folder: Folder, dataset: str, defect: str, column: bytes, value: bytes, suffix: str
) -> None:
    assert changed(folder.lines(dataset, suffix, defect), folder.lines(dataset, suffix)) == {(ROWS, column): value}


@pytest.mark.parametrize(
    ("dataset", "defect", "column", "type_", "value"),
    [
        ("yellow", "letter-in-number", "passenger_count", pa.string(), "1x"),
        ("fhvhv", "letter-in-number", "DOLocationID", pa.string(), "1x"),
        ("yellow", "fraction-in-integer", "passenger_count", pa.float64(), 1.5),
        ("fhvhv", "fraction-in-integer", "DOLocationID", pa.float64(), 1.5),
        ("yellow", "far-year", "tpep_dropoff_datetime", pa.timestamp("us"), FAR),
        ("fhv", "far-year", "dropOff_datetime", pa.timestamp("us"), FAR),
    ],
)
def test_defect_is_in_the_last_row_of_parquet(
    folder: Folder, dataset: str, defect: str, column: str, type_: pa.DataType, value: object
) -> None:
    good, bad = folder.table(dataset), folder.table(dataset, defect)
    place = good.column_names.index(column)
    assert bad.schema == good.schema.set(place, good.schema.field(place).with_type(type_))
    assert bad.remove_column(place).equals(good.remove_column(place))
    assert bad[column].to_pylist() == [*good[column].cast(type_).to_pylist()[:-1], value]


@pytest.mark.parametrize(
    ("dataset", "column"), [("yellow", "total_amount"), ("green", "total_amount"), ("fhvhv", "base_passenger_fare")]
)
def test_not_a_number_in_parquet(folder: Folder, dataset: str, column: str) -> None:
    values = folder.table(dataset, "not-a-number")[column]
    assert values.type == pa.float64()
    assert [row for row, value in enumerate(values.to_pylist()) if math.isnan(value)] == [ROWS - 1]


def test_defect_is_in_the_last_row_of_many_chunks(folder: Folder) -> None:
    path = folder.generate("yellow", "parquet", "fraction-in-integer", rows=210_000)
    values = pq.read_table(path)["passenger_count"].to_pylist()
    assert [row for row, value in enumerate(values) if value == 1.5] == [209_999]


@pytest.mark.parametrize("dataset", ["yellow", "green"])
def test_many_refunds_change_every_tenth_total(folder: Folder, dataset: str) -> None:
    for suffix in CSV_FORMATS:
        good, bad = folder.lines(dataset, suffix), folder.lines(dataset, suffix, "many-refunds")
        place = good[0].index(b"total_amount")
        for row, (line, before) in enumerate(zip(bad[1:], good[1:], strict=True)):
            total = b"-" + before[place].removeprefix(b"-") if row % 10 == 0 else before[place]
            assert line == [*before[:place], total, *before[place + 1 :]]
    good_table, bad_table = folder.table(dataset), folder.table(dataset, "many-refunds")
    totals = good_table["total_amount"].to_pylist()
    assert bad_table["total_amount"].to_pylist() == [
        -abs(total) if row % 10 == 0 else total for row, total in enumerate(totals)
    ]
    assert bad_table.drop_columns("total_amount").equals(good_table.drop_columns("total_amount"))


def test_many_refunds_are_counted_across_chunks(folder: Folder) -> None:
    path = folder.generate("green", "parquet", "many-refunds", rows=100_055)
    totals = pq.read_table(path)["total_amount"].to_pylist()
    assert [row for row in range(99_995, 100_055) if totals[row] < 0][:4] == [100_000, 100_010, 100_020, 100_030]


def test_float_integers(folder: Folder) -> None:
    for suffix in CSV_FORMATS:
        good, bad = folder.lines("green", suffix), folder.lines("green", suffix, "float-integers")
        whole = [
            good[0].index(name)
            for name in (
                *(b"VendorID", b"RatecodeID", b"PULocationID", b"DOLocationID", b"passenger_count"),
                *(b"payment_type", b"trip_type"),
            )
        ]
        assert bad[0] == good[0]
        for line, before in zip(bad[1:], good[1:], strict=True):
            assert line == [field + b".0" if place in whole and field else field for place, field in enumerate(before)]


@pytest.mark.parametrize(
    ("defect", "type_"),
    [
        ("zone-aware-times", pa.timestamp("us", "UTC")),
        ("nanosecond-times", pa.timestamp("ns")),
        ("text-times", pa.string()),
    ],
)
def test_time_defects_change_only_the_type(folder: Folder, defect: str, type_: pa.DataType) -> None:
    good, bad = folder.table("green"), folder.table("green", defect)
    for name in good.column_names:
        if name.endswith("datetime"):
            assert bad[name].type == type_
            assert [str(time)[:19] for time in bad[name].to_pylist()] == [str(time) for time in good[name].to_pylist()]
        else:
            assert bad[name].equals(good[name])


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["yellow", "green", "fhv", "fhvhv"])
def test_file_without_rows_keeps_its_columns(folder: Folder, dataset: str) -> None:
    assert folder.lines(dataset, "csv.gz", "no-rows") == folder.lines(dataset, "csv.gz")[:1]
    assert folder.table(dataset, "no-rows").equals(folder.table(dataset).slice(0, 0))


@pytest.mark.parametrize(
    ("dataset", "other"), [("yellow", "green"), ("green", "yellow"), ("fhv", "fhvhv"), ("fhvhv", "fhv")]
)
@pytest.mark.parametrize("suffix", ["csv.gz", "parquet"])
def test_wrong_dataset_equals_that_dataset(folder: Folder, dataset: str, other: str, suffix: str) -> None:
    assert folder.bytes(dataset, suffix, "wrong-dataset") == folder.bytes(other, suffix)


@pytest.mark.parametrize("suffix", ["csv.gz", "parquet"])
def test_wrong_month_equals_the_next_month(folder: Folder, suffix: str) -> None:
    right = folder.generate("green", suffix, month="2021-01").read_bytes()
    wrong = folder.generate("green", suffix, "wrong-month", month="2020-12").read_bytes()
    assert wrong == right


@pytest.mark.parametrize("suffix", ["csv.gz", "csv", "parquet"])
def test_damaged_files(folder: Folder, suffix: str) -> None:
    good = folder.bytes("yellow", suffix)
    assert folder.bytes("yellow", suffix, "cut-short") == good[: len(good) * 2 // 3]
    assert folder.bytes("yellow", suffix, "empty") == b""
    page = folder.bytes("yellow", suffix, "html")
    assert page.startswith(b"<!DOCTYPE html>")
    assert page.endswith(b"</html>\n")


def test_not_gzip_equals_plain_csv(folder: Folder) -> None:
    assert folder.bytes("green", "csv.gz", "not-gzip") == folder.bytes("green", "csv")


def test_defects_can_be_combined(folder: Folder) -> None:
    whole = folder.bytes("green", "parquet", "far-year", "unknown-column")
    assert folder.bytes("green", "parquet", "far-year", "unknown-column", "cut-short") == whole[: len(whole) * 2 // 3]
    table = folder.table("green", "far-year", "unknown-column")
    assert table["lpep_dropoff_datetime"][-1].as_py() == FAR
    assert table.column_names[-1] == "unknown_fee"
    lines = folder.lines("green", "csv.gz", "wrong-dataset", "missing-column")
    assert lines == folder.lines("yellow", "csv.gz", "missing-column")


@pytest.mark.parametrize("name", list(DEFECTS))
def test_each_defect_is_reproducible_and_changes_the_file(folder: Folder, name: str) -> None:
    for file_format in DEFECTS[name].formats:
        suffix = file_format.value
        damaged = folder.bytes("yellow", suffix, name)
        assert damaged == folder.bytes("yellow", suffix, name)
        assert damaged != folder.bytes("yellow", suffix)


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file_format"),
    [(name, other) for name, defect in DEFECTS.items() for other in Format if other not in defect.formats],
)
def test_defect_of_another_format_is_rejected(
    folder: Folder, capsys: pytest.CaptureFixture[str], name: str, file_format: Format
) -> None:
    with pytest.raises(SystemExit) as exit_:
        folder.generate("yellow", file_format.value, name)
    assert exit_.value.code == 2
    message = f"error: a {file_format.value} file cannot have the defect {name}; it exists in "
    assert message in capsys.readouterr().err
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize(
    ("dataset", "suffix", "defects", "message"),
    [
        ("fhv", "csv.gz", ["not-a-number"], "not-a-number: it has no column total_amount or base_passenger_fare"),
        ("fhvhv", "csv.gz", ["not-a-number"], "not-a-number: it has no column total_amount or base_passenger_fare"),
        ("fhvhv", "csv.gz", ["many-refunds"], "many-refunds: it has no column total_amount"),
        ("green", "parquet", ["missing-column", "renamed-column"], "renamed-column: it has no column PULocationID"),
        (
            "green",
            "parquet",
            ["index-column", "index-column"],
            "index-column: it already has a column __index_level_0__",
        ),
        ("green", "csv.gz", ["no-rows", "far-year"], "a file without rows cannot have the defect far-year"),
        ("fhv", "parquet", ["nanosecond-times"], "nanosecond-times: Casting from timestamp[us] to timestamp[ns]"),
        ("green", "parquet", ["nanosecond-times", "far-year"], "the defect far-year: Casting from timestamp[us]"),
    ],
)
def test_impossible_defect_is_rejected(
    folder: Folder, capsys: pytest.CaptureFixture[str], dataset: str, suffix: str, defects: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        folder.generate(dataset, suffix, *defects)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert list(folder.path.iterdir()) == []


def test_unknown_defect_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DefectError, match="unknown defect typo; choose from unknown-column, missing-column, "):
        write_month("green", Month(2021, 1), tmp_path / "x.parquet", rows=5, defects=["typo"])


def test_help_lists_all_defects(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    text = capsys.readouterr().out
    for name, defect in DEFECTS.items():
        assert f"  {name} " in text
        assert defect.description in text
