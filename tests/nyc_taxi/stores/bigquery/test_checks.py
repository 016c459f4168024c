"""The declared checks as arguments of BigQuery's check operators."""

from __future__ import annotations

import re

import pytest

from nyc_taxi.registry.checks import Level
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import Dataset
from nyc_taxi.stores.bigquery.check_columns import BigQueryColumnAuditOperator
from nyc_taxi.stores.bigquery.checks import bigquery_column_checks, bigquery_table_checks

EVERY = pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)


@EVERY
@pytest.mark.parametrize("level", Level, ids=lambda level: level.value)
def test_bigquery_checks_what_is_declared_and_every_row_of_the_lake(dataset: Dataset, level: Level) -> None:
    sent = bigquery_table_checks(dataset, level)
    assert (sent.pop("has_every_row_of_the_lake", None) is not None) == (level is Level.FAIL)
    assert sent == {
        check.name: {"check_statement": check.condition.replace('"', "`")}
        for check in dataset.checks.table
        if check.level is level
    }


@EVERY
def test_identifiers_are_quoted_as_bigquery_quotes_them(dataset: Dataset) -> None:
    names = {column.name for column in dataset.columns}
    for level in Level:
        for check in bigquery_table_checks(dataset, level).values():
            assert '"' not in check["check_statement"]
            assert set(re.findall("`([^`]*)`", check["check_statement"])) <= names


@EVERY
def test_the_operator_accepts_the_column_checks(dataset: Dataset) -> None:
    mapping = bigquery_column_checks(dataset)
    assert mapping == {check.column: check.mapping() for check in dataset.checks.columns}
    made = BigQueryColumnAuditOperator(
        task_id="check", table="s.t", column_mapping=mapping, use_legacy_sql=False, level=Level.FAIL
    )
    assert made.sql.count("FROM s.t") == sum(map(len, mapping.values()))
