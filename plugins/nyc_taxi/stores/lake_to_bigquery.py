"""Loads a lake object into a BigQuery staging table, and returns the generation that was loaded.

It reads one store and writes another, so it is beside their folders: no store imports another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator

from nyc_taxi.common.progress import Progress
from nyc_taxi.common.runs import staged_by
from nyc_taxi.registry.datasets import published_file
from nyc_taxi.stores.bigquery.job_progress import watch
from nyc_taxi.stores.bigquery.staging import drop_ended_runs
from nyc_taxi.stores.lake.store import LakeStore

if TYPE_CHECKING:
    from airflow.sdk import Context

# Maximum number of loads. A load job reads whatever generation the object has at that time, so an object that is
# replaced during its load is loaded again.
LOADS = 3


class LakeToBigQueryOperator(GCSToBigQueryOperator):
    """Load exactly one generation of a month's lake object into a staging table.

    Give the staging table a name that carries the run and the try, so that the load job of a killed try cannot write
    into the table of a later one. A rerun replaces the table. The table's description names the run. The staging
    tables of runs of the same DAG that have ended, which their teardown has not dropped, are dropped first.

    Args:
        dataset: name of the dataset in the registry (templated).
        month: the month, ``YYYY-MM``; empty for a dataset without months (templated).
        kwargs: the arguments of GCSToBigQueryOperator.

    Returns:
        ``{"table": <the staging table>, "tries": <number of this try>, "generation": <the loaded object's generation,
        as text>, "rows": <the row count in its footer>}``.

    Raises:
        MissingMonthError: the lake has no object for the month. A retry would fail the same way.
        RuntimeError: the object was replaced during every load.
    """

    template_fields: Sequence[str] = (*GCSToBigQueryOperator.template_fields, "dataset", "month")
    ui_color = "#fce4d6"

    def __init__(
        self,
        *,
        dataset: str = "{{ dataset.name }}",
        month: str = "{{ file().month or '' }}",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.month = month

    def execute(self, context: Context) -> dict[str, Any]:
        self._drop_ended_runs(context)
        self.description = staged_by(context)  # the load job creates the table with it
        lake = LakeStore.connect()
        file = published_file(self.dataset, self.month)
        before = lake.get(file)
        for _ in range(LOADS):
            self._progress = Progress(
                self.log, f"load job into {self.destination_project_dataset_table}", rows=before.rows
            )
            super().execute(context)
            after = lake.get(file)
            if after.revision == before.revision:
                with self._progress as progress:
                    progress.complete(rows=after.rows)
                self.log.info("Loaded generation %s of %s", after.revision, lake.location(file))
                return {
                    "table": self.destination_project_dataset_table,
                    "tries": context["ti"].try_number,
                    "generation": after.revision,
                    "rows": after.rows,
                }
            self.log.info("%s was replaced during the load, so it is loaded again", lake.location(file))
            before = after
        raise RuntimeError(f"{lake.location(file)} was replaced during each of {LOADS} loads")

    def _submit_job(self, hook: BigQueryHook, job_id: str) -> Any:
        job = super()._submit_job(hook, job_id)
        self.job_id = job.job_id  # the job that is cancelled if the task is killed meanwhile
        watch(job, self._progress)
        return job

    def _drop_ended_runs(self, context: Context) -> None:
        hook = BigQueryHook(
            gcp_conn_id=self.gcp_conn_id,
            use_legacy_sql=False,
            location=self.location,
            impersonation_chain=self.impersonation_chain,
        )
        # Like the provider's own load: without a project of the task, the connection's, not that of the environment.
        client = hook.get_client(project_id=self.project_id or hook.project_id, location=self.location)
        drop_ended_runs(client, self.destination_project_dataset_table.rpartition(".")[0], context)
