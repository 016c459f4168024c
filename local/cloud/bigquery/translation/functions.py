"""The type of each kind of expression and function, given the types of its arguments.

Source: GoogleSQL for BigQuery, the pages "Operators" and "Function reference"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-all). Functions that are not listed have an
unknown type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.types import Type

if TYPE_CHECKING:
    from local.cloud.bigquery.translation.annotation import Types

SIGNATURE = "signature"
"""What a call of a user's function has in its meta: see :mod:`.user_functions`."""
_Inference = Callable[[Any, "Types"], Type | None]
_DATES = (types.DATE, types.DATETIME, types.TIMESTAMP)


def type_of_function(node: exp.Expression, known: Types) -> Type | None:
    """Return the type of an expression that is neither a column nor a query; None if it is not known."""
    if isinstance(node, exp.Anonymous):
        if signature := node.meta.get(SIGNATURE):
            return signature.result  # type: ignore[no-any-return]
        return _BY_NAME.get(str(node.this).upper())
    inference = _INFERENCES.get(type(node))
    if inference is not None:
        return inference(node, known)
    if isinstance(node, exp.Predicate | exp.Connector):
        return types.BOOL
    return _CONSTANT.get(type(node))


def _same(node: exp.Expression, known: Types) -> Type | None:
    return known.of(node.this)


def _common_of(*names: str) -> _Inference:
    """Return the inference of functions whose result has the common type of these arguments."""

    def infer(node: exp.Expression, known: Types) -> Type | None:
        return known.common(_arguments(node, names))

    return infer


def _arguments(node: exp.Expression, names: Iterable[str]) -> list[exp.Expression]:
    found: list[exp.Expression] = []
    for name in names:
        value = node.args.get(name)
        if value is not None:
            found.extend(value if isinstance(value, list) else [value])
    return found


def _literal(node: exp.Literal, _: Types) -> Type:
    if node.is_string:
        return types.STRING
    return types.INT64 if node.is_int else types.FLOAT64


def _cast(node: exp.Cast, _: Types) -> Type | None:
    return types.of_syntax(node.to)


def _case(node: exp.Case, known: Types) -> Type | None:
    return known.common([*(branch.args["true"] for branch in node.args["ifs"]), *_arguments(node, ["default"])])


def _arithmetic(node: exp.Binary, known: Types) -> Type | None:
    """Type of +, - and *: numbers, a date and days, a date or time and an interval."""
    left, right = known.of(node.this), known.of(node.expression)
    if left in types.NUMBERS or right in types.NUMBERS:
        if {left, right} == {types.INTERVAL, types.INT64} and isinstance(node, exp.Mul):
            return types.INTERVAL
        if {left, right} == {types.DATE, types.INT64}:
            return types.DATE
        kind = known.common([node.this, node.expression])
        return kind if kind in types.NUMBERS else None
    if types.INTERVAL in (left, right):
        other = right if left == types.INTERVAL else left
        return types.DATETIME if other == types.DATE else other
    if isinstance(node, exp.Sub) and left in _DATES and right in _DATES:
        return types.INTERVAL
    return None


def _division(node: exp.Binary, known: Types) -> Type | None:
    if known.of(node.this) == types.INTERVAL:
        return types.INTERVAL
    kind = known.common([node.this, node.expression])
    return types.FLOAT64 if kind == types.INT64 else kind if kind in types.NUMBERS else None


def _float_unless_decimal(node: exp.Expression, known: Types) -> Type | None:
    """Type of functions such as ROUND: that of a NUMERIC argument, otherwise FLOAT64."""
    kind = known.of(node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this)
    return types.FLOAT64 if kind in (types.INT64, types.NULL) else kind if kind in types.NUMBERS else None


def _array(node: exp.Array, known: Types) -> Type | None:
    if len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Query):
        return types.array(known.of(node.expressions[0]))
    return types.array(known.common(node.expressions))


def _array_of_argument(node: exp.Expression, known: Types) -> Type:
    return types.array(known.of(node.this))


def _element(node: exp.Bracket, known: Types) -> Type | None:
    kind = known.of(node.this)
    if kind == types.JSON:
        return types.JSON
    return kind.element if kind and kind.name == "ARRAY" else None


def _struct(node: exp.Struct, known: Types) -> Type:
    """Type of a struct, whose fields :func:`.structs.name_fields` has named."""
    return types.struct(
        ("" if item.meta.get(types.ANONYMOUS) else item.name, known.of(item.expression)) for item in node.expressions
    )


def _dot(node: exp.Dot, known: Types) -> Type | None:
    kind = known.of(node.this)
    if kind == types.JSON:
        return types.JSON
    if isinstance(node.expression, exp.Anonymous):
        return known.of(node.expression)  # a function of a dataset
    if isinstance(node.expression, exp.Func) or kind is None:
        return None
    return kind.member(node.name)


def _extract(node: exp.Extract, _: Types) -> Type:
    part = node.name.upper()
    return {"DATE": types.DATE, "TIME": types.TIME, "DATETIME": types.DATETIME}.get(part, types.INT64)


def _date_like(node: exp.Expression, known: Types) -> Type | None:
    """Type of DATE_ADD, DATE_TRUNC and the like: that of the date; they read a string as a DATE."""
    kind = known.of(node.this)
    return kind if kind in _DATES else types.DATE if kind == types.STRING else None


def _top_count(node: exp.ApproxTopK, known: Types) -> Type:
    return types.array(types.struct([("value", known.of(node.this)), ("count", types.INT64)]))


def _top_sum(node: exp.ApproxTopSum, known: Types) -> Type:
    return types.array(types.struct([("value", known.of(node.this)), ("sum", known.of(node.expression))]))


def _json_format(node: exp.JSONFormat, _: Types) -> Type:
    return types.JSON if node.args.get("to_json") else types.STRING


def _quantiles(node: exp.ApproxQuantiles, known: Types) -> Type:
    value = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    return types.array(known.of(value))


def _generated(node: exp.GenerateSeries, known: Types) -> Type:
    return types.array(known.common(_arguments(node, ["start", "end", "step"])))


def _distinct(node: exp.Distinct, known: Types) -> Type | None:
    return known.of(node.expressions[0]) if node.expressions else None


def _kinds(value: Any, names: str) -> dict[type[exp.Expression], Any]:
    """Return a table of ``value`` for the nodes of these names."""
    return {getattr(exp, name): value for name in names.split()}


_INFERENCES: dict[type[exp.Expression], _Inference] = {
    **_kinds(_same, "Paren Alias Neg Window Filter IgnoreNulls RespectNulls Order Limit Ordered HavingMax SafeFunc"),
    **_kinds(_same, "Collate BitwiseNot BitwiseAnd BitwiseOr BitwiseXor BitwiseLeftShift BitwiseRightShift DPipe"),
    **_kinds(_same, "Abs Sign SafeNegate Nullif Sum Min Max AnyValue FirstValue LastValue NthValue ArgMax ArgMin"),
    **_kinds(_same, "PercentileDisc ArrayReverse ArrayConcat ArraySlice Lower Upper Left Right Substring Trim"),
    **_kinds(_same, "Replace Reverse Repeat Pad RegexpExtract RegexpReplace JSONExtract"),
    **_kinds(_common_of("this", "default"), "Lag Lead"),
    **_kinds(_common_of("this", "expressions"), "Coalesce Greatest Least"),
    **_kinds(_common_of("this", "expression"), "IntDiv Mod"),
    **_kinds(_arithmetic, "Add Sub Mul SafeAdd SafeSubtract SafeMultiply"),
    **_kinds(_division, "Div SafeDivide Pow Log"),
    **_kinds(_float_unless_decimal, "Round Trunc Ceil Floor Sqrt Exp Ln Avg PercentileCont"),
    **_kinds(_date_like, "DateAdd DateSub DateTrunc DatetimeAdd DatetimeSub DatetimeTrunc"),
    **_kinds(_array_of_argument, "ArrayAgg JSONExtractArray"),
    **_kinds(_date_like, "TimestampAdd TimestampSub TimestampTrunc"),
    **_kinds(_cast, "Cast TryCast"),
    **_kinds(_element, "Bracket ArrayFirst ArrayLast"),
    exp.Literal: _literal,
    exp.If: _common_of("true", "false"),
    exp.Case: _case,
    exp.Array: _array,
    exp.Struct: _struct,
    exp.Dot: _dot,
    exp.Extract: _extract,
    exp.ApproxTopK: _top_count,
    exp.ApproxTopSum: _top_sum,
    exp.ApproxQuantiles: _quantiles,
    exp.JSONFormat: _json_format,
    exp.GenerateSeries: _generated,
    exp.Distinct: _distinct,
}

_CONSTANT: dict[type[exp.Expression], Type] = {
    **_kinds(types.NULL, "Null"),
    **_kinds(types.BOOL, "Boolean Not Exists LogicalAnd LogicalOr StartsWith EndsWith IsNan IsInf RegexpLike"),
    **_kinds(types.BOOL, "JSONBool LaxBool"),
    **_kinds(types.INT64, "HexString Count CountIf ApproxDistinct RowNumber Rank DenseRank Ntile ArraySize Length"),
    **_kinds(types.INT64, "ByteLength StrPosition Ascii Unicode RangeBucket FarmFingerprint RegexpInstr BitwiseCount"),
    **_kinds(types.INT64, "DateDiff DatetimeDiff TimestampDiff TimeDiff UnixSeconds UnixMillis UnixMicros UnixDate"),
    **_kinds(types.INT64, "Int64 LaxInt64 BitwiseAndAgg BitwiseOrAgg BitwiseXorAgg"),
    **_kinds(
        types.FLOAT64, "Rand CumeDist PercentRank Float64 Corr CovarPop CovarSamp Cbrt Sin Cos Tan Asin Acos Atan"
    ),
    **_kinds(types.FLOAT64, "Sinh Cosh Tanh Asinh Acosh Atanh Csc Sec Cot Csch Sech Coth Atan2"),
    **_kinds(types.FLOAT64, "Stddev StddevSamp StddevPop Variance VariancePop LaxFloat64"),
    **_kinds(
        types.STRING,
        "RawString Format Initcap LowerHex ToBase64 TimeToStr String ArrayToString Uuid Chr Soundex",
    ),
    **_kinds(types.STRING, "JSONExtractScalar Translate GroupConcat Normalize SessionUser JSONType CodePointsToString"),
    **_kinds(types.STRING, "LaxString Typeof"),
    **_kinds(types.BYTES, "ByteString MD5Digest SHA2Digest SHA1Digest Unhex FromBase64"),
    **_kinds(types.DATE, "Date CurrentDate DateFromParts StrToDate LastDay DateFromUnixDate TsOrDsToDate"),
    **_kinds(types.DATETIME, "TsOrDsToDatetime Datetime CurrentDatetime ParseDatetime"),
    **_kinds(types.TIMESTAMP, "Timestamp CurrentTimestamp StrToTime UnixToTime TsOrDsToTimestamp"),
    **_kinds(types.TIME, "TsOrDsToTime CurrentTime TimeFromParts ParseTime TimeAdd TimeSub TimeTrunc"),
    **_kinds(types.INTERVAL, "Interval MakeInterval JustifyDays JustifyHours JustifyInterval"),
    **_kinds(types.JSON, "ParseJSON JSONArray JSONObject JSONSet JSONRemove JSONStripNulls JSONArrayAppend"),
    **_kinds(types.JSON, "JSONArrayInsert"),
    **_kinds(types.NUMERIC, "ParseNumeric"),
    **_kinds(types.BIGNUMERIC, "ParseBignumeric"),
    **_kinds(types.array(types.STRING), "Split RegexpExtractAll JSONValueArray JSONKeysAtDepth"),
    **_kinds(types.array(types.DATE), "GenerateDateArray"),
    **_kinds(types.array(types.TIMESTAMP), "GenerateTimestampArray"),
    **_kinds(types.array(types.INT64), "ToCodePoints"),
}

_BY_NAME: dict[str, Type] = {
    **{"IEEE_DIVIDE": types.FLOAT64, "CONTAINS_SUBSTR": types.BOOL},
    **{"DATE_BUCKET": types.DATE, "DATETIME_BUCKET": types.DATETIME, "TIMESTAMP_BUCKET": types.TIMESTAMP},
}
