"""The JSON text of a value of each type, and TO_JSON_STRING.

Source: "JSON functions", JSON encodings
(https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_encodings).
"""

from __future__ import annotations

import itertools

from sqlglot import exp

from local.cloud.bigquery.limits import limit
from local.cloud.bigquery.translation import json_values, types
from local.cloud.bigquery.translation.casts import as_string
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.python_functions import python_function
from local.cloud.bigquery.translation.rules import Context, call, cast, rule, with_bound
from local.cloud.bigquery.translation.types import Type

macro("bq_json_quoted(x)", "CAST(to_json(CAST(x AS VARCHAR)) AS VARCHAR)")
macro(
    "bq_json_of_int64(x)",
    "CASE WHEN x BETWEEN -9007199254740991 AND 9007199254740991 THEN CAST(x AS VARCHAR) ELSE '\"' || x || '\"' END",
)
macro(
    "bq_json_of_float64(x)",
    """CASE WHEN isnan(x) THEN '"NaN"' WHEN isinf(x) THEN CASE WHEN x > 0 THEN '"Infinity"' ELSE '"-Infinity"' END
    ELSE bq_string_of_float64(x) END""",
)
macro(
    "bq_json_of_numeric(x)",
    """CASE WHEN x = trunc(x) AND abs(x) <= 9007199254740991 THEN bq_string_of_numeric(x)
    ELSE '"' || bq_string_of_numeric(x) || '"' END""",
)
macro("bq_json_of_bytes(x)", "'\"' || to_base64(x) || '\"'")
# Times are written with three or six digits of a second's fraction, or none.
macro(
    "bq_json_of_time(x)",
    """'"' || CASE WHEN x LIKE '%.%' THEN rpad(x, CAST(instr(x, '.')
        + CASE WHEN length(x) - instr(x, '.') > 3 THEN 6 ELSE 3 END AS INTEGER), '0') ELSE x END""",
)
macro("bq_json_of_datetime(x)", "bq_json_of_time(replace(CAST(CAST(x AS TIMESTAMP) AS VARCHAR), ' ', 'T')) || '\"'")
macro(
    "bq_json_of_timestamp(x)",
    "bq_json_of_time(replace(CAST(timezone('UTC', x) AS VARCHAR), ' ', 'T')) || 'Z\"'",
)
macro("bq_json_of_time_of_day(x)", "bq_json_of_time(CAST(x AS VARCHAR)) || '\"'")
macro("bq_json_object(is_null, text)", "CASE WHEN is_null THEN 'null' ELSE text END")
# Not array_to_string, a macro of DuckDB that names the list twice: nested calls would grow exponentially.
macro("bq_json_list(texts)", "'[' || coalesce(list_aggregate(texts, 'string_agg', ','), '') || ']'")

macro("bq_json_wide_int64(x)", "CAST(x AS VARCHAR)")
macro(
    "bq_json_wide_float64(x)",
    "CASE WHEN x = trunc(x) AND abs(x) < 1e15 THEN bq_string_of_float64(x) || '.0' ELSE bq_json_of_float64(x) END",
)
python_function("bq_python_json_indented", json_values.indented, ["VARCHAR"], "VARCHAR")
macro("bq_json_pretty(x, pretty)", "CASE WHEN pretty THEN bq_python_json_indented(x) ELSE x END")

_MACROS = {
    **{types.INT64: "bq_json_of_int64", types.FLOAT64: "bq_json_of_float64", types.NUMERIC: "bq_json_of_numeric"},
    **{types.STRING: "bq_json_quoted", types.DATE: "bq_json_quoted", types.BYTES: "bq_json_of_bytes"},
    **{types.DATETIME: "bq_json_of_datetime", types.TIMESTAMP: "bq_json_of_timestamp"},
    types.TIME: "bq_json_of_time_of_day",
}
_WIDE_MACROS = {
    **{types.INT64: "bq_json_wide_int64", types.FLOAT64: "bq_json_wide_float64"},
    types.NUMERIC: "bq_string_of_numeric",
}


@rule(exp.JSONFormat)
def to_json_string(node: exp.JSONFormat, context: Context) -> exp.Expression | None:
    """TO_JSON_STRING writes each type as documented: dates and times in ISO form, large numbers as strings.

    Source: "JSON functions", TO_JSON_STRING.
    """
    kind = context.of(node.this)
    if kind is None or node.args.get("to_json"):
        return None
    text = json_text(node.this, kind)
    options = [node.args.get("options"), *(node.args.get("expressions") or ())]
    pretty = next((option for option in options if option is not None), None)
    if text is None or pretty is None:
        return text
    return call("bq_json_pretty", text, pretty)


def json_text(node: exp.Expression, kind: Type, *, wide: bool = False, unnamed: bool = False) -> exp.Expression | None:
    """Return the JSON text of a value of type ``kind``; None for a row of an unknown table.

    Args:
        node: the value.
        kind: its type.
        wide: whether numbers are always numbers; otherwise those that FLOAT64 cannot hold are strings.
        unnamed: whether a STRUCT is an array of its values; otherwise it is an object.
    """
    if _is_row_of_unknown_table(kind):
        return None
    writer = _Writer(wide, unnamed)
    return with_bound([node], lambda names: writer.text(names[0], kind))


def _is_row_of_unknown_table(kind: Type) -> bool:
    """Whether a row is of a table that is not there; then the table is what the answer must name."""
    return kind.name == "STRUCT" and all(member is None for _, member in kind.fields)


class _Writer:
    def __init__(self, wide: bool, unnamed: bool) -> None:
        self._unnamed = unnamed
        self._macros = {**_MACROS, **_WIDE_MACROS} if wide else _MACROS
        self._names = itertools.count()

    def text(self, node: exp.Expression, kind: Type | None) -> exp.Expression:
        """Return the JSON text of a value; that of NULL is ``null``."""
        if kind == types.NULL:
            return exp.Literal.string("null")
        if kind is None:
            raise limit("write a value of unknown type as JSON; cast it")
        if kind.name in ("STRUCT", "ARRAY"):
            is_null = exp.Is(this=node.copy(), expression=exp.null())
            whole = self._struct(node, kind) if kind.name == "STRUCT" else self._array(node, kind)
            return call("bq_json_object", is_null, whole)
        text = call(self._macros[kind], node.copy()) if kind in self._macros else as_string(node.copy(), kind)
        if kind == types.JSON:
            text = cast(node.copy(), types.STRING)
        elif kind not in self._macros and kind != types.BOOL:
            raise limit(f"write {kind} as JSON")
        return exp.Coalesce(this=text, expressions=[exp.Literal.string("null")])

    def _struct(self, node: exp.Expression, kind: Type) -> exp.Expression:
        parts: list[exp.Expression] = [exp.Literal.string("[" if self._unnamed else "{")]
        for number, (name, member) in enumerate(kind.fields):
            value = call("struct_extract", node.copy(), kind.field_names[number])
            label = "" if self._unnamed else f'"{name}":'
            parts += [exp.Literal.string(f"{',' if number else ''}{label}"), self.text(value, member)]
        # Not concat, which is translated to one operator for each part: a row of a wide table would nest too deeply.
        whole = exp.Array(expressions=[*parts, exp.Literal.string("]" if self._unnamed else "}")])
        return call("list_aggregate", whole, "string_agg", "")

    def _array(self, node: exp.Expression, kind: Type) -> exp.Expression:
        name = f"item{next(self._names)}"
        function = exp.Lambda(this=self.text(exp.column(name), kind.element), expressions=[exp.to_identifier(name)])
        return call("bq_json_list", call("list_transform", node.copy(), function))
