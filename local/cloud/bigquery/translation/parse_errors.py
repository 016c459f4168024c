"""BigQuery's words for a statement that the parser stops at.

Source: "Lexical structure and syntax" (https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical); the
texts: the tests of GoogleSQL's parser (https://github.com/google/googlesql/tree/master/googlesql/parser/testdata).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlglot

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.literals import position_of

_Token = sqlglot.TokenType
_BEFORE_BY = frozenset({"GROUP", "ORDER", "PARTITION"})
_CLOSES = {_Token.L_PAREN: 1, _Token.R_PAREN: -1}


def syntax_error(sql: str, found: Mapping[str, Any]) -> Exception:
    """Return the error for a statement that cannot be parsed.

    Args:
        sql: the statement.
        found: what the parser says: the place where it stops, and a description.
    """
    tokens = sqlglot.tokenize(sql, read="bigquery")
    at = (found.get("line"), found.get("col"))
    number = next((one for one, token in enumerate(tokens) if (token.line, token.col) == at), len(tokens) - 1)
    if tokens[0].token_type == _Token.VAR:  # no statement begins with it
        number = 0
    is_open = sum(_CLOSES.get(token.token_type, 0) for token in tokens) > 0
    expected = 'Expected ")" but got' if is_open and "Expecting )" in str(found.get("description")) else "Unexpected"
    if number == len(tokens) - 1 and is_open:  # the parser names the last token where it needs another one
        return invalid(f"Syntax error: {expected} end of script at {position_of(sql, tokens[-1].end + 1)}")
    token = tokens[number]
    before = tokens[number - 1].text.upper() if number else ""
    if before in _BEFORE_BY:
        expected = "Expected keyword BY but got"
    elif number and expected == "Unexpected" and "Unexpected token" in str(found.get("description")):
        expected = "Expected end of input but got"
    return invalid(f"Syntax error: {expected} {token_words(token)} at {position_of(sql, token.start)}")


def token_words(token: Any) -> str:
    """Return a token as BigQuery writes it in messages."""
    kind, text = token.token_type, token.text
    if kind == _Token.NUMBER:
        return f'{"integer" if text.isdigit() else "floating point"} literal "{text}"'
    if kind == _Token.STRING:
        return f'string literal "{text}"'
    if kind in (_Token.VAR, _Token.IDENTIFIER):
        return f'identifier "{text}"'
    return f"keyword {text.upper()}" if text.replace("_", "a").replace(" ", "a").isalpha() else f'"{text}"'
