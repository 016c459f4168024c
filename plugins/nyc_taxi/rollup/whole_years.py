"""Finds the datasets that have a whole year in the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
from airflow.sdk import BaseOperator

from nyc_taxi.common.skip import skip
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.months import Month
from nyc_taxi.rollup.coverage import coverage

if TYPE_CHECKING:
    from airflow.sdk import Context


class WholeYearsOperator(BaseOperator):
    """Find the datasets of which every published month of a year is in BigQuery.

    It only reads. A rerun asks BigQuery and the calendar again.

    Args:
        sql: the query, or a ``.sql`` file with it, for the tables' partitions that have rows: table name and partition
            id (templated).
        year: the year (templated).
        layout: the layout of the source, which decides its first month (templated).
        last_month: the last month that the source has; empty if it goes on publishing (templated).
        gcp_conn_id: the Google Cloud connection (templated).

    Returns:
        The names of the datasets.

    Raises:
        AirflowSkipException: there is none; the reason tells for each dataset which months are missing.
    """

    template_fields: Sequence[str] = ("sql", "year", "layout", "last_month", "gcp_conn_id")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql"}
    ui_color = "#e6f1f2"

    def __init__(
        self,
        *,
        sql: str,
        year: str,
        layout: str,
        last_month: str = "",
        gcp_conn_id: str = "google_cloud_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.year = year
        self.layout = layout
        self.last_month = last_month
        self.gcp_conn_id = gcp_conn_id

    def execute(self, context: Context) -> list[str]:
        began = context["ti"].start_date
        assert began is not None  # a task that executes has begun
        hook = BigQueryHook(gcp_conn_id=self.gcp_conn_id, use_legacy_sql=False)
        rows = hook.get_client(project_id=hook.project_id).query(self.sql).result()
        found = coverage(
            year=int(self.year),
            layout=Layout(self.layout),
            last=Month.parse(self.last_month) if self.last_month else None,
            today=began.date(),
            partitions=[(row["table_name"], row["partition_id"]) for row in rows],
        )
        months = "; ".join(map(str, found))
        self.log.info("Months of %s in the warehouse: %s", self.year, months)
        whole = [dataset.dataset for dataset in found if dataset.is_complete]
        if not whole:
            skip(context["ti"], f"No dataset has the whole year {self.year} in the warehouse: {months}")
        return whole
