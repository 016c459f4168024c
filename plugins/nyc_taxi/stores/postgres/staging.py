"""Says on each staging table which run has loaded it, and drops those of runs that have ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import psycopg
from psycopg import sql

from nyc_taxi.common.runs import has_ended
from nyc_taxi.common.sql import render_sql

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def staged_by(context: Context) -> str:
    """Return the first line of the comment on a staging table of the run; the publish leaves it out."""
    return f"staged by {context['dag'].dag_id} {quote(context['run_id'], safe='')}"


def drop_ended_runs(connection: psycopg.Connection, context: Context) -> None:
    """Drop the staging tables of other runs of the DAG that have ended; what cannot be dropped is logged and stays.

    Args:
        connection: a connection that commits each statement by itself.
        context: the context of a task of the run.
    """
    query = render_sql("postgres/clean/staged.sql", dag_id=context["dag"].dag_id)
    for name, comment in connection.execute(query.encode()).fetchall():
        if comment == staged_by(context) or not has_ended(context, unquote(comment.rpartition(" ")[2])):
            continue
        table = sql.Identifier("staging", name)
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '2s'")
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
            log.info("Dropped staging.%s, which a run has left that did not end well", name)
        except psycopg.errors.LockNotAvailable as error:
            log.warning("Cannot drop staging.%s, which a run has left that did not end well: %s", name, error)
