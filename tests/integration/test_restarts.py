"""What happens when a component of the running stack is killed: it is restarted, or the stack says what is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.airflow import health, watcher
from local.airflow import stack as local_stack
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.airflow.watcher import BUDGET, Restarts
from local.cloud.processes import locked, running
from tests.integration.conftest import REPOSITORY, Command
from tests.integration.support import await_, end, trigger

pytestmark = pytest.mark.full

# What shells have that work with other systems.
FOREIGN = {
    "PGSSLMODE": "verify-full",
    "PGSERVICE": "other",
    "PGHOSTADDR": "192.0.2.1",
    "PGOPTIONS": "-c search_path=other",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
    "AIRFLOW_HOME": "/other",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://192.0.2.1/other",
    "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": "google-cloud-platform://?project=other",
    "AIRFLOW_CONN_NY_TAXI": "postgresql://192.0.2.1/other",
    "AIRFLOW_VAR_LAKE_BUCKET": "other",
    "GOOGLE_APPLICATION_CREDENTIALS": "/other.json",
    "STORAGE_EMULATOR_HOST": "http://192.0.2.1",
    "PYTHONPATH": "/other",
    "TMPDIR": "/other",
    "LC_ALL": "C",
    "CDPATH": "/",
}
# What a .env may have that is also another Airflow's.
ENV_FILE = """
AIRFLOW_HOME=/other
AIRFLOW_CONFIG=/other.cfg
AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql://192.0.2.1/other
AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC_CMD=echo postgresql+asyncpg://192.0.2.1/other
AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS=other.connect_args
AIRFLOW__CORE__EXECUTOR=CeleryExecutor
AIRFLOW__CORE__EXECUTION_API_SERVER_URL=http://192.0.2.1/execution/
AIRFLOW__WORKERS__SECRETS_BACKEND=other.Backend
PGHOSTADDR=192.0.2.1
STORAGE_EMULATOR_HOST=http://192.0.2.1
HTTP_PROXY=http://127.0.0.1:9
"""


@pytest.fixture(autouse=True)
def whole_again(stack: AirflowSettings, local_airflow: Command) -> Iterator[None]:
    """Each test leaves the stack as it found it, and the budgets unused."""
    yield
    up = local_airflow("up")
    assert up.returncode == 0, up.stdout + up.stderr


@pytest.fixture
def polluted_env_file(environment: dict[str, str]) -> Iterator[Path]:
    """The stack's env file, which has settings of other systems too during the test."""
    path = Path(environment["LOCAL_ENV_FILE"])
    before = path.read_text()
    path.write_text(before + ENV_FILE)
    yield path
    path.write_text(before)


def pid_of(settings: AirflowSettings, name: str) -> int:
    for folder in watcher.run_dirs(settings.cloud.state_dir):
        if found := running(name, run_dir=folder):
            return found.pid
    raise AssertionError(f"{name} does not run")


def kill(settings: AirflowSettings, name: str) -> int:
    pid = pid_of(settings, name)
    os.kill(pid, signal.SIGKILL)
    return pid


def await_restart(settings: AirflowSettings, name: str, before: int) -> None:
    """Wait until the watcher has restarted the component, and it is healthy."""

    def restarted() -> bool:
        found = [running(name, run_dir=folder) for folder in watcher.run_dirs(settings.cloud.state_dir)]
        return any(one is not None and one.pid != before for one in found)

    await_(restarted, f"{name} is restarted")
    with locked(settings.home):  # the watcher holds it until all that it restarts is healthy
        pass
    assert {one.state for one in local_stack.airflow_status(settings)} == {"running"}


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def load(api: AirflowApi) -> None:
    """A run goes through all components."""
    run_id = trigger(api, "zones_web_to_gcs", {"force": True})
    assert end(api, "zones_web_to_gcs", run_id) == "success"


def test_a_killed_scheduler_is_restarted_and_its_workers_end(
    stack: AirflowSettings, api: AirflowApi, local_airflow: Command
) -> None:
    workers = psutil.Process(pid_of(stack, "scheduler")).children(recursive=True)
    assert workers
    before = kill(stack, "scheduler")
    run_id = trigger(api, "zones_web_to_gcs", {"force": True})
    await_restart(stack, "scheduler", before)
    assert [worker.pid for worker in workers if is_alive(worker)] == []
    assert end(api, "zones_web_to_gcs", run_id) == "success"
    status = local_airflow("status")
    assert status.returncode == 0, status.stdout + status.stderr
    assert "scheduler restarted " in status.stdout
    assert f"see {local_stack.watcher_log(stack)}" in status.stdout


def test_a_killed_postgres_takes_what_needs_it_along(stack: AirflowSettings, api: AirflowApi) -> None:
    old = {name: pid_of(stack, name) for name in watcher.AIRFLOW_NEEDING_POSTGRES}
    before = Restarts.read(watcher.restarts_file(stack.cloud.state_dir))
    killed = kill(stack, "postgres")
    await_restart(stack, "postgres", killed)
    for name, pid in old.items():
        await_restart(stack, name, pid)
    load(api)
    after = Restarts.read(watcher.restarts_file(stack.cloud.state_dir))
    assert {name for name in after.times if len(after.times[name]) > len(before.times.get(name, []))} == {
        "postgres",
        *old,
    }
    assert after.own_deaths == {**before.own_deaths, "postgres": after.times["postgres"]}


# A command for which a heartbeat is late after 12 seconds, as the scheduler sends one every five.
IMPATIENT = """
import sys
from local.airflow import __main__, health
health.HEARTBEAT_SECONDS = 12.0
sys.exit(__main__.main())
"""


def failed_command(environment: dict[str, str]) -> subprocess.CompletedProcess[str] | None:
    """Run an impatient command; returns it if it has failed."""
    command = [sys.executable, "-c", IMPATIENT, "run", "version"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    return done if done.returncode == 1 else None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("bigquery", "does not answer as it should ("),
        pytest.param("postgres", "does not answer as it should (", marks=pytest.mark.every_step),
        pytest.param("scheduler", "has sent no heartbeat for ", marks=pytest.mark.every_step),
    ],
)
def test_what_hangs_is_told_before_a_command_runs(
    stack: AirflowSettings, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    monkeypatch.setattr(health, "HEARTBEAT_SECONDS", 12.0)
    pid = pid_of(stack, name)
    os.kill(pid, signal.SIGSTOP)
    try:
        told = await_(lambda: failed_command(environment), f"a command tells that {name} hangs")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert f"error: {name} (pid {pid}) {problem}" in told.stderr
    assert f"end it with kill -9 {pid}: the watcher then restarts it" in told.stderr
    await_(lambda: not health.hung(stack), f"{name} answers again")


def test_up_right_after_the_death_of_postgres_leaves_a_stack_that_runs(
    stack: AirflowSettings, api: AirflowApi, local_airflow: Command
) -> None:
    kill(stack, watcher.NAME)  # so that up alone restarts
    old = {name: pid_of(stack, name) for name in watcher.AIRFLOW_NEEDING_POSTGRES}
    kill(stack, "postgres")
    up = local_airflow("up")
    assert up.returncode == 0, up.stdout + up.stderr
    for name, pid in old.items():
        assert pid_of(stack, name) != pid, name
    load(api)


def test_a_killed_watcher_is_told_and_restarted_by_up(stack: AirflowSettings, local_airflow: Command) -> None:
    kill(stack, watcher.NAME)
    status = local_airflow("status")
    assert status.returncode == 1
    assert "error: the watcher, which restarts what dies, is not running; run make up" in status.stderr
    assert local_airflow("up").returncode == 0
    assert local_airflow("status").returncode == 0


def test_what_dies_too_often_is_given_up_and_told_until_up(stack: AirflowSettings, local_airflow: Command) -> None:
    kill(stack, watcher.NAME)
    now = time.time()
    path = watcher.restarts_file(stack.cloud.state_dir)
    Restarts(own_deaths={"triggerer": [now] * BUDGET}).write(path)
    assert local_airflow("up").returncode == 0
    kill(stack, "triggerer")
    await_(lambda: Restarts.read(path).given_up, "the triggerer is given up")

    for words in (("status",), ("run", "version")):
        told = local_airflow(*words)
        assert told.returncode == 1
        assert "error: triggerer was restarted 5 times within 10 minutes and has died again" in told.stderr
    up = local_airflow("up")
    assert up.returncode == 0, up.stdout + up.stderr
    assert local_airflow("status").returncode == 0
    assert local_airflow("run", "version").returncode == 0


def test_a_shell_and_an_env_file_full_of_other_systems_change_nothing(
    stack: AirflowSettings, environment: dict[str, str], polluted_env_file: Path, tmp_path: Path
) -> None:
    command = [REPOSITORY / "bin" / "airflow", "variables", "get", "lake_bucket"]
    env = {**environment, **FOREIGN}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[-1] == stack.cloud.lake_bucket
    assert "note: the local stack does not use AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT, AIRFLOW_CONN_NY_TAXI, " in done.stderr
    assert f"STORAGE_EMULATOR_HOST of {polluted_env_file}, because it has its own" in done.stderr
    for words in (["status"], ["up"]):
        again = [REPOSITORY / ".venv" / "bin" / "python", "-m", "local.airflow", *words]
        without_path = {name: value for name, value in env.items() if name != "PYTHONPATH"}
        done = subprocess.run(again, cwd=REPOSITORY, env=without_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "restarted" not in done.stdout, done.stdout
