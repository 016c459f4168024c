"""Bytes that a query reads, by BigQuery's rules: the columns that it names, in the partitions that its filters leave.

Sources: "Estimate and control costs" (https://cloud.google.com/bigquery/docs/estimate-costs) and "Query partitioned
tables" (https://cloud.google.com/bigquery/docs/querying-partitioned-tables).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import duckdb
from bqemulator.catalog.models import TableMeta
from bqemulator.domain.errors import DomainError
from bqemulator.sql.parameters import bind_parameters
from sqlglot import exp

from local.cloud.bigquery.partition_filter import conditions_on
from local.cloud.bigquery.partitions import TableRef
from local.cloud.bigquery.schemas import Field, by_name, duckdb_type, literal, quoted, table_fields
from local.cloud.bigquery.statements import MAX_VIEW_DEPTH, parse, referenced, translate
from local.cloud.bigquery.store import Store

_WORD_SIZES = {"BOOLEAN": 1, "NUMERIC": 16, "INTERVAL": 16}
_PRUNING = (exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_FLIPPED = {exp.GT: exp.LT, exp.GTE: exp.LTE, exp.LT: exp.GT, exp.LTE: exp.GTE, exp.EQ: exp.EQ}
_Parameters = list[dict[str, Any]] | None


async def bytes_read(
    store: Store, sql: str, project: str, parameters: _Parameters = None, *, external: bool = True, depth: int = 0
) -> int:
    """Return an upper bound of the bytes that a query reads.

    It reads all rows of every column that it names, other than those in partitions that a filter in the SELECT around
    the table excludes. Columns that a view names are read whatever the query takes from it.

    Args:
        store: the store.
        sql: the query.
        project: the default project of table names.
        parameters: the job's query parameters.
        external: whether the data of external tables counts, which a dry run does not know.
        depth: number of views around the query.
    """
    tree = parse(sql)
    if tree is None:
        return 0
    wanted = _wanted(tree)
    nodes: dict[TableRef, list[exp.Table]] = {}
    for node, ref in referenced(tree, project):
        nodes.setdefault(ref, []).append(node)
    total = 0
    for ref, places in nodes.items():
        table = store.catalog.get_table(*ref.key)
        if table is None:
            continue
        if table.table_type == "TABLE":
            filters = [await _Pruning(store, table, project, parameters).of_table(node) for node in places]
            total += table_bytes(store, table, wanted, None if None in filters else " OR ".join(map(str, filters)))
        elif table.table_type == "EXTERNAL":
            total += table_bytes(store, table, wanted) if external else 0
        elif table.view_query and depth < MAX_VIEW_DEPTH:
            total += await bytes_read(store, table.view_query, project, external=external, depth=depth + 1)
    return total


def _wanted(tree: exp.Expression) -> set[str] | None:
    """Return the lower-case names of the columns that a query names; None for all columns.

    A name before a dot may be that of a struct, and the name of a table alone stands for its rows.
    """
    if any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star)):
        return None
    columns = list(tree.find_all(exp.Column))
    tables = {table.alias_or_name.lower() for table in tree.find_all(exp.Table)}
    if any(not column.table and column.name.lower() in tables for column in columns):
        return None
    return {part.name.lower() for column in columns for part in column.parts}


def table_bytes(store: Store, table: TableMeta, wanted: set[str] | None = None, where: str | None = None) -> int:
    """Return the logical size of a table by BigQuery's rules.

    Args:
        store: the store.
        table: the table.
        wanted: lower-case names of the columns that count; None for all.
        where: DuckDB SQL of a condition on the rows that count; None for all.
    """
    ref = TableRef(table.project_id, table.dataset_id, table.table_id)
    size = size_sql([f for f in table_fields(table) if wanted is None or f["name"].lower() in wanted])
    if size == "0":
        return 0
    row = store.execute(f"SELECT {size} FROM {ref.sql}{f' WHERE {where}' if where else ''}").fetchone()
    return int(row[0]) if row else 0


def size_sql(fields: Sequence[Field]) -> str:
    """Return a DuckDB aggregate: the logical size of columns."""
    sizes = [_size_of(column) for column in fields]
    return f"coalesce({' + '.join(sizes)}, 0)::BIGINT" if sizes else "0"


def _size_of(column: Field) -> str:
    name = quoted(column["name"])
    if column["mode"] == "REPEATED" or column["type"] in ("RECORD", "JSON", "GEOGRAPHY", "STRING"):
        return f"coalesce(sum(strlen({name}::VARCHAR) + 2), 0)"
    if column["type"] == "BYTES":
        return f"coalesce(sum(octet_length({name}) + 2), 0)"
    return f"count({name}) * {_WORD_SIZES.get(column['type'], 8)}"


class _Pruning:
    """Finds the partitions of a table that the filters of a query leave."""

    def __init__(self, store: Store, table: TableMeta, project: str, parameters: _Parameters) -> None:
        self._store = store
        self._project = project
        self._parameters = parameters
        self._partitioning = table.time_partitioning
        if self._partitioning and self._partitioning.field:
            self._column = by_name(table_fields(table))[self._partitioning.field.lower()]

    async def of_table(self, node: exp.Table) -> str | None:
        """Return a DuckDB condition that is true in the partitions to read; None for all of them."""
        if self._partitioning is None or not self._partitioning.field:
            return None
        alias = (node.alias or node.name).lower()
        found = [await self._filter(condition, alias) for condition in conditions_on(node)]
        return " AND ".join(f"({part})" for part in found if part) or None

    async def _filter(self, condition: exp.Expression, alias: str) -> str | None:
        condition = condition.unnest()
        if isinstance(condition, exp.And | exp.Or):
            sides = [await self._filter(side, alias) for side in (condition.left, condition.right)]
            if isinstance(condition, exp.Or):
                return None if None in sides else f"({sides[0]}) OR ({sides[1]})"
            return " AND ".join(f"({side})" for side in sides if side) or None
        if isinstance(condition, exp.Between) and self._is_column(condition.this, alias):
            low = await self._compare(exp.GTE, condition.args["low"])
            high = await self._compare(exp.LTE, condition.args["high"])
            return f"{low} AND {high}" if low and high else None
        if isinstance(condition, exp.In) and condition.expressions and self._is_column(condition.this, alias):
            parts = [await self._compare(exp.EQ, value) for value in condition.expressions]
            return None if None in parts else " OR ".join(map(str, parts))
        if isinstance(condition, _PRUNING):
            if self._is_column(condition.left, alias):
                return await self._compare(type(condition), condition.right)
            if self._is_column(condition.right, alias):
                return await self._compare(_FLIPPED[type(condition)], condition.left)
        return None

    def _is_column(self, node: exp.Expression, alias: str) -> bool:
        node = node.unnest()
        if isinstance(node, exp.Date) and not node.expressions and self._column["type"] != "DATE":
            node = node.this.unnest()
        return (
            isinstance(node, exp.Column)
            and node.name.lower() == self._column["name"].lower()
            and node.table.lower() in ("", alias)
        )

    async def _compare(self, operator: type[exp.Expression], value: exp.Expression) -> str | None:
        """Return a comparison of the partitions' starts with a constant."""
        constant = await self._constant(value)
        if constant is None or self._partitioning is None:
            return None
        unit = self._partitioning.type.lower()
        start = f"date_trunc('{unit}', {quoted(self._column['name'])})"
        bound = f"CAST({literal(str(constant))} AS {duckdb_type({**self._column, 'mode': 'NULLABLE'})})"
        if operator is exp.LT:
            return f"{start} < {bound}"
        if operator is exp.GT and unit == "day" and self._column["type"] == "DATE":
            return f"{start} > {bound}"
        sign = {exp.EQ: "=", exp.LTE: "<="}.get(operator, ">=")
        return f"{start} {sign} date_trunc('{unit}', {bound})"

    async def _constant(self, value: exp.Expression) -> date | str | None:
        """Return the value of an expression that is the same for all rows; None if it is not."""
        value = value.unnest()
        if isinstance(value, exp.Literal) and value.is_string:
            return str(value.this)
        if isinstance(value, exp.Cast) and isinstance(value.this, exp.Literal) and value.this.is_string:
            return str(value.this.this)
        if any(isinstance(part, exp.Column | exp.Query) for part in value.walk()):
            return None
        try:
            sql = await translate(self._store, f"SELECT {value.sql(dialect='bigquery')} AS v", self._project)
            sql, values = bind_parameters(sql, self._used(value))
            row = self._store.execute(sql, values or None).fetchone()
        except (DomainError, duckdb.Error):
            return None
        return row[0] if row and isinstance(row[0], date | str) else None

    def _used(self, value: exp.Expression) -> _Parameters:
        names = {part.name.lower() for part in value.find_all(exp.Parameter)}
        return [given for given in self._parameters or () if str(given.get("name")).lower() in names] or None
