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
from local.cloud.bigquery.translation.rules import Context, call, named, rule

macro("bq_like(x, pattern)", r"x LIKE pattern ESCAPE '\'")


@rule(exp.Like)
def like(node: exp.Like, context: Context) -> exp.Expression | None:
    r"""A backslash in the pattern of LIKE makes the next character a plain one.

    Source: "Operators", LIKE. DuckDB's LIKE has no such character unless it is named.
    """
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
