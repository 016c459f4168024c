"""Keys of a run's conf that are no parameters of its DAG."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from nyc_taxi.dag_parts.defaults import RETRY_POLICY
from nyc_taxi.dag_parts.params import ParameterError, load_params, refuse_unknown, year_params
from nyc_taxi.registry.datasets import GREEN, ZONES

TRIPS, LOOKUP, YEARS = load_params(GREEN), load_params(ZONES), year_params()


def test_the_form_says_which_months_there_are_and_which_a_backfill_takes() -> None:
    assert TRIPS["month"].description == (
        "The month to load, for example 2021-01. The TLC publishes each month since 2014-01, about two months after "
        "its end; the mirror of DataTalksClub has 2019-01 to 2021-07. Leave it empty if you fill in Partition Key, and "
        "in a backfill: that loads every month whose first day lies between its dates, both included."
    )


def _context(params: dict[str, Any], conf: dict[str, Any] | None) -> dict[str, Any]:
    return {"dag": SimpleNamespace(dag_id="a_dag", params=params), "dag_run": SimpleNamespace(conf=conf)}


@pytest.mark.parametrize(
    ("params", "conf"),
    [
        *((params, conf) for params in (TRIPS, LOOKUP, YEARS) for conf in (None, {})),
        (TRIPS, {"month": "2021-01", "force": True}),
        (LOOKUP, {"force": True}),
        (YEARS, {"year": "2021"}),
    ],
)
def test_parameters_of_the_dag_are_accepted(params: dict[str, Any], conf: dict[str, Any] | None) -> None:
    refuse_unknown(_context(params, conf))


@pytest.mark.parametrize(
    ("params", "conf", "message"),
    [
        (TRIPS, {"forse": True}, "'forse' is no parameter of a_dag; did you mean 'force'?"),
        (TRIPS, {"Force": True}, "'Force' is no parameter of a_dag; did you mean 'force'?"),
        (TRIPS, {"month": "2021-01", "MONTHS": 1}, "'MONTHS' is no parameter of a_dag; did you mean 'month'?"),
        (TRIPS, {"x" * 70: 1}, f"'{'x' * 60}' is no parameter of a_dag."),
        (TRIPS, {"\x1b[31m": 1}, r"'\x1b[31m' is no parameter of a_dag."),
    ],
)
def test_other_keys_are_refused_with_the_nearest_parameter(
    params: dict[str, Any], conf: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError) as error:
        refuse_unknown(_context(params, conf))
    assert str(error.value) == f"{message} Start the run with month or force, or without a conf"
    assert RETRY_POLICY.evaluate(error.value, try_number=1, max_tries=3).action is RetryAction.FAIL


def test_a_dataset_without_months_refuses_a_month() -> None:
    with pytest.raises(ParameterError) as error:
        refuse_unknown(_context(LOOKUP, {"month": "2021-01"}))
    assert str(error.value) == "'month' is no parameter of a_dag. Start the run with force, or without a conf"
