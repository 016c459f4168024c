"""Patch of sqlglot 30.11: keep format strings of dates and times as they are written.

Empties ``TIME_MAPPING`` of sqlglot's BigQuery dialect, and what is derived from it.

Why: sqlglot translates the elements of format strings to Python's while it parses, and so loses the difference between
``%F`` and ``%Y-%m-%d``, which pad years before 1000 differently. The rules in :mod:`..translation.times` read them.

Can be removed when sqlglot keeps the format string of a statement.
"""

from __future__ import annotations

from sqlglot.dialects.bigquery import BigQuery


def install() -> None:
    """Make sqlglot parse and write BigQuery's format strings unchanged."""
    BigQuery.TIME_MAPPING = {}
    BigQuery.TIME_TRIE = {}
    BigQuery.INVERSE_TIME_MAPPING = {}
    BigQuery.INVERSE_TIME_TRIE = {}
