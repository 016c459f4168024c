"""BigQuery's types: names, supertypes and coercions, for the typed pass over syntax trees.

Source of the tables below: GoogleSQL for BigQuery, "Data types" and "Conversion rules"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from local.cloud.bigquery.limits import invalid

_DType = exp.DataType.Type


@dataclass(frozen=True, slots=True)
class Type:
    """A BigQuery type.

    Attributes:
        name: ``INT64``, ``ARRAY``, ``STRUCT`` ... The type of an untyped NULL is ``NULL``.
        element: the element type of an ARRAY; None if it is unknown.
        fields: the fields of a STRUCT: name (empty if it has none) and type (None if it is unknown).
    """

    name: str
    element: Type | None = None
    fields: tuple[tuple[str, Type | None], ...] = ()

    def __str__(self) -> str:
        """Return the type as BigQuery's error messages print it."""
        if self.name == "ARRAY":
            return f"ARRAY<{self.element or '?'}>"
        if self.name == "STRUCT":
            fields = (f"{name} {kind or '?'}".strip() for name, kind in self.fields)
            return f"STRUCT<{', '.join(fields)}>"
        return "INT64" if self.name == "NULL" else self.name

    @property
    def field_names(self) -> list[str]:
        """The names of a STRUCT's fields in results: ``_field_1``, ``_field_2``, ... for those that have none."""
        return [name or f"_field_{number}" for number, (name, _) in enumerate(self.fields, 1)]

    def field(self, name: str) -> Type | None:
        """Return the type of a field of a STRUCT, by name; None if there is no such field or its type is unknown."""
        return next((kind for field, kind in self.fields if field.lower() == name.lower()), None)

    def member(self, name: str) -> Type | None:
        """Return the type of a field of a STRUCT, by name; None if its type is unknown.

        Raises:
            ValidationError: there is no such field, or this is no STRUCT; in BigQuery's words.
        """
        if self.name == "STRUCT" and name != "*" and name.lower() not in {field.lower() for field, _ in self.fields}:
            raise invalid(f"Field name {name} does not exist in {self}")
        if self.name not in ("STRUCT", "NULL"):
            raise invalid(f"Cannot access field {name} on a value with type {self}")
        return self.field(name)


INT64 = Type("INT64")
FLOAT64 = Type("FLOAT64")
NUMERIC = Type("NUMERIC")
BIGNUMERIC = Type("BIGNUMERIC")
BOOL = Type("BOOL")
STRING = Type("STRING")
BYTES = Type("BYTES")
DATE = Type("DATE")
DATETIME = Type("DATETIME")
TIME = Type("TIME")
TIMESTAMP = Type("TIMESTAMP")
INTERVAL = Type("INTERVAL")
JSON = Type("JSON")
GEOGRAPHY = Type("GEOGRAPHY")
NULL = Type("NULL")

ANONYMOUS = "anonymous"
"""Marks, in the ``meta`` of its node, a field of a STRUCT that has no name in BigQuery."""
NUMBERS = (INT64, NUMERIC, BIGNUMERIC, FLOAT64)
"""The numeric types; a value of each coerces to those after it."""

_BY_NAME = {
    kind.name: kind
    for kind in (*NUMBERS, BOOL, STRING, BYTES, DATE, DATETIME, TIME, TIMESTAMP, INTERVAL, JSON, GEOGRAPHY)
}
_ALIASES = {
    **dict.fromkeys(("INTEGER", "INT", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT"), "INT64"),
    **{"FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "DECIMAL": "NUMERIC", "BIGDECIMAL": "BIGNUMERIC"},
}
_SYNTAX = {
    **dict.fromkeys((_DType.BIGINT, _DType.INT, _DType.SMALLINT, _DType.TINYINT), INT64),
    **dict.fromkeys((_DType.DOUBLE, _DType.FLOAT), FLOAT64),
    **dict.fromkeys((_DType.VARCHAR, _DType.TEXT), STRING),
    **dict.fromkeys((_DType.BINARY, _DType.VARBINARY), BYTES),
    **dict.fromkeys((_DType.DATETIME, _DType.TIMESTAMP), DATETIME),
    **{_DType.TIMESTAMPTZ: TIMESTAMP, _DType.DECIMAL: NUMERIC, _DType.BIGDECIMAL: BIGNUMERIC, _DType.BOOLEAN: BOOL},
    **{_DType.DATE: DATE, _DType.TIME: TIME, _DType.JSON: JSON, _DType.INTERVAL: INTERVAL},
    **{_DType.GEOGRAPHY: GEOGRAPHY},
}


def array(element: Type | None) -> Type:
    """Return ``ARRAY<element>``."""
    return Type("ARRAY", element=element)


def struct(fields: Iterable[tuple[str, Type | None]]) -> Type:
    """Return ``STRUCT<fields>``."""
    return Type("STRUCT", fields=tuple(fields))


def named(name: str) -> Type | None:
    """Return a type without parts by its name in SQL or in the REST API; None if it has parts or is unknown."""
    name = name.upper()
    return _BY_NAME.get(_ALIASES.get(name, name))


def of_schema_field(field: Any) -> Type | None:
    """Return the type of a column of a table in the catalog."""
    kind = named(field.type)
    if field.type.upper() in ("RECORD", "STRUCT"):
        kind = struct((member.name, of_schema_field(member)) for member in field.fields or ())
    return array(kind) if field.mode == "REPEATED" else kind


def of_syntax(node: exp.Expression | None) -> Type | None:
    """Return the type that a type name in a statement means; parameters such as ``(5, 2)`` are ignored."""
    if not isinstance(node, exp.DataType):
        return None
    if node.this == _DType.ARRAY:
        return array(of_syntax(node.expressions[0]) if node.expressions else None)
    if node.this == _DType.STRUCT:
        return struct(
            ("" if member.meta.get(ANONYMOUS) else member.name, of_syntax(member.args.get("kind")))
            if isinstance(member, exp.ColumnDef)
            else ("", of_syntax(member))
            for member in node.expressions
        )
    return _SYNTAX.get(node.this)


def supertype(kinds: Iterable[Type | None]) -> Type | None:
    """Return the common supertype of types that are not literals; None if one is unknown or there is none."""
    result: Type | None = NULL
    for kind in kinds:
        result = _pair_supertype(result, kind)
        if result is None:
            return None
    return result


def _pair_supertype(one: Type | None, other: Type | None) -> Type | None:
    if one is None or other is None:
        return None
    if one in (NULL, other):
        return other
    if other == NULL:
        return one
    if one in NUMBERS and other in NUMBERS:
        return NUMBERS[max(NUMBERS.index(one), NUMBERS.index(other))]
    if {one, other} == {DATE, DATETIME}:
        return DATETIME
    if one.name == other.name == "ARRAY":
        element = _pair_supertype(one.element, other.element)
        return array(element) if element else None
    if one.name == other.name == "STRUCT" and len(one.fields) == len(other.fields):
        return struct(
            (name, _pair_supertype(kind, second))
            for (name, kind), (_, second) in zip(one.fields, other.fields, strict=True)
        )
    return None
