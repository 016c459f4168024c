"""Convert a yellow month as the course does: python -m benchmarks.baselines.csv_to_parquet SOURCE TARGET"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.clock import clock, report
from comparison.course_flows.files import clean, fetch, write_local

if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    with clock() as figures:
        frame = clean(fetch(source))
        write_local(frame, target)
    figures["rows"] = len(frame)
    report(figures)
