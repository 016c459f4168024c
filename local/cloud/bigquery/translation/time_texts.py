"""Formatting and parsing of dates and times: the functions FORMAT_... and PARSE_...

Source: GoogleSQL for BigQuery, "Format elements"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import time_formats, types
from local.cloud.bigquery.translation.rules import Context, call, rule
from local.cloud.bigquery.translation.time_arguments import check_zone, literal_text, local_time, no_signature, typed


def _pattern(node: exp.Expression) -> str | None:
    """Return a literal format string; None if it is not a literal."""
    text = literal_text(node)
    if text == "None":  # what sqlglot makes of an empty one
        raise limit("format or parse with an empty format string")
    return text


@rule(exp.TimeToStr)
def formatting(node: exp.TimeToStr, context: Context) -> exp.Expression:
    """FORMAT_DATE, FORMAT_DATETIME, FORMAT_TIME, FORMAT_TIMESTAMP, with every documented element.

    Source: "Format elements".
    """
    kind = context.of(node.this) or types.TIMESTAMP
    pattern, zone = _pattern(node.args["format"]), node.args.get("zone")
    try:
        duckdb = time_formats.duckdb_format(pattern, kind.name) if pattern is not None else None
    except ValueError as error:
        raise invalid(str(error)) from None
    if zone is not None:
        if kind != types.TIMESTAMP:
            raise no_signature(f"FORMAT_{kind}", types.STRING, kind, types.STRING)
        return call("bq_format_in", node.this, local_time(node.this.copy(), zone), node.args["format"])
    civil = typed("bq_civil", kind, node.this)
    if duckdb is None:
        return call("bq_format", civil, node.args["format"], kind.name)
    return call("bq_strftime", civil, node.args["format"], kind.name, duckdb)


_PARSERS = {
    exp.StrToDate: types.DATE,
    exp.ParseDatetime: types.DATETIME,
    exp.ParseTime: types.TIME,
    exp.StrToTime: types.TIMESTAMP,
}


@rule(*_PARSERS)
def parsing(node: exp.Expression, context: Context) -> exp.Expression:
    """PARSE_DATE, PARSE_DATETIME, PARSE_TIME, PARSE_TIMESTAMP, with or without a time zone.

    Source: "Format elements"; parts that the format lacks are those of 1970-01-01 00:00:00.
    """
    kind, zone = _PARSERS[type(node)], node.args.get("zone")
    name, text, pattern = kind.name.lower(), node.args["format"], _pattern(node.args["format"])
    for argument in (node.this, text):
        if context.of(argument) not in (types.STRING, types.NULL, None):
            raise no_signature(f"PARSE_{kind}", types.STRING, context.of(argument))
    regular = None
    if pattern is not None:
        try:
            time_formats.check_parser(pattern, kind.name)
        except ValueError as error:
            raise invalid(str(error)) from None
        regular = time_formats.regular_text(pattern) if zone is None and kind != types.TIME else None
    if regular is not None:
        return call(f"bq_strptime_{name}", text, node.this, *regular)
    if kind != types.TIMESTAMP:
        return call(f"bq_parse_{name}", text, node.this)
    if zone is not None:
        check_zone(zone)
    return call("bq_parse_timestamp", text, node.this, zone if zone is not None else "UTC")
