"""Patches of bqemulator and sqlglot: every place that replaces, subclasses or calls their internals.

Each module covers one patched thing. Its docstring says what it replaces in which version, why, and when it can be
removed. When bqemulator or sqlglot is upgraded, these are the modules to check.

:func:`install` replaces attributes of the libraries, in this order. No patch depends on another, but ``table_metadata``
must be in place before the catalog reads its first table, and ``backtracking`` wraps what ``type_names`` has installed:

1. ``parse_cache``: sqlglot parses each statement once
2. ``table_metadata``: the catalog keeps what bqemulator's table metadata has no field for
3. ``statement_checks``: each statement is checked before bqemulator translates it
4. ``information_schema``: the metadata views
5. ``script_interpreter``: scripts with the DDL of this package, ASSERT and DuckDB's transactions
6. ``uploads``: files that come with a load job are loaded by this package
7. ``decimals``: NUMERIC is DECIMAL(38, 9)
8. ``number_format``: NUMERIC in answers
9. ``error_messages``: errors of running statements in BigQuery's words
10. ``format_strings``: sqlglot keeps format strings as they are written
11. ``views``: the queries of views are typed too
12. ``routines``: the bodies of functions are typed too
13. ``intervals``: intervals in answers
14. ``json_paths``: sqlglot keeps JSONPaths as they are written
15. ``nested_json``: the type JSON in arrays and structs of answers
16. ``script_parser``: CASE and REPEAT in scripts
17. ``delete_from``: DELETE without FROM
18. ``dashed_names``: projects with dashes and without backticks
19. ``cast_format``: CAST with FORMAT is refused
20. ``type_names``: only BigQuery's names of types
21. ``backtracking``: sqlglot parses calls once

The module ``server`` uses these subclasses and functions instead of bqemulator's own:

- ``engine``: a DuckDB cursor for each request
- ``catalog``: a catalog that can be rolled back and read while it is written
- ``time_travel``: no copy of the table at every change
- ``application``: bqemulator's application, with the routes of this package first

``internals`` collects the private functions of bqemulator that other modules call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.cloud.bigquery.jobs import Jobs
    from local.cloud.bigquery.store import Store


def install(store: Store, jobs: Jobs) -> None:
    """Install all patches, for a server of ``store`` and ``jobs``; call it once, before the database is opened."""
    # Imported here: the patches import modules that themselves import ``internals`` and ``table_metadata``.
    from local.cloud.bigquery.patches import (
        backtracking,
        cast_format,
        dashed_names,
        decimals,
        delete_from,
        error_messages,
        format_strings,
        information_schema,
        intervals,
        json_paths,
        nested_json,
        number_format,
        parse_cache,
        routines,
        script_interpreter,
        script_parser,
        statement_checks,
        table_metadata,
        type_names,
        uploads,
        views,
    )

    parse_cache.install()
    table_metadata.install()
    statement_checks.install(store)
    information_schema.install(store)
    script_interpreter.install(store)
    uploads.install(jobs)
    decimals.install()
    number_format.install()
    error_messages.install()
    format_strings.install()
    views.install(store)
    routines.install(store)
    intervals.install()
    json_paths.install()
    nested_json.install()
    script_parser.install()
    delete_from.install()
    dashed_names.install()
    cast_format.install()
    type_names.install()
    backtracking.install()
