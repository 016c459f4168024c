"""Convert a yellow month: python -m benchmarks.ours.csv_to_parquet SOURCE TARGET"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.clock import clock, report
from benchmarks.conditions import YELLOW_MONTH
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.registry.datasets import YELLOW
from nyc_taxi.registry.months import Month

if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    with clock() as figures:
        figures["rows"] = to_parquet(source, target, dataset=YELLOW, month=Month.parse(YELLOW_MONTH)).rows
    report(figures)
