"""The statements that run here, as an allow-list: the layers below run more than BigQuery has.

Source: "GoogleSQL statements", above all "Data definition language"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import sqlglot

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.literals import BEFORE, position_of
from local.cloud.bigquery.translation.parse_errors import token_words

_WORD = re.compile(rf"{BEFORE}(?P<word>\w+)")
_MOST_WORDS = 8
_RUN = re.compile(
    r"(SELECT|WITH|FROM|INSERT|UPDATE|DELETE|MERGE|ASSERT|BEGIN|COMMIT|ROLLBACK|TRUNCATE TABLE"
    r"|CREATE (OR REPLACE )?((TEMP|TEMPORARY) )?(TABLE|FUNCTION)"
    r"|CREATE (OR REPLACE )?(EXTERNAL TABLE|TABLE FUNCTION|VIEW|MATERIALIZED VIEW|PROCEDURE)|CREATE SCHEMA"
    r"|DROP (TABLE|EXTERNAL TABLE|TABLE FUNCTION|VIEW|MATERIALIZED VIEW|SCHEMA|FUNCTION|PROCEDURE)|ALTER TABLE)\b"
)
_OF_BIGQUERY = re.compile(
    r"(?P<verb>LOAD|EXPORT) (?P<what>DATA|MODEL|METADATA)\b|(?P<alone>GRANT|REVOKE|UNDROP)\b"
    r"|(?!CREATE OR REPLACE SCHEMA)(?P<change>CREATE|ALTER|DROP) (OR REPLACE )?((TEMP|TEMPORARY) (?=AGGREGATE))?"
    r"(?P<object>MODEL|SNAPSHOT TABLE"
    r"|(ALL )?ROW ACCESS (POLICY|POLICIES)|(SEARCH|VECTOR) INDEX|AGGREGATE FUNCTION|EXTERNAL SCHEMA|PROPERTY GRAPH"
    r"|DATA_POLICY|CONNECTION|SCHEMA|VIEW|MATERIALIZED VIEW|(BI_)?CAPACITY|RESERVATION|ASSIGNMENT|ORGANIZATION|PROJECT"
    r")\b"
)
_NOT_SUPPORTED = {"EXPLAIN", "SHOW", "DESCRIBE", "ANALYZE"}
"""Statements that GoogleSQL has and BigQuery does not."""

# Actions of ALTER TABLE; a name in backticks and a string are one character here.
_ACTION_WORDS = {"ADD", "ALTER", "DROP", "RENAME", "SET"}
_ACTIONS = re.compile(
    r"ADD COLUMN (?!.*(FIRST|AFTER \S+)$).+|DROP COLUMN (IF EXISTS )?\S+|RENAME COLUMN (?!IF )\S+ TO \S+|SET OPTIONS .*"
    r"|ALTER COLUMN (?!IF )\S+ (SET DATA TYPE (?!.*\b(USING|COLLATE)\b).+|DROP NOT NULL)"
)
_ACTIONS_OF_BIGQUERY = re.compile(
    r"RENAME TO|RENAME COLUMN IF EXISTS|SET DEFAULT COLLATE|(ADD|DROP) (CONSTRAINT|PRIMARY KEY|FOREIGN KEY)"
    r"|ALTER COLUMN (IF EXISTS |\S+ (SET OPTIONS|SET DEFAULT|DROP DEFAULT|SET DATA TYPE .*COLLATE))"
)


def check_kind(sql: str) -> None:
    """Refuse a statement that BigQuery does not have, or that does not run here.

    Args:
        sql: one statement, not one that only scripts have.

    Raises:
        ValidationError: naming the limit, or as BigQuery's for other databases' statements.
    """
    words, start = _first_words(sql)
    if not words or _RUN.match(words):
        if words.startswith("ALTER TABLE"):
            _check_actions(sql)
        return
    if found := _OF_BIGQUERY.match(words):
        parts = (found[part] for part in ("verb", "what", "alone", "change", "object"))
        raise limit(f"run {' '.join(filter(None, parts))} statements")
    first = words.split()[0]
    if first in ("CREATE", "ALTER", "DROP"):
        kind = re.match(r"\w+( OR REPLACE)?( \w+)?", words)
        raise invalid(f"Statement not supported: {kind[0] if kind else first}")
    if first in _NOT_SUPPORTED:
        raise invalid(f"Statement not supported: {first.title()}Statement")
    written = token_words(sqlglot.tokenize(sql[start : start + len(first)], read="bigquery")[0])
    raise invalid(f"Syntax error: Unexpected {written} at {position_of(sql, start)}")


def is_ddl(sql: str) -> bool:
    """Return whether a statement defines something that outlives its script."""
    words, _ = _first_words(sql)
    return bool(re.match(r"(CREATE|DROP|ALTER) (?!(OR REPLACE )?TEMP)", words))


def _first_words(sql: str) -> tuple[str, int]:
    """Return the first words in capitals, with a space between them, and where the first begins."""
    words: list[str] = []
    start, end = 0, 0
    while len(words) < _MOST_WORDS and (found := _WORD.match(sql, end)):
        start = start if words else found.start("word")
        words.append(found["word"].upper())
        end = found.end()
    return " ".join(words), start


def _check_actions(sql: str) -> None:
    for action in _actions(sql):
        if _ACTIONS.fullmatch(action):
            continue
        if found := _ACTIONS_OF_BIGQUERY.match(action):
            named = re.sub(r"(ALTER COLUMN) (?!IF )\S+", r"\1 ...", found[0]).strip()
            raise limit(f"run ALTER TABLE ... {named}")
        raise invalid(f"Syntax error: ALTER TABLE has no action {action}")


def _actions(sql: str) -> Iterator[str]:
    """Yield the actions of an ALTER TABLE in capitals, with a space between their words."""
    kinds = sqlglot.TokenType
    try:
        tokens = sqlglot.tokenize(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return  # the parser reports it
    depth, words = 0, list[str]()
    begun = False
    for before, token in itertools.pairwise(tokens[1:]):
        text = "`" if token.token_type in (kinds.IDENTIFIER, kinds.STRING) else " ".join(token.text.upper().split())
        begun = begun or (text in _ACTION_WORDS and before.token_type not in (kinds.DOT, kinds.DASH))
        depth += {"(": 1, "<": 1, ")": -1, ">": -1}.get(text, 0)
        if begun and text == "," and depth == 0:
            yield " ".join(words)
            words = []
        elif begun and text != ";":
            words.append(text)
    yield " ".join(words)
