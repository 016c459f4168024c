"""Runs dbt in the example's environment, on the embedded BigQuery or on your own project; see ``bin/dbt``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from local.cloud import shell
from local.cloud.settings import REPOSITORY

# The pipeline's package lies in Airflow's plugins folder.
sys.path.insert(0, str(REPOSITORY / "plugins"))

from local.airflow.environment import AirflowSettings
from local.cloud.processes import ProcessError

PROJECT = Path(__file__).parent
DBT = PROJECT / ".venv" / "bin" / "dbt"


def main() -> NoReturn:
    """Replace this process by dbt, with the arguments of the command line."""
    if note := shell.adopt():
        print(note, file=sys.stderr)
    settings = AirflowSettings.from_env()
    try:
        check_installed()
    except ProcessError as error:
        raise SystemExit(f"error: {error}") from error
    os.execve(DBT, [str(DBT), *sys.argv[1:]], {**os.environ, **environment(settings)})


def check_installed() -> None:
    """Check that dbt is there.

    Raises:
        ProcessError: it is not.
    """
    if not DBT.exists():
        raise ProcessError("dbt is not installed; run make dbt")


def environment(settings: AirflowSettings) -> dict[str, str]:
    """Return the variables that lead dbt to the project, from any folder, and the project to its BigQuery."""
    written = settings.cloud.state_dir / "dbt"
    return {
        **({} if settings.uses_real_google_cloud else settings.cloud.google_environment),
        "DBT_PROJECT_DIR": str(PROJECT),
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(written / "target"),
        "DBT_LOG_PATH": str(written / "logs"),
        "DBT_TARGET": "cloud" if settings.uses_real_google_cloud else "local",
        "GCP_PROJECT": settings.cloud.project,
        "BIGQUERY_PORT": str(settings.cloud.bigquery_port),
        "PYTHONUTF8": "1",
    }


if __name__ == "__main__":
    main()
