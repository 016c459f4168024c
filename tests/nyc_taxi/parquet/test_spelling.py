"""Spellings of numbers and times: CSV and Parquet agree, as docs/sources.md says."""

from __future__ import annotations

import datetime
import gzip
import random
import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nyc_taxi.parquet import read_csv
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.parquet.spelling import amounts, integers, times
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import FHV, FHVHV
from nyc_taxi.registry.model import ContractError
from nyc_taxi.registry.months import Month
from tests.nyc_taxi.support import GREEN_ROW, PICKUP, Folder, green_table

DOCS = Path(__file__).parents[3] / "docs/sources.md"
COLUMNS = {
    "integer": "trip_type",
    "amount": "tip_amount",
    "time": "lpep_dropoff_datetime",
    "text": "store_and_fwd_flag",
}
PARSERS = {"integer": integers, "amount": amounts, "time": times}
REFUSED = "refused"


def _documented() -> Iterator[tuple[str, str, Any]]:
    """Read the table of accepted spellings: the kind of column, a spelling, and its value as text."""
    table = DOCS.read_text().partition("### Accepted spellings")[2].partition("An empty CSV field")[0]
    for kind, spellings, value in re.findall(r"^\| (\w+) \| (.+) \| (.+) \|$", table, re.MULTILINE):
        if kind in COLUMNS:
            for spelling in re.findall(r"`([^`]*)`", spellings) or [""]:
                yield kind, spelling, spelling if value == "as it is written" else value


def _read(convert: Callable[[], Any], folder: Folder, kind: str) -> Any:
    """Return the value of the second row, or ``refused``; a refusal names column, row and remedy."""
    problem = ""
    try:
        convert()
    except ContractError as error:
        problem = str(error)
    if problem:
        assert re.search(rf"green file: column {COLUMNS[kind]}: row [23]: '.*' is not a valid .*; \w+", problem)
        return REFUSED
    return folder.rows()[1][COLUMNS[kind]]


def _from_csv(folder: Folder, kind: str, spelling: str) -> Any:
    return _read(lambda: folder.green({}, {COLUMNS[kind]: spelling}, {}), folder, kind)


def _from_parquet(folder: Folder, kind: str, spelling: str, type_: pa.DataType) -> Any:
    good = GREEN_ROW[COLUMNS[kind]]
    values = pa.array([good, spelling, good]).cast(pa.binary()).cast(type_)
    return _read(lambda: folder.parquet(green_table(**{COLUMNS[kind]: values})), folder, kind)


def test_the_documentation_has_spellings_of_every_kind() -> None:
    rows = list(_documented())
    assert {kind for kind, _, value in rows if value != REFUSED} == set(COLUMNS)
    assert {kind for kind, _, value in rows if value == REFUSED} == set(PARSERS)
    assert len(rows) > 70


@pytest.mark.parametrize(("kind", "spelling", "value"), list(_documented()))
def test_a_documented_spelling_has_its_value_in_both_formats(
    folder: Folder, kind: str, spelling: str, value: str
) -> None:
    expected = None if value == "null" and not spelling else value
    for type_ in (pa.string(), pa.binary()):
        found = _from_parquet(folder, kind, spelling, type_)
        assert (found if found is None else str(found)) == expected
    found = _from_csv(folder, kind, spelling)
    assert (found if found is None else str(found)) == expected


# Agreement with Python's own parsers, for spellings that nobody thought of


def _integer(text: str) -> Any:
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", text):
        number = int(text, 16)
    elif re.fullmatch(r"[+-]?\d+(\.0*)?", text):
        number = int(text.split(".")[0])
    else:
        return REFUSED
    return number if -(2**63) <= number < 2**63 else REFUSED


def _amount(text: str) -> Any:
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        return REFUSED
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return REFUSED
    number = float(exact)
    if abs(number) == float("inf"):
        return REFUSED
    digits = len(exact.as_tuple().digits)
    inexact = exact == exact.to_integral_value() and exact != Decimal(f"{number:.{digits - 1}e}")
    return REFUSED if inexact else number


def _time(text: str) -> Any:
    if not (found := re.fullmatch(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,6})?0*", text)):
        return REFUSED
    if text[-1] == "0" and not found[3] and len(text) > len("2021-01-01 00:15:56"):
        return REFUSED
    try:
        return datetime.datetime.fromisoformat(f"{found[1]}T{found[2]}{(found[3] or '.').ljust(7, '0')}")
    except ValueError:
        return REFUSED


REFERENCES = {"integer": _integer, "amount": _amount, "time": _time}
SEEDS = {
    "integer": ("12", "-7.0", "+3", "0x1F", "9223372036854775807", "007."),
    "amount": (
        "5.5",
        "-1e3",
        ".5",
        "9007199254740993",
        "9.007199254740993e15",
        "900719925474099.3e1",
        "+0.07",
        "1.7976931348623157e308",
        "nan",
        "inf",
    ),
    "time": ("2021-01-01 00:15:56", "2020-02-29T23:59:59.123456000", "0001-01-01 00:00:00", "9999-12-31 23:59:59.9"),
}


def _mutated(numbers: random.Random, kind: str) -> str:
    text = list(numbers.choice(SEEDS[kind]))
    for _ in range(numbers.choice((0, 1, 1, 2, 3))):
        place = numbers.randrange(len(text) + 1)
        letter = numbers.choice("0123456789+-.:eExTZ")
        text[place : place + numbers.randint(0, 1)] = letter * numbers.choice((0, 1, 1, 4))
    return "".join(text) or "0"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", PARSERS)
def test_any_text_is_parsed_as_python_does_or_refused(kind: str, seed: int) -> None:
    numbers = random.Random(f"{kind} {seed}")
    accepted = 0
    for text in {_mutated(numbers, kind) for _ in range(2000)}:
        try:
            found = PARSERS[kind](pa.array([text]))[0].as_py()
        except pa.ArrowInvalid:
            found = REFUSED
        assert found == REFERENCES[kind](text), text
        accepted += found != REFUSED
    assert accepted > 50


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", PARSERS)
def test_any_text_is_accepted_by_both_formats_or_by_none(folder: Folder, kind: str, seed: int) -> None:
    numbers = random.Random(f"both {kind} {seed}")
    for text in sorted({_mutated(numbers, kind) for _ in range(40)}):
        found = {_from_csv(folder, kind, text), _from_parquet(folder, kind, text, pa.string())}
        assert found == {REFERENCES[kind](text)}, text


@pytest.mark.parametrize("digits", [40, 5000, 200_000])
def test_an_amount_may_have_any_number_of_digits(digits: int) -> None:
    """Python limits the digits of an int to 4,300."""
    whole = "9007199254740993" + "0" * digits
    assert amounts(pa.array([f"9007199254740992{'0' * digits}e-{digits}"])).to_pylist() == [2.0**53]
    assert amounts(pa.array([f"{whole}5e-{digits + 1}"])).to_pylist() == [2.0**53 + 2]  # a fraction: the nearest double
    with pytest.raises(pa.ArrowInvalid, match="not exact"):
        amounts(pa.array([f"{whole}e-{digits}"]))


@pytest.mark.parametrize("written", ["{!r}", "{:.16e}", "{:.17g}", "{:.25e}", "{:f}"])
def test_every_double_that_a_program_writes_is_read_as_that_double(written: str) -> None:
    numbers = random.Random(written)
    doubles = [
        numbers.choice((-1, 1)) * numbers.uniform(1, 10) * 10.0 ** numbers.randrange(-300, 308) for _ in range(999)
    ]
    doubles = [number for number in doubles if written != "{:f}" or abs(number) >= 2.0**53]  # it has six digits after 0
    assert amounts(pa.array([written.format(number) for number in doubles])).to_pylist() == doubles


# Parquet's own types


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        (-62_135_596_800_000_001, "0000-12-31 23:59:59.999999"),
        (253_402_300_800_000_000, "10000-01-01 00:00:00.000000"),
    ],
    ids=["before year 1", "after year 9999"],
)
@pytest.mark.parametrize("dictionary", [False, True])
def test_a_time_that_no_warehouse_holds_is_refused(folder: Folder, time: int, shown: str, dictionary: bool) -> None:
    values = pa.array([0, time, 0], pa.timestamp("us"))
    with pytest.raises(ContractError) as error:
        folder.parquet(green_table(lpep_pickup_datetime=values.dictionary_encode() if dictionary else values))
    assert f"column lpep_pickup_datetime: row 2: {shown} is not a valid wall-clock time; " in str(error.value)


def test_the_first_and_the_last_time_are_kept(folder: Folder) -> None:
    ends = [datetime.datetime.min, PICKUP, datetime.datetime.max]
    folder.parquet(green_table(lpep_pickup_datetime=pa.array(ends, pa.timestamp("us"))))
    assert folder.table()["lpep_pickup_datetime"].to_pylist() == ends


@pytest.mark.parametrize("values", [["N", "x" * 4096, "N"], ["N", "x" * 4097, "N"]], ids=["longest", "longer"])
def test_the_longest_text_is_the_same_in_both_formats(folder: Folder, values: list[str]) -> None:
    fits = len(values[1]) == 4096
    convert: tuple[Callable[[], Any], ...] = (
        lambda: folder.green(*({"store_and_fwd_flag": value} for value in values)),
        lambda: folder.parquet(green_table(store_and_fwd_flag=pa.array(values))),
        lambda: folder.parquet(green_table(store_and_fwd_flag=pa.array(values, pa.string_view()))),
    )
    for each in convert:
        if fits:
            each()
            assert folder.table()["store_and_fwd_flag"].to_pylist() == values
            continue
        with pytest.raises(ContractError) as error:
            each()
        assert re.search(r"column store_and_fwd_flag: row [23]: '(x{60})'\.\.\. is not a valid text", str(error.value))


# The form of a CSV file


def _green_text(*lines: str) -> bytes:
    return gzip.compress("\n".join([*lines, ""]).encode())


HEADER, ROW = ",".join(GREEN_ROW), ",".join(GREEN_ROW.values())


@pytest.mark.parametrize("before", ["\n", "\r\n", "\n\n\n", " \n", "\N{ZERO WIDTH NO-BREAK SPACE}\n"], ids=repr)
def test_empty_lines_before_the_header_do_not_count(folder: Folder, before: str) -> None:
    assert folder.green_bytes(gzip.compress(f"{before}{HEADER}\n{ROW}\n".encode())).rows == 1
    for bad, problem in ((ROW.replace(",N,", ",N,x"), "column RatecodeID: row 3: 'x1'"), ("1,2", "row 3: Expected")):
        with pytest.raises(ContractError, match=problem):
            folder.green_bytes(gzip.compress(f"{before}{HEADER}\n{ROW}\n{bad}\n".encode()))


def test_a_line_break_in_quotes_is_part_of_the_value_wherever_a_block_ends(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_csv, "BLOCK_BYTES", 1024)
    flags = ["a\nb" if number % 3 else "c" for number in range(200)]
    assert folder.green(*({"store_and_fwd_flag": flag} for flag in flags)).rows == 200
    assert folder.table()["store_and_fwd_flag"].to_pylist() == flags


def test_a_row_without_an_end_is_refused(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_csv, "BLOCK_BYTES", 4096)
    with pytest.raises(ContractError, match=r"after row 2: a row is longer than 4,096 bytes; check its quotes"):
        folder.green_bytes(_green_text(HEADER, ROW, "x" * 20_000))


@pytest.mark.parametrize("suffix", [",", ",,"])
def test_a_comma_at_the_end_of_the_rows_is_refused(folder: Folder, suffix: str) -> None:
    with pytest.raises(ContractError, match=r"row 2: Expected 20 columns, got 2[12]: .*; write each row"):
        folder.green_bytes(_green_text(HEADER, ROW + suffix))
    with pytest.raises(ContractError, match=r"unknown: \(no name\)"):
        folder.green_bytes(_green_text(HEADER + suffix, ROW + suffix))
    assert folder.green_bytes(_green_text(HEADER + suffix, ROW + suffix), accept_unknown=True).rows == 1


# Months whose published files lack a column


def _mirror(folder: Folder, dataset: Any, month: Month, text: str) -> list[dict[str, Any]]:
    source = folder.path / dataset.file(month).source_path(Layout.MIRROR).name
    source.write_bytes(gzip.compress(text.encode()))
    to_parquet(source, folder.target, dataset=dataset, month=month)
    return folder.rows()


def test_fhvhv_of_june_2021_loses_nothing(folder: Folder) -> None:
    header = "dispatching_base_num,pickup_datetime,dropoff_datetime,PULocationID,DOLocationID,SR_Flag"
    text = f"{header},Affiliated_base_number\nB00007,2021-06-01 00:15:56,2021-06-01 00:19:52,43,151,N,B00008\n"
    (row,) = _mirror(folder, FHVHV, Month(2021, 6), text)
    assert {name: value for name, value in row.items() if value is not None} == {
        "dispatching_base_num": "B00007",
        "pickup_datetime": datetime.datetime(2021, 6, 1, 0, 15, 56),
        "dropoff_datetime": datetime.datetime(2021, 6, 1, 0, 19, 52),
        "PULocationID": 43,
        "DOLocationID": 151,
        "SR_Flag": "N",
        "Affiliated_base_number": "B00008",
        "source_month": datetime.date(2021, 6, 1),
        "source_file": "fhvhv_tripdata_2021-06.csv.gz",
    }


def test_fhv_of_2019_without_an_affiliated_base_loses_nothing(folder: Folder) -> None:
    header = "dispatching_base_num,pickup_datetime,dropoff_datetime,PULocationID,DOLocationID,SR_Flag"
    text = f"{header}\r\nB00007,2019-01-01 00:30:00,2019-01-01 02:51:55,,,\r\n"
    (row,) = _mirror(folder, FHV, Month(2019, 1), text)
    assert {name: value for name, value in row.items() if value is not None} == {
        "dispatching_base_num": "B00007",
        "pickup_datetime": datetime.datetime(2019, 1, 1, 0, 30),
        "dropOff_datetime": datetime.datetime(2019, 1, 1, 2, 51, 55),
        "source_month": datetime.date(2019, 1, 1),
        "source_file": "fhv_tripdata_2019-01.csv.gz",
    }
