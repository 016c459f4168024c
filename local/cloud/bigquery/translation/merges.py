"""MERGE whose rows never match: how dbt replaces partitions."""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.translation.rules import Context, rule

_KEY = "_never_a_rowid"

_SOURCE = "bq_merge_source"


@rule(exp.Merge)
def merge_on_false(node: exp.Merge, context: Context) -> exp.Expression | None:
    """Replace ``ON FALSE`` by an equation that never holds: DuckDB hashes its sides, instead of comparing all pairs.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#merge_statement: "constant false predicate"
    """
    on, source = node.args["on"], node.args["using"]
    if not isinstance(on, exp.Boolean) or on.this:
        return None
    name = source.alias_or_name or _SOURCE
    # Row ids are never negative.
    keyed = exp.select("*", exp.alias_(exp.Literal.number(-1), _KEY)).from_(source.copy())
    node.set("using", keyed.subquery(name))
    target = node.this.alias_or_name
    node.set("on", exp.EQ(this=exp.column("rowid", table=target, quoted=True), expression=exp.column(_KEY, table=name)))
    return node
