"""The types of arguments that functions take: others are refused, where DuckDB would convert them.

Source: "Function reference", the signature of each function
(https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-all); texts of errors: GoogleSQL's analyzer.
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import is_literal
from local.cloud.bigquery.translation.rules import Context, named, rule
from local.cloud.bigquery.translation.types import Type

_TEXT = (types.STRING, types.BYTES)
_NUMBERS = types.NUMBERS
_INTEGER = (types.INT64,)
_BOOL = (types.BOOL,)
_BYTES = (types.BYTES,)
_OF_ANGLES = (
    *(exp.Sin, exp.Cos, exp.Tan, exp.Asin, exp.Acos, exp.Atan),
    *(exp.Sinh, exp.Cosh, exp.Tanh, exp.Asinh, exp.Acosh, exp.Atanh, exp.Cbrt),
    *(exp.Csc, exp.Sec, exp.Cot, exp.Csch, exp.Sech, exp.Coth),
)
_SUMMABLE = (*types.NUMBERS, types.INTERVAL)
_TIMES = (types.DATE, types.DATETIME, types.TIME, types.TIMESTAMP, types.INTERVAL)

_ANALYTIC = (exp.Ntile, exp.Lag, exp.Lead, exp.NthValue, exp.PercentileCont, exp.PercentileDisc)

# BigQuery's name of each function, and the types that each of its arguments may have; all, if there are none.
_SIGNATURES: dict[type[exp.Expression], tuple[str, dict[str, tuple[Type, ...]]]] = {
    exp.Lower: ("LOWER", {"this": _TEXT}),
    exp.Upper: ("UPPER", {"this": _TEXT}),
    exp.Length: ("LENGTH", {"this": _TEXT}),
    exp.ByteLength: ("BYTE_LENGTH", {"this": _TEXT}),
    exp.Substring: ("SUBSTR", {"this": _TEXT, "start": _INTEGER, "length": _INTEGER}),
    exp.Replace: ("REPLACE", {"this": _TEXT, "expression": _TEXT, "replacement": _TEXT}),
    exp.Trim: ("TRIM", {"this": _TEXT, "expression": _TEXT}),
    exp.StartsWith: ("STARTS_WITH", {"this": _TEXT, "expression": _TEXT}),
    exp.EndsWith: ("ENDS_WITH", {"this": _TEXT, "expression": _TEXT}),
    exp.StrPosition: ("STRPOS", {"this": _TEXT, "substr": _TEXT}),
    exp.Left: ("LEFT", {"this": _TEXT, "expression": _INTEGER}),
    exp.Right: ("RIGHT", {"this": _TEXT, "expression": _INTEGER}),
    exp.Repeat: ("REPEAT", {"this": _TEXT, "times": _INTEGER}),
    exp.Split: ("SPLIT", {"this": _TEXT, "expression": _TEXT}),
    exp.Initcap: ("INITCAP", {"this": _TEXT}),
    exp.RegexpLike: ("REGEXP_CONTAINS", {"this": _TEXT, "expression": _TEXT}),
    exp.RegexpExtract: ("REGEXP_EXTRACT", {"this": _TEXT, "expression": _TEXT}),
    exp.RegexpReplace: ("REGEXP_REPLACE", {"this": _TEXT, "expression": _TEXT, "replacement": _TEXT}),
    exp.Abs: ("ABS", {"this": _NUMBERS}),
    exp.Sign: ("SIGN", {"this": _NUMBERS}),
    exp.Round: ("ROUND", {"this": _NUMBERS, "decimals": _INTEGER}),
    exp.Trunc: ("TRUNC", {"this": _NUMBERS, "decimals": _INTEGER}),
    exp.Ceil: ("CEIL", {"this": _NUMBERS}),
    exp.Floor: ("FLOOR", {"this": _NUMBERS}),
    exp.Sqrt: ("SQRT", {"this": _NUMBERS}),
    exp.Exp: ("EXP", {"this": _NUMBERS}),
    exp.Ln: ("LN", {"this": _NUMBERS}),
    exp.Pow: ("POW", {"this": _NUMBERS, "expression": _NUMBERS}),
    exp.SafeNegate: ("SAFE_NEGATE", {"this": _NUMBERS}),
    exp.LowerHex: ("TO_HEX", {"this": _BYTES}),
    exp.ToBase64: ("TO_BASE64", {"this": _BYTES}),
    exp.SafeConvertBytesToString: ("SAFE_CONVERT_BYTES_TO_STRING", {"this": _BYTES}),
    exp.BitwiseAndAgg: ("BIT_AND", {"this": _INTEGER}),
    exp.BitwiseOrAgg: ("BIT_OR", {"this": _INTEGER}),
    exp.BitwiseXorAgg: ("BIT_XOR", {"this": _INTEGER}),
    **{kind: (kind.sql_name(), {"this": _NUMBERS}) for kind in _OF_ANGLES},
    exp.Atan2: ("ATAN2", {"this": _NUMBERS, "expression": _NUMBERS}),
    exp.SafeDivide: ("SAFE_DIVIDE", {"this": _NUMBERS, "expression": _NUMBERS}),
    exp.Sum: ("SUM", {"this": _SUMMABLE}),
    exp.Avg: ("AVG", {"this": _SUMMABLE}),
    exp.Stddev: ("STDDEV", {"this": _NUMBERS}),
    exp.Variance: ("VARIANCE", {"this": _NUMBERS}),
    exp.CountIf: ("COUNTIF", {"this": _BOOL}),
    exp.LogicalAnd: ("LOGICAL_AND", {"this": _BOOL}),
    exp.LogicalOr: ("LOGICAL_OR", {"this": _BOOL}),
    exp.GroupConcat: ("STRING_AGG", {"this": _TEXT}),
    exp.Ntile: ("NTILE", {"this": _INTEGER}),
    exp.Lag: ("LAG", {"this": (), "offset": _INTEGER}),
    exp.Lead: ("LEAD", {"this": (), "offset": _INTEGER}),
    exp.NthValue: ("NTH_VALUE", {"this": (), "offset": _INTEGER}),
    exp.PercentileCont: ("PERCENTILE_CONT", {"this": _NUMBERS, "expression": _NUMBERS}),
    exp.PercentileDisc: ("PERCENTILE_DISC", {"this": (), "expression": _NUMBERS}),
}
_OPERATORS = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}


@rule(*_SIGNATURES, first=True)
def arguments(node: exp.Expression, context: Context) -> exp.Expression | None:
    """Refuse arguments of types that the function does not take.

    Source: "Function reference".
    """
    name, wanted = _SIGNATURES[type(node)]
    given = [(context.of(node.args.get(part)), allowed) for part, allowed in wanted.items() if node.args.get(part)]
    if not given:
        raise invalid(f"No matching signature for {_what(node)} {name} with no arguments")
    if any(allowed and kind not in (None, types.NULL, *allowed) for kind, allowed in given):
        raise invalid(
            f"No matching signature for {_what(node)} {name} for argument types: {named(kind for kind, _ in given)}"
        )
    return None


def _what(node: exp.Expression) -> str:
    if isinstance(node, _ANALYTIC):
        return "analytic function"
    return "aggregate function" if isinstance(node, exp.AggFunc) else "function"


@rule(exp.Lag, exp.Lead, first=True)
def default(node: exp.Lag | exp.Lead, context: Context) -> exp.Expression | None:
    """Refuse a default value of LAG or LEAD that has no common type with the values.

    Source: "Navigation functions", LAG: it is compatible with the value type.
    """
    kinds = [context.of(part) for part in (node.this, node.args.get("offset"), node.args.get("default")) if part]
    if len(kinds) == 3 and None not in kinds and context.of(node) is None:
        shown = named(kinds)
        raise invalid(f"No matching signature for analytic function {node.sql_name()} for argument types: {shown}")
    return None


@rule(*_OPERATORS)
def operands(node: exp.Binary, context: Context) -> exp.Expression | None:
    """Refuse operands that no arithmetic operator takes: strings, BOOL, two dates that are added.

    Source: "Operators", arithmetic operators.
    """
    kinds = [context.of(node.this), context.of(node.expression)]
    if context.of(node) is not None or None in kinds or types.NULL in kinds:
        return None
    if isinstance(node, exp.Sub) and kinds[0] == kinds[1] == types.TIME:
        return None
    if isinstance(node, exp.Sub) and any(kind in _TIMES for kind in kinds):
        texts = [side for side, kind in zip((node.this, node.expression), kinds, strict=True) if kind == types.STRING]
        if texts and all(map(is_literal, texts)):  # it is read as a date or time
            return None
    raise invalid(f"No matching signature for operator {_OPERATORS[type(node)]} for argument types: {named(kinds)}")


_BITWISE = {
    **{exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "^", exp.BitwiseNot: "~"},
    **{exp.BitwiseLeftShift: "<<", exp.BitwiseRightShift: ">>"},
}


@rule(*_BITWISE, first=True)
def bits(node: exp.Expression, context: Context) -> exp.Expression | None:
    """Refuse operands of bitwise operators that are neither INT64 nor BYTES.

    Source: "Operators", bitwise operators.
    """
    kinds = [context.of(side) for side in (node.this, node.args.get("expression")) if side is not None]
    if any(kind not in (None, types.NULL, types.INT64, types.BYTES) for kind in kinds):
        raise invalid(f"No matching signature for operator {_BITWISE[type(node)]} for argument types: {named(kinds)}")
    return None


_OF_ARRAYS = {
    **{exp.ArraySize: "ARRAY_LENGTH", exp.ArrayReverse: "ARRAY_REVERSE", exp.ArrayConcat: "ARRAY_CONCAT"},
    **{exp.ArraySlice: "ARRAY_SLICE", exp.ArrayFirst: "ARRAY_FIRST", exp.ArrayLast: "ARRAY_LAST"},
    exp.ArrayToString: "ARRAY_TO_STRING",
}


@rule(*_OF_ARRAYS, first=True)
def array_arguments(node: exp.Expression, context: Context) -> exp.Expression | None:
    """Refuse arguments that are no arrays, and arrays of elements without a common type.

    Source: "Array functions".
    """
    kinds = [context.of(part) for part in (node.this, *node.expressions)]
    known = [kind for kind in kinds if kind not in (None, types.NULL)]
    elements = [kind.element for kind in known if kind is not None and kind.name == "ARRAY"]
    if isinstance(node, exp.ArrayToString) and any(part not in (None, types.NULL, *_TEXT) for part in elements):
        elements = []
    different = None not in elements and bool(elements) and types.supertype(elements) is None
    if len(elements) < len(known) or (different and not any(part and part.name == "STRUCT" for part in elements)):
        name = _OF_ARRAYS[type(node)]
        raise invalid(f"No matching signature for function {name} for argument types: {named(kinds)}")
    return None


@rule(exp.Neg)
def negated(node: exp.Neg, context: Context) -> exp.Expression | None:
    """Refuse the negation of what is no number and no interval.

    Source: "Operators", arithmetic operators.
    """
    if context.of(node.this) not in (None, types.NULL, *_SUMMABLE):
        raise invalid(f"No matching signature for operator - for argument types: {context.of(node.this)}")
    return None
