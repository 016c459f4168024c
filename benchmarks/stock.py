"""Runs stock Airflow as a baseline: ``airflow standalone`` with SQLite, its default settings, no local settings module.

Differences from a fresh installation, which are necessary or in the baseline's favour: its own folder, free ports on
127.0.0.1, a known password, no example DAGs, and no log servers, which would listen on all interfaces.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from urllib.request import urlopen

from benchmarks.measure import ERROR_CHARACTERS, MeasureError
from benchmarks.system import free_ports
from local.airflow.environment import AirflowSettings
from local.cloud.processes import Process, start, stop
from local.cloud.settings import HOST, Settings

AIRFLOW = Path(sys.executable).with_name("airflow")
NAME = "stock"
# ``standalone`` starts its components as "airflow" from PATH, and no setting disables the log servers.
_SHIM = """#!/bin/sh
case "$1" in scheduler|triggerer) set -- "$@" --skip-serve-logs ;; esac
exec "{airflow}" "$@"
"""


class StockAirflow:
    """One stock Airflow; its first start migrates its database.

    Args:
        folder: the folder for all its state; created if missing.
        dags: its DAGs.

    Attributes:
        variables: further environment variables, from its next start on.
    """

    def __init__(self, folder: Path, *, dags: Path) -> None:
        self.folder = folder
        self.dags = dags
        [port] = free_ports(1)
        self.settings = AirflowSettings(cloud=Settings(state_dir=folder), port=port)
        self.variables: dict[str, str] = {}
        self._runs = False

    def migrate(self) -> None:
        """Create its metadata database.

        Raises:
            MeasureError: the migration fails.
        """
        self.run("db", "migrate")

    def run(self, *words: str) -> None:
        """Run a command of its CLI.

        Raises:
            MeasureError: the command fails; the message ends with what it printed.
        """
        self._prepare()
        command = [*self._without_the_labs_settings(), str(AIRFLOW), *words]
        env = {**os.environ, **self._environment()}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            output = (done.stdout + done.stderr)[-ERROR_CHARACTERS:]
            raise MeasureError(f"stock Airflow's {' '.join(words)} failed: {output}")

    def start(self) -> float:
        """Start it unless it runs, and wait until its scheduler is healthy; returns the seconds."""
        self._prepare()
        since = 0.0 if self._runs else time.time()
        url = f"{self.settings.url}/api/v2/monitor/health"
        process = Process(
            name=NAME,
            command=[*self._without_the_labs_settings(), str(AIRFLOW), "standalone"],
            log=self.folder / "standalone.log",
            healthy=lambda: _scheduler_beats(url, since=since),
            env=self._environment(),
            cwd=self.folder,
            startup_timeout=300,
            stop_timeout=30,
        )
        [started] = start([process], run_dir=self.run_dir)
        self._runs = True
        return started.seconds

    def stop(self) -> None:
        """Stop it and all its descendants; repeating it does no harm."""
        stop(run_dir=self.run_dir)
        self._runs = False

    @property
    def home(self) -> Path:
        """``AIRFLOW_HOME``."""
        return self.folder / "airflow"

    @property
    def run_dir(self) -> Path:
        """The folder that records its process."""
        return self.folder / "run"

    def _prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        shim = self.folder / "bin" / "airflow"
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(_SHIM.format(airflow=AIRFLOW))
        shim.chmod(0o755)
        (self.home / "passwords.json").write_text(json.dumps({"admin": self.settings.password()}))

    def _without_the_labs_settings(self) -> list[str]:
        own = self._environment()
        others = [name for name in os.environ if name.startswith("AIRFLOW_") and name not in own]
        return ["/usr/bin/env", *(f"-u{name}" for name in others)]

    def _environment(self) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.settings.port),
            "AIRFLOW__API__BASE_URL": self.settings.url,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            **self.variables,
        }


def _scheduler_beats(url: str, *, since: float) -> bool:
    """Whether the API's health report says that the scheduler is healthy, with a heartbeat after ``since``."""
    with urlopen(url, timeout=5) as response:
        report = json.load(response)["scheduler"]
    heartbeat = report["latest_scheduler_heartbeat"]
    return (
        report["status"] == "healthy"
        and heartbeat is not None
        and datetime.fromisoformat(heartbeat).timestamp() > since
    )
