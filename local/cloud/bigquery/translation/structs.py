"""Structs: the names of their fields.

Source: "Data types", constructing a struct
(https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#constructing_a_struct).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.translation.rules import Context, rule


@rule(exp.Struct)
def named_fields(node: exp.Struct, context: Context) -> exp.Expression | None:
    """A field of STRUCT(column) has the column's name.

    Source: "Data types", typeless syntax. bqemulator names no field unless all have an alias.
    """
    if isinstance(node.parent, exp.Cast) or not any(isinstance(item, exp.Column) for item in node.expressions):
        return None
    if not all(isinstance(item, exp.Column | exp.PropertyEQ) for item in node.expressions):
        return None
    fields = [
        exp.PropertyEQ(this=exp.to_identifier(item.name), expression=item) if isinstance(item, exp.Column) else item
        for item in node.expressions
    ]
    node.set("expressions", fields)
    return node
