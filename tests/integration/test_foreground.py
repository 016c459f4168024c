"""``bin/airflow dags test`` beside the scheduler: each run is its own, and nothing that comes meanwhile is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from nyc_taxi.registry.datasets import FHV
from nyc_taxi.registry.months import Month
from tests.integration.conftest import REPOSITORY, SYNTHETIC_ROWS
from tests.integration.support import await_, end, run_months, runs_of

pytestmark = pytest.mark.full

AIRFLOW = REPOSITORY / "bin" / "airflow"
MONTHS = ("2020-05", "2020-06")


@pytest.fixture(scope="module")
def loaded(api: AirflowApi) -> None:
    """Both months of fhv are in every store, and its DAGs are unpaused."""
    for month in MONTHS:
        run_months(api, {"fhv": month}, force=True)  # other tests may have loaded it


def _test(dag_id: str, month: str, **conf: object) -> subprocess.Popen[str]:
    """Start ``dags test``, in a process group of its own."""
    command = [AIRFLOW, "dags", "test", dag_id, "-c", json.dumps({"month": month, **conf})]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env=dict(os.environ), text=True, start_new_session=True, **pipes)


def _ends_well(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == 0, printed[-3000:]
    return printed


def _is_paused(api: AirflowApi, dag_id: str) -> bool:
    dag = api.dag(dag_id)
    assert dag is not None
    return bool(dag["is_paused"])


def test_what_arrives_meanwhile_starts_its_run_afterwards(
    stack: AirflowSettings, api: AirflowApi, loaded: None
) -> None:
    dag_id = "fhv_gcs_to_bigquery"
    before = {run["dag_run_id"] for run in runs_of(api, dag_id, MONTHS[1])}

    tested = _test(dag_id, MONTHS[0], force=True)
    await_(lambda: _is_paused(api, dag_id), "the test has paused the DAG")
    [asset_id] = api.assets_starting(dag_id)
    api.announce(asset_id, MONTHS[1])

    assert f"announcing {MONTHS[1]} again" in _ends_well(tested)
    assert not _is_paused(api, dag_id)
    [run_id] = await_(
        lambda: {run["dag_run_id"] for run in runs_of(api, dag_id, MONTHS[1])} - before, "the month starts its run"
    )
    assert end(api, dag_id, run_id) == "success"


def test_two_tests_of_one_dag_take_turns(stack: AirflowSettings, api: AirflowApi, loaded: None) -> None:
    dag_id = "fhv_web_to_postgres"
    tested = [_test(dag_id, month, force=True) for month in MONTHS]
    # Both at once: the first to get its turn would wait for a reader of its full pipe, and the other for its turn.
    with ThreadPoolExecutor() as readers:
        printed = list(readers.map(_ends_well, tested))

    assert sum(f"waiting for another dags test of {dag_id}" in text for text in printed) == 1
    assert not _is_paused(api, dag_id)
    newest = api.runs(dag_id)[:2]
    for run in newest:
        states = {task["state"] for task in api.tasks(dag_id, run["dag_run_id"])}
        assert (run["state"], states) == ("success", {"success"})
    assert {run["conf"]["month"] for run in newest} == set(MONTHS)
    for month in MONTHS:
        contents = reconcile.contents(stack, FHV.file(Month.parse(month)))
        assert {content.rows for content in contents.values()} == {SYNTHETIC_ROWS}


def test_what_a_killed_test_has_paused_is_unpaused_by_the_next_command(
    stack: AirflowSettings, api: AirflowApi, loaded: None
) -> None:
    dag_id = "fhv_web_to_gcs"
    tested = _test(dag_id, MONTHS[0], force=True)
    await_(lambda: _is_paused(api, dag_id), "the test has paused the DAG")
    os.killpg(tested.pid, signal.SIGKILL)
    tested.communicate()
    assert _is_paused(api, dag_id)

    done = subprocess.run([AIRFLOW, "version"], env=dict(os.environ), capture_output=True, text=True, check=True)

    assert f"unpausing {dag_id}: a dags test was killed and left it paused" in done.stdout
    assert not _is_paused(api, dag_id)
