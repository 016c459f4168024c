"""Patch of bqemulator 1.4.0: the statements CASE and REPEAT in scripts, and DECLARE.

Wraps ``__init__``, ``_parse_statement``, ``_parse_statements`` and ``_read_type_name`` of
``bqemulator.scripting.parser.Parser``. CASE becomes its IF, and REPEAT its LOOP that ends in an IF with BREAK.

Why: bqemulator takes both for SQL, declares variables anywhere, does not know DECLARE without a type, and calls a label
a syntax error.

Can be removed when bqemulator knows CASE, REPEAT and labels, and refuses DECLARE after other statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bqemulator.domain.errors import DomainError
from bqemulator.scripting.ast import BreakStmt, ContinueStmt, DeclareStmt, IfStmt, LoopStmt, Statement
from bqemulator.scripting.parser import Parser

from local.cloud.bigquery.limits import invalid, limit

_LABEL = re.compile(r"\b[A-Za-z_]\w*\s*:\s*(BEGIN|LOOP|WHILE|REPEAT|FOR)\b", re.IGNORECASE)
_init = Parser.__init__
_read_type_name = Parser._read_type_name
_parse_statement = Parser._parse_statement
_parse_statements = Parser._parse_statements


def install() -> None:
    """Make bqemulator parse these statements."""
    Parser.__init__ = _tokenized
    Parser._read_type_name = _type_name
    Parser._parse_statement = _statement
    Parser._parse_statements = _statements


def _tokenized(parser: Parser, source: str) -> None:
    try:
        _init(parser, source)
    except DomainError as error:
        if _LABEL.search(source):
            raise limit("have labels in scripts") from error
        raise


def _type_name(parser: Parser) -> str:
    """Return the declared type; empty if the default value gives it."""
    return "" if _is_word(parser, "DEFAULT") else _read_type_name(parser)


def _is_word(parser: Parser, word: str) -> bool:
    token = parser._cursor.current
    return token.kind in ("IDENT", "KEYWORD") and token.value.upper() == word


def _expect(parser: Parser, word: str) -> None:
    if not _is_word(parser, word):
        raise invalid(f'Syntax error: Expected keyword {word} but got "{parser._cursor.current.value}"')
    parser._cursor.advance()


def _statement(parser: Parser) -> Statement | None:
    if _is_word(parser, "CASE"):
        return _case(parser)
    if _is_word(parser, "REPEAT"):
        return _repeat(parser)
    return _parse_statement(parser)


def _statements(parser: Parser, stop_keywords: tuple[str, ...]) -> list[Statement]:
    found = _parse_statements(parser, stop_keywords)
    kinds = [isinstance(statement, DeclareStmt) for statement in found]
    if True in kinds[kinds.index(False) if False in kinds else len(kinds) :]:
        raise invalid("Variable declarations are allowed only at the start of a block or script")
    return found


def _case(parser: Parser) -> IfStmt:
    """Parse ``CASE [value] WHEN ... THEN statements ... [ELSE statements] END CASE``."""
    _expect(parser, "CASE")
    value = "" if _is_word(parser, "WHEN") else parser._capture_expr_until((), stop_keywords=("WHEN",))
    branches: list[tuple[str, tuple[Statement, ...]]] = []
    while _is_word(parser, "WHEN"):
        parser._cursor.advance()
        condition = parser._capture_expr_until((), stop_keywords=("THEN",))
        _expect(parser, "THEN")
        body = tuple(parser._parse_statements(("WHEN", "ELSE", "END")))
        branches.append((f"({value}) = ({condition})" if value else condition, body))
    otherwise: tuple[Statement, ...] | None = None
    if _is_word(parser, "ELSE"):
        parser._cursor.advance()
        otherwise = tuple(parser._parse_statements(("END",)))
    _end(parser, "CASE")
    return IfStmt(branches=tuple(branches), else_body=otherwise)


def _repeat(parser: Parser) -> LoopStmt:
    """Parse ``REPEAT statements UNTIL condition END REPEAT``."""
    _expect(parser, "REPEAT")
    body: list[Statement] = []
    while not _is_word(parser, "UNTIL") and not parser._cursor.at_eof():
        statement = parser._parse_statement()
        if statement is not None:
            body.append(statement)
    if _continues(body):
        raise limit("run CONTINUE in REPEAT; use LOOP")
    _expect(parser, "UNTIL")
    condition = parser._capture_expr_until((), stop_keywords=("END",))
    _end(parser, "REPEAT")
    return LoopStmt(body=(*body, IfStmt(branches=((condition, (BreakStmt(),)),), else_body=None)))


def _continues(body: Iterable[Statement]) -> bool:
    """Whether CONTINUE may skip the condition; that of an inner loop counts too."""
    return any(isinstance(statement, ContinueStmt) or "ContinueStmt(" in repr(statement) for statement in body)


def _end(parser: Parser, word: str) -> None:
    _expect(parser, "END")
    _expect(parser, word)
    parser._consume_optional_semicolon()
