"""Drops the staging tables of runs that have ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from nyc_taxi.common.runs import was_left
from nyc_taxi.common.sql import render_sql

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def drop_ended_runs(connection: psycopg.Connection, context: Context) -> None:
    """Drop the staging tables of other runs of the DAG that have ended; what cannot be dropped is logged and stays.

    Args:
        connection: a connection that commits each statement by itself.
        context: the context of a task of the run.
    """
    query = render_sql("postgres/clean/staged.sql", dag_id=context["dag"].dag_id)
    for name, comment in connection.execute(query.encode()).fetchall():
        if not was_left(context, comment):
            continue
        table = sql.Identifier("staging", name)
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '2s'")
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
            log.info("Dropped staging.%s, which a run has left that did not end well", name)
        except psycopg.errors.LockNotAvailable as error:
            log.warning("Cannot drop staging.%s, which a run has left that did not end well: %s", name, error)
