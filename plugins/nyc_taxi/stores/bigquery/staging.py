"""Drops the staging tables of runs that have ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from google.api_core.exceptions import GoogleAPIError, NotFound

from nyc_taxi.common.runs import was_left

if TYPE_CHECKING:
    from airflow.sdk import Context
    from google.cloud import bigquery

log = logging.getLogger(__name__)


def drop_ended_runs(client: bigquery.Client, dataset: str, context: Context) -> None:
    """Drop the staging tables of other runs of the DAG that have ended; what cannot be dropped is logged and stays.

    Args:
        client: a BigQuery client.
        dataset: the dataset of the staging tables; the description of each names its run.
        context: the context of a task of the run.
    """
    try:
        names = [table.table_id for table in client.list_tables(dataset)]
    except GoogleAPIError as error:
        log.warning("Cannot find out whether runs that did not end well have left tables in %s: %s", dataset, error)
        return
    for name in names:
        table = f"{dataset}.{name}"
        try:
            if was_left(context, client.get_table(table).description or ""):
                client.delete_table(table)
                log.info("Dropped %s, which a run has left that did not end well", table)
        except NotFound:  # its run has dropped it
            continue
        except GoogleAPIError as error:
            log.warning(
                "Cannot find out whether a run that did not end well has left %s, or cannot drop it: %s", table, error
            )
