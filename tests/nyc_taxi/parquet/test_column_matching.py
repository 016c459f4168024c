"""Matching a file's columns with the contract, and refusing files whose columns differ from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nyc_taxi.parquet.column_matching import Match, match_columns
from nyc_taxi.registry.columns import Column, Layout, Type
from nyc_taxi.registry.datasets import DATASETS, FHV, FHVHV, GREEN, TRIP_DATASETS, YELLOW, ZONES
from nyc_taxi.registry.model import ContractError, Dataset, LookupDataset
from nyc_taxi.registry.months import Month

JANUARY = Month(2021, 1)
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
SMALL = LookupDataset(
    name="small",
    title="Small",
    table="small",
    source_path="small.csv",
    source_columns=(
        Column("a", Type.INTEGER, "A.", aliases=("first", "One")),
        Column("b", Type.INTEGER, "B."),
        Column("c", Type.INTEGER, "C.", layouts=(Layout.TLC,)),
        Column("d", Type.INTEGER, "D.", layouts=(Layout.TLC,), since=Month(2025, 1)),
    ),
)


def _match(
    *names: str,
    dataset: Dataset = SMALL,
    layout: Layout = Layout.MIRROR,
    month: Month | None = JANUARY,
    accept_unknown: bool = False,
) -> Match:
    return match_columns(names, dataset, layout, month, accept_unknown=accept_unknown)


def _refusal(*names: str, **differences: object) -> str:
    with pytest.raises(ContractError) as error:
        _match(*names, **differences)  # type: ignore[arg-type]
    return str(error.value)


def _required(dataset: Dataset, layout: Layout, month: Month = JANUARY) -> list[str]:
    return [column.name for column in dataset.source_columns if column.is_required(layout, month)]


# Matches


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (("a", "b"), (0, 1, None, None)),
        (("b", "a"), (1, 0, None, None)),
        (("A", "B"), (0, 1, None, None)),
        ((" a", "b\t"), (0, 1, None, None)),
        ((f"{BOM}a", "b"), (0, 1, None, None)),
        (("first", "b"), (0, 1, None, None)),
        (("b", "oNE"), (1, 0, None, None)),
        (("d", "c", "b", "a"), (3, 2, 1, 0)),
    ],
    ids=["as they are", "order", "case", "blanks", "byte order mark", "alias", "alias in another case", "all"],
)
def test_columns_are_found_by_name_alias_and_whatever_their_case(
    names: tuple[str, ...], places: tuple[int | None, ...]
) -> None:
    assert _match(*names) == Match(places, ())


@pytest.mark.parametrize("index", ["__index_level_0__", "__index_level_12__", "__INDEX_LEVEL_0__"])
def test_a_pandas_index_is_left_out_silently(index: str) -> None:
    assert _match(index, "a", "b") == Match((1, 2, None, None), ())
    assert _match("a", index, "b", index) == Match((0, 2, None, None), ())


def test_a_name_similar_to_a_pandas_index_is_unknown() -> None:
    assert "unknown: __index_level_x__, index_level_0" in _refusal("a", "b", "__index_level_x__", "index_level_0")


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda dataset: dataset.name)
def test_the_required_columns_of_a_layout_are_enough(dataset: Dataset, layout: Layout) -> None:
    names = _required(dataset, layout)
    places, ignored = _match(*reversed(names), dataset=dataset, layout=layout)
    assert ignored == ()
    expected = [len(names) - 1 - names.index(name) if name in names else None for name in _names(dataset)]
    assert list(places) == expected


def _names(dataset: Dataset) -> list[str]:
    return [column.name for column in dataset.source_columns]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_every_column_of_the_registry_is_accepted(dataset: Dataset) -> None:
    for layout in Layout:
        places, ignored = _match(*_names(dataset), dataset=dataset, layout=layout)
        assert (list(places), ignored) == (list(range(len(dataset.source_columns))), ())


# Required columns by layout and month


@pytest.mark.parametrize(
    ("layout", "month", "missing"),
    [
        (Layout.MIRROR, JANUARY, None),
        (Layout.MIRROR, Month(2025, 1), None),
        (Layout.MIRROR, None, None),
        (Layout.TLC, Month(2024, 12), "c"),
        (Layout.TLC, None, "c"),
        (Layout.TLC, Month(2025, 1), "c, d"),
        (Layout.TLC, Month(2026, 7), "c, d"),
    ],
)
def test_required_columns_depend_on_layout_and_month(layout: Layout, month: Month | None, missing: str | None) -> None:
    if missing is None:
        assert _match("a", "b", layout=layout, month=month).places == (0, 1, None, None)
    else:
        expected = f"its columns differ from the contract; missing: {missing}"
        assert _refusal("a", "b", layout=layout, month=month) == expected


@pytest.mark.parametrize("dataset", [YELLOW, GREEN, FHVHV], ids=lambda dataset: dataset.name)
def test_the_congestion_fee_is_required_from_january_2025(dataset: Dataset) -> None:
    before, since = Month(2024, 12), Month(2025, 1)
    names = _required(dataset, Layout.TLC, before)
    assert "cbd_congestion_fee" not in names
    assert _match(*names, dataset=dataset, layout=Layout.TLC, month=before).places[-1] is None
    refusal = _refusal(*names, dataset=dataset, layout=Layout.TLC, month=since)
    assert refusal == "its columns differ from the contract; missing: cbd_congestion_fee"
    early = _match(*names, "cbd_congestion_fee", dataset=dataset, layout=Layout.TLC, month=before)
    assert early.places[-1] == len(names)


def test_only_the_tlcs_files_require_an_airport_fee() -> None:
    names = _required(YELLOW, Layout.MIRROR)
    assert "airport_fee" not in names
    place = _names(YELLOW).index("airport_fee")
    assert _match(*names, dataset=YELLOW).places[place] is None
    assert _match(*names, "Airport_fee", dataset=YELLOW, layout=Layout.TLC).places[place] == len(names)
    assert (
        _refusal(*names, dataset=YELLOW, layout=Layout.TLC)
        == "its columns differ from the contract; missing: airport_fee"
    )


# Refusals

MANY = [f"x{number}" for number in range(32)]
HINT = "set the variable unknown_columns to ignore to leave them out"


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("a",), "missing: b"),
        ((), "missing: a, b"),
        (("a", "b", "x", "y"), f"unknown: x, y; {HINT}"),
        (("a", "b", "x", "x"), f"unknown: x, x; {HINT}"),
        (("a", "b", ""), f"unknown: (no name); {HINT}"),
        (("a", "b", " \t"), f"unknown: (no name); {HINT}"),
        (("a", "b", "B"), "repeated: b"),
        (("a", "first", "b", "b"), "repeated: a, b"),
        (("a", "x"), "missing: b; unknown: x"),
        (("a", "a", "x"), "missing: b; unknown: x; repeated: a"),
        (("a", "b", "x\x00\n\x1b[1my"), f"unknown: x\\x00\\n\\x1b[1my; {HINT}"),
        (("a", "b", "x" * 61), f"unknown: {'x' * 60}...; {HINT}"),
        (("a", "b", *MANY), f"unknown: {', '.join(MANY[:30])}, and 2 more; {HINT}"),
    ],
)
def test_other_columns_are_refused_and_named(names: tuple[str, ...], problem: str) -> None:
    assert _refusal(*names) == f"its columns differ from the contract; {problem}"


def test_unknown_columns_can_be_left_out_and_are_returned() -> None:
    assert _match("x", "a", "y", "b", "__index_level_0__", accept_unknown=True) == Match((1, 3, None, None), ("x", "y"))


@pytest.mark.parametrize(
    ("names", "problem"), [(("a", "x"), "missing: b; unknown: x"), (("a", "b", "a", "x"), "unknown: x; repeated: a")]
)
def test_accepting_the_unknown_accepts_nothing_else(names: tuple[str, ...], problem: str) -> None:
    assert _refusal(*names, accept_unknown=True) == f"its columns differ from the contract; {problem}"


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("other", DATASETS.values(), ids=lambda dataset: dataset.name)
@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_a_file_of_another_dataset_is_recognized(dataset: Dataset, other: Dataset, layout: Layout) -> None:
    names = _required(other, layout)
    if dataset is other:
        assert _match(*names, dataset=dataset, layout=layout).ignored == ()
    else:
        refusal = _refusal(*(name.upper() for name in names), "__index_level_0__", dataset=dataset, layout=layout)
        or_this = " or fhvhv 2021-06" if (dataset, other, layout) == (FHVHV, FHV, Layout.MIRROR) else ""
        assert refusal.endswith(f"; its columns are those of {other.name}{or_this}")


@pytest.mark.parametrize(
    ("dataset", "column", "month", "may_lack"),
    [
        (FHVHV, "hvfhs_license_num", Month(2021, 5), False),
        (FHVHV, "hvfhs_license_num", Month(2021, 6), True),
        (FHVHV, "hvfhs_license_num", Month(2021, 7), False),
        (FHV, "Affiliated_base_number", Month(2019, 1), True),
        (FHV, "Affiliated_base_number", Month(2020, 6), True),
        (FHV, "Affiliated_base_number", Month(2020, 7), False),
    ],
    ids=str,
)
def test_the_mirrors_files_of_some_months_may_lack_a_column(
    dataset: Dataset, column: str, month: Month, may_lack: bool
) -> None:
    names = [name for name in _required(dataset, Layout.MIRROR) if name != column]
    if may_lack:
        places = _match(*names, dataset=dataset, month=month).places
        assert places[_names(dataset).index(column)] is None
    else:
        refusal = _refusal(*names, dataset=dataset, month=month)
        assert refusal.startswith(f"its columns differ from the contract; missing: {column}")
    tlc = [name for name in _required(dataset, Layout.TLC, month) if name != column]
    assert f"missing: {column}" in _refusal(*tlc, dataset=dataset, layout=Layout.TLC, month=month)


def test_fhvhv_of_june_2021_with_the_columns_of_fhv_is_not_taken_for_fhv() -> None:
    names = _required(FHV, Layout.MIRROR)
    places = _match(*names, dataset=FHVHV, month=Month(2021, 6)).places
    found = [name for name, place in zip(_names(FHVHV), places, strict=True) if place is not None]
    assert sorted(map(str.lower, found)) == sorted(map(str.lower, names))
    assert _refusal(*names, dataset=FHVHV, month=Month(2021, 7)).endswith("those of fhv or fhvhv 2021-06")


def test_leaving_out_the_unknown_does_not_make_another_datasets_rows_this_ones() -> None:
    names = _required(FHVHV, Layout.MIRROR)
    month = Month(2019, 3)
    refusal = _refusal(*names, dataset=FHV, month=month, accept_unknown=True)
    problem = "unknown: hvfhs_license_num; its columns are those of fhvhv"
    assert refusal == f"its columns differ from the contract; {problem}"


def test_columns_that_no_contract_accepts_match_no_dataset() -> None:
    names = _required(FHV, Layout.MIRROR)
    for of_nobody in ([*names, "x"], names[1:], [*names, names[0]]):
        assert "its columns are those of" not in _refusal(*of_nobody, dataset=FHVHV)


def test_the_zones_need_no_month() -> None:
    assert _match(*_names(ZONES), dataset=ZONES, month=None).places == (0, 1, 2, 3)
    refusal = _refusal(*_names(ZONES)[:-1], dataset=ZONES, month=None)
    assert refusal == "its columns differ from the contract; missing: service_zone"


def test_a_column_under_its_name_and_its_alias_is_repeated() -> None:
    aliased = replace(SMALL, source_columns=(Column("a", Type.INTEGER, "A.", aliases=("first",)),))
    assert _match("First", dataset=aliased).places == (0,)
    assert _refusal("a", "First", dataset=aliased) == "its columns differ from the contract; repeated: a"
