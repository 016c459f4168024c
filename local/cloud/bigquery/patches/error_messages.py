"""Patch of bqemulator 1.4.0: errors of running statements in BigQuery's words.

Puts a function before those of ``bqemulator.jobs.error_mapper._DUCKDB_TRANSLATORS``.

Why: bqemulator reports most of DuckDB's messages as they are, and some in words of another error, such as
``division by zero: 1 / 0`` whatever was divided.

Can be removed when bqemulator words these errors as BigQuery does, or has a hook for them.
"""

from __future__ import annotations

import re

import sqlglot.errors
from bqemulator.domain.errors import DomainError, InvalidQueryError
from bqemulator.jobs import error_mapper

from local.cloud.bigquery.translation.macros import ERROR_MARK

_MARKED = re.compile(re.escape(ERROR_MARK) + r"(?P<message>.*?)\N{SECTION SIGN}", re.DOTALL)
_OPERATORS = {"addition": "+", "subtraction": "-", "multiplication": "*"}
_INT64 = re.compile(r"Overflow in (?P<operation>\w+) of INT64 \((?P<left>-?\d+) \S (?P<right>-?\d+)\)")
_NUMERIC = re.compile(r"Overflow in (?P<operation>\w+) of DECIMAL")
_UNKNOWN_NAME = re.compile(r'Referenced (?:column|table) "(?P<name>[^"]+)" not found')
_UNKNOWN_FIELD = re.compile(r'Table "(?P<table>[^"]+)" does not have a column named "(?P<name>[^"]+)"')
_SUM = re.compile(r"Type (INT128|DOUBLE) with value .* out of range for the destination type INT64")


def install() -> None:
    """Make bqemulator report errors of this package's macros, and overflows, in BigQuery's words."""
    sqlglot.errors.ANSI_UNDERLINE = sqlglot.errors.ANSI_RESET = ""  # its messages are not for terminals
    error_mapper._DUCKDB_TRANSLATORS = (_translated, *error_mapper._DUCKDB_TRANSLATORS)


def _translated(message: str, _: str | None) -> DomainError | None:
    text = bigquery_message(message)
    return InvalidQueryError(text, location="query") if text else None


def bigquery_message(message: str) -> str | None:
    """Return BigQuery's message for a message of DuckDB; None if it is not one of those known here."""
    if marked := _MARKED.search(message):
        return marked["message"]
    if overflow := _INT64.search(message):
        operator = _OPERATORS.get(overflow["operation"], overflow["operation"])
        return f"int64 overflow: {overflow['left']} {operator} {overflow['right']}"
    if "Overflow in negation" in message or "Overflow on abs" in message or _SUM.search(message):
        return "int64 overflow"
    if unknown := _UNKNOWN_NAME.search(message):
        return f"Unrecognized name: {unknown['name']}"
    if unknown := _UNKNOWN_FIELD.search(message):
        return f"Name {unknown['name']} not found inside {unknown['table']}"
    return "numeric overflow" if _NUMERIC.search(message) else None
