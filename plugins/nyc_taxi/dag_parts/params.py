"""Parameters of runs that are started by hand."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from airflow.sdk import Param

from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.model import Dataset, TripDataset
from nyc_taxi.registry.months import LAST_MIRRORED, MONTH_PATTERN, YEAR_PATTERN

# Characters of an unknown key that a message shows.
SHOWN = 60


class ParameterError(ValueError):
    """A run was started with a parameter that its DAG does not have; a retry would fail the same way."""


def refuse_unknown(context: Mapping[str, Any]) -> None:
    """Refuse a run whose conf has a key that is no parameter of its DAG: Airflow would ignore a misspelt ``force``.

    Args:
        context: the task's template context (``dag``, ``dag_run``).

    Raises:
        ParameterError: as :func:`check_keys`.
    """
    dag = context["dag"]
    check_keys(dag.dag_id, list(dag.params), getattr(context["dag_run"], "conf", None) or {})


def check_keys(dag_id: str, known: list[str], conf: Mapping[str, Any]) -> None:
    """Check that all keys of a run's conf are parameters of its DAG, and that ``force`` is a boolean.

    Raises:
        ParameterError: the message names the first key that is not, the parameter that is nearest to it, and all
            parameters; or the value of ``force``.
    """
    if not isinstance(conf.get("force", False), bool):
        raise ParameterError(f"force is {conf['force']!r:.60}; write true or false, without quotes")
    for key in conf:
        if key not in known:
            nearest = get_close_matches(key.lower(), known, 1)
            raise ParameterError(
                f"{key[:SHOWN]!r} is no parameter of {dag_id}"
                + (f"; did you mean {nearest[0]!r}?" if nearest else ".")
                + f" Start the run with {' or '.join(known)}, or without a conf"
            )


def run_params(dataset: Dataset) -> dict[str, Param]:
    """Return the parameters that choose a run's file: ``month``, if the dataset has months."""
    if not isinstance(dataset, TripDataset):
        return {}
    tlc, mirror = dataset.first_month[Layout.TLC], dataset.first_month[Layout.MIRROR]
    return {
        "month": Param(
            None,
            type=["null", "string"],
            pattern=MONTH_PATTERN,
            title="Month",
            examples=["2021-01"],
            description=f"The month to load, for example 2021-01. The TLC publishes each month since {tlc}, about two "
            f"months after its end; the mirror of DataTalksClub has {mirror} to {LAST_MIRRORED}. Leave it empty if you "
            "fill in Partition Key, and in a backfill: that loads every month whose first day lies between its dates, "
            "both included.",
        )
    }


def load_params(dataset: Dataset) -> dict[str, Param]:
    """Return the parameters of a run that loads a month into a store: those of ``run_params`` and ``force``."""
    force = Param(
        False,
        type="boolean",
        title="Force",
        description="Load the month even if the store already has it, unchanged. Rows that are newer than what this "
        "run loads stay.",
    )
    return {**run_params(dataset), "force": force}


def year_params() -> dict[str, Param]:
    """Return the parameter of a run for a whole year: ``year``."""
    return {
        "year": Param(
            None,
            type=["null", "string"],
            pattern=YEAR_PATTERN,
            title="Year",
            examples=["2021"],
            description="The year to build, for example 2021. Leave it empty if you fill in Partition Key.",
        )
    }
