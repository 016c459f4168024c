"""The DAGs on the real scheduler and the embedded cloud, looked at with each store's own client."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import psycopg
import pytest

from comparison.statements import Load
from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from nyc_taxi.registry.datasets import GREEN, YELLOW
from nyc_taxi.registry.months import Month
from tests.dags.moving import MOVING
from tests.integration.conftest import REPOSITORY, SYNTHETIC_ROWS, Command, publish
from tests.integration.support import (
    NOTHING_LEFT,
    await_,
    await_warehouse,
    end,
    lake_objects,
    leftovers,
    line,
    query_postgres,
    run_months,
    runs_of,
    task_states,
    trigger_both,
    warehouse_runs,
)

pytestmark = pytest.mark.full

CHECKED_DAGS = ("green_gcs_to_bigquery", "green_web_to_postgres")
TWICE = {"HttpToLocalFilesystemOperator": 2, "ToParquetOperator": 2, "PublishOperator": 2}


@pytest.mark.parametrize(
    ("dataset", "month", "rows"),
    [("green", "2021-02", 64572), ("yellow", "2019-01", 10000)],
)
def test_real_month_arrives_in_every_store(
    tlc_data: Path, stack: AirflowSettings, local_airflow: Command, dataset: str, month: str, rows: int
) -> None:
    demo = local_airflow("demo", dataset, month)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stdout.splitlines()[-1] == line(dataset, month, rows)
    assert leftovers(stack) == NOTHING_LEFT


def test_the_other_real_months_arrive_too(tlc_data: Path, stack: AirflowSettings, api: AirflowApi) -> None:
    months = ("2019-02", "2019-03", "2020-01", "2020-04", "2020-07")
    seen = {month: warehouse_runs(api, {"yellow": month}) for month in months}
    started = [run for month in months for run in trigger_both(api, "yellow", month, force=True).items()]

    assert [end(api, *run) for run in started] == ["success"] * len(started)
    for month in months:
        await_warehouse(api, {"yellow": month}, seen[month])
        counts = reconcile.count(stack, YELLOW.file(Month.parse(month)))
        assert counts.line("yellow", month) == line("yellow", month, 10000)
    assert _printed_by_the_homework(stack) == "20000\n"


def _printed_by_the_homework(stack: AirflowSettings) -> str:
    """What the homework page's count of yellow 2019-02 and 2019-03 prints, on this stack's port of BigQuery."""
    page = (REPOSITORY / "docs" / "homework.md").read_text(encoding="utf-8")
    [code] = re.findall(r"(?ms)^```python\n(from google.auth.+?)^```$", page)
    command = [sys.executable, "-c", code.replace("9050", str(stack.cloud.bigquery_port))]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def june(stack: AirflowSettings, api: AirflowApi) -> Month:
    """A synthetic month of green that has gone through all DAGs."""
    run_months(api, {"green": "2020-06"}, force=True)
    return Month(2020, 6)


def test_each_task_that_moved_data_says_at_its_end_how_much(api: AirflowApi, june: Month) -> None:
    ended = []
    for step in ("web_to_gcs", "gcs_to_bigquery", "web_to_postgres"):
        dag_id = f"green_{step}"
        run_id = next(run["dag_run_id"] for run in runs_of(api, dag_id, str(june)) if run["state"] == "success")
        for task in api.tasks(dag_id, run_id):
            if pattern := MOVING.get(task["operator"]):
                lines = api.log(dag_id, run_id, task["task_id"], task["try_number"])
                ends = [line for line in lines if line.startswith("End of ")]
                assert [line for line in ends if pattern.fullmatch(line)] == ends, task["task_id"]
                rows = {line.partition(": ")[2].partition(" rows")[0] for line in ends if " rows, " in line}
                assert rows == (set() if task["task_id"] == "download" else {f"{SYNTHETIC_ROWS:,}"}), task["task_id"]
                ended += [task["operator"]] * len(ends)
    # The download and the conversion are in two DAGs, and each store but the lake has a publish.
    assert Counter(ended) == {**dict.fromkeys(MOVING, 1), **TWICE}


BROKEN = {
    "2019-01": ("wait_for_publication", "(HTTP 404): not published, or misspelt"),
    "2019-02": ("to_parquet", "2019-02.csv.gz is not a valid green file: it is cut short: its gzip data does not end"),
    "2019-03": ("to_parquet", "its columns differ from the contract; missing: congestion_surcharge"),
    "2019-04": ("to_parquet", "column fare_amount: row 5001: 'abc' is not a valid amount"),
    "2019-05": ("to_parquet", "it is not gzip; it begins with "),
    "2019-06": ("to_parquet", "it has a header but no rows"),
    "2018-12": ("wait_for_publication", "no green file for 2018-12: the source starts with 2019-01"),
}


@pytest.fixture(scope="module")
def broken(api: AirflowApi) -> dict[str, dict[str, str]]:
    """The ended runs of the broken months, all started at once, by month and DAG."""
    started = {month: trigger_both(api, "green", month) for month in BROKEN}
    for runs in started.values():
        assert [end(api, *run) for run in runs.items()] == ["failed", "failed"]
    return started


@pytest.mark.parametrize(
    "month",
    BROKEN,
    ids=["absent", "truncated", "column missing", "letter for a number", "no gzip", "no rows", "too early"],
)
def test_broken_month_fails_with_its_reason_and_leaves_nothing(
    stack: AirflowSettings, api: AirflowApi, broken: dict[str, dict[str, str]], month: str
) -> None:
    task_id, message = BROKEN[month]

    for dag_id, run_id in broken[month].items():
        assert message in api.log(dag_id, run_id, task_id, 1)[-1]
    assert lake_objects(stack, f"green/year={month[:4]}/month={month[5:]}") == []
    assert query_postgres(stack, f"SELECT to_regclass('green_trips_{month.replace('-', '_')}')") == [(None,)]
    assert leftovers(stack) == NOTHING_LEFT


def test_each_failed_run_is_told_once_on_each_channel_with_its_task_and_the_address_of_its_log(
    stack: AirflowSettings, webhook: str, broken: dict[str, dict[str, str]]
) -> None:
    expected = [
        f"{dag_id} failed for {month}: task_failure in run {run_id}, task {task_id}, log {stack.url}/dags/{dag_id}/"
        for month, (task_id, _) in BROKEN.items()
        for dag_id, run_id in broken[month].items()
    ]

    assert [len(texts) for texts in await_told(stack, webhook, expected)] == [1] * 2 * len(expected)


def test_each_broken_warning_check_is_told_once_on_each_channel_and_the_month_is_loaded(
    stack: AirflowSettings, api: AirflowApi, webhook: str, source_dir: Path
) -> None:
    month = "2019-10"
    publish(source_dir, "green", month, defects=["many-refunds"])
    run_months(api, {"green": month})
    runs = {dag_id: runs_of(api, dag_id, month)[0]["dag_run_id"] for dag_id in CHECKED_DAGS}
    expected = [
        f"{dag_id} warns for {month}: failed warning checks: has_few_refunds in run {run_id}, task check_warnings, "
        f"log {stack.url}/dags/{dag_id}/"
        for dag_id, run_id in runs.items()
    ]

    assert [len(texts) for texts in await_told(stack, webhook, expected)] == [1] * 2 * len(expected)
    assert reconcile.count(stack, GREEN.file(Month.parse(month))).agree


def await_told(stack: AirflowSettings, webhook: str, expected: list[str]) -> list[list[str]]:
    """The messages that begin as expected, on the webhook and then in the folder, once there is one of each."""

    def told() -> list[list[str]] | None:
        posted = [post["text"] for post in httpx.get(webhook, trust_env=False, timeout=60).json()]
        written = [path.read_text() for path in stack.messages_dir.glob("*.txt")]
        found = [
            [text for text in texts if text.startswith(start)] for texts in (posted, written) for start in expected
        ]
        return found if all(found) else None

    return await_(told, "all messages are sent")


def test_month_that_breaks_later_keeps_what_it_had(
    stack: AirflowSettings, api: AirflowApi, source_dir: Path, june: Month
) -> None:
    before = reconcile.count(stack, GREEN.file(june))
    source = source_dir / "green" / "green_tripdata_2020-06.csv.gz"
    whole = source.read_bytes()
    source.write_bytes(whole[:9000])
    try:
        states = [end(api, dag_id, run_id) for dag_id, run_id in trigger_both(api, "green", "2020-06").items()]
    finally:
        source.write_bytes(whole)

    assert states == ["failed", "failed"]
    assert before.agree
    assert reconcile.count(stack, GREEN.file(june)) == before


def test_a_load_into_postgres_hinders_no_other_month(stack: AirflowSettings, june: Month) -> None:
    load = Load(file=GREEN.file(Month(2020, 5)), run="goes on")
    columns = (
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"
    )

    with psycopg.connect(stack.cloud.postgres_url("ny_taxi")) as loading:
        loading.execute(load.render("postgres/load/trip_staging.sql"))  # type: ignore[arg-type]
        staging = loading.execute(columns, [load.postgres_staging_table]).fetchall()
        with psycopg.connect(stack.cloud.postgres_url("ny_taxi")) as other:
            other.execute("SET lock_timeout = '60s'")
            other.execute("DROP TABLE green_trips_2020_06")  # the first step of replacing it
            published = other.execute(columns, ["green_trips"]).fetchall()
            other.rollback()
        loading.rollback()

    assert june == Month(2020, 6)
    assert len(staging) == len(GREEN.columns)
    assert staging == published


def test_two_runs_of_one_month_at_once_leave_its_rows_once(stack: AirflowSettings, api: AirflowApi) -> None:
    months = {"yellow": "2020-06"}
    seen = warehouse_runs(api, months)
    runs = [run for _ in range(2) for run in trigger_both(api, "yellow", "2020-06", force=True).items()]

    assert [end(api, *run) for run in runs] == ["success"] * 4
    await_warehouse(api, months, seen)
    file = YELLOW.file(Month(2020, 6))
    assert reconcile.count(stack, file).line("yellow", "2020-06") == line("yellow", "2020-06", SYNTHETIC_ROWS)

    before = reconcile.contents(stack, file)
    direct = [api.trigger("yellow_gcs_to_bigquery", {"month": "2020-06", "force": True}) for _ in range(2)]
    assert [end(api, "yellow_gcs_to_bigquery", run) for run in direct] == ["success"] * 2
    assert reconcile.contents(stack, file) == before


def test_a_run_that_is_failed_while_a_task_waits_does_not_end_well(api: AirflowApi, june: Month) -> None:
    api.call("PATCH", "/pools/default_pool?update_mask=slots", pool="default_pool", slots=0)
    try:
        runs = trigger_both(api, "green", str(june))
        for dag_id, run_id in runs.items():
            await_(lambda run=(dag_id, run_id): "scheduled" in task_states(api, *run).values(), "a task waits")
            api.fail(dag_id, run_id)
    finally:
        api.call("PATCH", "/pools/default_pool?update_mask=slots", pool="default_pool", slots=128)
    assert {dag_id: end(api, dag_id, run_id) for dag_id, run_id in runs.items()} == dict.fromkeys(runs, "failed")


def test_reconcile_counts_a_month_that_is_there_and_one_that_is_not(
    stack: AirflowSettings, local_airflow: Command, source_dir: Path, june: Month
) -> None:
    publish(source_dir, "green", "2019-12")
    loaded, waiting, absent = (
        local_airflow("reconcile", "green", month) for month in ("2020-06", "2019-12", "2019-11")
    )

    assert (loaded.returncode, loaded.stdout) == (0, f"{line('green', str(june), SYNTHETIC_ROWS)}\n")
    assert (waiting.returncode, waiting.stdout) == (
        1,
        f"DISAGREE green 2019-12 source={SYNTHETIC_ROWS} lake=0 external=0 bigquery=0 postgres=0\n",
    )
    assert (absent.returncode, absent.stdout) == (1, "")
    assert "green/green_tripdata_2019-11.csv.gz" in absent.stderr
    assert "404" in absent.stderr


def test_demo_refuses_to_change_the_source_of_a_stack_that_runs(
    stack: AirflowSettings, environment: dict[str, str]
) -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "local.airflow", "demo", "green", "2020-06"],
        cwd=REPOSITORY,
        env={**environment, "SOURCE": "synthetic"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )

    assert demo.returncode == 1
    assert demo.stderr.startswith(
        f"error: the running stack reads SOURCE={environment['SOURCE']} in the layout mirror;"
    )
