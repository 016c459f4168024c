"""The running Prefect that its checks use, and what several of them need."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from comparison import temporary_server
from comparison.checks import SECONDS, Checks, await_, kill_tree, posts
from comparison.ground import Ground
from comparison.prefect_api import PrefectApi
from local.cloud.processes import Process, running, start
from local.cloud.settings import REPOSITORY

CHECKS = Checks()


check = CHECKS.check


DOCS = "https://docs.prefect.io/v3"
PASSWORD = "hunter2-compared"  # noqa: S105 # nobody's


class Prefect:
    """The running Prefect: its API, and the facts that both sides share."""

    def __init__(self, ground: Ground, api: PrefectApi) -> None:
        self.ground = ground
        self.api = api

    def month_run(self, flow_name: str) -> dict[str, Any]:
        """The oldest completed run of a flow for the common month; later ones may have skipped it."""
        runs = self.api.runs(flows={"name": {"any_": [flow_name]}})
        wanted = {"dataset": self.ground.dataset, "month": self.ground.month}
        for run in reversed(runs):
            if run["state_type"] == "COMPLETED" and wanted.items() <= run["parameters"].items():
                return run
        raise AssertionError(f"there is no run of {flow_name} for {self.ground.month}")

    def called(self, name: str) -> dict[str, Any]:
        """The newest run of the flow ``name``."""
        return self.api.runs(flows={"name": {"any_": [name]}}, limit=1)[0]

    def alerts(self, run: str, state: str) -> list[dict[str, Any]]:
        """The alerts that were posted about a run."""
        return [
            post for post in posts(self.ground.receiver_url) if post.get("run") == run and post.get("state") == state
        ]

    def paths(self) -> list[str]:
        """All paths of the server's API."""
        return list(self._schema()["paths"])

    def fields(self, path: str) -> set[str]:
        """The fields that a POST to a path of the server's API takes."""
        [posted] = [calls["post"] for each, calls in self._schema()["paths"].items() if each.endswith(path)]
        reference = posted["requestBody"]["content"]["application/json"]["schema"]
        name = (reference.get("$ref") or reference["allOf"][0]["$ref"]).rpartition("/")[2]
        return set(self._schema()["components"]["schemas"][name]["properties"])

    def _schema(self) -> dict[str, Any]:
        schema = httpx.get(f"{self.ground.prefect_url}/openapi.json", trust_env=False, timeout=SECONDS)
        found: dict[str, Any] = schema.raise_for_status().json()
        return found

    def prefect(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the Prefect CLI."""
        command = [str(Path(sys.executable).with_name("prefect")), "--no-prompt", *arguments]
        return subprocess.run(command, cwd=cwd or REPOSITORY, capture_output=True, text=True, timeout=300, check=False)


def timestamp(text: str) -> float:
    """The Unix time of a moment in ISO 8601."""
    return datetime.fromisoformat(text).timestamp()


def flow_pid(prefect: Prefect, run_id: str) -> int:
    """Wait until the flow runs; returns its process id."""
    return await_(lambda: prefect.api.running_pid(run_id), "the flow runs", timeout=120)


def run_without_server(program: str, *, home: Path) -> list[str]:
    """Run a program that knows no server, and so starts a temporary one; returns the lines that it printed."""
    env = temporary_server.environment(os.environ) | {"PREFECT_HOME": str(home)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1000:]
    return done.stdout.strip().splitlines()


def run_in(home: Path, program: str) -> list[str]:
    """Run a program that starts no server and uses the database in the folder ``home``; returns its lines."""
    return _run(["-c", program], _of(home))


def change_database(home: Path, *words: str) -> None:
    """Upgrade the database in the folder ``home``, and create it if there is none, or downgrade it."""
    home.mkdir(exist_ok=True)
    _run(["-m", "prefect", "server", "database", *words, "--yes"], _of(home))


def _of(home: Path) -> dict[str, str]:
    """The environment of a program with a database of its own."""
    env = temporary_server.environment(os.environ)
    return env | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}


def _run(words: list[str], env: dict[str, str]) -> list[str]:
    with subprocess.Popen(
        [sys.executable, *words], cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        # With the temporary server that it may have started.
        limit = threading.Timer(300, kill_tree, [program.pid])
        limit.start()
        out, errors = program.communicate()
        limit.cancel()
    assert program.returncode == 0, out[-500:] + errors[-1000:]
    return out.strip().splitlines()


OUTAGE = 30


def take_away(prefect: Prefect) -> float:
    """Kill the server, and start it again with the same command; returns the seconds in between."""
    record = running("server", run_dir=_run_dir(prefect))
    assert record
    server = psutil.Process(record.pid)
    again = Process(
        name="server",
        command=server.cmdline(),
        env=server.environ(),
        cwd=REPOSITORY,
        log=_run_dir(prefect).parent / "server.log",
        healthy=prefect.api.is_healthy,
        startup_timeout=180,
    )
    begin = kill_tree(server.pid)
    time.sleep(OUTAGE)
    start([again], run_dir=_run_dir(prefect))
    return time.monotonic() - begin


def _run_dir(prefect: Prefect) -> Path:
    """The folder that records Prefect's processes."""
    return prefect.ground.folder / "prefect" / "run"
