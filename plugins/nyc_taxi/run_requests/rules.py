"""What a request to start runs of one of our DAGs may contain, and what is added to it."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from nyc_taxi.dag_parts.params import check_keys, load_params, year_params
from nyc_taxi.registry.datasets import DATASETS, TRIP_DATASETS
from nyc_taxi.registry.model import Dataset, TripDataset
from nyc_taxi.registry.months import Month, MonthError, resolve_month, resolve_year
from nyc_taxi.stores import STORES

ROLLUP = "trips_yearly_rollup"


@dataclass(frozen=True, kw_only=True)
class Form:
    """What the runs of a DAG can be started with.

    Attributes:
        params: the names of the parameters.
        key: the parameter that is the partition key; None for a dataset without months.
        resolve: returns the run's month or year, from a partition key or from the parameter ``key``.
        first: the first month or year that any source has.
        title: what the DAG loads.
    """

    params: list[str]
    key: str | None = None
    resolve: Callable[[Mapping[str, Any]], object] = resolve_month
    first: str = ""
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class _Named:
    """The part of a run that its month depends on, as ``resolve_month`` reads it."""

    partition_key: Any = None
    logical_date: datetime.datetime | None = None


@cache
def forms() -> dict[str, Form]:
    """Return the form of each DAG, by its id."""
    found = {store.dag_id(dataset): _form(dataset) for dataset in DATASETS.values() for store in STORES}
    first = min(str(month.year) for dataset in TRIP_DATASETS for month in dataset.first_month.values())
    years = Form(params=list(year_params()), key="year", resolve=resolve_year, first=first, title="All trips")
    return {**found, ROLLUP: years}


def _form(dataset: Dataset) -> Form:
    params = list(load_params(dataset))
    if not isinstance(dataset, TripDataset):
        return Form(params=params, title=dataset.title)
    return Form(params=params, key="month", first=str(min(dataset.first_month.values())), title=dataset.title)


def check_run(dag_id: str, body: dict[str, Any], now: datetime.datetime) -> dict[str, Any]:
    """Return a request for one run, with its month as partition key and in its run id.

    Args:
        dag_id: the DAG; requests for DAGs that are not ours stay as they are.
        body: the request, as ``POST /dags/{dag_id}/dagRuns`` takes it.
        now: the time, in UTC.

    Raises:
        ParameterError: its conf has a key that is no parameter of the DAG.
        MonthError: it has no month or year, a wrong one, two different ones, or one that no source can have.
    """
    form, conf = forms().get(dag_id), body.get("conf")
    if form is None or not isinstance(conf, dict | None):
        return body
    conf = conf or {}
    check_keys(dag_id, form.params, conf)
    if form.key is None:
        return body
    key, named = body.get("partition_key"), conf.get(form.key)
    if key is None and named is None and (date := _date(body.get("logical_date"))):
        key = str(form.resolve({"dag_run": _Named(logical_date=date), "params": {}}))
    if key is None and named is None:
        raise _missing(form, form.key.capitalize())
    # An empty text counts as a wrong month, not as none.
    for given in (key, named):
        if given is not None:
            _check(form, given, now)
    chosen = str(form.resolve({"dag_run": _Named(partition_key=key), "params": {form.key: named}}))
    run_id = f"manual__{chosen}__{now.isoformat(timespec='seconds')}_{secrets.token_hex(4)}"
    return {**body, "partition_key": chosen, "dag_run_id": body.get("dag_run_id") or run_id}


def check_conf(dag_id: str, conf: Any, now: datetime.datetime) -> None:
    """Check the conf of a run that does not need a month, because its date names one.

    Args:
        dag_id: the DAG; runs of DAGs that are not ours pass.
        conf: the run's conf.
        now: the time, in UTC.

    Raises:
        ParameterError: the conf has a key that is no parameter of the DAG.
        MonthError: it names a month or year that is none, or that no source can have.
    """
    form = forms().get(dag_id)
    if form is None or not isinstance(conf, dict):
        return
    check_keys(dag_id, form.params, conf)
    if form.key and (named := conf.get(form.key)) is not None:
        _check(form, named, now)


def check_event(dag_id: str, body: dict[str, Any], now: datetime.datetime) -> dict[str, Any]:
    """Return an event that tells of an asset by hand, unchanged; it starts the DAGs that are scheduled on the asset.

    Args:
        dag_id: the DAG that updates the asset; events of assets that are not ours stay as they are.
        body: the request, as ``POST /assets/events`` takes it.
        now: the time, in UTC.

    Raises:
        MonthError: its partition key is no month that a source can have, or it has none.
    """
    form = forms().get(dag_id)
    if form is None or form.key is None:
        return body
    if (key := body.get("partition_key")) is None:
        raise _missing(form, "Partition Key")
    _check(form, key, now)
    return body


def check_backfill(body: dict[str, Any], now: datetime.datetime) -> dict[str, Any]:
    """Return a request for a backfill, unchanged.

    Args:
        body: the request, as ``POST /backfills`` takes it.
        now: the time, in UTC.

    Raises:
        ParameterError: its conf has a key that is no parameter of the DAG.
        MonthError: it names a month beside its dates, its dates name one that no source can have, or the dataset has no
            months.
    """
    dag_id, conf = body.get("dag_id"), body.get("dag_run_conf")
    form = forms().get(dag_id) if isinstance(dag_id, str) else None
    if form is None or not isinstance(conf, dict | None):
        return body
    conf = conf or {}
    check_keys(str(dag_id), form.params, conf)
    if form.key is None:
        raise MonthError(f"{form.title} has no months to backfill; trigger {dag_id} once.")
    if conf.get(form.key) is not None:
        raise MonthError(
            f"Leave {form.key.capitalize()} empty: the dates of a backfill name its months. It loads every month whose "
            "first day lies between them, both included."
        )
    if form.key == "month":
        for month in _backfilled(body):
            _check(form, str(month), now)
    return body


def _backfilled(body: dict[str, Any]) -> list[Month]:
    """Return the first and the last month of a backfill: those whose first days lie between its dates."""
    since, until = _date(body.get("from_date")), _date(body.get("to_date"))
    if since is None or until is None:
        return []
    first, last = Month(since.year, since.month), Month(until.year, until.month)
    begins = datetime.datetime(since.year, since.month, 1, tzinfo=datetime.UTC)
    first = first if since == begins else first.next
    return [first, last] if first <= last else []


def _date(given: Any) -> datetime.datetime | None:
    """Return a date of a request in UTC; None if there is none.

    Raises:
        MonthError: it is not written as a date; Airflow itself would also take a number of seconds.
    """
    if not given:
        return None
    try:
        date = datetime.datetime.fromisoformat(given)
        return date.replace(tzinfo=date.tzinfo or datetime.UTC).astimezone(datetime.UTC)
    except (TypeError, ValueError, OverflowError):
        raise MonthError(f"{given!r:.80} is not a date; write for example 2021-01-01T00:00:00Z") from None


def _check(form: Form, given: Any, now: datetime.datetime) -> None:
    """Raise MonthError unless a month or year is one that a source can have."""
    parsed = str(form.resolve({"dag_run": _Named(partition_key=given or " "), "params": {}}))
    if parsed < form.first:
        raise MonthError(f"{form.title}: there is no {parsed}. The first published {form.key} is {form.first}.")
    present = now.strftime("%Y-%m")[: len(parsed)]
    if parsed > present or (form.key == "month" and parsed == present):
        raise MonthError(
            f"{form.title}: {parsed} cannot be published yet. A month is published about two months after its end."
        )


def _missing(form: Form, field: str) -> MonthError:
    return MonthError(f"Which {form.key}? Fill in {field}, for example {_example(form)}.")


def _example(form: Form) -> str:
    return "2021-01" if form.key == "month" else "2021"
