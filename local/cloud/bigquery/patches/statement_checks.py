"""Patch of bqemulator 1.4.0: check each statement before it is translated.

Wraps ``rewrite_and_translate_statement`` of ``bqemulator.sql.inner_query`` in the two modules that import it,
``bqemulator.jobs.executor`` (single statements) and ``bqemulator.scripting.interpreter`` (statements in scripts).

Why: bqemulator runs statements that BigQuery refuses (see :mod:`..statements`), does not know external tables, and
names unnamed result columns differently. This is the one function that every statement passes.

Can be removed when bqemulator has a hook before translation.
"""

from __future__ import annotations

from typing import Any

from bqemulator.jobs import executor
from bqemulator.scripting import interpreter

from local.cloud.bigquery.statements import check_statement, with_named_columns
from local.cloud.bigquery.store import Store


def install(store: Store) -> None:
    """Make bqemulator check statements against ``store`` and name all result columns."""
    translate = executor.rewrite_and_translate_statement

    async def checked(bq_sql: str, *, project_id: str, **kwargs: Any) -> str:
        check_statement(store, bq_sql, project_id)
        return await translate(with_named_columns(bq_sql), project_id=project_id, **kwargs)

    executor.rewrite_and_translate_statement = checked
    interpreter.rewrite_and_translate_statement = checked
