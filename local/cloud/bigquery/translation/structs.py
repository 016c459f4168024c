"""Structs: the names of their fields, and SELECT AS VALUE.

Source: "Data types", constructing a struct
(https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#constructing_a_struct).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from local.cloud.bigquery.limits import limit
from local.cloud.bigquery.translation.rules import Context, rule
from local.cloud.bigquery.translation.types import ANONYMOUS, NULL, Type

_VALUE = "bq_value"


_FITTED = "fitted"
# Where a list in parentheses is no value.
_NO_VALUES = (
    exp.Any,
    exp.All,
    exp.Values,
    exp.Insert,
    exp.Group,
    exp.Cube,
    exp.Rollup,
    exp.GroupingSets,
    exp.Distinct,
)


def name_fields(tree: exp.Expression) -> bool:
    """Name the fields of all structs, in place; returns whether the tree has changed.

    A field of STRUCT(column) has the column's name. One without a name is ``_field_1``, ``_field_2``, ... in results. A
    list in parentheses is a struct whose fields have no names.

    Source: "Data types", tuple syntax and typeless struct syntax.

    Raises:
        ValidationError: two fields have one name.
    """
    found = False
    for node in list(tree.find_all(exp.Struct, exp.Tuple, exp.Select, exp.DataType)):
        if isinstance(node, exp.DataType):
            found = _name_members(node) or found
        elif isinstance(node, exp.Select):
            found = _name_columns(node) or found
        elif isinstance(node, exp.Struct):
            node.set("expressions", [_field(*item) for item in enumerate(node.expressions, 1)])
            _check_names(node)
            found = True
        elif not isinstance(node.parent, _NO_VALUES) and not node.find_ancestor(exp.Pivot, exp.Property):
            node.replace(exp.Struct(expressions=[_anonymous(*item) for item in enumerate(node.expressions, 1)]))
            found = True
    return found


def _check_names(struct: exp.Struct) -> None:
    _check_unique([item.name.lower() for item in struct.expressions])


def _check_unique(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise limit(f"have a STRUCT with two fields of the name {twice}; give them other names")


def _field(number: int, item: exp.Expression) -> exp.PropertyEQ:
    if isinstance(item, exp.PropertyEQ):
        return item
    if isinstance(item, exp.Alias):
        return exp.PropertyEQ(this=item.args["alias"], expression=item.this)
    if isinstance(item, exp.Column | exp.Dot) and not item.is_star:
        return exp.PropertyEQ(this=exp.to_identifier(item.name, quoted=True), expression=item)
    return _anonymous(number, item)


def _anonymous(number: int, item: exp.Expression) -> exp.PropertyEQ:
    field = exp.PropertyEQ(this=exp.to_identifier(f"_field_{number}", quoted=True), expression=item)
    field.meta[ANONYMOUS] = True
    return field


def _name_members(kind: exp.DataType) -> bool:
    """Name the fields of a STRUCT type that have no names."""
    if kind.this != exp.DataType.Type.STRUCT or not any(isinstance(one, exp.DataType) for one in kind.expressions):
        return False
    members = []
    for number, member in enumerate(kind.expressions, 1):
        named = member
        if isinstance(member, exp.DataType):
            named = exp.ColumnDef(this=exp.to_identifier(f"_field_{number}"), kind=member)
            named.meta[ANONYMOUS] = True
        members.append(named)
    kind.set("expressions", members)
    return True


def _name_columns(query: exp.Select) -> bool:
    """Name the columns of SELECT AS STRUCT, which are the fields of a struct."""
    named = (exp.Alias, exp.Column, exp.Dot, exp.Star)
    unnamed = [(number, item) for number, item in enumerate(query.expressions, 1) if not isinstance(item, named)]
    if query.args.get("kind") != "STRUCT" or not unnamed:
        return False
    for number, item in unnamed:
        alias = exp.alias_(item.copy(), f"_field_{number}", quoted=True)
        alias.meta[ANONYMOUS] = True
        item.replace(alias)
    return True


def fit_fields(node: exp.Expression | None, wanted: Type | None, given: Type | None, context: Context) -> None:
    """Give the fields without a name of a struct the names that are wanted in its place, in place.

    BigQuery coerces structs by the order of their fields, DuckDB by their names.

    Args:
        node: the struct, or an array of structs; None for a column of a query.
        wanted: the type that is wanted.
        given: the type of the node.
        context: knows the types of the parts of the node.

    Raises:
        ValidationError: a field has another name than the one that is wanted in its place.
    """
    plain = node.unnest() if node is not None else None
    if wanted is None or given is None or wanted.name != given.name:
        return
    if wanted.name == "ARRAY":
        items = plain.expressions if isinstance(plain, exp.Array) else []
        if plain is not None:
            plain.meta[_FITTED] = True
        if not items or isinstance(items[0], exp.Query):
            fit_fields(None, wanted.element, given.element, context)
        for item in items:
            fit_fields(item, wanted.element, context.of(item), context)
    if wanted.name != "STRUCT" or len(wanted.fields) != len(given.fields):
        return
    parts = plain.expressions if isinstance(plain, exp.Struct) else [None] * len(given.fields)
    for position, part in enumerate(parts):
        name, other = wanted.field_names[position], given.field_names[position]
        if part is not None and part.meta.get(ANONYMOUS):
            part.set("this", exp.to_identifier(name, quoted=True))
            part.meta[ANONYMOUS] = not wanted.fields[position][0]
        elif name.lower() != other.lower():
            raise limit(f"coerce a STRUCT whose field {other} is in the place of {name}; name its fields as there")
        kinds = wanted.fields[position][1], given.fields[position][1]
        fit_fields(part.expression if part is not None else None, *kinds, context)


def fit_all(nodes: Sequence[exp.Expression], context: Context) -> None:
    """Give the structs among values of one type the field names of the first, in place.

    Raises:
        ValidationError: a field of another has another name.
    """
    kinds = [context.of(node) for node in nodes]
    first = next((kind for kind in kinds if kind is not None and kind != NULL), None)
    if first is not None and first.name in ("ARRAY", "STRUCT"):
        for node, kind in zip(nodes, kinds, strict=True):
            fit_fields(node, first, kind, context)


@rule(exp.ArrayConcat)
def fields_of_first_array(node: exp.ArrayConcat, context: Context) -> exp.Expression | None:
    """The structs of all arrays of ARRAY_CONCAT have the field names of those of the first.

    Source: "Array functions", ARRAY_CONCAT.
    """
    fit_all([node.this, *node.expressions], context)
    return None


@rule(exp.Array)
def fields_of_first(node: exp.Array, context: Context) -> exp.Expression | None:
    """The structs of an array literal have the field names of the first.

    Source: "Arrays", querying ARRAY-type fields in STRUCTs
    (https://cloud.google.com/bigquery/docs/reference/standard-sql/arrays#querying_array-type_fields_in_structs).
    """
    if len(node.expressions) > 1 and not node.meta.get(_FITTED):
        fit_all(node.expressions, context)
    return None


@rule(exp.Select)
def fields_of_column(node: exp.Select, context: Context) -> exp.Expression | None:
    """``struct_column.*`` selects the fields, which ORDER BY can name.

    Source: "Query syntax", SELECT expression.*. DuckDB expands it after it has resolved ORDER BY.
    """
    items: list[exp.Expression] = []
    changed = False
    for item in node.expressions:
        kind = context.of(item)
        is_struct = kind is not None and kind.name == "STRUCT"
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


_TABLES = exp.From | exp.Join | exp.CTE


def _place(query: exp.Expression) -> exp.Expression | None:
    """Return what a query is a part of, apart from set operations; None for a statement."""
    while isinstance(query.parent, exp.SetOperation | exp.Subquery):
        query = query.parent
    return query.parent


@rule(exp.Select)
def columns_of_struct(node: exp.Select, context: Context) -> exp.Expression | None:
    """The fields of SELECT AS STRUCT are the columns of a statement's result, and of a query in FROM or WITH.

    Source: "Query syntax", SELECT AS STRUCT, value tables.
    """
    if node.args.get("kind") != "STRUCT":
        return None
    if isinstance(_place(node), _TABLES | None):
        node.set("kind", None)
        return node
    if not any(item.is_star for item in node.expressions):
        return None
    kind = context.of(node)
    _check_unique([name.lower() for name in kind.field_names] if kind else [])
    node.set("kind", None)  # a row of a subquery is a struct
    return exp.select(exp.column(_VALUE)).from_(node.copy().subquery(_VALUE, copy=False))


@rule(exp.Select)
def value_table(node: exp.Select, context: Context) -> exp.Expression | None:
    """The fields of SELECT AS VALUE of a struct are the columns of the query's result.

    Source: "Query syntax", SELECT AS VALUE
    (https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#select_as_value).
    """
    place = _place(node)
    if node.args.get("kind") != "VALUE" or len(node.expressions) != 1 or not isinstance(place, _TABLES | None):
        return None
    item = node.expressions[0]
    kind = context.of(item) or context.of(item.unalias())
    if place is not None and (kind is None or kind.name != "STRUCT"):
        raise limit("read the rows of SELECT AS VALUE in FROM unless they are STRUCTs; select a column")
    if isinstance(node.parent, exp.SetOperation):
        raise limit("run set operations of SELECT AS VALUE; select the columns")
    if kind is None or kind.name != "STRUCT":
        return None
    node.set("expressions", [exp.alias_(item.unalias(), _VALUE)])
    node.set("kind", None)
    return exp.select(exp.column(exp.Star(), table=_VALUE)).from_(node.subquery("value_table", copy=False))
