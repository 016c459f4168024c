"""Values that INSERT, UPDATE and MERGE give to columns: they must have the column's type, or coerce to it.

Source: "Data manipulation language syntax"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax): value type compatibility; the texts of
errors: GoogleSQL's analyzer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import Columns, Tables, Types, is_literal, literal_fits
from local.cloud.bigquery.translation.rules import Context, call
from local.cloud.bigquery.translation.structs import fit_fields
from local.cloud.bigquery.translation.types import Type


@dataclass(frozen=True)
class _Assignment:
    """A value for a column.

    Attributes:
        value: its node; None for a column of a query, whose type is ``kind``.
        subject: how an error names it.
    """

    value: exp.Expression | None
    kind: Type | None
    column: str
    target: Type
    subject: str = "Value"


def coerce_assignments(tree: exp.Expression, tables: Tables, known: Types) -> bool:
    """Check the values that a DML statement gives to columns; literals are read as the column's type.

    Returns:
        Whether the tree has changed.

    Raises:
        ValidationError: a value has a type that does not coerce to the column's.
    """
    context, changed = Context(known), False
    for given in list(_assignments(tree, tables, known)):
        literal = given.value is not None and is_literal(given.value)
        fit_fields(given.value, given.target, given.kind, context)
        if given.kind is None or coerces(given.kind, given.target, literal=literal):
            if literal and given.kind == types.FLOAT64 and given.target == types.NUMERIC and given.value is not None:
                parent, key, index = given.value.parent, given.value.arg_key, given.value.index
                parent.set(key, context.as_type(given.value, types.NUMERIC), index)
                changed = True
            elif given.target.name == "ARRAY" and given.value is not None:
                _store(given.value, given.column)
                changed = True
            continue
        if given.subject == "UPDATE":
            raise invalid(
                f"Value of type {given.kind} cannot be assigned to {given.column}, which has type {given.target}"
            )
        raise invalid(
            f"{given.subject} has type {given.kind} which cannot be inserted into column {given.column}, which has "
            f"type {given.target}"
        )
    return _store_rows(tree, tables, known) or changed


def _store(value: exp.Expression, column: str) -> None:
    """Store an array as BigQuery does: a NULL array is empty, and a NULL in it is an error.

    Source: "Data types", NULLs and the ARRAY type
    (https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#nulls_and_the_array_type).
    """
    parent, key, index = value.parent, value.arg_key, value.index
    parent.set(key, call("bq_stored", value, column), index)


def _store_rows(tree: exp.Expression, tables: Tables, known: Types) -> bool:
    """Store the arrays of a query that INSERT runs and whose SELECT list does not name them: ``*``, UNION ALL."""
    source = tree.expression if isinstance(tree, exp.Insert) else None
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    columns = tables(table) if isinstance(source, exp.Query) and isinstance(table, exp.Table) else None
    given = known.results.get(id(source))
    if source is None or columns is None or given is None:
        return False
    names = [column.name for column in tree.this.expressions] if isinstance(tree.this, exp.Schema) else []
    targets = [columns.by_name.get(name.lower()) for name in names or [name for name, _ in columns.pairs]]
    arrays = [target is not None and target.name == "ARRAY" for target in targets]
    plain = isinstance(source, exp.Select) and not any(item.is_star for item in source.selects)
    if plain or not any(arrays) or len(given.pairs) != len(arrays) or len(given.by_name) != len(arrays):
        return False
    first: exp.Expression = source
    while isinstance(first, exp.SetOperation | exp.Subquery):
        first = first.this
    for item, (name, _) in zip(first.selects, given.pairs, strict=False):
        if not item.alias_or_name:
            item.replace(exp.alias_(item.copy(), name))
    values: list[exp.Expression] = []
    for (name, _), is_array in zip(given.pairs, arrays, strict=True):
        column = exp.column(name, quoted=True)
        values.append(exp.alias_(call("bq_stored", column, name), name, quoted=True) if is_array else column)
    tree.set("expression", exp.select(*values).from_(source.copy().subquery("bq_rows")))
    return True


def coerces(kind: Type, target: Type, *, literal: bool) -> bool:
    """Return whether a value of a type, or a literal of it, is taken where another type is declared."""
    if kind in (target, types.NULL) or "STRUCT" in (kind.name, target.name) or kind.name == target.name == "ARRAY":
        return True
    if literal and literal_fits(kind, target):
        return True
    if kind in types.NUMBERS and target in types.NUMBERS:
        return types.NUMBERS.index(kind) <= types.NUMBERS.index(target)
    return (kind, target) == (types.DATE, types.DATETIME)


def _assignments(tree: exp.Expression, tables: Tables, known: Types) -> Iterator[_Assignment]:
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    columns = tables(table) if isinstance(table, exp.Table) else None
    if columns is None:
        return
    if isinstance(tree, exp.Insert):
        names = [column.name for column in tree.this.expressions] if isinstance(tree.this, exp.Schema) else []
        yield from _inserted(tree.expression, names or [name for name, _ in columns.pairs], columns, known)
    elif isinstance(tree, exp.Update):
        yield from _updated(tree, columns, known)
    elif isinstance(tree, exp.Merge):
        for when in tree.find_all(exp.When):
            then = when.args.get("then")
            if isinstance(then, exp.Update):
                yield from _updated(then, columns, known)
            elif isinstance(then, exp.Insert) and isinstance(then.this, exp.Tuple):
                names = [column.name for column in then.this.expressions]
                yield from _row(then.expression, names, columns, known)


def _inserted(source: exp.Expression, names: list[str], columns: Columns, known: Types) -> Iterator[_Assignment]:
    if isinstance(source, exp.Values):
        for row in source.expressions:
            yield from _row(row, names, columns, known)
        return
    selects = source.selects if isinstance(source, exp.Select) else []
    if len(selects) != len(names) or any(item.is_star for item in selects):
        return
    for position, (item, name) in enumerate(zip(selects, names, strict=True)):
        target = columns.by_name.get(name.lower())
        if target is not None:
            value = item.unalias()
            yield _Assignment(value, known.of(value), name, target, f"Query column {position + 1}")


def _row(row: exp.Expression | None, names: list[str], columns: Columns, known: Types) -> Iterator[_Assignment]:
    if not isinstance(row, exp.Tuple):
        return
    values = row.expressions
    if len(values) != len(names):
        raise invalid(f"Inserted row has wrong column count; Has {len(values)}, expected {len(names)}")
    for value, name in zip(values, names, strict=True):
        target = columns.by_name.get(name.lower())
        if target is not None:
            yield _Assignment(value, known.of(value), name, target)


def _updated(update: exp.Update, columns: Columns, known: Types) -> Iterator[_Assignment]:
    for item in update.expressions:
        if isinstance(item, exp.EQ) and isinstance(item.this, exp.Column):
            target = columns.by_name.get(item.this.name.lower())
            if target is not None and len(item.this.parts) <= 2:
                yield _Assignment(item.expression, known.of(item.expression), item.this.name, target, "UPDATE")
