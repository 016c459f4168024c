"""What other databases write, and the parser turns into BigQuery's syntax, so that the tree does not show it.

Source: "Lexical structure and syntax" (https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical),
"Operators", and "Query syntax", LIMIT clause.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlglot

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.literals import position_of
from local.cloud.bigquery.translation.parse_errors import token_words

_Token = sqlglot.TokenType
_OPERATORS = frozenset({"==", "%", "!", "<=>", "??", "~~", "~~~", "~~*", ":="})
_PARTS = frozenset(
    {"MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}
)
_PLURALS = frozenset(f"{part}S" for part in _PARTS)
_FUNCTIONS = frozenset({"ARGMAX", "ARGMIN", "ARG_MAX", "ARG_MIN", "CHAR", "CONVERT", "DECODE", "POSITION", "OVERLAY"})
"""Functions whose names the parser does not keep."""
_OF_VALUES = frozenset({"SUBSTR", "SUBSTRING", "TRIM"})
"""Functions that have FROM between their arguments in other databases."""
_NO_FUNCTION_AFTER = (_Token.DOT, _Token.INTO, _Token.TABLE, _Token.ALIAS, _Token.WITH, _Token.FUNCTION, _Token.VIEW)
_AFTER_VALUES = (_Token.VAR, _Token.IDENTIFIER, _Token.NUMBER, _Token.STRING, _Token.R_PAREN, _Token.R_BRACKET)
_BEGIN_QUERIES = (_Token.SELECT, _Token.WITH, _Token.FROM, _Token.L_PAREN)
_NULL_TESTS = (_Token.ISNULL, _Token.NOTNULL)
_MAY_BE_FOREIGN = re.compile(
    r"==|[%!?~]|<=>|:=|\*\s*AS\b|\b(?:ISNULL|NOTNULL|LIMIT|OFFSET|INTERVAL)\b|\bIN\s*(?!\()\S"
    r"|\bEXISTS\s*\(\s*(?!SELECT\b|WITH\b|FROM\b|\()"
    rf"|\b(?:{'|'.join(sorted(_FUNCTIONS | _OF_VALUES))})\s*\(",
    re.IGNORECASE,
)


def check_tokens(sql: str) -> None:
    """Refuse operators, functions and forms of clauses that the parser accepts and BigQuery does not have.

    Args:
        sql: the statement as it is written.

    Raises:
        ValidationError: in BigQuery's words.
    """
    if not _MAY_BE_FOREIGN.search(sql):
        return
    try:
        tokens = sqlglot.tokenize(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return  # the parser reports it
    calls: list[str] = []
    missing: Exception | None = None  # an error of syntax comes first
    for number, token in enumerate(tokens):
        before = tokens[number - 1] if number else None
        after = tokens[number + 1] if number + 1 < len(tokens) else None
        if token.token_type == _Token.L_PAREN:
            calls.append(before.text.upper() if before else "")
        elif token.token_type == _Token.R_PAREN and calls:
            calls.pop()
        elif token.token_type == _Token.SELECT and calls:
            calls[-1] = ""  # a query in parentheses
        elif token.token_type == _Token.EXISTS and number + 2 < len(tokens):
            _check_exists(sql, *tokens[number + 1 : number + 3])
        elif token.token_type == _Token.INTERVAL:
            _check_interval(sql, tokens, number)
        _check_token(sql, before, token, after, calls[-1] if calls else "")
        if missing is None and _is_foreign_call(sql, before, token, after):
            missing = invalid(f"Function not found: {token.text} at {position_of(sql, token.start)}")
    if missing:
        raise missing


def _check_token(sql: str, before: Any, token: Any, after: Any, call: str) -> None:
    """Refuse a token that BigQuery does not have at its place; ``call`` is the function whose arguments it is in."""
    written, kind = sql[token.start : token.end + 1], token.token_type
    next_kind = after.token_type if after else None
    if written == "%":
        raise invalid(f'Syntax error: Illegal input character "%" at {position_of(sql, token.start)}; use MOD')
    if written in _OPERATORS:
        raise _unexpected(sql, token)
    if kind in _NULL_TESTS and before and before.token_type in _AFTER_VALUES:
        raise _unexpected(sql, token, "identifier ")
    if kind == _Token.IN and after and next_kind not in (_Token.L_PAREN, _Token.UNNEST):
        place = position_of(sql, after.start)
        raise invalid(f'Syntax error: Expected "(" or keyword UNNEST but got {token_words(after)} at {place}')
    if kind == _Token.FROM and call in _OF_VALUES:
        raise _unexpected(sql, token, "keyword ")
    if kind == _Token.STAR and next_kind == _Token.ALIAS:
        raise _unexpected(sql, after, "keyword ")
    if kind == _Token.NUMBER and before and before.token_type in (_Token.LIMIT, _Token.OFFSET):
        if not token.text.isdigit():
            raise _unexpected(sql, token, "floating point literal ")
        if next_kind == _Token.COMMA and before.token_type == _Token.LIMIT:
            raise invalid(f'Syntax error: Expected end of input but got "," at {position_of(sql, after.start)}')


def _is_foreign_call(sql: str, before: Any, token: Any, after: Any) -> bool:
    """Return whether a token is the name in a call of a function that the parser keeps no name of."""
    word = token.text.upper()
    is_name = before is not None and before.token_type in _NO_FUNCTION_AFTER
    is_call = after is not None and after.token_type == _Token.L_PAREN
    return word in _FUNCTIONS and is_call and sql[token.start : token.end + 1].upper() == word and not is_name


def _check_exists(sql: str, bracket: Any, first: Any) -> None:
    """Refuse EXISTS of what is no query."""
    if bracket.token_type == _Token.L_PAREN and first.token_type not in _BEGIN_QUERIES:
        raise invalid(f"Syntax error: Unexpected {token_words(first)} at {position_of(sql, first.start)}")


def _check_interval(sql: str, tokens: Sequence[Any], number: int) -> None:
    """Refuse ``INTERVAL '1 day'`` and ``INTERVAL 1 DAYS``, which have no part of a date as BigQuery names it."""
    end, depth = number + 1, 0
    while end < len(tokens):
        depth += {_Token.L_PAREN: 1, _Token.R_PAREN: -1}.get(tokens[end].token_type, 0)
        if depth == 0 and tokens[end].token_type not in (_Token.DASH, _Token.PLUS):
            break
        end += 1
    part = tokens[end + 1] if end + 1 < len(tokens) else None
    word = part.text.upper() if part else ""
    if part and word in _PLURALS:
        raise invalid(f"A valid date part name is required but found {part.text} at {position_of(sql, part.start)}")
    value = tokens[end] if end < len(tokens) else None
    if value and part and value.token_type in (_Token.NUMBER, _Token.STRING) and word not in _PARTS:
        if part.token_type == _Token.VAR:
            raise invalid(f"A valid date part name is required but found {part.text} at {position_of(sql, part.start)}")
        if value.token_type == _Token.NUMBER:
            raise invalid(f"Syntax error: Unexpected {token_words(part)} at {position_of(sql, part.start)}")
    if value and value.token_type == _Token.STRING and word not in _PARTS and re.search(r"[A-Za-z]", value.text):
        raise invalid(f"Syntax error: Unexpected string literal at {position_of(sql, value.start)}")


def _unexpected(sql: str, token: Any, kind: str = "") -> Exception:
    return invalid(f'Syntax error: Unexpected {kind}"{token.text}" at {position_of(sql, token.start)}')
