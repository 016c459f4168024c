"""Parses and renders all DAGs of the Airflow that the environment describes: ``python render_all.py rendering.py``.

The tests run it in a process of its own, because Airflow reads ``AIRFLOW_HOME`` when it is imported. It prints JSON:
the import errors by file, where the package ``nyc_taxi`` was found, and by DAG the text of its golden file and the
timetable that the scheduler reads from Airflow's database.
"""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import sys

from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization


def main() -> None:
    bag = DagBag()
    package = importlib.util.find_spec("nyc_taxi")
    # By its path: the repository's folders must not be on the path of a platform that does not have them.
    rendering = runpy.run_path(sys.argv[1])
    golden_text, render, run_kinds = (rendering[name] for name in ("golden_text", "render", "run_kinds"))
    if "AIRFLOW_VAR_WORK_DIR" in os.environ:
        rendering["DEPLOYMENT"].clear()  # the platform has its own connections and variables
    rendered = {
        dag_id: golden_text(render(dag, **run_kinds(dag)["partition_key"])) for dag_id, dag in sorted(bag.dags.items())
    }
    restored = {dag_id: DagSerialization.from_dict(DagSerialization.to_dict(dag)) for dag_id, dag in bag.dags.items()}
    print(
        json.dumps(
            {
                "errors": bag.import_errors,
                "package": package.origin if package else None,
                "rendered": rendered,
                "timetables": {dag_id: type(dag.timetable).__name__ for dag_id, dag in restored.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
