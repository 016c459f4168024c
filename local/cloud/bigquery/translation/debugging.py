"""ERROR and TYPEOF.

Sources: "Debugging functions" (https://cloud.google.com/bigquery/docs/reference/standard-sql/debugging_functions);
"Utility functions", TYPEOF.
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import limit
from local.cloud.bigquery.translation.macros import ERROR_MARK, macro
from local.cloud.bigquery.translation.rules import Context, call, rule

macro("bq_raise(message)", f"error('{ERROR_MARK}' || message || chr(167))")


@rule(exp.Anonymous)
def error(node: exp.Anonymous, context: Context) -> exp.Expression | None:
    """ERROR fails with its argument as the message.

    Source: "Debugging functions", ERROR.
    """
    return call("bq_raise", *node.expressions) if str(node.this).upper() == "ERROR" else None


@rule(exp.Typeof)
def type_of(node: exp.Typeof, context: Context) -> exp.Expression:
    """TYPEOF gives the name of a type in BigQuery.

    Source: "Utility functions", TYPEOF.
    """
    kind = context.of(node.this)
    if kind is None:
        raise limit("know the type of this expression; leave TYPEOF out")
    return exp.Literal.string(str(kind))
