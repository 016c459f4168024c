"""The prefix SAFE.

Source: "Function calls", SAFE. prefix
(https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-reference#safe_prefix).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.translation.rules import Context, call, rule


@rule(exp.SafeFunc)
def safe_prefix(node: exp.SafeFunc, context: Context) -> exp.Expression | None:
    """``SAFE.function(...)`` is NULL where the function fails.

    Source: "Function calls", SAFE. prefix.
    """
    return call("TRY", node.this)
