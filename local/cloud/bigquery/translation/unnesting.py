"""UNNEST in FROM: positions by WITH OFFSET, and the fields of structs as columns.

Source: "Query syntax", UNNEST operator
(https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#unnest_operator).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import Context, call, rule
from local.cloud.bigquery.translation.types import Type

_ELEMENT = "bq_element_of"
_UNNAMED = "f0_"

macro("bq_elements(elements)", "unnest(elements)")
macro("bq_offsets(elements)", "unnest(range(len(elements)))")


@rule(exp.Unnest)
def unnest(node: exp.Unnest, context: Context) -> exp.Expression | None:
    """UNNEST with WITH OFFSET counts from 0; the fields of an array's structs are columns.

    Source: "Query syntax", UNNEST operator. bqemulator subtracts 1 from every column of the offset's name, whatever
    table it belongs to, and DuckDB expands structs in literal arrays only, if they are of plain values.
    """
    if not isinstance(node.parent, exp.From | exp.Join) or len(node.expressions) != 1:
        return None
    array, offset = node.expressions[0], node.args.get("offset")
    columns = node.alias_column_names
    alias = node.alias_or_name or (columns[0] if columns else "")
    kind = context.of(array)
    if kind is not None and kind.name not in ("ARRAY", "NULL"):
        raise invalid(f"Values referenced in UNNEST must be arrays. UNNEST contains expression of type {kind}")
    fields = _fields(kind)
    is_plain = not fields and (alias or kind is None)
    if not offset and is_plain:
        return None
    _add_condition(node.parent)
    position = offset.name if isinstance(offset, exp.Identifier) else "offset" if offset else ""
    return _elements(node, array, alias, position, fields)


@rule(exp.Table)
def array_path(node: exp.Table, context: Context) -> exp.Expression | None:
    """``FROM t, t.array`` is ``UNNEST(t.array)``.

    Source: "Query syntax", correlated join operation.
    """
    kind = context.of(node)
    if kind is not None and kind.name != "ARRAY":
        shown = f"{node.db}.{node.name}"
        raise invalid(f"Values referenced in FROM clause must be arrays. {shown} has type {kind}")
    if kind is None or not isinstance(node.parent, exp.From | exp.Join):
        return None
    _add_condition(node.parent)
    array = exp.column(node.this.copy(), table=node.args["db"].copy())
    return _elements(node, array, node.alias_or_name, "", _fields(kind))


def _fields(kind: Type | None) -> tuple[str, ...]:
    element = kind.element if kind and kind.name == "ARRAY" else None
    names = tuple(name for name, _ in element.fields) if element and element.name == "STRUCT" else ()
    return names if all(names) else ()


def _elements(
    node: exp.Expression, array: exp.Expression, alias: str, position: str, fields: tuple[str, ...]
) -> exp.Expression:
    """Return a subquery with a row an element."""
    if position and _is_named(node, alias):
        fields = ()  # the name of the element would stand for its fields and the position
    items = [exp.alias_(call("bq_elements", array.copy()), _ELEMENT if fields else alias or _UNNAMED, quoted=True)]
    if position:
        items.append(exp.alias_(call("bq_offsets", array.copy()), position, quoted=True))
    query = exp.select(*items)
    if fields:
        members = [exp.column(exp.to_identifier(name, quoted=True), table=_ELEMENT) for name in fields]
        outer = [exp.alias_(member, member.name, quoted=True) for member in members]
        if position:
            outer.append(exp.column(exp.to_identifier(position, quoted=True)))
        query = exp.select(*outer).from_(query.subquery("elements"))
    return query.subquery(alias or None)


def _is_named(node: exp.Expression, alias: str) -> bool:
    """Return whether the query uses the element itself, by its name."""
    query = node.find_ancestor(exp.Select)
    found = query.find_all(exp.Column) if query else ()
    return any(column.name.lower() == alias.lower() and not column.table for column in found)


def _add_condition(parent: exp.Expression) -> None:
    """Give a join without a condition one, which BigQuery does not need before UNNEST and DuckDB does."""
    needs_one = isinstance(parent, exp.Join) and (parent.side or parent.kind == "INNER")
    if needs_one and not parent.args.get("on") and not parent.args.get("using"):
        parent.set("on", exp.true())
