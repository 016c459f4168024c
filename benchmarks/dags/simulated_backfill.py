"""DAGs in the shape of other DAGs, with tasks that only sleep.

The file that the variable SIMULATED_BACKFILL names says which tasks they have, what follows them, and for how long each
sleeps; ``benchmarks/rows/simulation.py`` writes it. Without it there are no such DAGs.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, CronTriggerTimetable, get_parsing_context

PLAN = os.environ.get("SIMULATED_BACKFILL")
wanted = get_parsing_context().dag_id


def sleep(seconds: float) -> None:
    """Take as long as the real task; Airflow cannot call ``time.sleep`` itself, which has no signature."""
    time.sleep(seconds)


for dag_id, tasks in json.loads(Path(PLAN).read_text()).items() if PLAN else ():
    if wanted not in (None, dag_id):
        continue
    monthly = CronTriggerTimetable("0 0 1 * *", timezone="UTC")
    with DAG(dag_id=dag_id, schedule=monthly, catchup=False, doc_md=__doc__, tags=["benchmarks"]) as dag:
        made = {
            task_id: PythonOperator(task_id=task_id, python_callable=sleep, op_args=[one["seconds"]])
            for task_id, one in tasks.items()
        }
        for task_id, one in tasks.items():
            made[task_id] >> [made[following] for following in one["downstream"]]
            made[task_id].is_setup = one["is_setup"]
            if one["is_teardown"]:
                made[task_id].as_teardown()
