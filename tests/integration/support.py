"""Starting runs on the stack and waiting for them, for all integration tests."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud import bigquery

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from nyc_taxi.parquet.schema import arrow_schema
from nyc_taxi.registry.datasets import FHV
from nyc_taxi.registry.months import Month
from tests import clients

T = TypeVar("T")

# The tasks that may run where a month is unchanged: they load nothing.
_LOADS_NOTHING = {
    *("wait_for_publication", "skip_unchanged", "announce_unchanged"),
    *("create_table", "create_external_table"),
}
FLOWS = ("web_to_gcs", "gcs_to_bigquery", "web_to_postgres")
# What `leftovers` returns where every run has tidied up.
NOTHING_LEFT: dict[str, Any] = {"files": [], "postgres": [], "bigquery": []}

# Each line is the arguments of one call of the Airflow CLI, and variables for it alone.
_CALLS = """
import json, os, sys
from airflow.cli import cli_parser

parser = cli_parser.get_parser()
own = dict(os.environ)
for line in sys.stdin:
    words, variables = json.loads(line)
    arguments = parser.parse_args(words)
    os.environ |= variables
    try:
        arguments.func(arguments)
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        os.environ.clear()
        os.environ |= own
    print("\\nended", json.dumps(code), flush=True)
"""


class AirflowCli:
    """The Airflow CLI, in one process for many calls: importing Airflow takes longer than most of them.

    Args:
        settings: of the stack, which may run without Airflow.
    """

    def __init__(self, settings: AirflowSettings) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 # closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CALLS],
            env={**os.environ, **settings.environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> AirflowCli:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def call(self, *words: str, **variables: str) -> tuple[object, str]:
        """Make one call, with variables of the environment for it alone: how it ended, and what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([words, variables]) + "\n")
        self._process.stdin.flush()
        printed = []
        for line in self._process.stdout:
            if line.startswith("ended "):
                return json.loads(line.removeprefix("ended ")), "".join(printed)
            printed.append(line)
        self._errors.seek(0)
        raise AssertionError(f"airflow {' '.join(words)}: {''.join(printed)[-3000:]}{self._errors.read()[-3000:]}")

    def must(self, *words: str, **variables: str) -> str:
        """Make one call that succeeds; returns what it printed."""
        code, printed = self.call(*words, **variables)
        assert code == 0, (words, code, printed[-3000:])
        return printed


def source_variable(url: str, **extra: str) -> dict[str, str]:
    """The variable that makes the server at ``url`` the source of one call of the CLI."""
    return {"AIRFLOW_CONN_TAXI_SOURCE": json.dumps({"conn_type": "http", "host": url, "extra": extra})}


def query_postgres(settings: AirflowSettings, query: str) -> list[tuple[Any, ...]]:
    """The rows that a query of the warehouse in Postgres returns."""
    with psycopg.connect(settings.cloud.postgres_url("ny_taxi")) as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


def query_bigquery(settings: AirflowSettings, query: str) -> list[tuple[Any, ...]]:
    """The rows that a query of BigQuery returns."""
    return [tuple(row.values()) for row in clients.bigquery_client(settings).query(query).result()]


def lake_objects(settings: AirflowSettings, prefix: str) -> list[str]:
    """The names of the lake's objects that begin with ``prefix``."""
    client = reconcile.storage_client(settings)
    return [blob.name for blob in client.list_blobs(settings.cloud.lake_bucket, prefix=prefix)]


def leftovers(settings: AirflowSettings) -> dict[str, Any]:
    """Files and staging tables that a run left behind."""
    staging = clients.bigquery_client(settings).list_tables("trips_staging")
    return {
        "files": [str(path) for path in settings.work_dir.rglob("*") if path.is_file()],
        "postgres": query_postgres(settings, "SELECT tablename FROM pg_tables WHERE schemaname = 'staging'"),
        "bigquery": [table.table_id for table in staging],
    }


def put_into_lake(settings: AirflowSettings, month: Month, zones: Sequence[int | None]) -> str:
    """Put a month of fhv into the lake without any DAG, one trip from each of the zones; returns its address."""
    pickup = datetime(month.year, month.month, 1, 12)
    rows = [
        {
            "dispatching_base_num": "B00001",
            "pickup_datetime": pickup,
            "dropOff_datetime": pickup + timedelta(minutes=10),
            "PUlocationID": zone,
            "DOlocationID": 1,
            "SR_Flag": None,
            "Affiliated_base_number": "B00001",
            "source_month": month.first_day,
            "source_file": "a.csv.gz",
        }
        for zone in zones
    ]
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(FHV)), content)
    blob = reconcile.storage_client(settings).bucket(settings.cloud.lake_bucket).blob(FHV.file(month).lake_object)
    blob.upload_from_string(content.getvalue())
    return f"gs://{blob.bucket.name}/{blob.name}"


def put_into_warehouse(settings: AirflowSettings, uris: Sequence[str]) -> None:
    """Load months of fhv from the lake into the warehouse without any DAG."""
    config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")
    clients.bigquery_client(settings).load_table_from_uri(uris, "trips.fhv", job_config=config).result()


def line(dataset: str, month: str, rows: int) -> str:
    """The reconciliation line in which all places have ``rows``."""
    return f"reconciled {dataset} {month} source={rows} lake={rows} external={rows} bigquery={rows} postgres={rows}"


def trigger(api: AirflowApi, dag_id: str, conf: dict[str, Any]) -> str:
    """Start a run by hand, of a DAG that may be paused; returns its id."""
    api.set_paused(dag_id, False)
    return api.trigger(dag_id, conf)


def trigger_both(api: AirflowApi, dataset: str, month: str, **conf: Any) -> dict[str, str]:
    """Start the month in the two DAGs that read the source; returns the runs by DAG."""
    dag_ids = (f"{dataset}_web_to_gcs", f"{dataset}_web_to_postgres")
    return {dag_id: trigger(api, dag_id, {"month": month, **conf}) for dag_id in dag_ids}


def run_months(api: AirflowApi, months: Mapping[str, str], **conf: Any) -> None:
    """Take a month of each dataset, by its name, through all DAGs, all at once."""
    seen = warehouse_runs(api, months)
    started = [run for each in months.items() for run in trigger_both(api, *each, **conf).items()]
    for dag_id, run_id in started:
        assert end(api, dag_id, run_id) == "success", (dag_id, run_id)
    await_warehouse(api, months, seen)


def warehouse_runs(api: AirflowApi, months: Mapping[str, str]) -> dict[str, set[str]]:
    """By dataset, the runs of the warehouse's DAG that were started by the arrival of its month in the lake."""
    return {
        dataset: {
            run["dag_run_id"]
            for run in runs_of(api, f"{dataset}_gcs_to_bigquery", month)
            if run["run_type"] == "asset_triggered"
        }
        for dataset, month in months.items()
    }


def runs_of(api: AirflowApi, dag_id: str, month: str) -> list[dict[str, Any]]:
    """The DAG's runs that have the month as their partition key, newest first."""
    return [run for run in api.runs(dag_id) if run["partition_key"] == month]


def await_warehouse(api: AirflowApi, months: Mapping[str, str], seen: dict[str, set[str]]) -> None:
    """Wait until the months, which have arrived in the lake, are in the warehouse, by runs that are not ``seen``."""
    for dataset, month in months.items():
        new = await_(
            lambda one={dataset: month}, dataset=dataset: warehouse_runs(api, one)[dataset] - seen[dataset],
            f"{dataset} {month} in the lake starts the warehouse's DAG",
        )
        for run_id in new:
            assert end(api, f"{dataset}_gcs_to_bigquery", run_id) == "success", (dataset, run_id)


def end(api: AirflowApi, dag_id: str, run_id: str) -> str:
    """Wait for the end of a run; returns its state."""
    return await_(
        lambda: state if (state := api.run(dag_id, run_id)["state"]) in ("success", "failed") else None,
        f"{dag_id} {run_id} ends",
    )


def task_states(api: AirflowApi, dag_id: str, run_id: str) -> dict[str, str]:
    """The state of each task of a run."""
    return {task["task_id"]: task["state"] for task in api.tasks(dag_id, run_id)}


def assert_loaded(api: AirflowApi, dag_id: str, run_id: str) -> None:
    """Assert that an ended run has loaded its month; the task for an unchanged month is the only one it skipped."""
    states = task_states(api, dag_id, run_id)
    assert states.pop("announce_unchanged", "skipped") == "skipped"
    assert set(states.values()) == {"success"}, (states, skip_reasons(api, dag_id, run_id))


def reason_of_skipping(api: AirflowApi, dag_id: str, run_id: str) -> str:
    """Why an ended run found its month unchanged; it has run no task that loads anything."""
    assert end(api, dag_id, run_id) == "success"
    tasks = {task["task_id"]: task for task in api.tasks(dag_id, run_id)}
    loading = {name: task["state"] for name, task in tasks.items() if name not in _LOADS_NOTHING}
    assert set(loading.values()) == {"skipped"}, loading
    reason = skip_reason(api, dag_id, run_id, "skip_unchanged")
    assert reason in api.log(dag_id, run_id, "skip_unchanged", tasks["skip_unchanged"]["try_number"])
    return reason


def skip_reason(api: AirflowApi, dag_id: str, run_id: str, task_id: str) -> str:
    """The reason that a skipped task has pushed as an XCom."""
    task = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
    return str(api.call("GET", f"{task}/xcomEntries/skip_reason")["value"])


def skip_reasons(api: AirflowApi, dag_id: str, run_id: str) -> dict[str, str]:
    """The reasons of all tasks of a run that have pushed one."""
    found = api.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/~/xcomEntries?xcom_key_pattern=skip_reason")
    tasks = [entry["task_id"] for entry in found["xcom_entries"]]
    return {task: skip_reason(api, dag_id, run_id, task) for task in tasks}


def strike(settings: AirflowSettings, dag_id: str) -> None:
    """Let the clock strike for an unpaused DAG that had no scheduled run yet: its first one is that of this month."""
    now = datetime.now(UTC)
    first, earlier = (datetime(*months_back(now, months), 1, tzinfo=UTC) for months in (0, 2))
    with psycopg.connect(settings.cloud.postgres_url("airflow")) as connection:
        # The scheduler makes a run while it holds the DAG's row. One statement that waits for the row would not see the
        # run for which it waited, and the clock would strike twice.
        connection.execute("SELECT FROM dag WHERE dag_id = %s FOR UPDATE", [dag_id])
        connection.execute(
            "UPDATE dag SET next_dagrun_create_after = %(first)s,"
            " next_dagrun_partition_key = CASE WHEN timetable_partitioned THEN %(key)s END,"
            " next_dagrun_partition_date = CASE WHEN timetable_partitioned THEN %(earlier)s END,"
            " next_dagrun = CASE WHEN NOT timetable_partitioned THEN %(first)s END,"
            " next_dagrun_data_interval_start = CASE WHEN NOT timetable_partitioned THEN %(first)s END,"
            " next_dagrun_data_interval_end = CASE WHEN NOT timetable_partitioned THEN %(first)s END"
            " WHERE dag_id = %(dag_id)s AND NOT EXISTS ("
            "SELECT FROM dag_run WHERE dag_run.dag_id = dag.dag_id AND run_type = 'scheduled')",
            {"first": first, "earlier": earlier, "key": f"{earlier:%Y-%m}", "dag_id": dag_id},
        )


def months_back(day: datetime, months: int) -> tuple[int, int]:
    """The year and the month that many months before a day."""
    year, index = divmod(day.year * 12 + day.month - 1 - months, 12)
    return year, index + 1


def await_(condition: Callable[[], T | None], what: str, timeout: float = 240.0) -> T:
    """Wait until ``condition`` returns something that counts as true, and return that."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {timeout} s in vain until {what}"
        time.sleep(0.2)
    return result
