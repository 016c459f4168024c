"""The declared checks: both forms of a column check, and properties of all declarations.

The stores' tests cover the translation; the golden files have the exact SQL of every check.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from nyc_taxi.registry.checks import ColumnCheck, Level, at_most
from nyc_taxi.registry.datasets import DATASETS, TRIP_DATASETS
from nyc_taxi.registry.model import Dataset, TripDataset

EVERY = pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
NOT_NULL = {"null_check": {"equal_to": 0}}


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


def test_a_share_of_the_rows() -> None:
    assert at_most(0.01, '"x" < 0') == 'AVG(CASE WHEN "x" < 0 THEN 1.0 ELSE 0.0 END) <= 0.01'


@EVERY
def test_every_checked_column_is_in_its_dataset(dataset: Dataset) -> None:
    names = {column.name for column in dataset.columns}
    assert {check.column for check in dataset.checks.columns} <= names
    for check in dataset.checks.table:
        assert set(re.findall(r'"([^"]*)"', check.condition)) <= names


@EVERY
def test_every_name_is_an_identifier_that_occurs_once(dataset: Dataset) -> None:
    names = [*(check.name for check in dataset.checks.table), *(check.column for check in dataset.checks.columns)]
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in names)
    assert len({name.lower() for name in names}) == len(names)


@EVERY
def test_an_empty_table_fails(dataset: Dataset) -> None:
    assert ("has_rows", Level.FAIL) in {(check.name, check.level) for check in dataset.checks.table}


@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda dataset: dataset.name)
def test_only_shares_of_the_rows_warn(dataset: TripDataset) -> None:
    warnings = [check.condition for check in dataset.checks.table if check.level is Level.WARN]
    assert warnings
    for condition in warnings:
        assert re.fullmatch(r"AVG\(CASE WHEN .+ THEN 1\.0 ELSE 0\.0 END\) <= 0\.0[15]", condition)
