"""Months: parsing, names, and which month or year a run is for."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from nyc_taxi.registry.months import Month, MonthError, resolve_month, resolve_year


@pytest.mark.parametrize(
    "text",
    [
        "2021-13",
        "2021-00",
        "2021-1",
        "21-01",
        "02021-01",
        "2021-01-01",
        "2021_01",
        "202101",
        "../x",
        "2021-01/../..",
        "",
        " 2021-01",
        "2021-01 ",
        "2021-01\n",
        "2021-01\r\n",
        "-2021-01",
        "\u0662\u0660\u0662\u0661-\u0660\u0661",  # digits that are not ASCII
        "\uff12\uff10\uff12\uff11-\uff10\uff11",
        "2021\N{EN DASH}01",
        None,
        202101,
        b"2021-01",
        Month(2021, 1),
    ],
)
def test_an_invalid_month_is_refused(text: Any) -> None:
    with pytest.raises(MonthError) as error:
        Month.parse(text)
    assert str(error.value) == f"{text!r} is not a month; write YYYY-MM, for example 2021-01"


def test_every_month_of_many_years_survives_a_round_trip() -> None:
    months = [Month(year, month) for year in (1, 999, 1970, 2019, 2021, 9999) for month in range(1, 13)]
    assert [Month.parse(str(month)) for month in months] == months
    assert sorted(months, key=str) == months


def test_the_names_of_a_month() -> None:
    month = Month.parse("2021-01")
    assert month == Month(2021, 1)
    assert str(month) == "2021-01"
    assert month.first_day == datetime.date(2021, 1, 1)
    assert month.partition_id == "202101"
    assert month.slug == "2021_01"
    assert (Month(987, 12).partition_id, Month(987, 12).slug, str(Month(987, 12))) == ("098712", "0987_12", "0987-12")


@pytest.mark.parametrize(
    ("day", "month"),
    [
        ((2026, 11, 1), Month(2026, 8)),
        ((2026, 11, 30), Month(2026, 8)),
        ((2026, 12, 1), Month(2026, 9)),
        ((2026, 3, 31), Month(2025, 12)),
        ((2026, 4, 1), Month(2026, 1)),
        ((2026, 1, 1), Month(2025, 10)),
    ],
)
def test_a_month_is_due_two_months_after_its_end(day: tuple[int, int, int], month: Month) -> None:
    assert Month.published_by(datetime.date(*day)) == month


def _context(partition_key: str | None = None, month: Any = None, logical_date: Any = None) -> dict[str, Any]:
    return {
        "dag_run": SimpleNamespace(partition_key=partition_key, logical_date=logical_date),
        "params": {"month": month},
    }


_DATE = datetime.datetime(2019, 3, 31, 23, 59, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("context", "month"),
    [
        (_context("2021-01", "2021-01", _DATE), Month(2021, 1)),
        (_context("2021-01", None, _DATE), Month(2021, 1)),
        (_context("2021-01"), Month(2021, 1)),
        (_context(None, "2020-02", _DATE), Month(2020, 2)),
        (_context("", "2020-02"), Month(2020, 2)),
        (_context(None, None, _DATE), Month(2019, 3)),
        (_context(None, "", _DATE), Month(2019, 3)),
    ],
)
def test_the_month_comes_from_the_key_then_the_parameter_then_the_date(context: dict[str, Any], month: Month) -> None:
    assert resolve_month(context) == month


@pytest.mark.parametrize("context", [_context("2021-13", None, _DATE), _context(None, "2021-13", _DATE)])
def test_a_wrong_month_does_not_fall_through_to_the_next_source(context: dict[str, Any]) -> None:
    with pytest.raises(MonthError, match=r"^'2021-13' is not a month"):
        resolve_month(context)


def test_a_key_and_a_parameter_that_differ_are_refused() -> None:
    with pytest.raises(MonthError) as error:
        resolve_month(_context("2021-01", "2021-02", _DATE))
    assert str(error.value) == "the run's partition key is '2021-01', but its parameter month is '2021-02': remove one"
    with pytest.raises(MonthError, match=r"key is '2021', but its parameter year is '2020': remove one$"):
        resolve_year(_year_context("2021", "2020"))


def test_a_run_without_a_month_is_told_how_to_name_one() -> None:
    message = "the run has no month: start it with the parameter month, for example 2021-01"
    for context in (_context(), {**_context(), "params": {}}):
        with pytest.raises(MonthError) as error:
            resolve_month(context)
        assert str(error.value) == message


def test_a_dag_run_without_the_attribute_partition_key() -> None:
    assert resolve_month({"dag_run": SimpleNamespace(logical_date=_DATE), "params": {}}) == Month(2019, 3)


def _year_context(partition_key: str | None = None, year: Any = None, logical_date: Any = None) -> dict[str, Any]:
    return {
        "dag_run": SimpleNamespace(partition_key=partition_key, logical_date=logical_date),
        "params": {"year": year},
    }


@pytest.mark.parametrize(
    ("context", "year"),
    [
        (_year_context("2021", None, _DATE), 2021),
        (_year_context(None, "2020", _DATE), 2020),
        (_year_context("", "2020"), 2020),
        (_year_context(None, None, _DATE), 2019),
    ],
)
def test_the_year_comes_from_the_key_then_the_parameter_then_the_date(context: dict[str, Any], year: int) -> None:
    assert resolve_year(context) == year


@pytest.mark.parametrize(
    "text", ["2021-01", "21", "20211", "0000", "0999", "2021\n", " 2021", "../x", "\u0662021", 2021]
)
def test_an_invalid_year_is_refused_wherever_it_is_set(text: Any) -> None:
    for context in (_year_context(text, None, _DATE), _year_context(None, text, _DATE)):
        with pytest.raises(MonthError) as error:
            resolve_year(context)
        assert str(error.value) == f"{text!r} is not a year; write YYYY, for example 2021"


def test_a_run_without_a_year_is_told_how_to_name_one() -> None:
    message = "the run has no year: start it with the parameter year, for example 2021"
    for context in (_year_context(), {**_year_context(), "params": {"month": "2021-01"}}):
        with pytest.raises(MonthError) as error:
            resolve_year(context)
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("month", "following"), [("2021-01", "2021-02"), ("2021-11", "2021-12"), ("2021-12", "2022-01")]
)
def test_the_next_month(month: str, following: str) -> None:
    assert str(Month.parse(month).next) == following
