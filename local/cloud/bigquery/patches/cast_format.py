"""Patch of sqlglot 30.11: CAST with FORMAT is refused, but for the year, month and day of a DATE in digits.

Wraps ``_parse_cast`` of sqlglot's parser of BigQuery's SQL.

Why: sqlglot reads ``CAST(x AS DATE FORMAT 'YYYY')`` as ``PARSE_DATE('%Y', x)``, in which the month is January, and not
the current one, and a DATETIME as a TIMESTAMP. Afterwards nothing tells it from a call of these functions.

Can be removed when sqlglot keeps CAST with FORMAT, and the typed translation knows its format elements.
"""

from __future__ import annotations

import re
from typing import Any

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery

from local.cloud.bigquery.limits import limit

_DATE = re.compile(r"(%[Ymd]|[-/., ])+")
_parse_cast = BigQuery.Parser._parse_cast


def install() -> None:
    """Make sqlglot's parser refuse CAST with FORMAT."""
    BigQuery.Parser._parse_cast = _without_format  # type: ignore[method-assign]


def _without_format(self: BigQuery.Parser, *args: Any, **kwargs: Any) -> exp.Expr:
    node = _parse_cast(self, *args, **kwargs)
    if isinstance(node, exp.StrToDate):
        pattern = node.args["format"].name
        is_whole = _DATE.fullmatch(pattern) and all(pattern.count(part) == 1 for part in ("%Y", "%m", "%d"))
    else:
        is_whole = isinstance(node, exp.Cast) and not node.args.get("format")
    if not is_whole:
        raise limit("run CAST with FORMAT; use the FORMAT and PARSE functions")
    return node
