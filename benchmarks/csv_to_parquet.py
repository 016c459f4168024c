"""One month of yellow trips, csv.gz to Parquet: ours, and pandas the way the course does it.

python -m benchmarks.csv_to_parquet [--rows 1440000] [--repeats 3]

Every run is a process of its own, so that neither finds the other's memory; ours and the baseline take turns. Printed
are medians, the spread (slowest less fastest), and the peak memory that the operating system saw.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CLOUD_PYTHON = REPOSITORY / "localcloud" / ".venv" / "bin" / "python"

OURS = """
import sys
from pathlib import Path
from nyc_taxi.convert import csv_to_parquet
from nyc_taxi.datasets import YELLOW
from nyc_taxi.months import Month
csv_to_parquet(Path(sys.argv[1]), Path(sys.argv[2]), dataset=YELLOW, month=Month(2021, 1))
"""

# Read the whole file, parse the two times, write gzipped Parquet: the steps of the course's flow.
BASELINE = """
import sys
import pandas as pd
frame = pd.read_csv(sys.argv[1])
for column in ("tpep_pickup_datetime", "tpep_dropoff_datetime"):
    frame[column] = pd.to_datetime(frame[column])
frame.to_parquet(sys.argv[2], compression="gzip")
"""


@dataclass(frozen=True)
class Run:
    """One measured process: its wall-clock seconds and its peak memory in MB."""

    seconds: float
    peak_mb: float


def measure(script: str, source: Path, target: Path) -> Run:
    """Run ``script`` in a process of its own and measure it, imports included.

    Raises:
        RuntimeError: the process fails.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(source), str(target)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "plugins")},
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"the measured process ended with exit code {process.returncode}")
    # Linux counts in KiB, macOS in bytes.
    return Run(seconds, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024))


def main() -> None:
    """Generate the month, measure both ways in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_440_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "yellow_tripdata_2021-01.csv.gz"
        generate = [CLOUD_PYTHON, "-m", "localcloud.source", "generate", "yellow", "2021-01", source]
        subprocess.run([*generate, "--rows", str(options.rows)], cwd=REPOSITORY, check=True)
        runs: dict[str, list[Run]] = {"ours": [], "pandas": []}
        for _ in range(options.repeats):
            runs["ours"].append(measure(OURS, source, Path(folder) / "ours.parquet"))
            runs["pandas"].append(measure(BASELINE, source, Path(folder) / "pandas.parquet"))
        size = source.stat().st_size
    _report(runs, options.rows, size)


def _report(runs: dict[str, list[Run]], rows: int, size: int) -> None:
    print(f"csv.gz to Parquet, {rows:,} synthetic yellow rows, {size / 1e6:.0f} MB gzipped, {os.cpu_count()} cores")
    print(f"{'':<8} {'median s':>9} {'spread s':>9} {'peak MB':>9}")
    medians = {}
    for name, measured in runs.items():
        seconds = [run.seconds for run in measured]
        medians[name] = statistics.median(seconds)
        peak = max(run.peak_mb for run in measured)
        print(f"{name:<8} {medians[name]:>9.2f} {max(seconds) - min(seconds):>9.2f} {peak:>9.0f}")
    print(f"ours is {medians['pandas'] / medians['ours']:.1f} times as fast")


if __name__ == "__main__":
    main()
