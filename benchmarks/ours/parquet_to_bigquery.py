"""Load a Parquet file as the pipeline does: python -m benchmarks.ours.parquet_to_bigquery SOURCE"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.clock import clock, report
from benchmarks.ours.warehouse import Warehouse

if __name__ == "__main__":
    warehouse = Warehouse()
    warehouse.start_anew()
    with clock() as figures:
        warehouse.load(Path(sys.argv[1]))
    figures["rows"] = warehouse.count_rows()
    report(figures)
