"""What a request to start runs may contain."""

from __future__ import annotations

import copy
import datetime
import re
from typing import Any

import pytest

from nyc_taxi.dag_parts.params import ParameterError
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.months import MonthError
from nyc_taxi.run_requests.rules import check_backfill, check_event, check_run, forms
from nyc_taxi.stores import STORES

NOW = datetime.datetime(2026, 11, 27, 2, 14, 39, 123456, tzinfo=datetime.UTC)
GREEN = "green_web_to_gcs"
ROLLUP = "trips_yearly_rollup"


def _run(dag_id: str = GREEN, **body: Any) -> dict[str, Any]:
    given = {"logical_date": None, **body}
    before = copy.deepcopy(given)
    checked = check_run(dag_id, given, NOW)
    assert given == before
    return checked


def test_every_dag_has_its_form() -> None:
    of_datasets = {f"{dataset}_{store.step}" for dataset in DATASETS for store in STORES}
    assert set(forms()) == {*of_datasets, ROLLUP}
    assert {form.key for dag_id, form in forms().items() if dag_id.startswith("zones_")} == {None}


@pytest.mark.parametrize("dag_id", [GREEN, "fhv_gcs_to_bigquery", "yellow_web_to_postgres"])
@pytest.mark.parametrize(
    "body",
    [
        {"conf": {"month": "2021-01", "force": True}},
        {"conf": {"month": "2021-01"}, "partition_key": "2021-01"},
        {"conf": {"month": None, "force": False}, "partition_key": "2021-01"},
        {"partition_key": "2021-01", "dag_run_id": None},
        {"conf": {"month": "2021-01"}, "logical_date": "2020-05-01T00:00:00Z"},
        {"conf": {"month": None}, "logical_date": "2021-01-15T00:00:00Z"},
        {"logical_date": "2020-12-31T23:00:00-02:00"},
    ],
)
def test_a_month_becomes_the_partition_key_and_part_of_the_run_id(dag_id: str, body: dict[str, Any]) -> None:
    checked = _run(dag_id, **body)
    assert checked["partition_key"] == "2021-01"
    assert re.fullmatch(r"manual__2021-01__2026-11-27T02:14:39\+00:00_[0-9a-f]{8}", checked["dag_run_id"])
    assert {name: checked.get(name) for name in body if name not in ("partition_key", "dag_run_id")} == {
        name: value for name, value in body.items() if name not in ("partition_key", "dag_run_id")
    }
    assert _run(dag_id, **body)["dag_run_id"] != checked["dag_run_id"]


def test_a_year_becomes_the_partition_key() -> None:
    checked = _run(ROLLUP, conf={"year": "2021"})
    assert (checked["partition_key"], checked["dag_run_id"][:14]) == ("2021", "manual__2021__")


def test_a_run_id_of_the_callers_own_stays() -> None:
    assert _run(conf={"month": "2021-01"}, dag_run_id="mine")["dag_run_id"] == "mine"


@pytest.mark.parametrize(
    ("dag_id", "body"),
    [
        ("zones_web_to_gcs", {"conf": {"force": True}}),
        ("zones_web_to_gcs", {}),
        ("somebody_elses", {"conf": {"anything": 1}}),
        (GREEN, {"conf": ["not an object"]}),
    ],
)
def test_a_request_without_a_month_to_add_stays_as_it_is(dag_id: str, body: dict[str, Any]) -> None:
    given = {"logical_date": None, **body}
    assert check_run(dag_id, given, NOW) is given


@pytest.mark.parametrize("body", [{}, {"conf": None}, {"conf": {}}, {"conf": {"month": None, "force": False}}])
def test_a_run_without_a_month_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(MonthError, match=r"^Which month\? Fill in Month, for example 2021-01\.$"):
        _run(**body)
    with pytest.raises(MonthError, match=r"^Which year\? Fill in Year, for example 2021\.$"):
        _run(ROLLUP)


@pytest.mark.parametrize("wrong", ["", "2021-13", "2021-1", "2021", " 2021-01", "2021-01\n", "01/2021", 202101, [], 0])
def test_a_wrong_month_is_refused_in_words(wrong: Any) -> None:
    for body in (
        {"conf": {"month": wrong}},
        {"partition_key": wrong},
        {"partition_key": "2021-01", "conf": {"month": wrong}},
    ):
        with pytest.raises(MonthError) as error:
            _run(**body)
        assert str(error.value).endswith("is not a month; write YYYY-MM, for example 2021-01")
        assert str(error.value).isprintable()


@pytest.mark.parametrize("wrong", ["21", "2021-01", 2021, "0021"])
def test_a_wrong_year_is_refused_in_words(wrong: Any) -> None:
    with pytest.raises(MonthError, match=r"is not a year; write YYYY, for example 2021$"):
        _run(ROLLUP, conf={"year": wrong})


@pytest.mark.parametrize(
    ("dag_id", "conf", "message"),
    [
        (GREEN, {"month": "2013-12"}, "Green taxi trips: there is no 2013-12. The first published month is 2014-01."),
        (GREEN, {"month": "2026-11"}, "Green taxi trips: 2026-11 cannot be published yet."),
        (GREEN, {"month": "2026-12"}, "Green taxi trips: 2026-12 cannot be published yet."),
        ("yellow_gcs_to_bigquery", {"month": "2010-12"}, "Yellow taxi trips: there is no 2010-12."),
        (ROLLUP, {"year": "2010"}, "All trips: there is no 2010. The first published year is 2011."),
        (ROLLUP, {"year": "2027"}, "All trips: 2027 cannot be published yet."),
    ],
)
def test_an_impossible_month_is_refused(dag_id: str, conf: dict[str, Any], message: str) -> None:
    with pytest.raises(MonthError) as error:
        _run(dag_id, conf=conf)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("conf", [{"month": "2014-01"}, {"month": "2026-10"}])
def test_the_first_and_the_last_possible_month_are_accepted(conf: dict[str, Any]) -> None:
    assert _run(conf=conf)["partition_key"] == conf["month"]
    assert _run(ROLLUP, conf={"year": "2026"})["partition_key"] == "2026"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("2013-12-31T23:59:59Z", "Green taxi trips: there is no 2013-12."),
        ("2026-11-01T00:00:00Z", "Green taxi trips: 2026-11 cannot be published yet."),
        ("2014-01-01T00:30:00+01:00", "Green taxi trips: there is no 2013-12."),
        (1609459200, "1609459200 is not a date; write for example 2021-01-01T00:00:00Z"),
        ("1609459200", "'1609459200' is not a date; write for example 2021-01-01T00:00:00Z"),
    ],
)
def test_the_month_of_a_date_is_checked_as_any_other(given: Any, message: str) -> None:
    with pytest.raises(MonthError) as error:
        _run(logical_date=given)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        ("2013-12-01", "2014-03-01", "Green taxi trips: there is no 2013-12."),
        ("2021-01-01", "2026-11-01", "Green taxi trips: 2026-11 cannot be published yet."),
        ("2021-01-01", "2031-05-01", "Green taxi trips: 2031-05 cannot be published yet."),
        ("2021-01-01", "soon", "'soon' is not a date"),
    ],
)
def test_a_backfill_of_an_impossible_month_is_refused(since: str, until: str, message: str) -> None:
    for conf in ({}, {"dag_run_conf": None}, {"dag_run_conf": {"force": True}}):
        with pytest.raises(MonthError) as error:
            check_backfill({"dag_id": GREEN, "from_date": since, "to_date": until, **conf}, NOW)
        assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2014-01-01", "2026-10-31T23:59:59Z"),
        ("2013-12-02", "2014-01-01"),
        ("2021-01-01T00:00:00Z", "2021-03-01T00:00:00Z"),
    ],
)
def test_a_backfill_of_possible_months_passes(since: str, until: str) -> None:
    body = {"dag_id": GREEN, "from_date": since, "to_date": until}
    assert check_backfill(body, NOW) is body


def test_two_months_are_refused() -> None:
    with pytest.raises(MonthError, match="partition key is '2021-01', but its parameter month is '2021-02'"):
        _run(partition_key="2021-01", conf={"month": "2021-02"})


@pytest.mark.parametrize("dag_id", [GREEN, "zones_web_to_gcs", ROLLUP])
def test_an_unknown_key_is_refused(dag_id: str) -> None:
    with pytest.raises(ParameterError, match=f"^'forse' is no parameter of {dag_id}"):
        _run(dag_id, partition_key="2021-01", conf={"forse": True})
    with pytest.raises(ParameterError, match=f"^'forse' is no parameter of {dag_id}"):
        check_backfill({"dag_id": dag_id, "dag_run_conf": {"forse": True}}, NOW)


def test_a_backfill_takes_its_months_from_its_dates() -> None:
    with pytest.raises(MonthError, match=r"^Leave Month empty: the dates of a backfill name its months"):
        check_backfill({"dag_id": GREEN, "dag_run_conf": {"month": "2021-01"}}, NOW)


def test_a_dataset_without_months_has_no_backfill() -> None:
    body = {"dag_id": "zones_web_to_gcs", "from_date": "2021-01-01", "to_date": "2021-03-01"}
    with pytest.raises(MonthError, match=r"^Taxi zones has no months to backfill; trigger zones_web_to_gcs once\.$"):
        check_backfill(body, NOW)


def test_an_event_by_hand_names_a_month_that_can_be() -> None:
    for key in ("2021-13", "2026-11", " ", "2013-12"):
        with pytest.raises(MonthError, match=r"2021-13|2026-11|month|2013-12"):
            check_event(GREEN, {"asset_id": 1, "partition_key": key}, NOW)
    for body in ({"asset_id": 1}, {"asset_id": 1, "partition_key": None}):
        with pytest.raises(MonthError, match=r"^Which month\? Fill in Partition Key, for example 2021-01\.$"):
            check_event(GREEN, body, NOW)


@pytest.mark.parametrize(
    ("dag_id", "body"),
    [(GREEN, {"partition_key": "2021-01"}), ("zones_web_to_gcs", {}), ("somebody_elses", {"partition_key": "x"})],
)
def test_any_other_event_stays_as_it_is(dag_id: str, body: dict[str, Any]) -> None:
    assert check_event(dag_id, body, NOW) is body


@pytest.mark.parametrize(
    "body",
    [
        {"dag_id": GREEN, "dag_run_conf": {"month": None, "force": True}},
        {"dag_id": GREEN, "dag_run_conf": None},
        {"dag_id": "somebody_elses", "dag_run_conf": {"month": "2021-01"}},
        {"dag_id": ["no", "text"]},
        {},
    ],
)
def test_any_other_backfill_stays_as_it_is(body: dict[str, Any]) -> None:
    assert check_backfill(body, NOW) is body
