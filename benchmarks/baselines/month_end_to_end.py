"""Take a month along the course's whole chain: python -m benchmarks.baselines.month_end_to_end URL FOLDER"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.baselines import course_cloud
from benchmarks.clock import clock, report

if __name__ == "__main__":
    course_cloud.start_anew()
    with clock() as figures:
        course_cloud.web_to_bigquery(sys.argv[1], Path(sys.argv[2]))
    figures["rows"] = course_cloud.count_rows()
    report(figures)
