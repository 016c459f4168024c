"""Take a month through the course's whole chain: python -m benchmarks.baselines.month_end_to_end BASE_URL FOLDER"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.clock import clock, report
from benchmarks.conditions import yellow_url
from comparison.course_flows import cloud

if __name__ == "__main__":
    table = cloud.table("yellow")
    cloud.start_anew(table)
    with clock() as figures:
        cloud.web_to_bigquery(yellow_url(sys.argv[1]), Path(sys.argv[2]))
    figures["rows"] = cloud.count_rows(table)
    report(figures)
