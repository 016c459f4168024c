"""Run the checks named on the command line: ``python -m comparison.checks.prefect CONCEPT ...``."""

from __future__ import annotations

import sys

import comparison.checks.prefect
from comparison.checks import declare, tell
from comparison.checks.prefect.side import CHECKS, Prefect
from comparison.ground import Ground
from comparison.prefect_api import PrefectApi


def main() -> int:
    """Run the checks named on the command line."""
    declare(comparison.checks.prefect)
    ground = Ground.from_env()
    with PrefectApi(ground.prefect_url) as api:
        CHECKS.run(Prefect(ground, api), sys.argv[1:] or list(CHECKS.by_concept), threads=4, tell=tell)
    return 0


if __name__ == "__main__":
    sys.exit(main())
