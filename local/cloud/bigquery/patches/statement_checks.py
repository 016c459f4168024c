"""Patch of bqemulator 1.4.0: check and type each statement before it is translated.

Wraps ``rewrite_and_translate_statement`` of ``bqemulator.sql.inner_query`` in the two modules that import it,
``bqemulator.jobs.executor`` (single statements) and ``bqemulator.scripting.interpreter`` (statements in scripts).

Why: bqemulator runs statements that BigQuery refuses (see :mod:`..statements`), does not know external tables, names
unnamed result columns differently, and translates without knowing types (see :mod:`..translation`). This is the one
function that every statement passes.

Also lets bqemulator find no schemas, through ``build_catalog_schema`` of the same module: with them it qualifies the
statement's names, which writes them in lower case and takes a quarter of the translation, for rules that
:mod:`..translation` replaces.

And lets its translator search no statement for names of BigQuery ML, which it finds in texts and comments, too;
:mod:`..translation.function_names` refuses their calls.

Can be removed when bqemulator has a hook before translation.
"""

from __future__ import annotations

from typing import Any

from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.sql import inner_query, translator

from local.cloud.bigquery.statements import checked_sql
from local.cloud.bigquery.store import Store


def install(store: Store) -> None:
    """Make bqemulator check and type statements against ``store``, and name all result columns."""
    translate = executor.rewrite_and_translate_statement

    async def checked(bq_sql: str, *, project_id: str, **kwargs: Any) -> str:
        return await translate(checked_sql(store, bq_sql, project_id), project_id=project_id, **kwargs)

    inner_query.build_catalog_schema = lambda *_, **__: {}
    translator._UNSUPPORTED_KEYWORDS = frozenset()
    executor.rewrite_and_translate_statement = checked
    interpreter.rewrite_and_translate_statement = checked
