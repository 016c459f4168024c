"""Variables of scripts: their names in statements become values of their types.

Sources: "Procedural language", DECLARE and SET
(https://cloud.google.com/bigquery/docs/reference/standard-sql/procedural-language); "System variables".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Protocol

from sqlglot import exp
from sqlglot.errors import ParseError

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.statements import known_types, parse
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import is_literal
from local.cloud.bigquery.translation.assignments import coerces
from local.cloud.bigquery.translation.syntax import check_syntax
from local.cloud.bigquery.translation.system_variables import replace_system_variables
from local.cloud.bigquery.translation.types import Type

ROW_COUNT = "@@row_count"
"""The name under which the interpreter keeps the number of rows that the last DML statement changed."""
ERROR_MESSAGE = "__error_message__"
"""The name under which bqemulator keeps the message of the error that a handler handles."""
_SYSTEM = {"row_count": ROW_COUNT, "error.message": ERROR_MESSAGE}
_KINDS: tuple[tuple[type, str], ...] = (
    *((bool, "BOOL"), (int, "INT64"), (float, "FLOAT64"), (Decimal, "NUMERIC"), (str, "STRING"), (bytes, "BYTES")),
    *((datetime, "DATETIME"), (date, "DATE"), (time, "TIME")),
)
_UNKNOWN = ("", "ANY", "STRUCT")
"""What bqemulator declares variables as whose types it does not know."""


class Variable(Protocol):
    """A variable: the type that it is declared with, and its value."""

    type_name: str
    value: Any


class Binder:
    """Replaces names of variables in a statement, and collects the values."""

    def __init__(self, visible: Mapping[str, Variable]) -> None:
        self._visible = visible
        self.values: list[Any] = []

    def system_variable(self, name: str, kind: str) -> exp.Expression:
        """Return the place of the value of a system variable."""
        variable = self._visible.get(_SYSTEM[name])
        return self._value(variable.value if variable else None, kind)

    def parameters(self, tree: exp.Expression) -> None:
        """Replace the parameters of EXECUTE IMMEDIATE, which are variables whose names start with ``@``."""
        for node in list(tree.find_all(exp.Parameter)):
            variable = self._visible.get(f"@{node.name.lower()}")
            if variable is not None and not isinstance(node.this, exp.Parameter):
                node.replace(self._variable(variable))

    def column(self, node: exp.Column) -> None:
        """Replace a column, if it is a variable or a field of one."""
        first, *rest = [part.name for part in node.parts]
        variable = self._visible.get(first.lower())
        if variable is None:
            return
        value = self._variable(variable)
        if isinstance(variable.value, Mapping) and rest:
            fields = {name.lower(): field for name, field in variable.value.items()}
            if rest[0].lower() not in fields:
                raise invalid(f"Field name {rest[0]} does not exist in {variable.type_name}")
            self.values.pop()
            value = self._value(fields[rest[0].lower()], _field_type(variable.type_name, rest[0]))
            rest = rest[1:]
        for name in rest:
            value = exp.Dot(this=value, expression=exp.to_identifier(name))
        if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
            value = exp.alias_(value, node.name)
        node.replace(value)

    def _variable(self, variable: Variable) -> exp.Expression:
        return self._value(variable.value, variable.type_name)

    def _value(self, value: Any, type_name: str) -> exp.Expression:
        self.values.append(value)
        place = exp.Placeholder(this=str(len(self.values)))
        name = type_name if type_name.upper() not in _UNKNOWN else type_of_value(value)
        return exp.Cast(this=place, to=exp.DataType.build(name, dialect="bigquery")) if name else place


def bind_variables(store: Store, sql: str, visible: Mapping[str, Variable]) -> tuple[str, list[Any]]:
    """Return a statement with numbered places for values, and the values.

    A column of a table hides a variable of its name.

    Args:
        store: knows the tables.
        sql: a statement of a script.
        visible: the variables by lower-case name.

    Raises:
        ValidationError: a variable has no such field, or the emulator does not have a system variable.
    """
    tree = parse(sql)
    if tree is None or (not visible and "@@" not in sql):
        return sql, []
    known = known_types(store, tree, store.project)
    binder = Binder(visible)
    for node in known.unresolved:
        binder.column(node)
    binder.parameters(tree)
    replaced = replace_system_variables(tree, store.project, binder.system_variable)
    return (tree.sql(dialect="bigquery"), binder.values) if binder.values or replaced else (sql, [])


def type_of_value(value: Any) -> str:
    """Return the BigQuery type of a value that DuckDB has returned; empty if it is not known."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return "TIMESTAMP"
    if isinstance(value, list):
        element = next((type_of_value(one) for one in value if one is not None), "")
        return f"ARRAY<{element}>" if element else ""
    if isinstance(value, Mapping):
        fields = [(name, type_of_value(field)) for name, field in value.items()]
        return f"STRUCT<{', '.join(' '.join(field) for field in fields)}>" if all(kind for _, kind in fields) else ""
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "")


def _field_type(type_name: str, field: str) -> str:
    if type_name.upper() in _UNKNOWN:
        return ""
    kind = exp.DataType.build(type_name, dialect="bigquery")
    return next(
        (member.args["kind"].sql("bigquery") for member in kind.expressions if member.name.lower() == field.lower()), ""
    )


def assigned(store: Store, expression: str, type_name: str, visible: Mapping[str, Variable]) -> str:
    """Return an expression cast to the type of the variable that it is assigned to.

    Raises:
        ValidationError: its type does not coerce to that of the variable; in BigQuery's words.
    """
    target = declared_type(type_name)
    sql, _ = bind_variables(store, f"SELECT {expression}", visible)
    tree = parse(sql)
    if target is None or not isinstance(tree, exp.Select) or len(tree.expressions) != 1:
        return expression
    value = tree.expressions[0].unalias()
    kind = known_types(store, tree, store.project).of(value)
    if kind == target or (kind is None and not isinstance(value, exp.Tuple)):
        return expression
    if kind is not None and kind.name == "STRUCT" != target.name:
        return expression  # SET (x) = (SELECT AS STRUCT ...): its only field
    if kind is not None and not coerces(kind, target, literal=is_literal(value)):
        raise invalid(f"Cannot coerce expression of type {kind} to type {target}")
    return f"CAST(({expression}) AS {type_name})"


def declared_type(type_name: str) -> Type | None:
    """Return the type that a variable is declared with; None if it has none.

    Raises:
        ValidationError: there is no such type.
    """
    if type_name.upper() in _UNKNOWN:
        return None
    try:
        kind = exp.DataType.build(type_name, dialect="bigquery")
    except (ParseError, ValueError):
        raise invalid(f"Type not found: {type_name}") from None
    check_syntax(kind, type_name)
    return types.of_syntax(kind)
