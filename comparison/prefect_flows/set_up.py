"""Saves what the flows need to Prefect's server: ``python -m comparison.prefect_flows.set_up``. Safe to repeat.

Blocks, automations, work pools and limits belong neither to the flows' code nor to their deployments: they are created
in the UI, or by a program like this one.
"""

from __future__ import annotations

import os

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.workers.process import ProcessWorker

from comparison.prefect_flows import automations, blocks, months

# The limits of the pools: of that of this machine's worker, of one without a worker, and of one for a run at a time.
WORK_POOLS = {"local": months.AT_ONCE, "nobody": months.AT_ONCE, "one-by-one": 1}


def save_work_pools() -> None:
    """Create the work pools and the limit; existing ones are updated.

    The first has the same limit as the months, because each of its runs is a new process that imports Prefect.
    """
    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        for name, limit in WORK_POOLS.items():
            pool = WorkPoolCreate(name=name, type="process", base_job_template=template, concurrency_limit=limit)
            client.create_work_pool(pool, overwrite=True)
        client.upsert_global_concurrency_limit_by_name(months.LIMIT, months.AT_ONCE)


if __name__ == "__main__":
    save_work_pools()
    blocks.save(
        project=os.environ["GCP_PROJECT"],
        bucket=os.environ["LAKE_BUCKET"],
        postgres_url=os.environ["POSTGRES_URL"],
        source_url=os.environ["TAXI_SOURCE_URL"],
        layout=os.environ["TAXI_SOURCE_LAYOUT"],
    )
    automations.save(os.environ.get("TAXI_ALERTS_URL"))
