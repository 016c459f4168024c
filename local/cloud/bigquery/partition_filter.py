"""Enforces ``requirePartitionFilter``: refuses statements that could read all partitions of such a table.

BigQuery decides this after pushing filters down. This check considers only the WHERE and ON of the SELECT (or UPDATE,
DELETE, MERGE) that names the table, so it is stricter than BigQuery, never more lenient.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.partitions import TableRef

_COMPARISONS = (exp.EQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In, exp.Is)


def check_partition_filter(node: exp.Table, ref: TableRef, columns: Collection[str]) -> None:
    """Check that the statement around ``node`` filters the table by one of its partitioning columns.

    Args:
        node: a reference to the table in a parsed statement.
        ref: the table that it resolves to.
        columns: the partitioning columns.

    Raises:
        ValidationError: it does not; in BigQuery's wording.
    """
    wanted = {column.lower() for column in columns}
    alias = (node.alias or node.name).lower()
    if not any(_filters(condition, wanted, alias) for condition in conditions_on(node)):
        names = ", ".join(f"'{column}'" for column in columns)
        raise invalid(
            f"Cannot query over table '{ref.project}.{ref.dataset}.{ref.table}' without a filter over column(s) "
            f"{names} that can be used for partition elimination (the filter must stand in the WHERE or ON of the "
            "SELECT that names the table)"
        )


def conditions_on(node: exp.Table) -> Iterator[exp.Expression]:
    """Yield the conditions that the rows of a table must meet: WHERE and ON of the statement that names it."""
    statement = node.find_ancestor(exp.Select, exp.Update, exp.Delete, exp.Merge, exp.Insert)
    if statement is None:
        return
    where = statement.args.get("where")
    if where is not None:
        yield where.this
    if isinstance(statement, exp.Merge):
        yield statement.args["on"]
    for join in statement.args.get("joins") or ():
        # A filter in the ON of an outer join does not remove rows of its outer side.
        if join.args.get("on") is not None and not join.side:
            yield join.args["on"]


def _filters(condition: exp.Expression, columns: Collection[str], alias: str) -> bool:
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        return _filters(condition.left, columns, alias) or _filters(condition.right, columns, alias)
    if isinstance(condition, exp.Or):
        return _filters(condition.left, columns, alias) and _filters(condition.right, columns, alias)
    if not isinstance(condition, _COMPARISONS):
        return False
    if isinstance(condition, exp.Binary) and not isinstance(condition, exp.Is):
        pairs = [(condition.left, [condition.right]), (condition.right, [condition.left])]
    else:
        pairs = [(condition.this, [item for item in condition.iter_expressions() if item is not condition.this])]
    return any(
        _is_column(side, columns, alias) and all(_is_constant(other, columns) for other in others)
        for side, others in pairs
    )


def _is_constant(side: exp.Expression, columns: Collection[str]) -> bool:
    """Return whether an expression is the same for all rows; a comparison with a column of a row prunes nothing."""
    for column in side.find_all(exp.Column):
        if column.name.startswith("$"):
            continue  # a script's variable
        query: exp.Expression | None = None
        node: exp.Expression | None = column
        while node is not None and node is not side.parent:
            if isinstance(node, exp.Query):
                query = node
            node = node.parent
        if query is None:
            return False
        sources = {table.alias_or_name.lower() for table in query.find_all(exp.Table, exp.Subquery, exp.CTE)} - {""}
        own = column.table.lower() in sources if column.table else sources or column.name.lower() not in columns
        if not own:
            return False
    return True


def _is_column(side: exp.Expression, columns: Collection[str], alias: str) -> bool:
    """Return whether an expression is the column, or a cast or truncation of it, for which BigQuery still prunes."""
    side = side.unnest()
    while isinstance(
        side, exp.Cast | exp.Date | exp.DateTrunc | exp.TimestampTrunc | exp.DatetimeTrunc | exp.TsOrDsToDate
    ):
        side = side.this.unnest()
    return isinstance(side, exp.Column) and side.name.lower() in columns and side.table.lower() in ("", alias)
