"""Patch of bqemulator 1.4.0: the queries of views pass the typed translation too.

Wraps ``_Rewriter._expand_view`` of ``bqemulator.sql.rewriter.row_access_filter``.

Why: bqemulator replaces the name of a view by the view's query after this package has checked and typed the statement
(see :mod:`.statement_checks`), so that functions in views would mean something else than in other queries.

Can be removed when bqemulator expands views before its hook, or reads DuckDB's views.
"""

from __future__ import annotations

from typing import Any

from bqemulator.sql.rewriter.row_access_filter import _Rewriter

from local.cloud.bigquery.statements import checked_sql
from local.cloud.bigquery.store import Store


def install(store: Store) -> None:
    """Make bqemulator insert the typed query of a view."""
    expand = _Rewriter._expand_view

    def typed(self: _Rewriter, node: Any, *, view_project: str, view_body: str, **kwargs: Any) -> bool:
        body = checked_sql(store, view_body, view_project)
        return expand(self, node, view_project=view_project, view_body=body, **kwargs)

    _Rewriter._expand_view = typed  # type: ignore[method-assign]
