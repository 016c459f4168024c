"""DAG integrity: ids, schedules, assets, parameters, tasks, templates, serialization, parsing without side effects."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pendulum
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import (
    DAG,
    Asset,
    AssetAll,
    AssetAny,
    CronTriggerTimetable,
    MinimumCount,
    Param,
    PartitionedAssetTimetable,
    RollupMapper,
    StartOfYearMapper,
    TaskInstanceState,
    YearWindow,
)
from airflow.sdk.definitions.timetables.assets import AssetTriggeredTimetable
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DagRunInfo, TimeRestriction

from months import MonthsPlugin
from nyc_taxi.dag_parts.deadlines import DeadlineDAG
from nyc_taxi.dag_parts.defaults import RETRY_POLICY
from nyc_taxi.dag_parts.schedules import LATE
from nyc_taxi.dag_parts.timetables import MonthlyTimetable
from nyc_taxi.months_page.runs import dag_ids
from nyc_taxi.registry.checks import Level
from nyc_taxi.registry.datasets import DATASETS, TRIP_DATASETS
from nyc_taxi.registry.model import TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores import STORES
from nyc_taxi.stores.audit import AuditMixin
from tests.conftest import REPOSITORY
from tests.dags.moving import MOVING, STILL
from tests.dags.rendering import RUN_ID, golden_key, render

FLOWS = {store.step: store.asset for store in STORES}
LOADED_FROM = {store.step: store.loaded_from for store in STORES}
FLOW_DAG_IDS = sorted(f"{dataset}_{flow}" for dataset in DATASETS for flow in FLOWS)
ROLLUP = "trips_yearly_rollup"
DAG_IDS = sorted([*FLOW_DAG_IDS, ROLLUP])
TAGS = {"nyc-taxi", "rollup", *FLOWS.values(), *DATASETS}
SOURCES = sorted((REPOSITORY / "dags").glob("*.py"))


def _names(dag_id: str) -> tuple[str, str]:
    """Return the dataset and the flow in a DAG id."""
    dataset, _, flow = dag_id.partition("_")
    return dataset, flow


@pytest.fixture(params=DAG_IDS)
def dag(bag, request: pytest.FixtureRequest) -> DAG:
    """Return each DAG in turn."""
    return bag.dags[request.param]


@pytest.fixture(params=FLOW_DAG_IDS)
def flow_dag(bag, request: pytest.FixtureRequest) -> DAG:
    """Return each DAG of a single dataset in turn."""
    return bag.dags[request.param]


@pytest.fixture
def rollup(bag) -> DAG:
    """Return the DAG of all datasets."""
    return bag.dags[ROLLUP]


# Ids


def test_every_file_is_parsed_without_errors_or_warnings(bag) -> None:
    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    assert sorted(Path(stat.file).name for stat in bag.dagbag_stats) == [path.name for path in SOURCES]


def test_the_dags_are_these(bag) -> None:
    assert sorted(bag.dags) == DAG_IDS


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_a_task_process_parses_the_same_dag_alone(bag, dag_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bag.dags[dag_id]
    # Airflow sets this variable in a task process.
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)

    own = DagBag(dag_folder=whole.fileloc)

    assert (list(own.dags), own.import_errors) == ([dag_id], {})
    assert DagSerialization.to_dict(own.dags[dag_id]) == DagSerialization.to_dict(whole)


def test_names_sort_in_the_order_of_the_flow(bag) -> None:
    steps = ["web_to_gcs", "gcs_to_bigquery", "web_to_postgres", "yearly_rollup"]
    for dag in bag.dags.values():
        _, flow = _names(dag.dag_id)
        place = str(steps.index(flow) + 1) if flow in steps else "5"
        assert dag.dag_display_name == f"{place} {dag.dag_id}"


# Common arguments


def test_tags(flow_dag: DAG) -> None:
    dataset, flow = _names(flow_dag.dag_id)
    assert flow_dag.tags == {"nyc-taxi", FLOWS[flow], dataset}


def test_only_known_tags_are_used(dag: DAG) -> None:
    assert "nyc-taxi" in dag.tags
    assert dag.tags <= TAGS


def test_the_page_in_the_ui_has_its_parts(dag: DAG) -> None:
    late = ["When it is late"] if "_web_to_" in dag.dag_id else []
    assert bool(dag.deadline) is bool(late) is isinstance(dag, DeadlineDAG), "dags test of a plain DAG fails"
    assert re.findall(r"^- \*\*(.+?)\*\* \S", dag.doc_md or "", re.MULTILINE) == [
        "Months",
        "Owner",
        "Schedule",
        "Input",
        "Output",
        "When it is skipped",
        "When it fails",
        *late,
        "Rerun",
    ]
    # What stands for a dataset's own words is replaced on every page.
    assert not re.findall(r"<dataset>|[{}]|\(zones:", dag.doc_md or "")
    assert dag.description
    title = "All trips" if dag.dag_id == ROLLUP else DATASETS[_names(dag.dag_id)[0]].title
    assert dag.description.startswith(f"{title}: ")
    assert f"**Owner** {dag.default_args['owner']}\n" in (dag.doc_md or "")


def test_limits_of_a_run(dag: DAG) -> None:
    assert dag.catchup is False
    wait = timedelta(days=45 if "_web_to_" in dag.dag_id else 0)
    assert dag.dagrun_timeout == wait + timedelta(hours=2)
    # The rollup runs one at a time, because a later run counts what an earlier one would.
    assert dag.max_active_runs == (1 if dag.dag_id == ROLLUP else 4)
    assert dag.template_searchpath == [str(REPOSITORY / "include" / "sql")]


def test_no_run_is_too_early_to_have_tasks(dag: DAG) -> None:
    # Airflow creates no tasks for a run with a logical date before the start date, and marks that run as a success.
    serialized = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert serialized.start_date is None
    assert {task.task_id: task.start_date for task in serialized.tasks if task.start_date or task.end_date} == {}


def test_only_asset_triggered_dags_are_unpaused_upon_creation(dag: DAG) -> None:
    started_by_assets = dag.dag_id == ROLLUP or LOADED_FROM[_names(dag.dag_id)[1]]
    assert dag.is_paused_upon_creation is (False if started_by_assets else None)


def test_every_task_has_the_defaults(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.owner == "data-platform", task.task_id
        assert task.retries == 3, task.task_id
        assert task.retry_delay == timedelta(seconds=20), task.task_id
        assert task.retry_exponential_backoff == 2.0, task.task_id
        assert task.max_retry_delay == timedelta(minutes=10), task.task_id
        assert task.execution_timeout == timedelta(minutes=30), task.task_id
        assert task.retry_policy is RETRY_POLICY, task.task_id
        assert task.execution_timeout < dag.dagrun_timeout


# Schedules and assets


def test_schedules(flow_dag: DAG) -> None:
    dataset, flow = _names(flow_dag.dag_id)
    timetable = flow_dag.timetable
    if source := LOADED_FROM[flow]:
        lake = Asset(name=f"{source}_{dataset}", group=source)
        if dataset == "zones":
            assert type(timetable) is AssetTriggeredTimetable
            assert timetable.asset_condition == AssetAll(lake)
        else:
            assert type(timetable) is PartitionedAssetTimetable
            assert timetable.asset_condition == lake
    elif dataset == "zones":
        assert type(timetable) is CronTriggerTimetable
        assert (timetable.expression, str(timetable.timezone)) == ("0 0 1 * *", "UTC")
    else:
        assert type(timetable) is MonthlyTimetable
        assert timetable.serialize() == {
            "expression": "0 0 1 * *",
            "timezone": "UTC",
            "run_offset": -2,
            "run_immediately": LATE.total_seconds(),
            "key_format": "%Y-%m",
        }


def test_the_rollup_runs_for_the_year_of_each_month_of_any_dataset(rollup: DAG) -> None:
    timetable = rollup.timetable
    assert type(timetable) is PartitionedAssetTimetable
    warehouse = [Asset(name=f"warehouse_{dataset.name}", group="warehouse") for dataset in TRIP_DATASETS]
    assert timetable.asset_condition == AssetAny(*warehouse)
    mapper = timetable.default_partition_mapper
    assert type(mapper) is RollupMapper
    assert type(mapper.upstream_mapper) is StartOfYearMapper
    assert mapper.upstream_mapper.input_format == "%Y-%m"
    assert type(mapper.window) is YearWindow
    assert mapper.wait_policy == MinimumCount(1)


# The tasks that update the asset of their store; in a flow that is not listed, publish alone.
UPDATING = {
    "web_to_gcs": {"local_to_gcs", "announce_unchanged"},
    "gcs_to_bigquery": {"publish", "announce_unchanged"},
}


def test_outlets(flow_dag: DAG) -> None:
    dataset, flow = _names(flow_dag.dag_id)
    asset = Asset(name=f"{FLOWS[flow]}_{dataset}", group=FLOWS[flow])
    expected = {task_id: [asset] for task_id in UPDATING.get(flow, {"publish"})}
    assert {task.task_id: task.outlets for task in flow_dag.tasks if task.outlets} == expected


def test_the_rollups_outlet(rollup: DAG) -> None:
    expected = {"publish": [Asset(name="warehouse_yearly_rollup", group="warehouse")]}
    assert {task.task_id: task.outlets for task in rollup.tasks if task.outlets} == expected


def test_no_task_has_inlets(dag: DAG) -> None:
    assert {task.task_id: task.inlets for task in dag.tasks if task.inlets} == {}


def test_every_task_with_an_outlet_announces_its_month_if_there_are_months(dag: DAG) -> None:
    dataset, _ = _names(dag.dag_id)
    announcing = {task.task_id for task in dag.tasks if task._post_execute_hook}
    assert announcing == (set() if dataset == "zones" else {task.task_id for task in dag.tasks if task.outlets})


def test_every_asset_has_one_producer(bag) -> None:
    producers = {(asset.name, dag.dag_id) for dag in bag.dags.values() for task in dag.tasks for asset in task.outlets}
    of_datasets = [f"{store}_{dataset}" for store in FLOWS.values() for dataset in DATASETS]
    assert sorted(name for name, _ in producers) == sorted([*of_datasets, "warehouse_yearly_rollup"])


@pytest.mark.parametrize("dataset", [dataset.name for dataset in TRIP_DATASETS])
@pytest.mark.parametrize(("day", "key"), [((2026, 11, 1), "2026-09"), ((2026, 1, 1), "2025-11")])
def test_a_run_is_for_the_month_two_months_back(bag, dataset: str, day: tuple[int, int, int], key: str) -> None:
    serialized = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[f"{dataset}_web_to_gcs"]))
    when = pendulum.datetime(*day)
    info = serialized.timetable.next_dagrun_info_v2(
        last_dagrun_info=None, restriction=TimeRestriction(earliest=when, latest=None, catchup=True)
    )
    assert info is not None
    assert (info.run_after, info.partition_key) == (when, key)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize(
    ("unpaused", "first", "month"),
    [
        ("2026-11-27T02:14:39", "2026-12-01", "2026-10"),
        ("2026-11-30T23:59:59", "2026-12-01", "2026-10"),
        # The scheduler may be late at midnight: the run of that midnight is not lost.
        ("2026-12-01T00:59:59", "2026-12-01", "2026-10"),
        ("2026-12-01T01:00:01", "2027-01-01", "2026-11"),
        ("2026-12-02T12:00:00", "2027-01-01", "2026-11"),
    ],
)
def test_unpausing_a_dag_starts_nothing_until_the_next_month_begins(
    bag, dataset: str, unpaused: str, first: str, month: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serialized = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[f"{dataset}_web_to_postgres"]))
    monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda: pendulum.parse(unpaused))
    info = serialized.next_dagrun_info(last_automated_run_info=None)
    assert info is not None
    assert (info.run_after, info.partition_key) == (pendulum.parse(first), None if dataset == "zones" else month)


@pytest.mark.parametrize("dataset", [dataset.name for dataset in TRIP_DATASETS])
@pytest.mark.parametrize(
    ("now", "backfilled", "next_run", "month"),
    [
        # The months between a backfill and now are not missing: nobody asked for them.
        ("2026-11-27T02:14:39", ("2021-01", "2021-03"), "2026-12-01", "2026-10"),
        ("2026-11-27T02:14:39", ("2021-01", "2026-07"), "2026-12-01", "2026-10"),
        ("2026-12-01T00:59:59", ("2021-01", "2021-03"), "2026-12-01", "2026-10"),
        ("2026-12-01T01:00:01", ("2021-01", "2021-03"), "2027-01-01", "2026-11"),
        # A month that is backfilled before its run is due is not loaded twice.
        ("2026-11-27T02:14:39", ("2026-08", "2026-09"), "2026-12-01", "2026-10"),
        # Every month is loaded, and the scheduler is down when the next one is due.
        ("2026-12-02T12:00:00", ("2021-01", "2026-09"), "2026-12-01", "2026-10"),
    ],
)
def test_a_backfill_starts_no_other_run(
    bag,
    dataset: str,
    now: str,
    backfilled: tuple[str, str],
    next_run: str,
    month: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serialized = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[f"{dataset}_web_to_gcs"]))
    monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda: pendulum.parse(now))
    earliest, latest = (pendulum.parse(f"{month}-01") for month in backfilled)
    runs = list(serialized.timetable.iter_partition_dagrun_infos(earliest=earliest, latest=latest))
    assert (runs[0].partition_key, runs[-1].partition_key) == backfilled
    info = serialized.next_dagrun_info(last_automated_run_info=runs[-1])
    assert info is not None
    assert (info.run_after, info.partition_key) == (pendulum.parse(next_run), month)


@pytest.mark.parametrize(
    ("now", "last", "next_run", "month"),
    [
        ("2026-11-27T02:14:39", "2026-11-01", "2026-12-01", "2026-10"),
        ("2026-12-02T12:00:00", "2026-11-01", "2026-12-01", "2026-10"),
        # After a long pause, only the newest of the missed runs.
        ("2026-11-27T02:14:39", "2026-03-01", "2026-11-01", "2026-09"),
    ],
)
def test_a_scheduler_that_was_down_loses_no_month(
    bag, now: str, last: str, next_run: str, month: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serialized = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags["green_web_to_gcs"]))
    monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda: pendulum.parse(now))
    ran = pendulum.parse(last)
    info = serialized.next_dagrun_info(
        last_automated_run_info=DagRunInfo(
            run_after=ran,
            data_interval=None,
            partition_date=ran.subtract(months=2),
            partition_key=f"{ran.subtract(months=2):%Y-%m}",
        )
    )
    assert info is not None
    assert (info.run_after, info.partition_key) == (pendulum.parse(next_run), month)


# Parameters


def test_params(flow_dag: DAG) -> None:
    month = set() if flow_dag.dag_id.startswith("zones_") else {"month"}
    assert set(flow_dag.params) == month | {"force"}
    assert flow_dag.params["force"] is False
    assert flow_dag.params.get_param("force").schema["type"] == "boolean"
    for name in month:
        _check_key(flow_dag.params.get_param(name), "2021-01", ("2021-13", "2021-1", "../x", " 2021-01", 202101))


def test_params_of_the_rollup(rollup: DAG) -> None:
    assert set(rollup.params) == {"year"}
    _check_key(rollup.params.get_param("year"), "2021", ("21", "0021", "2021-01", "../x", " 2021", 2021))


def _check_key(param: Param, right: str, wrong: Iterable[object]) -> None:
    """Check that a parameter accepts ``right``, may be left out, and refuses each value in ``wrong``."""
    assert param.value is None
    assert param.schema["type"] == ["null", "string"]
    param = copy.deepcopy(param)  # it keeps what it resolves, and other tests read the same DAGs
    assert param.resolve(right) == right
    for value in wrong:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


# Links

LINKS = {
    "web_to_gcs": {"local_to_gcs": ["Object in Cloud Storage"]},
    "gcs_to_bigquery": {"load_staging": ["Object in Cloud Storage"], "publish": ["Table in BigQuery"]},
    "yearly_rollup": {"publish": ["Table in BigQuery"]},
}


def test_no_task_has_a_link_of_googles_operators(dag: DAG) -> None:
    dataset, flow = _names(dag.dag_id)
    in_stores = {"zones": ["Dataset in every store"], "trips": []}.get(dataset, ["Month in every store"])
    own = LINKS.get(flow, {})
    for task in DagSerialization.from_dict(DagSerialization.to_dict(dag)).tasks:
        assert sorted(task.extra_links) == sorted([*in_stores, *own.get(task.task_id, [])]), task.task_id


def test_no_link_of_a_task_is_dead(dag: DAG, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leads to a tab of the run that the page *Months* fills, or, without emulators, to Google's console."""
    rendered = render(dag, partition_key=golden_key(dag))
    key: Any = SimpleNamespace(dag_id=dag.dag_id, run_id=RUN_ID, state=TaskInstanceState.SUCCESS)
    tabs = {one["url_route"] for one in MonthsPlugin.external_views if one["destination"] == "dag_run"}
    with_months = {id_ for dataset in DATASETS.values() for id_ in dag_ids(dataset).values()}
    run = {f"/dags/{dag.dag_id}/runs/{RUN_ID}/plugin/{tab}" for tab in tabs if dag.dag_id in with_months}
    console = {f"https://console.cloud.google.com/{place}" for place in _console(dag.dag_id)}
    for host, alive in (("http://127.0.0.1:1", run), ("", run | console)):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", host)
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", host)
        shown = {
            link.get_link(SimpleNamespace(**rendered[task.task_id]), ti_key=key)  # type: ignore[arg-type]
            for task in dag.tasks
            for link in task.operator_extra_links
        }
        assert shown - {""} == alive


def _console(dag_id: str) -> set[str]:
    """Return the addresses in Google's console of what the golden run of a DAG reads and writes."""
    name, flow = _names(dag_id)
    dataset = DATASETS.get(name)
    file = dataset.file(Month(2021, 1)) if isinstance(dataset, TripDataset) else dataset.file() if dataset else None
    table = "bigquery?project=golden-project&p=golden-project&d=trips&t={}&page=table"
    places = {"Table in BigQuery": table.format(name if file else "yearly_rollup")}
    if file:
        lake_object = quote(file.lake_object)
        places["Object in Cloud Storage"] = f"storage/browser/_details/golden-lake/{lake_object}"
    return {places[link] for links in LINKS.get(flow, {}).values() for link in links}


# Tasks


FETCH = {
    "wait_for_publication": {"skip_unchanged"},
    "skip_unchanged": {"download", "announce_unchanged"},
    "download": {"to_parquet", "remove_files"},
}
EDGES = {
    "web_to_gcs": {
        **FETCH,
        "to_parquet": {"local_to_gcs", "remove_files"},
        "local_to_gcs": {"remove_files"},
        "announce_unchanged": set(),
        "remove_files": set(),
    },
    "gcs_to_bigquery": {
        "create_table": {"create_external_table", "skip_unchanged"},
        "skip_unchanged": {"load_staging", "announce_unchanged"},
        "announce_unchanged": set(),
        "create_external_table": set(),
        "load_staging": {"check_columns", "check_table", "check_warnings", "drop_staging"},
        "check_columns": {"publish"},
        "check_table": {"publish"},
        "check_warnings": {"publish"},
        "publish": {"drop_staging"},
        "drop_staging": set(),
    },
    "web_to_postgres": {
        **FETCH,
        "skip_unchanged": {"download", "create_table"},
        "to_parquet": {"load_staging", "remove_files"},
        "create_table": {"load_staging"},
        "load_staging": {"check_table", "check_warnings", "remove_files", "drop_staging"},
        "check_table": {"publish"},
        "check_warnings": {"publish"},
        "publish": {"drop_staging"},
        "remove_files": set(),
        "drop_staging": set(),
    },
    "yearly_rollup": {"check_months": {"create_table"}, "create_table": {"publish"}, "publish": set()},
}
DESCRIBED_DAG_IDS = [dag_id for dag_id in DAG_IDS if dag_id.partition("_")[2] in EDGES]
# The zones have no external table, because the table itself is small, and no warning checks.
NOT_OF_ZONES = {"create_external_table", "check_warnings"}
SETUPS = {
    "web_to_gcs": {"download", "to_parquet"},
    "gcs_to_bigquery": {"load_staging"},
    "web_to_postgres": {"download", "to_parquet", "load_staging"},
    "yearly_rollup": set(),
}
TEARDOWNS = {
    "web_to_gcs": {"remove_files"},
    "gcs_to_bigquery": {"drop_staging"},
    "web_to_postgres": {"remove_files", "drop_staging"},
    "yearly_rollup": set(),
}


def test_it_is_known_of_each_task_whether_it_moves_data(bag) -> None:
    """Those that do have to say how much; tests/integration/test_pipeline.py reads their logs."""
    described = (task for dag_id in DESCRIBED_DAG_IDS for task in bag.dags[dag_id].tasks)
    assert {task.task_type for task in described} == {*MOVING, *STILL}


@pytest.mark.parametrize("dag_id", DESCRIBED_DAG_IDS)
def test_tasks_and_edges(bag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    dataset, flow = _names(dag_id)
    left_out = NOT_OF_ZONES if dataset == "zones" else set()
    expected = {name: edges - left_out for name, edges in EDGES[flow].items() if name not in left_out}
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == expected


@pytest.mark.parametrize("dag_id", DESCRIBED_DAG_IDS)
def test_setups_and_teardowns(bag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    _, flow = _names(dag_id)
    assert {task.task_id for task in dag.tasks if task.is_setup} == SETUPS[flow]
    assert {task.task_id for task in dag.tasks if task.is_teardown} == TEARDOWNS[flow]
    for task in dag.tasks:
        if task.is_teardown:
            assert task.trigger_rule == "all_done_setup_success"
            assert task.on_failure_fail_dagrun is False


def test_only_a_failed_check_blocks_publishing(flow_dag: DAG) -> None:
    checks = {task.task_id: task for task in flow_dag.tasks if isinstance(task, AuditMixin)}
    assert {name for name, task in checks.items() if task.level is Level.WARN} == {"check_warnings"} & set(checks)
    rules = {task.task_id: task.trigger_rule for task in flow_dag.tasks if not task.is_teardown}
    after_checks = {"publish"} if checks else set()
    assert {name for name, rule in rules.items() if rule == "none_failed_min_one_success"} == after_checks
    assert {name for name, rule in rules.items() if rule == "all_success"} == set(rules) - after_checks


def test_no_task_depends_on_its_own_past_or_waits_for_its_downstream(dag: DAG) -> None:
    for task in dag.tasks:
        assert not task.depends_on_past
        assert not task.wait_for_downstream


# Templates

MONTH = re.compile(r"(?<![0-9])(19|20)[0-9]{2}[-_/]?(0[1-9]|1[0-2])(?![0-9])")


@pytest.mark.parametrize("text", ["2021-01", "'202101'", "green_2021_12", "year=2021/01", "1999-12-31"])
def test_the_pattern_finds_months(text: str) -> None:
    assert MONTH.search(text)


def test_no_task_names_a_month(dag: DAG) -> None:
    serialized = DagSerialization.to_dict(dag)["dag"]
    for task in serialized["tasks"]:
        # The parameters have an example and say what is published; that is text for the form.
        declared = {name: value for name, value in task["__var"].items() if name != "params"}
        assert not MONTH.search(json.dumps(declared)), task


@pytest.mark.parametrize(
    "path",
    [*SOURCES, *sorted((REPOSITORY / "include" / "sql").rglob("*.sql"))],
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_no_dag_or_sql_file_names_a_month(path: Path) -> None:
    assert not MONTH.search(path.read_text())


# The check operators turn these into SQL when they are declared; the SQL is a template field.
MADE_INTO_SQL = {"checks", "column_mapping"}
# These run in tasks, in the triggerer or in the API server, never when a DAG file is parsed, so they may read the clock
# in these ways.
RUN_LATER = {
    "app.py": {"now"},
    "channels.py": {"now"},
    "download.py": {"now"},
    "middleware.py": {"now"},
    "looks.py": {"time"},
    "mark.py": {"now"},
    "publication_sensor.py": {"now"},
    "publication_trigger.py": {"now"},
    "retry_after.py": {"now"},
    "work_dir.py": {"time"},
}


def test_no_task_takes_an_earlier_runs_job_for_its_own(dag: DAG) -> None:
    """Airflow keeps the job id of a durable task when its run is cleared."""
    assert {task.task_id for task in dag.tasks if getattr(task, "durable", False)} == set()


def test_every_argument_with_a_template_is_a_template_field(dag: DAG) -> None:
    found = set()
    for task in dag.tasks:
        arguments = {name for kind in type(task).__mro__ for name in _parameters(kind)}
        templated = {name for name in arguments if "{{" in repr(getattr(task, name, None))}
        assert templated <= set(task.template_fields), task.task_id
        found |= templated
    assert found


def _parameters(kind: type) -> Iterable[str]:
    return inspect.signature(inspect.unwrap(kind.__init__)).parameters


def test_the_checks_are_made_into_sql(dag: DAG) -> None:
    for task in dag.tasks:
        if MADE_INTO_SQL & set(vars(task)):
            assert "sql" in task.template_fields, task.task_id
            for name in [*vars(task).get("checks", {}), *vars(task).get("column_mapping", {})]:
                assert f"'{name}'" in task.sql, task.task_id


def test_every_template_field_is_an_attribute(dag: DAG) -> None:
    for task in dag.tasks:
        for name in task.template_fields:
            assert hasattr(task, name), f"{task.task_id}.{name}"


def test_no_date_macro_of_airflow_2_is_used() -> None:
    for path in [*SOURCES, *(REPOSITORY / "include").rglob("*.sql"), *(REPOSITORY / "plugins").rglob("*.py")]:
        found = re.search(r"\b(ds|ds_nodash|ts|execution_date|data_interval_\w+|prev_ds|next_ds)\b", path.read_text())
        assert not found, f"{path.name}: {found}"


# Serialization


def test_the_dag_survives_serialization(dag: DAG) -> None:
    data = DagSerialization.to_dict(dag)
    DagSerialization.validate_schema(data)
    restored = DagSerialization.from_dict(json.loads(json.dumps(data)))
    assert restored.dag_id == dag.dag_id
    assert sorted(restored.task_dict) == sorted(dag.task_dict)
    assert {id_: task.downstream_task_ids for id_, task in restored.task_dict.items()} == {
        id_: task.downstream_task_ids for id_, task in dag.task_dict.items()
    }
    assert {id_ for id_, task in restored.task_dict.items() if task.is_teardown} == {
        id_ for id_, task in dag.task_dict.items() if task.is_teardown
    }
    assert restored.dagrun_timeout == dag.dagrun_timeout
    assert restored.timetable.summary == DagSerialization.from_dict(data).timetable.summary
    assert DagSerialization.to_dict(dag) == data


# Parsing


def _run_script(script: str, folder: Path, *arguments: str) -> Any:
    """Run a script in its own Airflow home; return what it printed as ``answer <JSON>``."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(REPOSITORY), *arguments],
        cwd=folder,
        env={**os.environ, "AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("answer ")]
    return json.loads(line.removeprefix("answer "))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_dag_file_imports_no_other_and_only_public_names(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    allowed = r"__future__|airflow\.sdk|airflow\.providers\.[a-z_.]+|nyc_taxi(\.[a-z_.]+)?"
    assert {module for module in modules if not re.fullmatch(allowed, module or "")} == set()


# Parses two folders of DAG files while access to variables, connections, the environment and the network raises.
_GUARDED_PARSE = """
import json, os, socket, sys
repository, bad = sys.argv[1:]
sys.path.insert(0, repository + "/plugins")

from airflow.dag_processing.dagbag import DagBag
import airflow.providers.common.sql.operators.sql
import airflow.providers.google.cloud.operators.bigquery
import airflow.providers.google.cloud.transfers.gcs_to_bigquery
import airflow.providers.google.cloud.transfers.local_to_gcs
import airflow.providers.http.hooks.http
import airflow.providers.postgres.hooks.postgres
from airflow.sdk import Connection, Variable
from airflow.sdk.execution_time import context
import airflow.sdk.definitions.connection
import datetime, time

OURS = (repository + "/dags/", repository + "/plugins/", repository + "/include/", bad)
PASSED_OVER = ("/os.py", "/_collections_abc.py", "<frozen os>", "<frozen _collections_abc>")


def refuse(what):
    def refused(*args, **kwargs):
        raise RuntimeError(f"{what} while parsing")
    return refused


def environment(original):
    def read(self, *args):
        frame = sys._getframe(1)
        while frame and frame.f_code.co_filename.endswith(PASSED_OVER):
            frame = frame.f_back
        if frame and frame.f_code.co_filename.startswith(OURS):
            raise RuntimeError("environment while parsing")
        return original(self, *args)
    return read


Variable.get = Variable.set = refuse("variable")
context._get_variable = refuse("variable")
Connection.get = refuse("connection")
context._get_connection = airflow.sdk.definitions.connection._get_connection = refuse("connection")
socket.socket.connect = refuse("network")
type(os.environ).__getitem__ = environment(type(os.environ).__getitem__)
type(os.environ).__iter__ = environment(type(os.environ).__iter__)

answer = {}
for folder in (repository + "/dags", bad):
    bag = DagBag(dag_folder=folder)
    errors = {os.path.basename(name): error.strip().splitlines()[-1] for name, error in bag.import_errors.items()}
    answer[folder] = [sorted(bag.dags), errors]
print("answer", json.dumps(answer))
"""
_BAD_FILES = {
    "variable": "from airflow.sdk import DAG, Variable\nVariable.get('lake_bucket')",
    "default": "from airflow.sdk import DAG, Variable\nVariable.get('lake_bucket', default='x')",
    "connection": "from airflow.sdk import DAG, BaseHook\nBaseHook.get_connection('ny_taxi')",
    "environ": "import os\nfrom airflow.sdk import DAG\nos.environ['HOME']",
    "getenv": "import os\nfrom airflow.sdk import DAG\nos.getenv('LAKE_BUCKET', 'x')",
    "get": "import os\nfrom airflow.sdk import DAG\nos.environ.get('LAKE_BUCKET')",
    "contains": "import os\nfrom airflow.sdk import DAG\n'LAKE_BUCKET' in os.environ",
    "network": "import socket\nfrom airflow.sdk import DAG\nsocket.create_connection(('127.0.0.1', 9))",
}


def test_parsing_reads_no_variable_no_connection_no_environment_and_no_network(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for name, source in _BAD_FILES.items():
        (bad / f"{name}.py").write_text(source)
    answer = _run_script(_GUARDED_PARSE, tmp_path, str(bad))
    assert answer[str(REPOSITORY / "dags")] == [DAG_IDS, {}]
    # The guard catches each kind of access.
    kinds = {"default": "variable", "environ": "environment", "getenv": "environment", "get": "environment"}
    kinds["contains"] = "environment"
    assert answer[str(bad)] == [
        [],
        {f"{name}.py": f"RuntimeError: {kinds.get(name, name)} while parsing" for name in _BAD_FILES},
    ]


def test_parsing_does_not_read_the_clock() -> None:
    for path in [*SOURCES, *(REPOSITORY / "plugins" / "nyc_taxi").rglob("*.py")]:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        named = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
        looks = named & {"now", "utcnow", "today", "monotonic", "time", "time_ns"}
        assert looks == RUN_LATER.get(path.name, set()), path.name


# Counts the calls of all functions, and the lines that run of the repository's own code, while the providers are
# imported, and while each DAG file is parsed after that. Unlike times, they depend on neither the machine nor its load.
# A loop runs its lines again, also one within a line.
_COUNTED_PARSE = """
import json, sys
repository = sys.argv[1]
sys.path.insert(0, repository + "/plugins")
from airflow.dag_processing.dagbag import DagBag

own = (repository + "/dags/", repository + "/plugins/")

def counted(function, *arguments):
    steps = 0

    def count(frame, event, argument):
        nonlocal steps
        steps += 1
        return count if frame.f_code.co_filename.startswith(own) else None

    sys.settrace(count)
    function(*arguments)
    sys.settrace(None)
    return steps

def import_providers():
    import airflow.providers.common.sql.operators.sql
    import airflow.providers.google.cloud.operators.bigquery
    import airflow.providers.google.cloud.transfers.gcs_to_bigquery
    import airflow.providers.google.cloud.transfers.local_to_gcs
    import airflow.providers.http.hooks.http
    import airflow.providers.postgres.hooks.postgres
    import pandas, pyarrow.parquet

def parse(name):
    bag = DagBag(dag_folder=f"{repository}/dags/{name}")
    assert bag.dags and not bag.import_errors, bag.import_errors

providers = counted(import_providers)
print("answer", json.dumps([providers, {name: counted(parse, name) for name in sys.argv[2:]}]))
"""


def test_parsing_a_dag_file_is_little_work_compared_with_importing_its_providers(tmp_path: Path) -> None:
    names = [path.name for path in SOURCES]
    providers, steps = _run_script(_COUNTED_PARSE, tmp_path, *names)
    assert sorted(steps) == sorted(names)
    assert {name: number for name, number in steps.items() if not 1000 < number < providers / 4} == {}, providers
