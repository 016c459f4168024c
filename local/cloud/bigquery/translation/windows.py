"""Window functions: which take ORDER BY, COUNTIF, and percentiles with RESPECT NULLS.

Sources: "Window function calls" (https://cloud.google.com/bigquery/docs/reference/standard-sql/window-function-calls)
and "Navigation functions"; the texts of errors: GoogleSQL's analyzer.
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.constants import is_null
from local.cloud.bigquery.translation.frames import check_frame
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.numbers import with_function
from local.cloud.bigquery.translation.rules import Context, bound, call, rule, site_of

_ORDERED = (
    *(exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile),
    *(exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue),
)
_PERCENTILES = (exp.PercentileCont, exp.PercentileDisc)
_NAN = str(limit("order NaN in PERCENTILE_CONT and PERCENTILE_DISC; filter it by NOT IS_NAN(...)"))
_NO_FRAME = (
    *(exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile, exp.RowNumber, exp.Lag, exp.Lead),
    *_PERCENTILES,
)

macro("bq_without_nan(x, message)", "CASE WHEN isnan(x) THEN bq_error(message) ELSE x END")
macro(
    "bq_percentile_disc(elements, part)",
    """list_extract(
        list_sort(elements, 'ASC', 'NULLS FIRST'),
        greatest(CAST(ceil(CAST(part AS DOUBLE) * len(elements)) AS BIGINT), 1)
    )""",
)


@rule(exp.Window)
def window(node: exp.Window, context: Context) -> exp.Expression | None:
    """Some window functions need ORDER BY, and aggregates with DISTINCT allow none.

    Source: "Window function calls".
    """
    function = node.this
    while isinstance(function, exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
        function = function.this
    order, spec = node.args.get("order"), node.args.get("spec")
    name, inherits = _name(function), node.args.get("alias") is not None
    if isinstance(function, exp.FirstValue | exp.LastValue) and is_null(function.this):
        raise invalid(f"The argument to {name} must be non-NULL")
    if spec is not None and isinstance(function, _NO_FRAME):
        raise invalid(f"Window framing clause is not allowed for analytic function {name}")
    if spec is not None:
        check_frame(spec, order, context, inherits=inherits)
    if inherits:
        return None  # the rest is in a named window
    if order is None and isinstance(function, _ORDERED):
        raise invalid(f"Window ORDER BY is required for analytic function {name}")
    if order is not None and isinstance(function, _PERCENTILES):
        raise invalid(f"Window ORDER BY is not allowed for analytic function {name}")
    if order is not None and isinstance(function, exp.AggFunc) and isinstance(function.this, exp.Distinct):
        raise invalid("Window ORDER BY is not allowed if DISTINCT is specified")
    return None


@rule(*_PERCENTILES)
def percentile_of_all(node: exp.Expression, context: Context) -> exp.Expression | None:
    """PERCENTILE_DISC with RESPECT NULLS counts NULL as the smallest value.

    Source: "Navigation functions", PERCENTILE_DISC. DuckDB's function leaves NULL out.
    """
    if context.of(node.this) == types.FLOAT64:
        node.set("this", bound("bq_without_nan", node.this, _NAN))
    part = node.args["expression"]
    modifier = node.parent if isinstance(node.parent, exp.RespectNulls) else part
    if not isinstance(modifier, exp.RespectNulls):
        return None
    if isinstance(node, exp.PercentileCont):
        raise limit("run PERCENTILE_CONT with RESPECT NULLS")
    site = site_of(node)
    if not isinstance(site, exp.Window):
        return None
    elements = site.copy()
    elements.set("this", exp.ArrayAgg(this=node.this.copy()))
    return call("bq_percentile_disc", elements, part.this if modifier is part else part)


@rule(exp.RowNumber, *_ORDERED, *_PERCENTILES)
def needs_over(node: exp.Func, context: Context) -> exp.Expression | None:
    """Functions that are not aggregates, too, need OVER.

    Source: "Window function calls"; "Navigation functions", PERCENTILE_CONT. DuckDB has percentiles as aggregates.
    """
    if not isinstance(site_of(node), exp.Window):
        raise invalid(f"Analytic function {_name(node)} cannot be called without an OVER clause")
    return None


@rule(exp.Lag, exp.Lead)
def with_default(node: exp.Lag | exp.Lead, context: Context) -> exp.Expression | None:
    """LAG and LEAD have the common type of the values and the default.

    Source: "Navigation functions", LAG. DuckDB converts the default to the type of the values.
    """
    kind, value = context.of(node), node.args.get("default")
    if value is None or kind not in types.NUMBERS or context.of(node.this) == kind:
        return None
    node.set("this", context.as_type(node.this, kind))
    return node


@rule(exp.CountIf)
def count_if(node: exp.CountIf, context: Context) -> exp.Expression:
    """COUNTIF counts the rows for which a condition is true, also over a window.

    Source: "Aggregate functions", COUNTIF. bqemulator puts it into COALESCE, also before OVER.
    """
    distinct = node.this if isinstance(node.this, exp.Distinct) else None
    condition = distinct.expressions[0] if distinct else node.this
    value: exp.Expression = exp.Case(ifs=[exp.If(this=condition.copy(), true=exp.Literal.number(1))])
    site = with_function(node, exp.Count)
    count = site.find(exp.Count)
    if count is not None:
        count.set("this", exp.Distinct(expressions=[value]) if distinct else value)
    return site


def _name(node: exp.Expression) -> str:
    """Return the name of a function as the statement writes it, in capitals."""
    while isinstance(node, exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
        node = node.this
    return str(node.meta.get("name") or node.sql_name()).upper() if isinstance(node, exp.Func) else ""
