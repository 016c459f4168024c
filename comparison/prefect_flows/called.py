"""Both steps of a month with a direct call in place of the event: a flow calls them as the functions that they are."""

from __future__ import annotations

from prefect import flow

from comparison.prefect_flows.gcs_to_bigquery import gcs_to_bigquery
from comparison.prefect_flows.parameters import DatasetName, MonthName
from comparison.prefect_flows.web_to_gcs import web_to_gcs


@flow
def called(dataset: DatasetName, month: MonthName) -> None:
    """Load one month into the lake and from there into BigQuery, in one process."""
    web_to_gcs(dataset, month, force=True)
    gcs_to_bigquery(dataset, month)
