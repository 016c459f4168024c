"""The checks as data: what is asserted of each dataset, and what each store is sent. The stores run them elsewhere."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from nyc_taxi.dag_parts.macros import MACROS
from nyc_taxi.registry.checks import ColumnCheck, Level, at_most
from nyc_taxi.registry.datasets import DATASETS, FHV, GREEN, TRIP_DATASETS, ZONES
from nyc_taxi.registry.model import Dataset, TripDataset
from nyc_taxi.stores.bigquery.check_columns import BigQueryColumnAuditOperator
from nyc_taxi.stores.bigquery.checks import bigquery_column_checks, bigquery_table_checks
from nyc_taxi.stores.postgres.checks import postgres_checks

EVERY = pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
OF_TRIPS = ["has_rows", "is_of_one_month", "has_most_pickups_in_its_month"]
WARNINGS_OF_TRIPS = ["has_few_pickups_outside_its_month", "has_few_trips_that_end_before_they_begin"]
WARNINGS_OF_METERS = ["has_few_refunds", "has_few_amounts_over_1000_dollars", "has_few_distances_over_100_miles"]
ZONE = {"null_check": {"equal_to": 0}, "min": {"geq_to": 1}, "max": {"leq_to": 265}}
NOT_NULL = {"null_check": {"equal_to": 0}}


def _render(statement: str, dataset: Dataset) -> str:
    """The statement as the task of a run for 2021-01 sends it."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.globals.update(dataset=dataset, **MACROS)
    run = SimpleNamespace(partition_key="2021-01", logical_date=None)
    ti = SimpleNamespace(xcom_pull=lambda task_id: {"to_parquet": 76_518}[task_id])
    return environment.from_string(statement).render(dag_run=run, params={}, ti=ti)


def _rendered(checks: dict[str, dict[str, Any]], dataset: Dataset) -> dict[str, str]:
    assert all(set(check) == {"check_statement"} for check in checks.values())
    return {name: _render(check["check_statement"], dataset) for name, check in checks.items()}


# What is asserted


@pytest.mark.parametrize(
    ("name", "failing", "warning"),
    [
        ("yellow", OF_TRIPS, [*WARNINGS_OF_TRIPS, *WARNINGS_OF_METERS]),
        ("green", OF_TRIPS, [*WARNINGS_OF_TRIPS, *WARNINGS_OF_METERS]),
        (
            "fhv",
            OF_TRIPS,
            [
                *WARNINGS_OF_TRIPS,
                "has_few_unknown_zones_in_PUlocationID",
                "has_few_unknown_zones_in_DOlocationID",
            ],
        ),
        ("fhvhv", OF_TRIPS, [*WARNINGS_OF_TRIPS, "has_few_distances_over_100_miles"]),
        ("zones", ["has_rows", "has_every_zone"], []),
    ],
)
def test_the_names_and_levels_of_the_tables_checks(name: str, failing: list[str], warning: list[str]) -> None:
    dataset = DATASETS[name]
    of_the_lake = [] if dataset is ZONES else ["has_every_row_of_the_lake"]
    assert list(bigquery_table_checks(dataset, Level.FAIL)) == [*of_the_lake, *failing]
    assert list(bigquery_table_checks(dataset, Level.WARN)) == warning
    columns = [check.column for check in DATASETS[name].checks.columns]
    assert list(postgres_checks(dataset, Level.FAIL)) == ["has_every_row_of_the_source", *failing, *columns]
    assert list(postgres_checks(dataset, Level.WARN)) == warning


def _metered(prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}_pickup_datetime": NOT_NULL,
        f"{prefix}_dropoff_datetime": NOT_NULL,
        "PULocationID": ZONE,
        "DOLocationID": ZONE,
        "trip_distance": NOT_NULL,
        "fare_amount": NOT_NULL,
        "total_amount": NOT_NULL,
    }


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("yellow", _metered("tpep")),
        ("green", _metered("lpep")),
        ("fhv", {"pickup_datetime": NOT_NULL}),
        (
            "fhvhv",
            {
                "hvfhs_license_num": NOT_NULL,
                "pickup_datetime": NOT_NULL,
                "dropoff_datetime": NOT_NULL,
                "PULocationID": ZONE,
                "DOLocationID": ZONE,
            },
        ),
        ("zones", {"LocationID": {**ZONE, "unique_check": {"equal_to": 0}}}),
    ],
)
def test_the_columns_checks(name: str, columns: dict[str, Any]) -> None:
    assert bigquery_column_checks(DATASETS[name]) == columns


@pytest.mark.parametrize(
    ("check", "mapping", "condition"),
    [
        (ColumnCheck(column="x"), NOT_NULL, 'COUNT("x") = COUNT(*)'),
        (
            ColumnCheck(column="x", not_null=False, unique=True),
            {"unique_check": {"equal_to": 0}},
            'COUNT(DISTINCT "x") = COUNT("x")',
        ),
        (
            ColumnCheck(column="x", not_null=False, at_least=0),
            {"min": {"geq_to": 0}},
            'COALESCE(MIN("x") >= 0, TRUE)',
        ),
        (
            ColumnCheck(column="x", not_null=False, at_most=1.5),
            {"max": {"leq_to": 1.5}},
            'COALESCE(MAX("x") <= 1.5, TRUE)',
        ),
        (
            ColumnCheck(column="x", unique=True, at_least=1, at_most=265),
            {**NOT_NULL, "unique_check": {"equal_to": 0}, "min": {"geq_to": 1}, "max": {"leq_to": 265}},
            'COUNT("x") = COUNT(*) AND COUNT(DISTINCT "x") = COUNT("x")'
            ' AND COALESCE(MIN("x") >= 1, TRUE) AND COALESCE(MAX("x") <= 265, TRUE)',
        ),
    ],
)
def test_a_columns_check_says_the_same_in_both_forms(
    check: ColumnCheck, mapping: dict[str, Any], condition: str
) -> None:
    assert check.mapping() == mapping
    assert check.condition() == condition


@EVERY
def test_the_columns_conditions_in_postgres_are_those_of_the_columns(dataset: Dataset) -> None:
    sent = postgres_checks(dataset, Level.FAIL)
    for check in dataset.checks.columns:
        assert sent[check.column] == {"check_statement": check.condition()}


def test_a_share_of_the_rows() -> None:
    assert at_most(0.01, '"x" < 0') == 'AVG(CASE WHEN "x" < 0 THEN 1.0 ELSE 0.0 END) <= 0.01'


# What the stores are sent

OUTSIDE = "\"lpep_pickup_datetime\" < '2021-01-01' OR \"lpep_pickup_datetime\" >= '2021-02-01'"


def test_what_postgres_is_sent_of_a_green_month() -> None:
    failing = _rendered(postgres_checks(GREEN, Level.FAIL), GREEN)
    assert {name: failing[name] for name in ("has_every_row_of_the_source", *OF_TRIPS)} == {
        "has_every_row_of_the_source": "COUNT(*) = 76518",
        "has_rows": "COUNT(*) > 0",
        "is_of_one_month": "COUNT(CASE WHEN source_month = DATE '2021-01-01' THEN 1 END) = COUNT(*)",
        "has_most_pickups_in_its_month": at_most(0.5, OUTSIDE),
    }
    assert _rendered(postgres_checks(GREEN, Level.WARN), GREEN) == {
        "has_few_pickups_outside_its_month": at_most(0.01, OUTSIDE),
        "has_few_trips_that_end_before_they_begin": at_most(0.01, '"lpep_dropoff_datetime" < "lpep_pickup_datetime"'),
        "has_few_refunds": at_most(0.05, '"total_amount" < 0'),
        "has_few_amounts_over_1000_dollars": at_most(0.01, '"total_amount" > 1000'),
        "has_few_distances_over_100_miles": at_most(0.01, '"trip_distance" < 0 OR "trip_distance" > 100'),
    }


def test_what_bigquery_is_sent_beyond_that_is_a_count_of_the_lake() -> None:
    failing = _rendered(bigquery_table_checks(GREEN, Level.FAIL), GREEN)
    assert failing.pop("has_every_row_of_the_lake") == (
        "COUNT(*) = (SELECT COUNT(*) FROM trips.green_external WHERE year = 2021 AND month = 1)"
    )
    postgres = _rendered(postgres_checks(GREEN, Level.FAIL), GREEN)
    assert failing == {name: postgres[name].replace('"', "`") for name in OF_TRIPS}


def test_the_zones_are_counted() -> None:
    assert _rendered(bigquery_table_checks(ZONES, Level.FAIL), ZONES) == {
        "has_rows": "COUNT(*) > 0",
        "has_every_zone": "COUNT(*) = 265",
    }


def test_unknown_zones_only_warn_where_the_bases_report_them() -> None:
    warnings = _rendered(bigquery_table_checks(FHV, Level.WARN), FHV)
    assert warnings["has_few_unknown_zones_in_PUlocationID"] == (
        "AVG(CASE WHEN `PUlocationID` NOT BETWEEN 1 AND 265 THEN 1.0 ELSE 0.0 END) <= 0.01"
    )


@EVERY
def test_every_column_of_a_check_is_in_its_dataset(dataset: Dataset) -> None:
    names = {column.name for column in dataset.columns}
    for level in Level:
        for quote, checks in (('"', postgres_checks(dataset, level)), ("`", bigquery_table_checks(dataset, level))):
            for statement in _rendered(checks, dataset).values():
                assert set(re.findall(f"{quote}([^{quote}]*){quote}", statement)) <= names
                assert {'"': "`", "`": '"'}[quote] not in statement
    assert set(bigquery_column_checks(dataset)) <= names


@EVERY
def test_every_name_is_an_identifier_and_there_once(dataset: Dataset) -> None:
    for checks in (bigquery_table_checks, postgres_checks):
        failing, warning = (list(checks(dataset, level)) for level in (Level.FAIL, Level.WARN))
        assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in failing + warning)
        assert len({name.lower() for name in failing + warning}) == len(failing + warning)


@EVERY
def test_the_columns_checks_are_such_as_the_operator_takes(dataset: Dataset) -> None:
    mapping = bigquery_column_checks(dataset)
    made = BigQueryColumnAuditOperator(
        task_id="check", table="s.t", column_mapping=mapping, use_legacy_sql=False, level=Level.FAIL
    )
    assert made.sql.count("FROM s.t") == sum(map(len, mapping.values()))


@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda dataset: dataset.name)
def test_only_shares_of_the_rows_warn(dataset: TripDataset) -> None:
    for statement in _rendered(postgres_checks(dataset, Level.WARN), dataset).values():
        assert re.fullmatch(r"AVG\(CASE WHEN .+ THEN 1\.0 ELSE 0\.0 END\) <= 0\.0[15]", statement)
