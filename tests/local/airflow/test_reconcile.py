"""The reconciliation line."""

from __future__ import annotations

import pytest

from local.airflow.reconcile import Counts

AGREEING = Counts(dict.fromkeys(("source", "lake", "external", "bigquery", "postgres"), 76518))


def test_the_line_of_counts_that_agree() -> None:
    assert AGREEING.agree
    assert AGREEING.line("green", "2021-01") == (
        "reconciled green 2021-01 source=76518 lake=76518 external=76518 bigquery=76518 postgres=76518"
    )


@pytest.mark.parametrize("place", AGREEING.rows)
@pytest.mark.parametrize("rows", [0, 76517, 76519, 153036])
def test_one_count_that_differs_is_enough(place: str, rows: int) -> None:
    counts = Counts({**AGREEING.rows, place: rows})
    assert not counts.agree
    line = counts.line("green", "2021-01")
    assert line.startswith("DISAGREE green 2021-01 source=")
    assert f" {place}={rows}" in line
    assert line.count("=76518") == 4


def test_the_places_are_in_the_order_of_the_flow() -> None:
    counts = Counts({"source": 1, "lake": 2, "external": 3, "bigquery": 4, "postgres": 5})
    assert counts.line("yellow", "2020-04") == (
        "DISAGREE yellow 2020-04 source=1 lake=2 external=3 bigquery=4 postgres=5"
    )
