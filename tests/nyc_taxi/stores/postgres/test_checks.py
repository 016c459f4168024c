"""The declared checks as arguments of the check operator for SQL databases."""

from __future__ import annotations

import pytest

from nyc_taxi.registry.checks import Level
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import Dataset
from nyc_taxi.stores.postgres.checks import postgres_checks

EVERY = pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)


def _of_the_table(dataset: Dataset, level: Level) -> dict[str, str]:
    return {check.name: check.condition for check in dataset.checks.table if check.level is level}


@EVERY
def test_postgres_fails_on_what_is_declared_and_on_a_row_that_is_missing(dataset: Dataset) -> None:
    sent = {name: check["check_statement"] for name, check in postgres_checks(dataset, Level.FAIL).items()}
    assert sent.pop("has_every_row_of_the_source") == "COUNT(*) = {{ converted_rows() }}"
    columns = {check.column: check.condition() for check in dataset.checks.columns}
    assert sent == {**_of_the_table(dataset, Level.FAIL), **columns}


@EVERY
def test_postgres_warns_of_what_is_declared(dataset: Dataset) -> None:
    sent = {name: check["check_statement"] for name, check in postgres_checks(dataset, Level.WARN).items()}
    assert sent == _of_the_table(dataset, Level.WARN)
