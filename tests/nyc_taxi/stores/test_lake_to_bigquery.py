"""Loading exactly one generation of a lake object, whatever happens to the object meanwhile."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator
from google.cloud.bigquery import LoadJob

from nyc_taxi.stores import lake_to_bigquery
from nyc_taxi.stores.lake_to_bigquery import LOADS, LakeToBigQueryOperator
from nyc_taxi.stores.store import MissingMonthError, StoredMonth

JOB = LoadJob.from_api_repr(
    {
        "jobReference": {"projectId": "p", "jobId": "job"},
        "configuration": {"load": {}},
        "status": {"state": "DONE"},
        "statistics": {"load": {"outputRows": "70", "outputBytes": "7000000"}},
    },
    None,
)


def _run(monkeypatch: pytest.MonkeyPatch, *generations: int | None) -> tuple[dict[str, Any], int]:
    """Execute the task; each look at the lake finds the next generation. Returns its result and the number of loads."""
    loads: list[str] = []
    found = iter(generations)

    def get(file: object) -> StoredMonth:
        generation = next(found)
        if generation is None:
            raise MissingMonthError("there is no gs://lake/x")
        return StoredMonth(rows=generation * 10, made_from="", published_at=None, revision=str(generation))

    def execute(self: LakeToBigQueryOperator, context: object) -> None:
        loads.append(self.description)
        self._submit_job(None, "job")  # type: ignore[arg-type]
        assert self.job_id == "job"  # for on_kill, while it is watched

    lake = SimpleNamespace(get=get, location=lambda file: "gs://lake/x")
    monkeypatch.setattr(lake_to_bigquery, "LakeStore", SimpleNamespace(connect=lambda: lake))
    monkeypatch.setattr(LakeToBigQueryOperator, "_drop_ended_runs", lambda self, context: None)
    monkeypatch.setattr(GCSToBigQueryOperator, "_submit_job", lambda self, hook, job_id: JOB)
    monkeypatch.setattr(GCSToBigQueryOperator, "execute", execute)
    task = LakeToBigQueryOperator(
        task_id="load_staging",
        bucket="lake",
        source_objects=["x"],
        destination_project_dataset_table="trips_staging.green_2021_01_x_2",
        dataset="green",
        month="2021-01",
    )
    context = {
        "ti": SimpleNamespace(try_number=2),
        "dag": SimpleNamespace(dag_id="green_gcs_to_bigquery"),
        "run_id": "manual__2021-03-01",
    }
    try:
        return task.execute(context), len(loads)  # type: ignore[arg-type]
    finally:
        assert set(loads) <= {"staged by green_gcs_to_bigquery manual__2021-03-01"}


def test_it_returns_and_logs_what_it_loaded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(LakeToBigQueryOperator, "log", logging.getLogger("load"))
    caplog.set_level(logging.INFO)
    loaded = {"table": "trips_staging.green_2021_01_x_2", "tries": 2, "generation": "7", "rows": 70}
    assert _run(monkeypatch, 7, 7) == (loaded, 1)
    assert "End of load job into trips_staging.green_2021_01_x_2: 70 rows, 7.0 MB, 100%, " in caplog.text


def test_an_object_that_is_replaced_during_the_load_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    result, loads = _run(monkeypatch, 7, 8, 8)
    assert (result["generation"], result["rows"], loads) == ("8", 80, 2)


def test_an_object_that_is_replaced_during_every_load_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=f"replaced during each of {LOADS} loads"):
        _run(monkeypatch, *range(LOADS + 1))


@pytest.mark.parametrize("generations", [(None,), (7, None)])
def test_an_object_that_is_gone_is_an_error(
    monkeypatch: pytest.MonkeyPatch, generations: tuple[int | None, ...]
) -> None:
    with pytest.raises(MissingMonthError):
        _run(monkeypatch, *generations)
