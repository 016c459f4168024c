"""DATE_BUCKET, DATETIME_BUCKET and TIMESTAMP_BUCKET: the start of the interval that a value lies in.

Source: "Time series functions" (https://cloud.google.com/bigquery/docs/reference/standard-sql/time-series-functions).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import Context, call, named, rule
from local.cloud.bigquery.translation.time_arguments import literal

_KINDS = {"DATE_BUCKET": types.DATE, "DATETIME_BUCKET": types.DATETIME, "TIMESTAMP_BUCKET": types.TIMESTAMP}
_ORIGIN = "1950-01-01"

macro("bq_bucket(x, width, origin)", "time_bucket(width, x, origin)")


@rule(exp.Anonymous)
def bucket(node: exp.Anonymous, context: Context) -> exp.Expression | None:
    """Buckets of a width from an origin, by default 1950-01-01.

    Source: "Time series functions", DATE_BUCKET, DATETIME_BUCKET and TIMESTAMP_BUCKET.
    """
    name = str(node.this).upper()
    if name not in _KINDS:
        return None
    kinds = [context.of(part) for part in node.expressions]
    if len(kinds) not in (2, 3) or any(kind is None for kind in kinds):
        raise limit(f"run {name} of values of unknown type; cast them")
    wanted = [_KINDS[name], types.INTERVAL, _KINDS[name]]
    if any(kind != one for kind, one in zip(kinds, wanted, strict=False)):
        raise invalid(f"No matching signature for function {name} for argument types: {named(kinds)}")
    value, width, *origin = node.expressions
    return call("bq_bucket", value, width, *(origin or [literal(_ORIGIN, _KINDS[name])]))
