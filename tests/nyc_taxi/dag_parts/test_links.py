"""Links on tasks: to the page of months, and to Google's console only where the data is Google's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, TaskInstanceState

from nyc_taxi.dag_parts.links import BigQueryTableLink, LakeObjectLink, MonthLink, link_tasks
from nyc_taxi.registry.datasets import GREEN, ZONES

RUN_ID = "manual__2021-01__2026-11-27T02:14:39+00:00_5ff3/a1"
KEY: Any = SimpleNamespace(dag_id="green_web_to_gcs", run_id=RUN_ID, state=TaskInstanceState.SUCCESS)
FAILED: Any = SimpleNamespace(dag_id="green_web_to_gcs", run_id=RUN_ID, state=TaskInstanceState.FAILED)
UPLOAD: Any = SimpleNamespace(bucket="lake", dst="green/year=2021/month=01/green_tripdata_2021-01.parquet")
LOAD: Any = SimpleNamespace(bucket="lake", source_objects=[UPLOAD.dst])
DESTINATION = {"projectId": "project", "datasetId": "trips", "tableId": "green$202101"}
PUBLISH: Any = SimpleNamespace(configuration={"query": {"destinationTable": DESTINATION}})


@pytest.mark.parametrize("base", ["", "/airflow"])
def test_the_month_is_a_tab_of_the_run(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"http://127.0.0.1:8080{base}")
    assert MonthLink().get_link(UPLOAD, ti_key=KEY) == (
        f"{base}/dags/green_web_to_gcs/runs/manual__2021-01__2026-11-27T02%3A14%3A39%2B00%3A00_5ff3%2Fa1"
        "/plugin/run_month"
    )


@pytest.mark.parametrize("operator", [UPLOAD, LOAD])
def test_the_object_is_in_the_console_if_there_is_no_emulator(operator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    assert LakeObjectLink().get_link(operator, ti_key=KEY) == (
        "https://console.cloud.google.com/storage/browser/_details/lake/"
        "green/year%3D2021/month%3D01/green_tripdata_2021-01.parquet"
    )
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:4443")
    assert LakeObjectLink().get_link(operator, ti_key=KEY) == ""


def test_the_table_is_in_the_console_if_there_is_no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    assert BigQueryTableLink().get_link(PUBLISH, ti_key=KEY) == (
        "https://console.cloud.google.com/bigquery?project=project&p=project&d=trips&t=green&page=table"
    )
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9050")
    assert BigQueryTableLink().get_link(PUBLISH, ti_key=KEY) == ""


def test_a_task_that_failed_has_no_link_to_what_may_not_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    assert (
        LakeObjectLink().get_link(UPLOAD, ti_key=FAILED) == BigQueryTableLink().get_link(PUBLISH, ti_key=FAILED) == ""
    )


def test_the_links_of_an_operator_are_replaced() -> None:
    with DAG(dag_id="x", schedule=None) as dag:
        for name in ("one", "two"):
            BaseOperator(task_id=name).operator_extra_links = (BigQueryTableLink(),)
    link_tasks(dag, dataset=GREEN, one=LakeObjectLink())
    assert {task.task_id: [link.name for link in task.operator_extra_links] for task in dag.tasks} == {
        "one": ["Month in every store", "Object in Cloud Storage"],
        "two": ["Month in every store"],
    }
    link_tasks(dag, dataset=ZONES)
    assert {link.name for task in dag.tasks for link in task.operator_extra_links} == {"Dataset in every store"}
    link_tasks(dag, dataset=None)
    assert [link for task in dag.tasks for link in task.operator_extra_links] == []
    with pytest.raises(AssertionError, match="no such tasks: three"):
        link_tasks(dag, dataset=None, three=LakeObjectLink())
