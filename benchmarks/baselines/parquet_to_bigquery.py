"""Load a Parquet file as the course does: python -m benchmarks.baselines.parquet_to_bigquery SOURCE"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.baselines import course_cloud, course_files
from benchmarks.clock import clock, report

if __name__ == "__main__":
    course_cloud.start_anew()
    with clock() as figures:
        course_cloud.write_bq(course_files.transform(Path(sys.argv[1])))
    figures["rows"] = course_cloud.count_rows()
    report(figures)
