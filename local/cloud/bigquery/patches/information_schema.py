"""Patch of bqemulator 1.4.0: metadata views are found in the statement's tree, and two more are served.

Replaces ``expand_information_schema`` in ``bqemulator.sql.inner_query``, and calls the original for one view at a time.

Why: the original replaces names in the text, also in string literals, by a list of values, which takes seconds to
translate for a dataset with ten tables. It answers a view of a region, of a dataset that does not exist, or of no
dataset with no rows. It knows neither ``COLUMN_FIELD_PATHS`` nor ``__TABLES__``, which dbt reads for its catalog, nor
the column ``ddl`` of TABLES, and counts no bytes of rows from INSERT.

Can be removed when bqemulator finds the views in the tree and serves these two.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from bqemulator.catalog.models import TableFieldSchema, TableMeta
from bqemulator.sql import inner_query
from bqemulator.sql.rewriter import information_schema
from sqlglot import exp

from local.cloud.bigquery.estimates import size_sql, table_bytes
from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.partitions import ID_FORMATS, TableRef
from local.cloud.bigquery.patches.routines import routine_ddl
from local.cloud.bigquery.patches.table_metadata import view_text
from local.cloud.bigquery.schemas import duckdb_type, literal, normalized, quoted, table_fields
from local.cloud.bigquery.statements import parse
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.table_ddl import table_ddl
from local.cloud.bigquery.user_functions import type_sql
from local.cloud.bigquery.writes import count_rows, require_dataset

_SCHEMA = "INFORMATION_SCHEMA"
_BY_TABLE = ("table_catalog", "table_schema", "table_name")
_STRINGS, _INTEGERS, _TIMES = "STRING", "INT64", "TIMESTAMP"
_DEFAULTS = ("column_default", "rounding_mode")
# The columns of each view, with their types.
_VIEWS: dict[str, dict[str, str]] = {
    "__TABLES__": {
        **dict.fromkeys(("project_id", "dataset_id", "table_id"), _STRINGS),
        **dict.fromkeys(("creation_time", "last_modified_time", "row_count", "size_bytes", "type"), _INTEGERS),
    },
    "COLUMN_FIELD_PATHS": dict.fromkeys(
        (*_BY_TABLE, "column_name", "field_path", "data_type", "description", "collation_name", "rounding_mode"),
        _STRINGS,
    ),
    "MATERIALIZED_VIEWS": {
        **dict.fromkeys(_BY_TABLE, _STRINGS),
        **dict.fromkeys(("last_refresh_time", "refresh_watermark"), _TIMES),
        **{"enable_refresh": "BOOL", "refresh_interval_minutes": _INTEGERS, "last_modified_time": _TIMES},
        "is_stale": "BOOL",
    },
    "ROUTINES": {
        **dict.fromkeys(("specific_catalog", "specific_schema", "specific_name"), _STRINGS),
        **dict.fromkeys(("routine_catalog", "routine_schema", "routine_name", "routine_type"), _STRINGS),
        **dict.fromkeys(("data_type", "routine_body", "routine_definition", "external_language"), _STRINGS),
        **{
            "is_deterministic": _STRINGS,
            "security_type": _STRINGS,
            "created": _TIMES,
            "last_altered": _TIMES,
            "ddl": _STRINGS,
        },
    },
    "COLUMNS": {**dict(information_schema._COLUMNS_COLUMN_TYPES), **dict.fromkeys(_DEFAULTS, _STRINGS)},
    "PARTITIONS": dict(information_schema._PARTITIONS_COLUMN_TYPES),
    "SCHEMATA": dict(information_schema._SCHEMATA_COLUMN_TYPES),
    "TABLES": {**dict(information_schema._TABLES_COLUMN_TYPES), "ddl": _STRINGS},
    "TABLE_OPTIONS": dict(information_schema._TABLE_OPTIONS_COLUMN_TYPES),
    "VIEWS": dict(information_schema._VIEWS_COLUMN_TYPES),
}
_TABLE_TYPES = {"TABLE": 1, "VIEW": 2, "MATERIALIZED_VIEW": 2, "EXTERNAL": 3}


def install(store: Store) -> None:
    """Make bqemulator read the metadata views of ``store``."""

    def expand(sql: str, project: str, catalog: Any) -> str:
        if _SCHEMA not in sql.upper() and "__TABLES__" not in sql:
            return sql
        tree = parse(sql)
        views = [node for node in tree.find_all(exp.Table) if _is_view(node)] if tree else []
        if tree is None or not views:
            return sql
        if isinstance(tree, exp.Create) and tree.kind == "VIEW":
            raise limit(f"have views over {_SCHEMA} and __TABLES__; query them directly")
        for node in views:
            node.replace(_rows(store, node, project).subquery(node.alias or _parts(node)[-1]))
        return tree.sql(dialect="bigquery")

    inner_query.expand_information_schema = expand
    as_values = information_schema._views_as_values

    def with_texts(views: tuple[TableMeta, ...], *names: str) -> str:
        return as_values(tuple(view.model_copy(update={"view_query": view_text(view)}) for view in views), *names)

    information_schema._views_as_values = with_texts


def _parts(node: exp.Table) -> list[str]:
    return ".".join(part.name for part in node.parts).split(".")


def _is_view(node: exp.Table) -> bool:
    parts = _parts(node)
    return parts[-1] == "__TABLES__" or (len(parts) > 1 and parts[-2].upper() == _SCHEMA)


def _rows(store: Store, node: exp.Table, project: str) -> exp.Select:
    """Return a query for the rows of the metadata view at ``node``.

    Raises:
        DomainError: the view or its dataset does not exist, or is not supported.
    """
    *scope, view = _parts(node)
    if view != "__TABLES__":
        scope, view = scope[:-1], view.upper()
    if view not in _VIEWS:
        raise limit(f"have the view {_SCHEMA}.{view}")
    if view == "SCHEMATA":
        return _materialized(store, view, _of_bqemulator(store, project, f"{_SCHEMA}.{view}"))
    if not scope:
        raise invalid(f'Table "{view}" must be qualified with a dataset (e.g. dataset.table)')
    if scope[-1].lower().startswith("region-"):
        raise limit(f"have the views of a region ({scope[-1]}.{_SCHEMA}.{view}); name a dataset")
    dataset = TableRef(scope[-2] if len(scope) > 1 else project, scope[-1], "")
    require_dataset(store, dataset)
    if view == "__TABLES__":
        return _materialized(store, view, _values(view, _table_rows(store, dataset)))
    if view == "COLUMN_FIELD_PATHS":
        return _materialized(store, view, _values(view, _field_path_rows(store, dataset)))
    if view == "ROUTINES":
        return _materialized(store, view, _values(view, _routine_rows(store, dataset)))
    if view == "PARTITIONS":
        return _materialized(store, view, _values(view, _partition_rows(store, dataset)))
    name = f"`{dataset.project}`.`{dataset.dataset}`.{_SCHEMA}.{view}"
    rows = _of_bqemulator(store, project, name)
    if view == "TABLES":
        statements = ", ".join(
            f"({literal(table.table_id)}, {literal(table_ddl(table))})" for table in _tables(store, dataset)
        )
        ddl = f"(VALUES (NULL, NULL){', ' if statements else ''}{statements}) AS d(id, ddl)"
        rows = f"(SELECT v.*, d.ddl FROM {rows} AS v LEFT JOIN {ddl} ON d.id = v.table_name)"
    elif view == "COLUMNS":
        rows = f"(SELECT v.*, 'NULL' AS column_default, NULL AS rounding_mode FROM {rows} AS v)"
    return _materialized(store, view, rows)


def _materialized(store: Store, view: str, duckdb_sql: str) -> exp.Select:
    """Write the rows into a temporary table, and return a query for it that states the type of each column."""
    columns, name = _VIEWS[view], f"metadata_{secrets.token_hex(8)}"
    fields = normalized({"name": column, "type": kind} for column, kind in columns.items())
    casts = ", ".join(f"CAST({quoted(f['name'])} AS {duckdb_type(f)}) AS {quoted(f['name'])}" for f in fields)
    store.execute(f"CREATE TEMP TABLE {quoted(name)} AS SELECT {casts} FROM {duckdb_sql}")
    typed = (exp.cast(exp.column(column), kind, dialect="bigquery").as_(column) for column, kind in columns.items())
    return exp.select(*typed).from_(name)


def _of_bqemulator(store: Store, project: str, name: str) -> str:
    return information_schema.expand_information_schema(name, project, store.catalog)


def _values(view: str, rows: Iterator[Sequence[Any]]) -> str:
    nothing = [None] * len(_VIEWS[view])
    lines = ", ".join(f"({', '.join(map(_literal, row))})" for row in (nothing, *rows))
    first, *others = map(quoted, _VIEWS[view])
    return f"(SELECT * FROM (VALUES {lines}) AS v({', '.join([first, *others])}) WHERE {first} IS NOT NULL)"


def _literal(value: str | int | None) -> str:
    return "NULL" if value is None else literal(value) if isinstance(value, str) else str(value)


def _tables(store: Store, dataset: TableRef) -> list[TableMeta]:
    found = store.catalog.list_tables(dataset.project, dataset.dataset)
    return sorted(found, key=lambda table: table.table_id)


def _table_rows(store: Store, dataset: TableRef) -> Iterator[Sequence[Any]]:
    for table in _tables(store, dataset):
        ref = TableRef(dataset.project, dataset.dataset, table.table_id)
        times = (int(time.timestamp() * 1000) for time in (table.creation_time, table.last_modified_time))
        sizes = (count_rows(store, ref), table_bytes(store, table)) if table.table_type == "TABLE" else (0, 0)
        yield *ref.key, *times, *sizes, _TABLE_TYPES[table.table_type]


def _routine_rows(store: Store, dataset: TableRef) -> Iterator[Sequence[Any]]:
    """Yield a row for each function and procedure.

    Source: "ROUTINES view" (https://cloud.google.com/bigquery/docs/information-schema-routines).
    """
    for routine in store.catalog.list_routines(dataset.project, dataset.dataset):
        name = (dataset.project, dataset.dataset, routine.routine_id)
        kind = routine.routine_type.removeprefix("SCALAR_").replace("TABLE_VALUED_FUNCTION", "TABLE FUNCTION")
        result = type_sql(routine.return_type or {}) or None
        times = (_timestamp(routine.creation_time), _timestamp(routine.last_modified_time))
        details = (result, "SQL", routine.definition_body, None, None, None)
        yield *name, *name, kind, *details, *times, routine_ddl(routine)


def _timestamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S.%f+00")


def _partition_rows(store: Store, dataset: TableRef) -> Iterator[Sequence[Any]]:
    for table in _tables(store, dataset):
        if table.table_type != "TABLE":
            continue
        ref = TableRef(dataset.project, dataset.dataset, table.table_id)
        modified = _timestamp(table.last_modified_time)
        for partition, rows, size in _partitions(store, table, ref):
            yield *ref.key, partition, rows, size, modified, "ACTIVE"


def _partitions(store: Store, table: TableMeta, ref: TableRef) -> list[tuple[str | None, int, int]]:
    """Return the id, the number of rows and the logical size of each partition; of a plain table one without an id."""
    size, partitioning = size_sql(table_fields(table)), table.time_partitioning
    if partitioning is None or not partitioning.field:
        return store.execute(f"SELECT NULL, count(*), {size} FROM {ref.sql}").fetchall()
    column = quoted(partitioning.field)
    name = f"coalesce(strftime({column}, '{ID_FORMATS[partitioning.type]}'), '__NULL__')"
    return store.execute(f"SELECT {name}, count(*), {size} FROM {ref.sql} GROUP BY 1 ORDER BY 1").fetchall()


def _field_path_rows(store: Store, dataset: TableRef) -> Iterator[Sequence[Any]]:
    for table in _tables(store, dataset):
        if table.table_type == "EXTERNAL":
            continue  # BigQuery does not list their columns here
        key = (dataset.project, dataset.dataset, table.table_id)
        for column in table.schema_.fields:
            for path, field in _paths(column, column.name):
                data_type = information_schema._render_data_type(field)
                yield *key, column.name, path, data_type, field.description, field.collation, field.rounding_mode


def _paths(field: TableFieldSchema, path: str) -> Iterator[tuple[str, TableFieldSchema]]:
    yield path, field
    for nested in field.fields:
        yield from _paths(nested, f"{path}.{nested.name}")
