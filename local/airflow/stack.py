"""Starts and stops Airflow's processes on this machine, on top of the embedded cloud."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from local.airflow import google_key, login, secrets_backend, start_record, watcher, workers
from local.airflow.environment import AirflowSettings, Executor
from local.airflow.start_record import StartRecord
from local.airflow.watcher import Restarts
from local.cloud import shell
from local.cloud.processes import (
    LOCK_MARGIN,
    Process,
    ProcessError,
    Started,
    Status,
    Stopped,
    answers,
    end,
    locked,
    record_path,
    running,
    start,
    status,
    stop,
)
from local.cloud.settings import REPOSITORY, private_folder
from local.cloud.status_line import start_and_tell
from nyc_taxi.common.work_files import checked_work_dir

CLOUD_PYTHON = REPOSITORY / "local" / "cloud" / ".venv" / "bin" / "python"
AIRFLOW = Path(sys.executable).with_name("airflow")
API_SERVER = ["local.airflow.api_server"]
"""The module that serves the UI and the APIs, with its arguments."""
OVERRIDES = "LOCAL_AIRFLOW_OVERRIDES"
"""Variable that passes the overrides of ``up`` to the watcher and its restarts, as JSON."""
_OPENER = build_opener(ProxyHandler({}))

# The components that send heartbeats, with their arguments. The UI reads logs from disk; the log servers are off,
# because they listen on all interfaces.
COMPONENTS = {"scheduler": ["--skip-serve-logs"], "dag-processor": [], "triggerer": ["--skip-serve-logs"]}


def up(settings: AirflowSettings, *, overrides: Mapping[str, str] | None = None) -> None:
    """Start the embedded cloud, Airflow and the watcher, except for what is running already.

    What depends on a restarted component is restarted too, and all components are looked at once more at the end.
    Celery workers beyond the number that the settings have end their tasks and stop.

    Args:
        overrides: Airflow settings for this start alone.

    Raises:
        ProcessError: something does not start; the message says what and why. What this call started is stopped
            again.
        WorkDirError: the work dir of ``.env`` is neither an absolute path nor ``gs://bucket/prefix``.
    """
    with _locked(settings):
        was_up = is_up(settings)
        _require_executor(settings, was_up=was_up)
        google_key.require_key()
        _forget_restarts(settings, all_of_them=not was_up)
        login.uses_fab(settings)  # or says what is missing, before anything is started
        if settings.bundles:
            print(f"{'code':<14} of {', '.join(settings.bundles)} in .env, and not of the folder dags/", flush=True)
        if found := secrets_backend.look(settings):
            print(f"{'secrets':<14} {found}", flush=True)
        checked_work_dir(settings.environment().get("AIRFLOW_VAR_WORK_DIR", "/"))  # a secrets backend may have it
        before = StartRecord.read(settings.cloud)
        try:
            # First: the commands that follow a start that was killed must go on with it.
            start_record.write(settings.cloud, StartRecord.of(settings))
            cloud(settings, "up")
            migrate(settings)
            _drain(settings)
            processes = _processes(settings, overrides or {})
            watching = watcher.process(settings.cloud.state_dir, env=_watcher_environment(settings, overrides or {}))
            for batch in _broker_first([*processes, watching]):
                start_and_tell(batch, run_dir=_run_dir(settings), report=_print_started)
            _look_again(settings)
        except BaseException:
            if not was_up:
                stop_airflow(settings)
                cloud(settings, "down", check=False)
            start_record.write(settings.cloud, before)
            raise


def restart(settings: AirflowSettings, names: Collection[str], *, overrides: Mapping[str, str]) -> None:
    """Restart the named components as ``up`` would; the caller holds the lock.

    Raises:
        ProcessError: one of them does not start.
    """
    processes = [one for one in _processes(settings, overrides) if one.name in names]
    of_cloud = set(names) - {one.name for one in processes}
    if of_cloud:
        cloud(settings, "up", *sorted(of_cloud))
    for batch in _broker_first(processes):
        start(batch, run_dir=_run_dir(settings), on_ready=_print_started)


def down(settings: AirflowSettings) -> None:
    """Stop the watcher, Airflow, then the embedded cloud. Calling it again is harmless."""
    # Without the lock, which the watcher holds while it restarts something.
    _end_watcher(settings)
    with _locked(settings):
        stop_airflow(settings)
        cloud(settings, "down")
        start_record.write(settings.cloud, None)
        _forget_restarts(settings, all_of_them=True)


def stop_airflow(settings: AirflowSettings) -> None:
    """Stop the watcher and Airflow, but not the embedded cloud."""
    _end_watcher(settings)
    # What runs tasks stops first: they report their end to the API server, and would wait for one that is gone.
    for names in (["scheduler", *workers.recorded(_run_dir(settings))], None):
        for stopped in stop(run_dir=_run_dir(settings), names=names):
            _print_stopped(stopped)


def troubles(settings: AirflowSettings) -> list[str]:
    """Return what is wrong with a running stack and the watcher does not repair, as sentences for the user."""
    state_dir = settings.cloud.state_dir
    given_up = Restarts.read(watcher.restarts_file(state_dir)).given_up
    found = [
        f"{name} was restarted {watcher.BUDGET} times within {watcher.WINDOW / 60:g} minutes and has died again "
        f"at {time.strftime('%H:%M', time.localtime(at))}; see {log_of(settings, name)}, then run make up"
        for name, at in sorted(given_up.items())
    ]
    if running(watcher.NAME, run_dir=_run_dir(settings)) is not None:
        return found
    dead = [name for name in watcher.find_lost(state_dir) if name not in given_up]
    found += [f"{name} has died; see {log_of(settings, name)}, then run make up" for name in dead]
    if dead or is_up(settings):
        found.append("the watcher, which restarts what dies, is not running; run make up")
    return found


def restarts_to_come(settings: AirflowSettings) -> list[str]:
    """Return what has died and the watcher is about to restart, as sentences for the user."""
    state_dir = settings.cloud.state_dir
    if running(watcher.NAME, run_dir=_run_dir(settings)) is None:
        return []
    given_up = Restarts.read(watcher.restarts_file(state_dir)).given_up
    return [
        f"{name} has died, and the watcher restarts it; see {log_of(settings, name)} and {watcher_log(settings)}"
        for name in watcher.find_lost(state_dir)
        if name not in given_up
    ]


def as_running(settings: AirflowSettings) -> AirflowSettings:
    """Return the settings with the running stack's executor, and with its source and workers unless they are set."""
    if not is_up(settings):
        return settings
    if (record := StartRecord.read(settings.cloud)) is None:
        return replace(settings, executor=Executor.LOCAL)
    if not os.environ.get("SOURCE"):
        settings = replace(settings, cloud=replace(settings.cloud, source=record.source), layout=record.layout)
    workers = settings.workers if os.environ.get("WORKERS") else record.workers
    return replace(settings, executor=record.executor, workers=workers)


def is_up(settings: AirflowSettings) -> bool:
    """Whether any of Airflow's processes is running, healthy or not."""
    names = (*COMPONENTS, "api-server")
    return any(running(name, run_dir=_run_dir(settings)) is not None for name in names)


def names(settings: AirflowSettings) -> list[str]:
    """Return the names of Airflow's components."""
    redis = [workers.REDIS] if settings.executor is Executor.CELERY else []
    return [*redis, "api-server", *COMPONENTS, *workers.names(settings)]


def airflow_status(settings: AirflowSettings) -> list[Status]:
    """Return the status of each of Airflow's processes."""
    return status(_processes(settings, {}), run_dir=_run_dir(settings))


def watcher_status(settings: AirflowSettings) -> Status:
    """Return the status of the watcher."""
    [found] = status([watcher.process(settings.cloud.state_dir, env={})], run_dir=_run_dir(settings))
    return found


def cloud(settings: AirflowSettings, command: str, *names: str, check: bool = True) -> int:
    """Run ``python -m local.cloud <command>``, for all components or those named, in its own environment.

    Raises:
        ProcessError: its environment is missing, or (with ``check``) the command fails; it has printed the reason.
    """
    if not CLOUD_PYTHON.exists():
        raise ProcessError("the embedded cloud is not installed; run make install")
    arguments = [str(CLOUD_PYTHON), "-m", "local.cloud", command, *names]
    environment = {**os.environ, "SOURCE": settings.cloud.source}
    code = subprocess.run(arguments, cwd=REPOSITORY, env=environment, check=False).returncode
    if check and code != 0:
        raise ProcessError(f"the embedded cloud's {command} failed")
    return code


def migrate(settings: AirflowSettings) -> None:
    """Create or upgrade Airflow's metadata database, once per version and kind of login, and make the first user.

    Raises:
        ProcessError: the migration fails; the message includes what Airflow printed.
    """
    private_folder(settings.home)
    private_folder(settings.work_dir)
    private_folder(settings.messages_dir)
    login.write_passwords(settings)
    has_fab = login.uses_fab(settings)
    done = settings.home / f"migrated-{version('apache-airflow')}{'-fab' if has_fab else ''}"
    if done.exists():
        return
    begin = time.monotonic()
    result = run_airflow(settings, "db", "migrate", capture_output=True)
    if result.returncode != 0:
        raise ProcessError(f"airflow db migrate failed:\n{result.stdout[-4000:]}{result.stderr[-4000:]}")
    if has_fab:
        login.create_admin(settings)
    done.touch()
    print(f"{'database':<14} migrated in {time.monotonic() - begin:.1f} s", flush=True)


def run_airflow(
    settings: AirflowSettings, *arguments: str, capture_output: bool = False, pass_fds: Collection[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the Airflow CLI in the project's environment and wait for it; its process inherits ``pass_fds``."""
    return subprocess.run(
        [str(AIRFLOW), *arguments],
        env={**os.environ, **settings.environment()},
        capture_output=capture_output,
        pass_fds=pass_fds,
        text=True,
        check=False,
    )


def _run_dir(settings: AirflowSettings) -> Path:
    return settings.home / "run"


def watcher_log(settings: AirflowSettings) -> Path:
    """Return the file in which the watcher logs each restart."""
    return watcher.process(settings.cloud.state_dir, env={}).log


def log_of(settings: AirflowSettings, name: str) -> Path:
    """Return the log of a component."""
    of_airflow = name in (*names(settings), *workers.recorded(_run_dir(settings)))
    return (settings.home / "process-logs" if of_airflow else settings.cloud.log_dir) / f"{name}.log"


def _locked(settings: AirflowSettings) -> AbstractContextManager[int]:
    """Hold the lock that excludes the watcher and other starts and stops of this stack."""
    return locked(
        settings.home,
        timeout=2 * settings.cloud.start_timeout + LOCK_MARGIN,
        on_wait=lambda holder: print(f"waiting for another start, stop or restart (pid {holder})", flush=True),
    )


def _watcher_environment(settings: AirflowSettings, overrides: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that let a restart start a component as this process does."""
    own = {name: value for name, value in os.environ.items() if name in shell.OWN or name.startswith("AIRFLOW_")}
    given = {
        "SOURCE": settings.cloud.source,
        "SOURCE_LAYOUT": settings.layout.value,
        "EXECUTOR": settings.executor.value,
        "WORKERS": str(settings.workers),
    }
    return {**own, **given, OVERRIDES: json.dumps(dict(overrides))}


def _end_watcher(settings: AirflowSettings) -> None:
    stopped = end(watcher.NAME, run_dir=_run_dir(settings))
    if stopped is not None:
        _print_stopped(stopped)


def _forget_restarts(settings: AirflowSettings, *, all_of_them: bool) -> None:
    """Remove what the watcher has recorded: all of it, or, with a new watcher, what it has given up."""
    path = watcher.restarts_file(settings.cloud.state_dir)
    restarts = Restarts.read(path)
    if all_of_them:
        _end_watcher(settings)
        path.unlink(missing_ok=True)
    elif restarts.given_up:
        _end_watcher(settings)  # it has the restarts in memory; its successor reads the file
        for name in list(restarts.given_up):
            restarts.forget(name)
        restarts.write(path)


def _look_again(settings: AirflowSettings) -> None:
    """Check that what was healthy once still is.

    Raises:
        ProcessError: a component has died or is unhealthy.
    """
    deadline = time.monotonic() + settings.cloud.start_timeout
    while True:
        dead = watcher.find_lost(settings.cloud.state_dir)
        wrong = dead or [one.name for one in airflow_status(settings) if one.state != "running"]
        if not wrong:
            return
        if dead or time.monotonic() > deadline:
            logs = ", ".join(str(log_of(settings, name)) for name in wrong)
            raise ProcessError(f"{', '.join(wrong)} failed soon after the start; see {logs}, then run make up")
        time.sleep(0.5)


def _require_executor(settings: AirflowSettings, *, was_up: bool) -> None:
    """Check that what runs the tasks is installed, and does not change while the stack runs.

    Raises:
        ProcessError: it is not, or would.
    """
    asked = os.environ.get("EXECUTOR") or settings.executor.value
    if was_up and asked != settings.executor.value:
        raise ProcessError(
            f"the stack runs with EXECUTOR={settings.executor.value}, which cannot change while it runs; run make down "
            f"first, then make up EXECUTOR={asked}"
        )
    if settings.executor is Executor.CELERY:
        workers.require_installed()
        workers.prepare(settings)


def _drain(settings: AirflowSettings) -> None:
    """Let the workers that the settings no longer have end their tasks, and stop them."""
    run_dir = _run_dir(settings)
    surplus = [name for name in workers.recorded(run_dir) if name not in workers.names(settings)]
    for name in surplus:
        if found := running(name, run_dir=run_dir):
            print(f"{name:<14} ends its tasks", flush=True)
            os.kill(found.pid, signal.SIGTERM)
    while any(running(name, run_dir=run_dir) for name in surplus):
        time.sleep(0.2)
    if surplus:
        for stopped in stop(run_dir=run_dir, names=surplus):
            _print_stopped(stopped)


def _broker_first(processes: Sequence[Process]) -> list[list[Process]]:
    """Return what can start together: a worker that starts without Redis ends at once."""
    first = [one for one in processes if one.name == workers.REDIS]
    return [batch for batch in (first, [one for one in processes if one not in first]) if batch]


def _processes(settings: AirflowSettings, overrides: Mapping[str, str]) -> list[Process]:
    """Return Airflow's components.

    Those that send heartbeats do not survive a restart of Postgres: they end seconds or minutes later.
    """
    environment = {**settings.environment(), **overrides}
    api_server = _process(
        settings,
        "api-server",
        # -P: neither the working directory nor anything in it is imported.
        [sys.executable, "-P", "-m", *API_SERVER],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), environment["PYTHONPATH"]])},
        # The execution API takes seconds to build itself for its first answer; no task should wait for that.
        healthy=lambda: answers(f"{settings.url}/execution/health", timeout=10) and answers(_health_url(settings)),
    )
    needs_postgres = [record_path(settings.cloud.run_dir, watcher.POSTGRES)]
    return [
        *([workers.redis(settings)] if settings.executor is Executor.CELERY else []),
        replace(api_server, port=settings.port, port_setting="AIRFLOW_PORT", url=settings.url),
        *(
            replace(
                _process(settings, name, [str(AIRFLOW), name, *arguments], environment, _heartbeat(settings, name)),
                depends_on=needs_postgres,
            )
            for name, arguments in COMPONENTS.items()
        ),
        *(workers.worker(settings, name, environment) for name in workers.names(settings)),
    ]


def _process(
    settings: AirflowSettings, name: str, command: list[str], env: Mapping[str, str], healthy: Callable[[], bool]
) -> Process:
    return Process(
        name=name,
        command=command,
        log=settings.home / "process-logs" / f"{name}.log",
        env=env,
        cwd=settings.home,
        healthy=healthy,
        startup_timeout=settings.cloud.start_timeout,
        stop_timeout=20,
    )


def _heartbeat(settings: AirflowSettings, name: str) -> Callable[[], bool]:
    """Return the health check of a component that sends heartbeats.

    For a component that is started after this call, only a heartbeat of its own counts, not one of its predecessor.
    """
    before = running(name, run_dir=_run_dir(settings))
    health_url = _health_url(settings)

    def beats() -> bool:
        now = running(name, run_dir=_run_dir(settings))
        return now is not None and _beats(health_url, name.replace("-", "_"), 0.0 if now == before else now.started_at)

    return beats


def _health_url(settings: AirflowSettings) -> str:
    return f"{settings.url}/api/v2/monitor/health"


def _beats(health_url: str, component: str, since: float) -> bool:
    """Whether the API reports the component as healthy, with a heartbeat after ``since``."""
    with _OPENER.open(health_url, timeout=2) as response:
        report = json.load(response)[component]
    heartbeat = report[f"latest_{component}_heartbeat"]
    return (
        report["status"] == "healthy"
        and heartbeat is not None
        and datetime.fromisoformat(heartbeat).timestamp() > since
    )


def _print_started(started: Started) -> None:
    print(
        f"{started.process.name:<14} {started.process.address:<28} {started.outcome} in {started.seconds:.1f} s",
        flush=True,
    )


def _print_stopped(stopped: Stopped) -> None:
    outcome = "killed: it did not stop in time" if stopped.killed else "stopped"
    print(f"{stopped.name:<14} {outcome}", flush=True)
