"""Parse the DAGs as Airflow does: python -m benchmarks.ours.dag_parse"""

from __future__ import annotations

from airflow.dag_processing.dagbag import DagBag

from benchmarks.clock import clock, report
from local.cloud.settings import REPOSITORY

if __name__ == "__main__":
    with clock() as figures:
        bag = DagBag(dag_folder=REPOSITORY / "dags")
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    figures["dags"] = len(bag.dags)
    report(figures)
