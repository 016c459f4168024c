"""CAST and SAFE_CAST between numbers, strings, booleans and bytes.

Source: "Conversion functions", CAST
(https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions#cast).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import is_literal, literal_fits
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import (
    Context,
    bound,
    call,
    cast,
    literal_number,
    numeric,
    rule,
    safely,
    with_bound,
)
from local.cloud.bigquery.translation.structs import fit_fields
from local.cloud.bigquery.translation.types import Type

_NESTED = {"ARRAY", "STRUCT"}
_DATES = (types.DATE, types.DATETIME, types.TIME, types.TIMESTAMP)
# Types that each type can be cast to.
_CASTS: dict[Type, set[Type]] = {
    types.INT64: {types.BOOL, *types.NUMBERS, types.STRING},
    **{kind: {*types.NUMBERS, types.STRING} for kind in (types.NUMERIC, types.BIGNUMERIC, types.FLOAT64)},
    types.BOOL: {types.BOOL, types.INT64, types.STRING},
    types.BYTES: {types.BYTES, types.STRING},
    types.DATE: {types.STRING, types.DATE, types.DATETIME, types.TIMESTAMP},
    types.DATETIME: {types.STRING, types.DATE, types.DATETIME, types.TIME, types.TIMESTAMP},
    types.TIME: {types.STRING, types.TIME},
    types.TIMESTAMP: {types.STRING, types.DATE, types.DATETIME, types.TIME, types.TIMESTAMP},
    types.INTERVAL: {types.STRING, types.INTERVAL},
    types.JSON: set(),
}
# The macro that casts a value of the first type to the second, where DuckDB's CAST differs. A source type of None is
# one that is not known: the macro looks at it when the query runs.
_MACROS: dict[tuple[Type | None, Type], str] = {
    (types.FLOAT64, types.INT64): "bq_int64_of_float64",
    (types.STRING, types.INT64): "bq_int64_of_string",
    (None, types.INT64): "bq_int64",
    (types.STRING, types.FLOAT64): "bq_float64_of_string",
    (types.FLOAT64, types.NUMERIC): "bq_numeric_of_float64",
    (types.STRING, types.NUMERIC): "bq_numeric_of_string",
    (None, types.NUMERIC): "bq_numeric",
    (types.STRING, types.BOOL): "bq_bool_of_string",
    (types.FLOAT64, types.STRING): "bq_string_of_float64",
    (types.NUMERIC, types.STRING): "bq_string_of_numeric",
    (None, types.STRING): "bq_string",
    (types.BYTES, types.STRING): "bq_string_of_bytes",
    (types.STRING, types.BYTES): "bq_bytes_of_string",
}

macro(
    "bq_string_of_float64(x)",
    """CASE WHEN CAST(printf('%.15g', x) AS DOUBLE) = x THEN printf('%.15g', x + 0e0) ELSE printf('%.17g', x) END""",
)
macro("bq_string_of_numeric(x)", "rtrim(rtrim(CAST(CAST(x AS DECIMAL(38, 9)) AS VARCHAR), '0'), '.')")
# DuckDB's text of any date or time with the fraction of its second in three or six digits.
macro(
    "bq_padded_text(text)",
    r"""regexp_replace(regexp_replace(regexp_replace(text, '(\.\d+)(\+00)?$', '\1000000\2'),
        '(\.\d{3})0{3}\d*(\+00)?$', '\1\2'), '(\.\d{6})\d+(\+00)?$', '\1\2')""",
)
macro(
    "bq_string(x)",
    """CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN bq_string_of_float64(TRY_CAST(CAST(x AS VARCHAR) AS DOUBLE))
    WHEN typeof(x) LIKE 'DECIMAL(%' AND contains(CAST(x AS VARCHAR), '.')
    THEN rtrim(rtrim(CAST(x AS VARCHAR), '0'), '.')
    WHEN typeof(x) LIKE 'TIME%' THEN bq_padded_text(CAST(x AS VARCHAR))
    ELSE CAST(x AS VARCHAR) END""",
)
macro(
    "bq_int64_of_float64(x)",
    """CASE WHEN isfinite(x) THEN
        CASE WHEN abs(x) < 9223372036854774784e0 OR x = -9223372036854775808e0 THEN CAST(round(x) AS BIGINT)
        ELSE bq_error('int64 out of range: ' || bq_string_of_float64(x)) END
    WHEN x IS NOT NULL THEN
        bq_error('Illegal conversion of non-finite floating point number to an integer: ' || bq_string_of_float64(x))
    END""",
)
macro(
    "bq_int64_of_string(x)",
    r"""CASE WHEN regexp_full_match(x, '\s*[+-]?[0-9]+\s*') THEN
        coalesce(TRY_CAST(trim(x) AS BIGINT), bq_error('Bad int64 value: ' || x))
    WHEN regexp_full_match(x, '\s*[+-]?0[xX][0-9a-fA-F]+\s*') THEN
        coalesce(
            CASE WHEN contains(x, '-') THEN -1 ELSE 1 END * TRY_CAST(ltrim(trim(x), '+-') AS BIGINT),
            bq_error('Bad int64 value: ' || x)
        )
    ELSE bq_error('Bad int64 value: ' || x) END""",
)
macro(
    "bq_int64(x)",
    """CASE WHEN typeof(x) = 'VARCHAR' THEN bq_int64_of_string(CAST(x AS VARCHAR))
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN bq_int64_of_float64(TRY_CAST(CAST(x AS VARCHAR) AS DOUBLE))
    WHEN typeof(x) LIKE 'DECIMAL%' THEN CAST(TRY_CAST(CAST(x AS VARCHAR) AS DECIMAL(38, 9)) AS BIGINT)
    WHEN typeof(x) = 'BOOLEAN' THEN CASE CAST(x AS VARCHAR) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END
    ELSE CAST(CAST(x AS VARCHAR) AS BIGINT) END""",
)
macro(
    "bq_float64_of_string(x)",
    r"""CASE WHEN regexp_full_match(x, '(?i)\s*[+-]?(inf|infinity|nan|([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?)\s*')
    THEN CAST(trim(x) AS DOUBLE) ELSE bq_error('Bad double value: ' || x) END""",
)
# Numbers below 2^53 whose tenth decimal is not near 5 are rounded in two parts, which are exact. The others go through
# their decimal expansion, which takes a thousand times as long.
macro(
    "bq_numeric_of_float64(x)",
    """CASE WHEN abs(x) < 9007199254740992e0
        AND abs(abs(x - trunc(x)) * 1e9 - floor(abs(x - trunc(x)) * 1e9) - 5e-1) > 1e-6
    THEN CAST(CAST(trunc(x) AS BIGINT) AS DECIMAL(38, 9))
        + CAST(round((x - trunc(x)) * 1e9) AS BIGINT) * CAST(0.000000001 AS DECIMAL(10, 9))
    WHEN isfinite(x) THEN
        coalesce(
            TRY_CAST(format('{:.40f}', x) AS DECIMAL(38, 9)),
            bq_error('numeric out of range: ' || bq_string_of_float64(x))
        )
    WHEN x IS NOT NULL THEN
        bq_error('Illegal conversion of non-finite floating point number to numeric: ' || bq_string_of_float64(x))
    END""",
)
macro(
    "bq_numeric_of_string(x)",
    r"""CASE WHEN regexp_full_match(x, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*')
    THEN coalesce(TRY_CAST(trim(x) AS DECIMAL(38, 9)), bq_error('Invalid NUMERIC value: ' || x))
    ELSE bq_error('Invalid NUMERIC value: ' || x) END""",
)
macro(
    "bq_numeric(x)",
    """CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN bq_numeric_of_float64(TRY_CAST(CAST(x AS VARCHAR) AS DOUBLE))
    ELSE bq_numeric_of_string(CAST(x AS VARCHAR)) END""",
)
macro(
    "bq_bool_of_string(x)",
    """CASE lower(x) WHEN 'true' THEN true WHEN 'false' THEN false
    ELSE CAST(bq_error('Bad bool value: ' || x) AS BOOLEAN) END""",
)
macro("bq_numeric_rounded(x, s)", "CAST(round(x, s) AS DECIMAL(38, 9))")
macro(
    "bq_numeric_in_range(x, p, s)",
    """CASE WHEN abs(x) < 10 ** (p - s) THEN x ELSE bq_error(format(
        'NUMERIC({}, {}) has precision {} and scale {} but got a value that is not in range', p, s, p, s
    )) END""",
)


for _type, _length, _kind in (("STRING", "length(x)", "VARCHAR"), ("BYTES", "octet_length(x)", "BLOB")):
    macro(
        f"bq_{_type.lower()}_of_length(x, most)",
        f"""CASE WHEN {_length} <= most THEN x WHEN x IS NOT NULL THEN CAST(bq_error(format(
            '{_type}({{}}) has maximum length {{}} but got a value with length {{}}', most, most, {_length}
        )) AS {_kind}) END""",
    )
macro("bq_bytes_of_string(x)", "encode(x)")
macro(
    "bq_string_of_bytes(x)",
    "coalesce(TRY(decode(x)), CAST(bq_error('Invalid cast of bytes to UTF8 string') AS VARCHAR))",
)


def as_string(node: exp.Expression, kind: Type | None) -> exp.Expression:
    """Return a value of type ``kind`` as CAST to STRING writes it."""
    if kind in (types.STRING, types.NULL):
        return node
    name = _MACROS.get((kind, types.STRING))
    return bound(name, node) if name else cast(node, types.STRING)


@rule(exp.Parameter)
def parameter(node: exp.Parameter, context: Context) -> exp.Expression | None:
    """A query parameter has the type that the request gives it, also if its value is NULL.

    Source: "Lexical structure", query parameters. DuckDB takes the type from the value.
    """
    kind = context.of(node)
    if kind is None or kind == types.STRING or isinstance(node.parent, exp.Parameter):
        return None
    if kind == types.BYTES:
        return call("from_base64", node.copy())
    if kind == types.JSON:
        return call("bq_json_normal", node.copy(), "exact")
    return exp.Cast(this=node, to=exp.DataType.build(str(kind), dialect="bigquery"))


@rule(exp.Cast, exp.TryCast)
def cast_rule(node: exp.Cast, context: Context) -> exp.Expression | None:
    """Cast as BigQuery does: refuse what it refuses, round halves away from zero, write numbers as it does.

    Source: "Conversion functions", CAST; the texts of errors: recorded answers.
    """
    target, source = types.of_syntax(node.to), context.of(node.this)
    if (
        target is not None
        and source not in (None, types.NULL)
        and ({source.name, target.name} & _NESTED and source.name != target.name)
    ):
        raise invalid(f"Invalid cast from {source} to {target}")
    if target is not None and target.name == "STRUCT":
        return _cast_struct(node, target, context)
    if target is not None and target.name == "ARRAY":
        _check_array_cast(node.this, target, context)
        fit_fields(node.this, target, source, context)
    if target is None or target.name in ("ARRAY", "STRUCT"):
        return None
    safe = isinstance(node, exp.TryCast)
    if (source in _CASTS and target not in _CASTS[source]) or (source, target) == (types.STRING, types.JSON):
        raise invalid(f"Invalid cast from {source} to {target}")
    literal = literal_number(node.this)
    if target == types.NUMERIC and literal is not None and abs(float(literal)) < 1e29:
        result: exp.Expression = call("bq_numeric_of_string", literal)
    elif (source, target) in _MACROS:
        result = bound(_MACROS[source, target], node.this)
    elif target == types.NUMERIC:
        result = numeric(node.this)
    elif node.to.expressions:
        result = cast(node.this, target)
    else:
        return None
    if node.to.expressions:
        result = _rounded(result, node.to) if target == types.NUMERIC else _of_length(result, node.to, target)
    return safely(result, safe)


def _check_array_cast(value: exp.Expression, target: Type, context: Context) -> None:
    """Refuse a cast to an array of another type, other than of a literal array whose elements coerce."""
    source = context.of(value)
    if source is None or source.name != "ARRAY" or source.element in (None, types.NULL, target.element):
        return
    if source.element.name == "STRUCT" or target.element is None:
        return
    if isinstance(value, exp.Array) and all(_fits(part, target.element, context) for part in value.expressions):
        return
    message = "Casting between arrays with incompatible element types is not supported"
    raise invalid(f"{message}: Invalid cast from {source} to {target}")


def _fits(element: exp.Expression, wanted: Type, context: Context) -> bool:
    kind = context.of(element)
    return (is_literal(element) and kind is not None and literal_fits(kind, wanted)) or (
        types.supertype((kind, wanted)) == wanted
    )


def _rounded(value: exp.Expression, kind: exp.DataType) -> exp.Expression:
    """Round to the scale of ``NUMERIC(precision, scale)``, and check the precision."""
    precision, scale = (int(part.name) for part in (*kind.expressions, exp.Literal.number(0))[:2])
    if precision - scale > 29 or not 0 <= scale <= 9:
        raise invalid("In NUMERIC(P, S), S must be between 0 and 9, and P between max(S, 1) and S + 29")
    return bound("bq_numeric_in_range", call("bq_numeric_rounded", value, scale), precision, scale)


def _of_length(value: exp.Expression, kind: exp.DataType, target: Type) -> exp.Expression:
    """Check the length of a value that is cast to ``STRING(length)`` or ``BYTES(length)``.

    Source: "Data types", parameterized types.
    """
    length = kind.expressions[0].name
    if target not in (types.STRING, types.BYTES) or len(kind.expressions) > 1:
        raise invalid(f"{target} does not support type parameters")
    if not length.isdigit():
        raise invalid(f'Syntax error: Unexpected "{length}" in {target}({length})')
    if not int(length):
        raise invalid(f"{target} length must be greater than 0")
    return bound(f"bq_{target.name.lower()}_of_length", value, int(length))


def _cast_struct(node: exp.Cast, target: Type, context: Context) -> exp.Expression | None:
    """Cast the fields of a STRUCT by their positions; DuckDB casts them by their names."""
    source = context.of(node.this)
    if source is None or source.name != "STRUCT":
        return None
    if len(source.fields) != len(target.fields):
        raise invalid(f"Invalid cast from {source} to {target}")
    if isinstance(node.this, exp.Struct):
        values = [item.expression if isinstance(item, exp.PropertyEQ) else item for item in node.this.expressions]
        return _cast_fields(node, target, values, context)
    if source.field_names == target.field_names:
        return None

    def use(bound_names: list[exp.Expression]) -> exp.Expression:
        value = bound_names[0]
        values = [
            context.typed(call("struct_extract", value.copy(), name), kind)
            for name, (_, kind) in zip(source.field_names, source.fields, strict=True)
        ]
        is_null = exp.Is(this=value.copy(), expression=exp.null())
        fields = _cast_fields(node, target, values, context)
        return exp.Case(ifs=[exp.If(this=is_null, true=exp.null())], default=fields)

    return with_bound([node.this], use)


def _cast_fields(node: exp.Cast, target: Type, values: list[exp.Expression], context: Context) -> exp.Struct:
    fields = []
    for number, (value, (_, kind)) in enumerate(zip(values, target.fields, strict=True)):
        member = node.to.expressions[number]
        to = member.args["kind"] if isinstance(member, exp.ColumnDef) else member
        field: exp.Expression = type(node)(this=value, to=to.copy())
        if kind not in _DATES:
            field = cast_rule(field, context) or field
        label = exp.to_identifier(target.field_names[number])
        fields.append(exp.PropertyEQ(this=label, expression=field))
    return exp.Struct(expressions=fields)
