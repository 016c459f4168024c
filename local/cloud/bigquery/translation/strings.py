"""Strings: LIKE and concatenation.

Source: "Operators", LIKE and concatenation operators
(https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#like_operator).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.casts import as_string
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import Context, bound, call, named, rule

macro(
    "bq_like(x, pattern)",
    r"""CASE WHEN (length(pattern) - length(rtrim(pattern, '\'))) % 2 = 1
    THEN CAST(bq_error('LIKE pattern ends with a backslash') AS BOOLEAN) ELSE x LIKE pattern ESCAPE '\' END""",
)


macro("bq_trim(x)", r"regexp_replace(regexp_replace(x, '^[\s\p{Z}]+', ''), '[\s\p{Z}]+$', '')")
macro("bq_ltrim(x)", r"regexp_replace(x, '^[\s\p{Z}]+', '')")
macro("bq_rtrim(x)", r"regexp_replace(x, '[\s\p{Z}]+$', '')")
macro("bq_substr_from(x, start)", "CASE WHEN -start > length(x) OR start = 0 THEN x ELSE substr(x, start) END")
macro(
    "bq_substr(x, start, size)",
    """CASE WHEN size < 0 THEN CAST(bq_error('Third argument in SUBSTR() cannot be negative') AS VARCHAR)
    ELSE substr(bq_substr_from(x, start), 1, size) END""",
)


@rule(exp.Trim)
def trim(node: exp.Trim, context: Context) -> exp.Expression | None:
    """TRIM, LTRIM and RTRIM without characters remove all white space.

    Source: "String functions", TRIM. DuckDB removes spaces.
    """
    if context.of(node.this) != types.STRING or node.args.get("expression") is not None:
        return None
    name = {"LEADING": "bq_ltrim", "TRAILING": "bq_rtrim"}.get(str(node.args.get("position") or "").upper(), "bq_trim")
    return call(name, node.this)


@rule(exp.Substring)
def substring(node: exp.Substring, context: Context) -> exp.Expression | None:
    """SUBSTR counts from 1; 0 is read as 1, and a start before the string as its start.

    Source: "String functions", SUBSTR.
    """
    start, size = node.args.get("start"), node.args.get("length")
    if context.of(node.this) != types.STRING or start is None:
        return None
    if size is None:
        return bound("bq_substr_from", node.this, start)
    return bound("bq_substr", node.this, start, size)


@rule(exp.Like)
def like(node: exp.Like, context: Context) -> exp.Expression | None:
    r"""A backslash in the pattern of LIKE makes the next character a plain one.

    Source: "Operators", LIKE. DuckDB's LIKE has no such character unless it is named.
    """
    if isinstance(node.expression, exp.Any | exp.All):
        return _quantified(node)
    kinds = [context.of(node.this), context.of(node.expression)]
    if any(kind not in (None, types.NULL, types.STRING, types.BYTES) for kind in kinds):
        raise invalid(f"No matching signature for operator LIKE for argument types: {named(kinds)}")
    if types.BYTES in kinds:
        raise limit("compare BYTES with LIKE")
    pattern = node.expression
    if isinstance(pattern, exp.Literal | exp.RawString):
        if "\\" not in pattern.name:
            return None
        if (len(pattern.name) - len(pattern.name.rstrip("\\"))) % 2:
            raise invalid("LIKE pattern ends with a backslash")
    result: exp.Expression = call("bq_like", node.this, pattern)
    return exp.not_(result, copy=False) if node.args.get("negate") else result


def _quantified(node: exp.Like) -> exp.Expression:
    """Return LIKE ANY or LIKE ALL of a list of patterns as a chain of LIKE."""
    patterns = node.expression.this
    if not isinstance(patterns, exp.Tuple | exp.Paren):
        raise limit("run LIKE ANY or LIKE ALL of anything but a list of patterns")
    found = patterns.expressions if isinstance(patterns, exp.Tuple) else [patterns.this]
    parts: list[exp.Expression] = [call("bq_like", node.this.copy(), pattern) for pattern in found]
    if node.args.get("negate"):
        parts = [exp.not_(part) for part in parts]
    return exp.paren(exp.or_(*parts) if isinstance(node.expression, exp.Any) else exp.and_(*parts))


@rule(exp.Concat, exp.DPipe)
def concatenation(node: exp.Expression, context: Context) -> exp.Expression | None:
    """CONCAT and || write other values as CAST to STRING does.

    Source: "String functions", CONCAT.
    """
    is_function = isinstance(node, exp.Concat)
    operands = node.expressions if is_function else [node.this, node.expression]
    kinds = [context.of(operand) for operand in operands]
    if None in kinds or all(kind in (types.STRING, types.NULL) for kind in kinds):
        return None
    if any(kind is not None and kind.name == "ARRAY" for kind in kinds) and not is_function:
        return None
    if types.BYTES in kinds:
        if any(kind not in (types.BYTES, types.NULL) for kind in kinds):
            name = "function CONCAT" if is_function else "operator ||"
            raise invalid(f"No matching signature for {name} for argument types: {named(kinds)}")
        return None
    texts = [as_string(operand, kind) for operand, kind in zip(operands, kinds, strict=True)]
    if is_function:
        node.set("expressions", texts)
    else:
        node.set("this", texts[0])
        node.set("expression", texts[1])
    context.typed(node, types.STRING)
    return node
