"""Wildcard tables: one query for all tables whose names begin alike.

Source: "Query multiple tables using a wildcard table"
(https://cloud.google.com/bigquery/docs/querying-wildcard-tables).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from bqemulator.catalog.models import TableMeta
from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.partitions import TableRef
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.translation import types

SUFFIX = "_TABLE_SUFFIX"
"""The pseudo column with what ``*`` stands for."""
Members = tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]
"""For each table its id, and the columns of the newest, each with whether this table has it."""


def matching_tables(store: Store, ref: TableRef) -> list[TableMeta]:
    """Return the tables of a wildcard table, whose ``*`` stands for one or more characters."""
    prefix = ref.table[:-1]
    tables = store.catalog.list_tables(ref.project, ref.dataset)
    return [table for table in tables if table.table_id.startswith(prefix) and table.table_id != prefix]


def newest(tables: Iterable[TableMeta]) -> TableMeta | None:
    """Return the table that was created last, whose schema is that of the wildcard table; None if there is none."""
    return max(tables, key=lambda table: table.creation_time, default=None)


def check(store: Store, ref: TableRef) -> None:
    """Refuse a wildcard table that BigQuery cannot read either, or that this emulator does not.

    Raises:
        ValidationError: it matches nothing, something else than tables, or columns of one name and different types.
    """
    tables = matching_tables(store, ref)
    schema = newest(tables)
    if schema is None:
        raise invalid(f"{ref} does not match any table.")
    kinds = {field.name.lower(): types.of_schema_field(field) for field in schema.schema_.fields}
    for table in tables:
        if table.table_type != "TABLE":
            raise limit(f"read the {table.table_type} {table.table_id} through the wildcard table {ref}")
        if table.time_partitioning and table.time_partitioning.require_partition_filter:
            raise limit(f"read {table.table_id}, which requires a partition filter, through the wildcard table {ref}")
        for field in table.schema_.fields:
            kind, wanted = types.of_schema_field(field), kinds.get(field.name.lower())
            if wanted is not None and kind != wanted:
                raise invalid(f"Cannot read field of type {kind} as {wanted} Field: {field.name}")


def members(store: Store, ref: TableRef) -> Members:
    """Return what the union of the tables is made of."""
    tables = matching_tables(store, ref)
    schema = newest(tables)
    names = [field.name for field in schema.schema_.fields] if schema else []
    return tuple((table.table_id, tuple(_columns(table, names))) for table in tables)


def _columns(table: TableMeta, names: Sequence[str]) -> Iterable[tuple[str, bool]]:
    own = {field.name.lower() for field in table.schema_.fields}
    return ((name, name.lower() in own) for name in names)


def expand(nodes: Iterable[exp.Table], ref: TableRef, members: Members) -> None:
    """Put a union of the tables, column by column, in the place of a wildcard table."""
    for node in nodes:
        selects = [_select(ref, table, columns) for table, columns in members]
        query = functools.reduce(lambda left, right: exp.union(left, right, distinct=False), selects)
        source = exp.Subquery(
            this=query, alias=exp.TableAlias(this=exp.to_identifier(node.alias or ref.table, quoted=True))
        )
        source.set("pivots", node.args.get("pivots"))
        node.replace(source)


def _select(ref: TableRef, table: str, columns: Iterable[tuple[str, bool]]) -> exp.Query:
    values = [
        exp.column(exp.to_identifier(name, quoted=True))
        if has
        else exp.alias_(exp.null(), exp.to_identifier(name, quoted=True))
        for name, has in columns
    ]
    suffix = exp.alias_(exp.Literal.string(table.removeprefix(ref.table[:-1])), SUFFIX)
    names = (exp.to_identifier(name, quoted=True) for name in (table, ref.dataset, ref.project))
    return exp.select(*values, suffix).from_(exp.Table(**dict(zip(("this", "db", "catalog"), names, strict=True))))


def hide_suffix(tree: exp.Expression) -> None:
    """Leave the pseudo column of wildcard tables out of ``*``, in place: only a query that names it has it."""
    for select in tree.find_all(exp.Select):
        sources = [source.this for source in (select.args.get("from_"), *(select.args.get("joins") or ())) if source]
        wild = [source.alias_or_name for source in sources if isinstance(source, exp.Table) and source.name[-1:] == "*"]
        for item in select.expressions if wild else ():
            star = item.this if isinstance(item, exp.Column) else item
            if isinstance(star, exp.Star) and (star is item or item.table in wild):
                star.set("except_", [*(star.args.get("except_") or ()), exp.to_identifier(SUFFIX)])
