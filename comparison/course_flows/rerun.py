"""Shows what a rerun does to the table: ``python -m comparison.course_flows.rerun BASE_URL FOLDER COLOR YEAR MONTH``

Runs the same month twice and prints the row counts after each run as one JSON line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from comparison.course_flows import cloud
from comparison.course_flows.flows import etl_parent_flow

if __name__ == "__main__":
    base_url, folder, color, year, month = sys.argv[1:]
    table = cloud.table(color)
    cloud.start_anew(table)
    rows = []
    for _ in range(2):
        etl_parent_flow([int(month)], int(year), color, base_url, Path(folder))
        rows.append(cloud.count_rows(table))
    print(json.dumps({"rows": rows}))
