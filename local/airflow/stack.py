"""Starts and stops Airflow's processes on this machine, on top of the embedded cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from urllib.request import urlopen

from local.airflow.environment import AirflowSettings, record_source, running_source
from local.cloud.processes import Process, ProcessError, Started, Status, answers, start, status, stop
from local.cloud.settings import REPOSITORY

CLOUD_PYTHON = REPOSITORY / "local" / "cloud" / ".venv" / "bin" / "python"
AIRFLOW = Path(sys.executable).with_name("airflow")
API_SERVER = "local.airflow.api_server"

# The components that send heartbeats, with their arguments. The UI reads logs from disk; the log servers are off,
# because they listen on all interfaces.
COMPONENTS = {"scheduler": ["--skip-serve-logs"], "dag-processor": [], "triggerer": ["--skip-serve-logs"]}


def up(settings: AirflowSettings, *, overrides: Mapping[str, str] | None = None) -> None:
    """Start the embedded cloud and Airflow, except for what is running already.

    Args:
        overrides: Airflow settings for this start alone.

    Raises:
        ProcessError: something does not start; the message says what and why. What this call started is stopped
            again.
    """
    was_up = is_up(settings)
    try:
        cloud(settings, "up")
        migrate(settings)
        running = {component.name for component in airflow_status(settings) if component.state == "running"}
        processes = _processes(settings, overrides or {}, running=running)
        start(processes, run_dir=_run_dir(settings), on_ready=_print_started)
    except BaseException:
        if not was_up:
            cloud(settings, "down", check=False)
        raise
    record_source(settings, running=True)


def down(settings: AirflowSettings) -> None:
    """Stop Airflow, then the embedded cloud. Calling it again is harmless."""
    # The scheduler stops first: its tasks report their end to the API server, and would wait for one that is gone.
    for names in (["scheduler"], None):
        for stopped in stop(run_dir=_run_dir(settings), names=names):
            outcome = "killed: it did not stop in time" if stopped.killed else "stopped"
            print(f"{stopped.name:<14} {outcome}", flush=True)
    cloud(settings, "down")
    record_source(settings, running=False)


def with_running_source(settings: AirflowSettings) -> AirflowSettings:
    """Return the settings with the running stack's source, unless ``SOURCE`` is set."""
    if os.environ.get("SOURCE") or not (running := running_source(settings.cloud)) or not is_up(settings):
        return settings
    source, layout = running
    return replace(settings, cloud=replace(settings.cloud, source=source), layout=layout)


def is_up(settings: AirflowSettings) -> bool:
    """Whether any of Airflow's processes is running."""
    return any(component.state != "stopped" for component in airflow_status(settings))


def airflow_status(settings: AirflowSettings) -> list[Status]:
    """Return the status of each of Airflow's processes."""
    return status(_processes(settings, {}, running=COMPONENTS), run_dir=_run_dir(settings))


def cloud(settings: AirflowSettings, command: str, *, check: bool = True) -> int:
    """Run ``python -m local.cloud <command>`` in its own environment.

    Raises:
        ProcessError: its environment is missing, or (with ``check``) the command fails; it has printed the reason.
    """
    if not CLOUD_PYTHON.exists():
        raise ProcessError("the embedded cloud is not installed; run make install")
    arguments = [str(CLOUD_PYTHON), "-m", "local.cloud", command]
    environment = {**os.environ, "SOURCE": settings.cloud.source}
    code = subprocess.run(arguments, cwd=REPOSITORY, env=environment, check=False).returncode
    if check and code != 0:
        raise ProcessError(f"the embedded cloud's {command} failed")
    return code


def migrate(settings: AirflowSettings) -> None:
    """Create or upgrade Airflow's metadata database, once per Airflow version, and write the UI's password file.

    Raises:
        ProcessError: the migration fails; the message includes what Airflow printed.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    _write_password_file(settings)
    done = settings.home / f"migrated-{version('apache-airflow')}"
    if done.exists():
        return
    begin = time.monotonic()
    result = run_airflow(settings, "db", "migrate", capture_output=True)
    if result.returncode != 0:
        raise ProcessError(f"airflow db migrate failed:\n{result.stdout[-4000:]}{result.stderr[-4000:]}")
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


def _write_password_file(settings: AirflowSettings) -> None:
    path = settings.home / "passwords.json"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(json.dumps({"admin": settings.password()}))


def _run_dir(settings: AirflowSettings) -> Path:
    return settings.home / "run"


def _processes(settings: AirflowSettings, overrides: Mapping[str, str], *, running: Collection[str]) -> list[Process]:
    """Return Airflow's components; one that is not in ``running`` becomes healthy by its next heartbeat."""
    environment = {**settings.environment(), **overrides}
    logs = settings.home / "process-logs"

    def process(name: str, command: list[str], *, healthy: Callable[[], bool], **options: object) -> Process:
        return Process(
            name=name,
            command=command,
            log=logs / f"{name}.log",
            cwd=settings.home,
            healthy=healthy,
            startup_timeout=180,
            stop_timeout=20,
            **options,  # type: ignore[arg-type]
        )

    health_url = f"{settings.url}/api/v2/monitor/health"
    now = time.time()
    return [
        process(
            "api-server",
            # -P: neither the working directory nor anything in it is imported.
            [sys.executable, "-P", "-m", API_SERVER],
            env={**environment, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), environment["PYTHONPATH"]])},
            # The execution API takes seconds to build itself for its first answer; no task should wait for that.
            healthy=lambda: answers(f"{settings.url}/execution/health", timeout=10) and answers(health_url),
            port=settings.port,
            port_setting="AIRFLOW_PORT",
            url=settings.url,
        ),
        *(
            process(
                name,
                [str(AIRFLOW), name, *arguments],
                env=environment,
                healthy=partial(_beats, health_url, name.replace("-", "_"), 0.0 if name in running else now),
            )
            for name, arguments in COMPONENTS.items()
        ),
    ]


def _beats(health_url: str, component: str, since: float) -> bool:
    """Whether the API reports the component as healthy, with a heartbeat after ``since``."""
    with urlopen(health_url, timeout=2) as response:
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
