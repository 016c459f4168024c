"""Run the checks named on the command line: ``python -m comparison.checks.airflow CONCEPT ...``."""

from __future__ import annotations

import sys

import comparison.checks.airflow
from comparison.checks import declare, tell
from comparison.checks.airflow.side import CHECKS, Airflow
from comparison.ground import Ground
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings


def main() -> int:
    """Run the checks named on the command line."""
    declare(comparison.checks.airflow)
    ground, settings = Ground.from_env(), AirflowSettings.from_env()
    with AirflowApi(settings) as api:
        side = Airflow(ground, settings, api)
        # More threads than cores: checks mostly wait for the scheduler.
        CHECKS.run(side, sys.argv[1:] or list(CHECKS.by_concept), threads=6, tell=tell)
    return 0


if __name__ == "__main__":
    sys.exit(main())
