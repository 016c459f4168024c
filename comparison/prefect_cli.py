"""Runs the Prefect CLI in the comparison's environment, on the embedded cloud of ``make up``; see ``bin/prefect``.

``bin/prefect set-up`` saves the flows' blocks, automations and work pools; all other commands are Prefect's. Its server
stands behind the guard against web pages.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from local.cloud import shell
from local.cloud.settings import HOST, REPOSITORY

# The pipeline's package lies in Airflow's plugins folder.
sys.path.insert(0, str(REPOSITORY / "plugins"))

from comparison.prefect_side import ENVIRONMENT, environment, prefect_command
from comparison.sides import SideError, python_of
from local.airflow.environment import AirflowSettings


def main() -> NoReturn:
    """Replace this process by the Prefect CLI."""
    if note := shell.adopt():
        print(note, file=sys.stderr)
    settings = AirflowSettings.from_env()
    port = os.environ.get("PREFECT_PORT") or "4200"
    try:
        python = python_of(ENVIRONMENT, "run make comparison/.venv/.installed")
    except SideError as error:
        raise SystemExit(f"error: {error}") from error
    own = environment(settings, home=settings.cloud.state_dir / "prefect", url=f"http://{HOST}:{port}/api")
    own |= {"PREFECT_SERVER_API_HOST": HOST, "PREFECT_SERVER_API_PORT": port}
    arguments = sys.argv[1:]
    if arguments == ["set-up"]:
        command = [str(python), "-m", "comparison.prefect_flows.set_up"]
    else:
        command = prefect_command(*arguments)
    os.chdir(REPOSITORY)
    os.execve(command[0], command, {**os.environ, **own})


if __name__ == "__main__":
    main()
