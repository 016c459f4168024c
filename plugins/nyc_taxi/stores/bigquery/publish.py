"""Publishes a staging table, unless the destination was loaded from a newer object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator

from nyc_taxi.common.skip import skip
from nyc_taxi.stores.bigquery.schema import OVERTAKEN

if TYPE_CHECKING:
    from airflow.sdk import Context


class PublishOperator(BigQueryInsertJobOperator):
    """Run the query job that publishes a staging table; it replaces its destination in one step, or changes nothing.

    A rerun publishes the same rows again.

    Raises:
        AirflowSkipException: the destination was loaded from a newer lake object than the staging table.
        Exception: the BigQuery client's error in all other cases.
    """

    ui_color = "#fce4d6"

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
