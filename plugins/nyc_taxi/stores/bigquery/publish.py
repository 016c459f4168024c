"""Publishes rows by a query job; of several jobs for one destination, one runs at a time."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator
from google.cloud.bigquery import QueryJobConfig
from google.cloud.exceptions import Conflict, NotFound

from nyc_taxi.common.progress import Progress
from nyc_taxi.common.skip import skip
from nyc_taxi.stores.bigquery.billing import maximum_bytes_billed
from nyc_taxi.stores.bigquery.job_progress import watch, written_rows
from nyc_taxi.stores.bigquery.schema import OVERTAKEN

if TYPE_CHECKING:
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
    from airflow.sdk import Context

# The label of a job that says which try has submitted it.
SUBMITTED_BY = "submitted_by"


class PublishOperator(BigQueryInsertJobOperator):
    """Run a query job that replaces its destination in one step, or changes nothing.

    A job reads all tables, its destination among them, as they are when it begins. If two jobs for one destination ran
    at the same time, the one that began first could end last and replace newer rows by older ones. BigQuery's own rule
    that a job id is used once prevents it: the id is made of the destination, the mark of what is published there, and
    a number. Of two runs that see the same mark, one gets the id. The other waits for that job to end, looks at the
    mark again, and takes the next free id.

    A rerun publishes again.

    Args:
        mark_query: the query that returns the ``mark`` of what is published, an integer that each publish of something
            else changes; or its ``.sql`` file (templated).
        kwargs: the arguments of BigQueryInsertJobOperator, with a destination table in the configuration.

    Raises:
        AirflowSkipException: the job found that its destination was loaded from a newer lake object.
        Exception: the BigQuery client's error in all other cases.
    """

    template_fields: Sequence[str] = (*BigQueryInsertJobOperator.template_fields, "mark_query")
    ui_color = "#fce4d6"

    def __init__(self, *, mark_query: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mark_query = mark_query

    def execute(self, context: Context) -> Any:
        try:
            job_id = super().execute(context)
        except Exception as error:
            if OVERTAKEN not in str(error):
                raise
        else:
            return job_id
        # Outside the handler, so that the log does not show the caught exception.
        return skip(
            context["ti"],
            f"{OVERTAKEN}: the published rows stay. If the lake does not have that object any more, remove its mark: "
            "docs/operations.md says how.",
        )

    def poll_until_complete(self, external_id: Any, context: Any) -> None:
        """Wait for the end of the job, whose progress goes to the task's log."""
        table = self.configuration["query"]["destinationTable"]
        with Progress(self.log, f"publish to {table['datasetId']}.{table['tableId']}") as progress:
            watch(self._job, progress)
            super().poll_until_complete(external_id, context)
            progress.complete(rows=written_rows(self._job))

    def on_kill(self) -> None:
        """Cancel the job; without an error if it was never submitted, which would hide why the task ends."""
        try:
            super().on_kill()
        except NotFound:
            self.log.info("There is no job %s to cancel", self.job_id)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what OpenLineage is told: what the provider finds in the job, with tables in place of partitions.

        The job also reads its destination, to see that it is not newer. That is no origin of the rows.
        """
        lineage = super().get_openlineage_facets_on_complete(task_instance)
        for dataset in lineage.outputs:
            dataset.name = dataset.name.partition("$")[0]
        written = {dataset.name for dataset in lineage.outputs}
        lineage.inputs = [dataset for dataset in lineage.inputs if dataset.name not in written]
        return lineage

    def _submit_job(self, hook: BigQueryHook, job_id: str) -> Any:
        """Submit the job when no other publish to its destination is running, under an id of its turn."""
        destination = self.configuration["query"]["destinationTable"]["tableId"].replace("$", "_")
        own = self.configuration.setdefault("labels", {})[SUBMITTED_BY] = uuid.uuid4().hex
        turn, mark = 0, self._mark(hook)
        while True:
            own_id = f"publish_{destination}_after_{mark}_{turn}"
            self.job_id = own_id  # the job that is cancelled if the task is killed
            try:
                return super()._submit_job(hook, own_id)
            except Conflict:
                job = hook.get_job(job_id=own_id, project_id=self.project_id, location=self.location)
            if job.labels.get(SUBMITTED_BY) == own:
                return job  # it was accepted, but the answer was lost
            self.job_id = None  # it is another run's job
            self.log.info("Waiting for the end of the publish %s", own_id)
            job.exception()  # waits; whether it succeeded is the other run's concern
            before, mark = mark, self._mark(hook)
            turn = turn + 1 if mark == before else 0

    def _mark(self, hook: BigQueryHook) -> int:
        """Return the mark of the published rows; 0 if there are none."""
        client = hook.get_client(project_id=self.project_id, location=self.location)
        bounded = QueryJobConfig(maximum_bytes_billed=int(maximum_bytes_billed()))
        [row] = client.query(self.mark_query, bounded).result()
        return int(row["mark"])
