"""Which clauses of a SELECT may have aggregate and window functions.

Source: "Query syntax" (https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax); the texts:
GoogleSQL's analyzer (https://github.com/google/googlesql/tree/master/googlesql/analyzer/testdata).
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from local.cloud.bigquery.limits import invalid

_WITHOUT_AGGREGATES = {"where": "WHERE clause", "group": "GROUP BY"}
_WITHOUT_WINDOWS = {**_WITHOUT_AGGREGATES, "having": "HAVING clause"}
_MODIFIERS = (exp.IgnoreNulls, exp.RespectNulls, exp.Order, exp.Limit, exp.HavingMax)


def check_clauses(select: exp.Select) -> None:
    """Refuse aggregate and window functions where none may be, and HAVING without an aggregation.

    Raises:
        ValidationError: in BigQuery's words.
    """
    for part, clause in _WITHOUT_WINDOWS.items():
        node = select.args.get(part)
        if node is not None:
            _refuse(node, clause, aggregates=part in _WITHOUT_AGGREGATES)
    if select.args.get("from_") is None:
        for item in select.expressions:
            _refuse(item, "SELECT without FROM clause", aggregates=True)
    having = select.args.get("having")
    if having is None or select.args.get("group") is not None:
        return
    if not any(True for part in (*select.expressions, having) for _ in _aggregates(part)):
        raise invalid("The HAVING clause requires GROUP BY or aggregation to be present")


def _refuse(node: exp.Expression, clause: str, *, aggregates: bool) -> None:
    if any(isinstance(part, exp.Window) for part in _outside_of_queries(node)):
        raise invalid(f"Analytic function not allowed in {clause}")
    found = next(_aggregates(node), None) if aggregates else None
    if found is not None:
        star = "(*)" if isinstance(found.this, exp.Star) else ""
        name = str(found.meta.get("name") or found.sql_name()).upper()
        raise invalid(f"Aggregate function {name}{star} not allowed in {clause}")


def _aggregates(node: exp.Expression) -> Iterator[exp.AggFunc]:
    """Yield the aggregate functions of an expression that are of no window and no subquery."""
    for part in _outside_of_queries(node):
        parent = part.parent
        while isinstance(parent, _MODIFIERS):
            parent = parent.parent
        if isinstance(part, exp.AggFunc) and not isinstance(parent, exp.Window):
            yield part


def _outside_of_queries(node: exp.Expression) -> Iterator[exp.Expression]:
    return node.walk(prune=lambda part: isinstance(part, exp.Query))
