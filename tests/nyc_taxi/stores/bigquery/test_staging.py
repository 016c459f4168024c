"""Staging tables that no teardown drops: the next load of the DAG drops those of runs that have ended."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden, NotFound, RetryError

from nyc_taxi.common.runs import staged_by
from nyc_taxi.stores import lake_to_bigquery
from nyc_taxi.stores.bigquery.staging import drop_ended_runs
from nyc_taxi.stores.lake_to_bigquery import LakeToBigQueryOperator

DAG_ID = "green_gcs_to_bigquery"
ODD = "it's 100 % odd\n-- `x` \\"


def _context(run_id: str, dag_id: str = DAG_ID, **states: str) -> Any:
    """Return the context of a run; ``states`` are those of other runs."""

    def count(dag_id: str, run_ids: list[str], states: list[str], known: Mapping[str, str] = states) -> int:
        return int(known.get(run_ids[0]) in states)

    return {"ti": SimpleNamespace(get_dr_count=count), "dag": SimpleNamespace(dag_id=dag_id), "run_id": run_id}


class _Client:
    """Fake client of a dataset; ``tables`` are the descriptions of its tables, or the error that a look at one is."""

    def __init__(self, tables: Mapping[str, str | Exception | None]) -> None:
        self.tables = {f"trips_staging.{name}": found for name, found in tables.items()}
        self.undroppable: dict[str, Exception] = {}

    def list_tables(self, dataset: str) -> list[Any]:
        assert dataset == "trips_staging"
        return [SimpleNamespace(table_id=name.partition(".")[2]) for name in self.tables]

    def get_table(self, name: str) -> Any:
        found = self.tables[name]
        if isinstance(found, Exception):
            raise found
        return SimpleNamespace(description=found)

    def delete_table(self, name: str) -> None:
        if name in self.undroppable:
            raise self.undroppable[name]
        del self.tables[name]

    def drop(self, context: Any) -> set[str]:
        """Drop what ended runs have left; returns the names of the tables that stay."""
        drop_ended_runs(self, "trips_staging", context)  # type: ignore[arg-type]
        return {name.partition(".")[2] for name in self.tables}


@pytest.mark.parametrize("run_id", ["scheduled__2021-01-01T00:00:00+00:00", ODD])
@pytest.mark.parametrize(
    ("state", "stays"), [("queued", True), ("running", True), ("success", False), ("failed", False), ("", False)]
)
def test_only_tables_of_ended_runs_are_dropped(run_id: str, state: str, stays: bool) -> None:
    client = _Client({"left": staged_by(_context(run_id)), "own": staged_by(_context("own"))})
    assert client.drop(_context("own", **{run_id: state})) == {"own", *(["left"] if stays else [])}


def test_tables_of_other_dags_and_of_nobody_stay() -> None:
    tables = {
        "other": staged_by(_context("other", "yellow_gcs_to_bigquery")),
        "longer": staged_by(_context("other", f"{DAG_ID}_too")),
        "nobody": None,
        "somebody": "ours",
    }
    assert _Client(tables).drop(_context("own")) == set(tables)


def test_what_cannot_be_looked_at_or_dropped_stays_and_does_not_fail_the_load(caplog: pytest.LogCaptureFixture) -> None:
    left = staged_by(_context("left"))
    client = _Client({"gone": NotFound("x"), "closed": Forbidden("x"), "kept": left, "gone since": left, "left": left})
    client.undroppable = {"trips_staging.kept": Forbidden("x"), "trips_staging.gone since": NotFound("x")}
    caplog.set_level(logging.WARNING)
    assert client.drop(_context("own")) == {"gone", "closed", "kept", "gone since"}
    named = [re.findall(r"trips_staging\.(\w+), or cannot drop it: 403", message) for message in caplog.messages]
    assert named == [["closed"], ["kept"]]


@pytest.mark.parametrize("error", [Forbidden("x"), RetryError("x", cause=None)])
def test_a_dataset_that_cannot_be_listed_does_not_fail_the_load(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(self: _Client, dataset: str) -> list[Any]:
        raise error

    monkeypatch.setattr(_Client, "list_tables", refuse)
    caplog.set_level(logging.WARNING)
    assert _Client({"left": staged_by(_context("left"))}).drop(_context("own")) == {"left"}
    assert "have left tables in trips_staging" in caplog.text


@pytest.mark.parametrize("prefix", ["", "a-project."])
@pytest.mark.parametrize(
    ("of_the_task", "expected"), [(None, "of-the-connection"), ("of-the-task", "of-the-task")], ids=["none", "given"]
)
def test_the_load_looks_into_the_dataset_of_its_own_table_and_project(
    monkeypatch: pytest.MonkeyPatch, prefix: str, of_the_task: str | None, expected: str
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    connection = "google-cloud-platform://?is_anonymous=true&project=of-the-connection"
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", connection)
    looked: list[Any] = []
    monkeypatch.setattr(
        lake_to_bigquery, "drop_ended_runs", lambda client, *arguments: looked.append((client.project, *arguments))
    )
    task = LakeToBigQueryOperator(
        task_id="load_staging",
        bucket="lake",
        source_objects=["x"],
        destination_project_dataset_table=f"{prefix}trips_staging.green_2021_01_x_2",
        project_id=of_the_task,
    )
    context = _context("own")
    task._drop_ended_runs(context)
    assert looked == [(expected, f"{prefix}trips_staging", context)]
