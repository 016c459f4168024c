"""Publishes a staging table, unless the destination was loaded from a newer object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator
from google.cloud.exceptions import Conflict, NotFound

from nyc_taxi.common.skip import skip
from nyc_taxi.stores.bigquery.schema import OVERTAKEN

if TYPE_CHECKING:
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
    from airflow.sdk import Context


class PublishOperator(BigQueryInsertJobOperator):
    """Run the query job that publishes a staging table; it replaces its destination in one step, or changes nothing.

    The job compares generations, but with the destination as it is when the job begins. So two jobs for one destination
    must not run at the same time, and BigQuery's own rule that a job id is used once ensures it: the id is made of the
    destination, the generation that is published there, and a number. Of two runs that see the same generation, one
    gets the id. The other waits for that job to end, looks at the generation again, and takes the next free id.

    A rerun publishes the same rows again.

    Args:
        published_query: the query that returns the generation that is published, or its ``.sql`` file (templated).
        kwargs: the arguments of BigQueryInsertJobOperator, with a destination table in the configuration.

    Raises:
        AirflowSkipException: the destination was loaded from a newer lake object than the staging table.
        Exception: the BigQuery client's error in all other cases.
    """

    template_fields: Sequence[str] = (*BigQueryInsertJobOperator.template_fields, "published_query")
    ui_color = "#fce4d6"

    def __init__(self, *, published_query: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.published_query = published_query

    def execute(self, context: Context) -> Any:
        try:
            job_id = super().execute(context)
        except Exception as error:
            if OVERTAKEN not in str(error):
                raise
        else:
            return job_id
        # Outside the handler, so that the log does not show the caught exception.
        return skip(context["ti"], f"{OVERTAKEN}: the published rows stay. To replace them by this run's, set force.")

    def on_kill(self) -> None:
        """Cancel the job; without an error if it was never submitted, which would hide why the task ends."""
        try:
            super().on_kill()
        except NotFound:
            self.log.info("There is no job %s to cancel", self.job_id)

    def _submit_job(self, hook: BigQueryHook, job_id: str) -> Any:
        """Submit the job when no other publish to its destination is running, under an id of its turn."""
        destination = self.configuration["query"]["destinationTable"]["tableId"].replace("$", "_")
        turn, published = 0, self._published(hook)
        while True:
            own_id = f"publish_{destination}_after_{published}_{turn}"
            self.job_id = own_id  # the job that is cancelled if the task is killed
            try:
                return super()._submit_job(hook, own_id)
            except Conflict:
                self.job_id = None  # it is another run's job
                self.log.info("Waiting for the end of the publish %s", own_id)
            other = hook.get_job(job_id=own_id, project_id=self.project_id, location=self.location)
            other.exception()  # waits; whether it succeeded is the other run's concern
            before, published = published, self._published(hook)
            turn = turn + 1 if published == before else 0

    def _published(self, hook: BigQueryHook) -> int:
        """Return the generation of the published rows; 0 if there are none."""
        client = hook.get_client(project_id=self.project_id, location=self.location)
        [row] = client.query(self.published_query).result()
        return int(row["generation"])
