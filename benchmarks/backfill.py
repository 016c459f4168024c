"""Twelve months of green through lake and warehouse: in one backfill, and one month after another, in the same run.

python -m benchmarks.backfill [--rows 100000] [--repeats 2] [--parallel 4]

Starts a stack of its own on free ports, takes the months through once so that nothing is cold, then measures both ways
in turns, by the wall clock: from the request to the end of the last run in the warehouse. Printed are medians and their
ratio.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "plugins"))

from localairflow.api import AirflowApi
from localairflow.environment import AirflowSettings

YEAR = 2020
MONTHS = [f"{YEAR}-{month:02d}" for month in range(1, 13)]
TO_GCS, TO_BIGQUERY = "green_web_to_gcs", "green_gcs_to_bigquery"
PORTS = ("AIRFLOW_PORT", "GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT", "SOURCE_PORT")
RUN_TIMEOUT = 600.0


@contextmanager
def stack(rows: int) -> Iterator[AirflowSettings]:
    """A whole stack on free ports, with all its state in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {name: str(_free_port()) for name in PORTS}
        os.environ |= {"LOCAL_DIR": folder, "SOURCE": "synthetic", "SYNTHETIC_ROWS": str(rows)}
        # An unpaused DAG starts the clock's newest month at once, which is none of the twelve.
        os.environ["AIRFLOW__SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP"] = "0"
        command = [sys.executable, "-m", "localairflow"]
        try:
            subprocess.run([*command, "up"], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
            yield AirflowSettings.from_env()
        finally:
            subprocess.run([*command, "down"], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def one_after_another(api: AirflowApi) -> None:
    """Start each month when the one before has arrived in the warehouse."""
    for month in MONTHS:
        _until_arrived(api, 1, lambda month=month: api.trigger(TO_GCS, {"month": month, "force": True}))


def in_one_backfill(api: AirflowApi, parallel: int) -> None:
    """Start all months by one backfill."""

    def start() -> None:
        api.backfill(
            TO_GCS, f"{YEAR}-01-01", f"{YEAR}-12-01", conf={"force": True}, reprocess="completed", parallel=parallel
        )

    _until_arrived(api, len(MONTHS), start)


def await_no_backfill(api: AirflowApi) -> None:
    """Airflow notices the end of a backfill late, and refuses another one until then; not to be measured."""
    while api.has_running_backfill(TO_GCS):
        time.sleep(0.5)


def _until_arrived(api: AirflowApi, expected: int, start: Callable[[], object]) -> None:
    """Call ``start`` and wait for the end of the runs in the warehouse that follow from it.

    Raises:
        RuntimeError: one of them failed, or they did not all come in time.
    """
    before = {run["dag_run_id"] for run in api.runs(TO_BIGQUERY)}
    deadline = time.monotonic() + RUN_TIMEOUT
    start()
    while True:
        runs = [run for run in api.runs(TO_BIGQUERY) if run["dag_run_id"] not in before]
        states = [run["state"] for run in runs]
        if states.count("success") == expected:
            return
        if "failed" in states or time.monotonic() > deadline:
            raise RuntimeError(f"{states.count('success')} of {expected} months arrived in the warehouse: {states}")
        time.sleep(0.1)


def _seconds(run: Callable[[], None]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def main() -> None:
    """Measure both ways in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="of a month")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--parallel", type=int, default=4, help="months at once")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"one after another": [], "one backfill": []}
    with stack(options.rows) as settings, AirflowApi(settings) as api:
        for month in MONTHS:
            httpx.get(f"{settings.source_base_url}/green/green_tripdata_{month}.csv.gz", timeout=60).raise_for_status()
        api.await_parsed([TO_GCS, TO_BIGQUERY], since="")
        for dag_id in (TO_GCS, TO_BIGQUERY):
            api.set_paused(dag_id, False)
        in_one_backfill(api, options.parallel)  # not measured
        for _ in range(options.repeats):
            await_no_backfill(api)
            seconds["one after another"].append(_seconds(lambda: one_after_another(api)))
            seconds["one backfill"].append(_seconds(lambda: in_one_backfill(api, options.parallel)))
    print(f"{len(MONTHS)} months of green by {options.rows:,} rows, median of {options.repeats}")
    for name, measured in seconds.items():
        spread = max(measured) - min(measured)
        print(f"  {name:<18} {statistics.median(measured):6.1f} s   spread {spread:.1f} s")
    ratio = statistics.median(seconds["one backfill"]) / statistics.median(seconds["one after another"])
    print(f"  the backfill takes {ratio:.0%} of the time")


if __name__ == "__main__":
    main()
