"""What BigQuery says of files that cannot be read, in place of what DuckDB says."""

from __future__ import annotations

import re

from bqemulator.domain.errors import DomainError

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.patches.error_messages import bigquery_message

# Patterns of DuckDB's messages, and BigQuery's words for them.
_WORDS = (
    (
        r"CSV Error on Line: (?P<line>\d+)[\s\S]*Expected Number of Columns: (?P<wanted>\d+) Found: (?P<found>\d+)",
        "Line {line} has {found} columns, expected {wanted}",
    ),
    (r"CSV Error on Line: (?P<line>\d+)[\s\S]*unterminated quote", "Missing close quote character. Line: {line}"),
    (r"CSV Error on Line: (?P<line>\d+)[\s\S]*not utf-8", "Invalid UTF-8 in line {line}"),
    (r"CSV Error on Line: (?P<line>\d+)", "The line {line} is no CSV"),
    (
        r"JSON transform error in file \"[^\"]*\", in (?P<place>\w+ \d+): (?P<why>[^\n]*)",
        "JSON parsing error in {place}: {why}",
    ),
    (
        r"Malformed JSON in file \"[^\"]*\".* in line (?P<line>\d+): (?P<why>[^\n]*)",
        "JSON parsing error in line {line}: {why}",
    ),
)
_OWN_PARTS = re.compile(r"\n\s*\n|\nLINE \d+:")
_KIND = re.compile(r"\A[A-Z][A-Za-z ]+ Error: ")


def reading_error(error: BaseException) -> DomainError:
    """Return the error of a job whose files cannot be read, without paths and statements, which are not the user's."""
    message = str(error)
    return invalid(f"Error while reading data, error message: {_reason(message)}")


def _reason(message: str) -> str:
    for pattern, words in _WORDS:
        if found := re.search(pattern, message):
            return words.format(**found.groupdict()).strip()
    return bigquery_message(message) or _KIND.sub("", _OWN_PARTS.split(message, maxsplit=1)[0]).strip()
