"""Metrics, traces, lineage and JSON logs: each is switched on by its one setting, and arrives at a local sink."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from tests.integration.conftest import SYNTHETIC_ROWS, publish, running_stack, stack_environment
from tests.integration.sink import Sink, collecting
from tests.integration.support import await_, end, months_back, runs_of, strike, trigger

pytestmark = pytest.mark.full

DASHBOARD = REPOSITORY / "infra" / "observability" / "grafana-dashboard.json"
# The tasks that end the load of a month, by DAG.
PUBLISHES = {
    "green_web_to_gcs": "local_to_gcs",
    "green_gcs_to_bigquery": "publish",
    "green_web_to_postgres": "publish",
}


@dataclass(frozen=True)
class Seen:
    """A stack that has ended, and what its sink has of it."""

    settings: AirflowSettings
    sink: Sink
    file: PublishedFile
    runs: dict[str, str]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A month that the clock has started, in every store; and a run that failed."""
    month = Month(*months_back(datetime.now(UTC), 2))
    source = tmp_path_factory.mktemp("source")
    publish(source, "green", str(month))
    with collecting() as sink:
        environment = stack_environment(
            tmp_path_factory.mktemp("local"),
            source,
            AIRFLOW__METRICS__OTEL_ON="True",
            AIRFLOW__TRACES__OTEL_ON="True",
            AIRFLOW__OPENLINEAGE__TRANSPORT=json.dumps({"type": "http", "url": sink.url}),
            AIRFLOW__LOGGING__JSON_LOGS="True",
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        )
        with running_stack(environment) as settings, AirflowApi(settings) as api:
            runs = _load(api, settings, month)
            # The tasks send the rest when they have ended, and the API server sends its spans every few seconds.
            await_(lambda: _has_arrived(sink, runs), "all has arrived")
        yield Seen(settings, sink, GREEN.file(month), runs)


def _load(api: AirflowApi, settings: AirflowSettings, month: Month) -> dict[str, str]:
    api.set_paused("green_web_to_gcs", False)
    strike(settings, "green_web_to_gcs")
    runs = {"green_web_to_postgres": trigger(api, "green_web_to_postgres", {"month": str(month)})}
    failed = trigger(api, "green_web_to_gcs", {"month": "2019-01"})
    for dag_id in ("green_web_to_gcs", "green_gcs_to_bigquery"):
        [run] = await_(lambda dag_id=dag_id: runs_of(api, dag_id, str(month)), f"{dag_id} starts")
        runs[dag_id] = run["dag_run_id"]
        assert end(api, dag_id, runs[dag_id]) == "success"
    assert end(api, "green_web_to_postgres", runs["green_web_to_postgres"]) == "success"
    assert end(api, "green_web_to_gcs", failed) == "failed"
    return runs


def _has_arrived(sink: Sink, runs: dict[str, str]) -> bool:
    """Whether the metrics, spans and events of the runs' last tasks are there, and the metric of the failed one."""
    spans = {(span.name, span.tags.get("airflow.dag_run.run_id")) for span in sink.spans}
    events = {(event["job"]["name"], event["eventType"]) for event in sink.events}
    failed = sink.total("airflow.ti.finish", dag_id="green_web_to_gcs", state="failed")
    return failed > 0 and all(
        spans >= {(f"worker.{task_id}", runs[dag_id]), (f"task_run.{task_id}", runs[dag_id])}
        and (f"{dag_id}.{task_id}", "COMPLETE") in events
        and sink.total("airflow.ti.finish", dag_id=dag_id, task_id=task_id, state="success") > 0
        for dag_id, task_id in PUBLISHES.items()
    )


# Metrics


@pytest.mark.parametrize(("dag_id", "task_id"), PUBLISHES.items())
def test_a_load_counts_a_month_and_its_rows(seen: Seen, dag_id: str, task_id: str) -> None:
    tags = {"dag_id": dag_id, "task_id": task_id, "dataset": "green"}
    assert seen.sink.total("airflow.nyc_taxi.load.months", **tags) == 1
    assert seen.sink.total("airflow.nyc_taxi.load.months", dag_id=dag_id) == 1
    assert seen.sink.total("airflow.nyc_taxi.transfer.rows", **tags) == SYNTHETIC_ROWS
    assert seen.sink.total("airflow.nyc_taxi.transfer.milliseconds", **tags) > 0


def test_a_load_says_how_long_after_its_due_time_it_ended(seen: Seen) -> None:
    late = {
        (point.tags["dag_id"], point.tags["run_type"]): point.value
        for point in seen.sink.points
        if point.metric == "airflow.nyc_taxi.load.lateness_seconds"
    }
    first_of_the_month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    since = (datetime.now(UTC) - first_of_the_month).total_seconds()
    # The clock's run was due on the first of this month; the others when they were started.
    assert since - 600 < late.pop(("green_web_to_gcs", "scheduled")) < since
    assert set(late) == {("green_web_to_postgres", "manual"), ("green_gcs_to_bigquery", "asset_triggered")}
    assert all(0 < value < 600 for value in late.values())


def test_a_failed_task_is_counted(seen: Seen) -> None:
    failed = {"dag_id": "green_web_to_gcs", "state": "failed"}
    assert seen.sink.total("airflow.ti.finish", **failed) == 1
    assert seen.sink.total("airflow.ti.finish", **failed, task_id="wait_for_publication") == 1


def test_the_dashboard_asks_for_what_is_sent(seen: Seen) -> None:
    """Each metric of each query, and each label that is selected or grouped by, as Prometheus spells them."""
    sent: dict[str, set[str]] = {}
    for point in seen.sink.points:
        name = point.metric.replace(".", "_") + ("_total" if point.kind == "sum" else "")
        sent.setdefault(name, set()).update(point.tags)
    queries = re.findall(r'"expr": "(.*?)(?<!\\)"', DASHBOARD.read_text())
    assert len(queries) >= 4
    for query in queries:
        names = re.findall(r"airflow_\w+", query)
        assert names
        assert set(names) <= set(sent), query
        labels = {*re.findall(r"(\w+)(?:=~|!=|=)", query)}
        labels |= {label for group in re.findall(r"by \((.*?)\)", query) for label in group.split(", ")}
        for name in names:
            assert labels <= sent[name], (query, name)


# Traces


@pytest.mark.parametrize(("dag_id", "task_id"), PUBLISHES.items())
def test_a_task_is_a_span_of_its_runs_trace(seen: Seen, dag_id: str, task_id: str) -> None:
    [run] = [
        span
        for span in seen.sink.spans
        if span.name == f"dag_run.{dag_id}" and span.tags["airflow.dag_run.run_id"] == seen.runs[dag_id]
    ]
    of_the_run = {span.name: span for span in seen.sink.spans if span.trace == run.trace}
    assert f"worker.{task_id}" in of_the_run
    assert f"task_run.{task_id}" in of_the_run


# Lineage


def _lineage(seen: Seen, dag_id: str, task_id: str) -> tuple[dict[tuple[str, str], list[str]], ...]:
    """Names and columns of what the task's event of success says that it has read and written."""
    name = f"{dag_id}.{task_id}"
    [event] = [
        event
        for event in seen.sink.events
        if (event["job"]["name"], event["eventType"]) == (name, "COMPLETE")
        and event["run"]["facets"]["airflow"]["dagRun"]["run_id"] == seen.runs[dag_id]
    ]
    return tuple({_name(dataset): _columns(dataset) for dataset in event[side]} for side in ("inputs", "outputs"))


def _name(dataset: dict[str, Any]) -> tuple[str, str]:
    return dataset["namespace"], dataset["name"]


def _columns(dataset: dict[str, Any]) -> list[str]:
    return [field["name"] for field in dataset.get("facets", {}).get("schema", {}).get("fields", [])]


def test_lineage_leads_from_the_source_to_each_store(seen: Seen) -> None:
    file, cloud = seen.file, seen.settings.cloud
    columns = [column.name for column in GREEN.columns]
    lake = (f"gs://{cloud.lake_bucket}", file.lake_object)
    warehouse = ("bigquery", f"{cloud.project}.trips.green")
    postgres = f"postgres://127.0.0.1:{cloud.postgres_port}"
    source = (cloud.source_url, f"green/green_tripdata_{file.month}.csv.gz")

    for dag_id in ("green_web_to_gcs", "green_web_to_postgres"):
        assert _lineage(seen, dag_id, "download")[0] == {source: []}
        [[work_file, read]] = _lineage(seen, dag_id, "download")[1].items()
        assert read == []
        assert work_file[0] == "file"
        assert work_file[1].startswith(f"{seen.settings.work_dir}/{dag_id}/{quote(seen.runs[dag_id], safe='')[:9]}")
        assert _lineage(seen, dag_id, "to_parquet")[0] == {work_file: []}
    parquet = _lineage(seen, "green_web_to_gcs", "to_parquet")[1]
    assert list(parquet.values()) == [columns]
    assert _lineage(seen, "green_web_to_gcs", "local_to_gcs") == (parquet, {lake: columns})

    into_staging, staged = _lineage(seen, "green_gcs_to_bigquery", "load_staging")
    assert into_staging == {lake: columns}
    assert [namespace for namespace, _ in staged] == ["bigquery"]
    published = _lineage(seen, "green_gcs_to_bigquery", "publish")
    assert published == (staged, {warehouse: [*columns, "lake_generation"]})

    parquet = _lineage(seen, "green_web_to_postgres", "to_parquet")[1]
    into_staging, staged = _lineage(seen, "green_web_to_postgres", "load_staging")
    assert (into_staging, list(staged.values())) == (parquet, [columns])
    published = _lineage(seen, "green_web_to_postgres", "publish")
    assert published == (staged, {(postgres, "ny_taxi.public.green_trips"): columns})


def test_each_event_is_one_of_openlineages(seen: Seen) -> None:
    from openlineage.client.event_v2 import Dataset, Job, Run, RunEvent, RunState

    assert seen.sink.events
    for event in seen.sink.events:
        datasets = (Dataset(*_name(dataset)) for side in ("inputs", "outputs") for dataset in event[side])
        assert all(dataset.namespace and dataset.name for dataset in datasets)
        made = RunEvent(
            eventTime=event["eventTime"],
            eventType=RunState(event["eventType"]),
            producer=event["producer"],
            run=Run(event["run"]["runId"]),
            job=Job(event["job"]["namespace"], event["job"]["name"]),
        )
        assert event["schemaURL"] == made.schemaURL
    failed = [event["job"]["name"] for event in seen.sink.events if event["eventType"] == "FAIL"]
    assert set(failed) == {"green_web_to_gcs", "green_web_to_gcs.wait_for_publication"}


# Logs


def test_each_line_of_a_components_log_is_json(seen: Seen) -> None:
    for component in ("scheduler", "dag-processor", "triggerer"):
        start, *lines = (seen.settings.home / "process-logs" / f"{component}.log").read_text().splitlines()
        assert start.endswith(f" starting {component}")  # which the stack writes
        assert lines
        for line in lines:
            assert {"timestamp", "level", "event"} <= set(json.loads(line)), line
