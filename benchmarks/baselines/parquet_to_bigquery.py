"""Load a Parquet file as the course does: python -m benchmarks.baselines.parquet_to_bigquery SOURCE"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.clock import clock, report
from comparison.course_flows import cloud, files

if __name__ == "__main__":
    table = cloud.table("yellow")
    cloud.start_anew(table)
    with clock() as figures:
        cloud.write_bq(files.transform(Path(sys.argv[1])), table)
    figures["rows"] = cloud.count_rows(table)
    report(figures)
