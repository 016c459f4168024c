"""Structs: the names of their fields, and SELECT AS VALUE.

Source: "Data types", constructing a struct
(https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#constructing_a_struct).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import limit
from local.cloud.bigquery.translation.rules import Context, rule
from local.cloud.bigquery.translation.types import Type

_VALUE = "bq_value"


def check_field_order(wanted: Type | None, given: Type | None) -> None:
    """Refuse a struct where one with other names, or another order of names, is wanted.

    BigQuery coerces structs by the order of their fields, DuckDB by their names.

    Raises:
        ValidationError: a field has another name than the one in its place.
    """
    if wanted is None or given is None or (wanted.name, given.name) != ("STRUCT", "STRUCT"):
        return
    for (name, kind), (other, other_kind) in zip(wanted.fields, given.fields, strict=False):
        if name and other and name.lower() != other.lower():
            raise limit(f"coerce a STRUCT whose field {other} is in the place of {name}; name its fields as there")
        check_field_order(kind, other_kind)


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


@rule(exp.Array)
def fields_of_first(node: exp.Array, context: Context) -> exp.Expression | None:
    """The structs of an array literal have the field names of the first; a list in parentheses is a struct too.

    Source: "Arrays", querying ARRAY-type fields in STRUCTs
    (https://cloud.google.com/bigquery/docs/reference/standard-sql/arrays#querying_array-type_fields_in_structs).
    """
    kind = context.of(node)
    element = kind.element if kind and kind.name == "ARRAY" else None
    for item in node.expressions:
        check_field_order(element, context.of(item))
    if element is None or element.name != "STRUCT" or not all(name for name, _ in element.fields):
        return None
    plain = [
        item
        for item in node.expressions
        if isinstance(item, exp.Tuple | exp.Struct)
        and len(item.expressions) == len(element.fields)
        and not any(isinstance(part, exp.PropertyEQ) for part in item.expressions)
    ]
    for item in plain:
        fields = [
            exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=part)
            for (name, _), part in zip(element.fields, item.expressions, strict=True)
        ]
        item.replace(exp.Struct(expressions=fields))
    return node if plain else None


@rule(exp.Select)
def fields_of_column(node: exp.Select, context: Context) -> exp.Expression | None:
    """``struct_column.*`` selects the fields, which ORDER BY can name.

    Source: "Query syntax", SELECT expression.*. DuckDB expands it after it has resolved ORDER BY.
    """
    items: list[exp.Expression] = []
    changed = False
    for item in node.expressions:
        kind = context.of(item)
        is_struct = kind is not None and kind.name == "STRUCT" and all(name for name, _ in kind.fields)
        if not (isinstance(item, exp.Column) and isinstance(item.this, exp.Star) and is_struct and not item.db):
            items.append(item)
            continue
        changed = True
        dropped = {name.name.lower() for name in item.this.args.get("except_") or ()}
        replaced = {part.alias.lower(): part for part in item.this.args.get("replace") or ()}
        for name, _ in kind.fields if kind else ():
            column = exp.column(exp.to_identifier(name, quoted=True), table=item.args["table"].copy())
            if name.lower() not in dropped:
                items.append(replaced.get(name.lower()) or exp.alias_(column, name, quoted=True))
    if not changed:
        return None
    node.set("expressions", items)
    return node


@rule(exp.Select)
def columns_of_struct(node: exp.Select, context: Context) -> exp.Expression | None:
    """The fields of SELECT AS STRUCT are the columns of a statement's result.

    Source: "Query syntax", SELECT AS STRUCT.
    """
    query: exp.Expression = node
    while isinstance(query.parent, exp.SetOperation):
        query = query.parent
    if query.parent is not None or node.args.get("kind") != "STRUCT":
        return None
    node.set("kind", None)
    return node


@rule(exp.Select)
def value_table(node: exp.Select, context: Context) -> exp.Expression | None:
    """The fields of SELECT AS VALUE of a struct are the columns of the query's result.

    Source: "Query syntax", SELECT AS VALUE
    (https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#select_as_value).
    """
    if node.parent is not None or node.args.get("kind") != "VALUE" or len(node.expressions) != 1:
        return None
    item = node.expressions[0]
    kind = context.of(item) or context.of(item.unalias())
    if kind is None or kind.name != "STRUCT":
        return None
    node.set("expressions", [exp.alias_(item.unalias(), _VALUE)])
    node.set("kind", None)
    return exp.select(exp.column(exp.Star(), table=_VALUE)).from_(node.subquery("value_table", copy=False))
