"""String and bytes literals, and query parameters, in the form that sqlglot and bqemulator read correctly.

Source: "Lexical structure and syntax", string and bytes literals, query parameters
(https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#string_and_bytes_literals).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.cloud.bigquery.limits import invalid

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*|\#[^\n]*|/\*.*?\*/)
    |(?P<name>`(?:[^`\\]|\\.)*`)
    |(?<![\w@])(?P<prefix>[rRbB]{0,2})(?P<quote>\"\"\"|'''|"|')(?P<body>(?:\\.|(?!(?P=quote)).)*)(?P=quote)
    |(?P<parameter>(?<!@)@(?!@)(?:`(?P<quoted>[^`]+)`|(?P<plain>[A-Za-z_]\w*)))
    |(?P<position>(?<!\?)\?(?!\?))""",
    re.VERBOSE | re.DOTALL,
)
BEFORE = r"(?:\s|--[^\n]*|\#[^\n]*|/\*[\s\S]*?\*/)*"
"""Matches what may stand before a statement and between its words: spaces and comments."""
_CREATE_VIEW = re.compile(rf"{BEFORE}CREATE\s+(?:OR\s+REPLACE\s+)?VIEW\b", re.IGNORECASE)
_VIEW_TOKEN = re.compile(rf"{_TOKEN.pattern}|[()]|\w+", re.VERBOSE | re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:[xX](?P<hex>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2})"
    r"|(?P<plain>[abfnrtv\\?\"'`]))|\\(?P<illegal>.)|(?P<text>[^\\]+)",
    re.DOTALL,
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_QUOTED_TABLE = re.compile(r"\b(?:FROM|JOIN)\s+[rRbB]{0,2}['\"]", re.IGNORECASE)
_BEFORE_TABLE = re.compile(r"\b(?:FROM|JOIN)\s+\Z", re.IGNORECASE)
_EXTRACT = re.compile(r"\bEXTRACT\s*\(\s*\w+(?:\s*\(\s*\w+\s*\))?\s+FROM\s+\Z", re.IGNORECASE)
_PARAMETER = "bq_parameter_"


def plain_literals(sql: str) -> str:
    """Return a statement without the literals that sqlglot misreads.

    Strings with escapes by number, such as ``\\x41``, get the characters themselves; bytes become calls of FROM_HEX.

    Raises:
        ValidationError: a literal has an escape sequence that BigQuery does not know.
    """
    return _TOKEN.sub(_plain_literal, sql) if "\\" in sql or re.search(r"[bB]['\"]", sql) else sql


def check_tables(sql: str) -> None:
    """Refuse a string in the place of a table, which the parser reads as the table's name.

    Raises:
        ValidationError: in BigQuery's words.
    """
    if not _QUOTED_TABLE.search(sql):
        return
    for token in _TOKEN.finditer(sql):
        before = sql[: token.start()]
        if token["quote"] and _BEFORE_TABLE.search(before) and not _EXTRACT.search(before):
            raise invalid(f"Syntax error: Unexpected string literal {token[0]} at {position_of(sql, token.start())}")


def view_text(sql: str) -> str | None:
    """Return the query of a CREATE VIEW as it is written; None for other statements."""
    depth = 0
    for token in _VIEW_TOKEN.finditer(sql, end.end()) if (end := _CREATE_VIEW.match(sql)) else ():
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0 and token[0].upper() == "AS":
            return sql[token.end() :].strip().removesuffix(";").rstrip()
    return None


def unclosed_literal(sql: str) -> str:
    """Return the place, as ``[line:column]``, of the string literal, or name in backticks, that does not end."""
    found = re.search(r"[rRbB]{0,2}['\"]|`", without_literals(sql))
    return position_of(sql, found.start() if found else 0)


def without_literals(sql: str) -> str:
    """Return a statement with spaces in the place of literals, comments, parameters and names in backticks."""
    return _TOKEN.sub(lambda token: " " * len(token[0]), sql)


def position_of(sql: str, offset: int) -> str:
    """Return the place of a character as BigQuery writes it: ``[line:column]``, both from 1."""
    before = sql[:offset]
    return f"[{before.count(chr(10)) + 1}:{offset - before.rfind(chr(10))}]"


def _plain_literal(token: re.Match[str]) -> str:
    prefix = (token["prefix"] or "").lower()
    if token["quote"] is None or prefix == "r" or (prefix == "" and "\\" not in token["body"]):
        return token[0]
    raw, body = "r" in prefix, token["body"]
    if "b" in prefix:
        content = body.encode() if raw else b"".join(_bytes(part) for part in _ESCAPE.finditer(body))
        return f"FROM_HEX('{content.hex()}')"
    text = "".join(_character(part) for part in _ESCAPE.finditer(body))
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _bytes(part: re.Match[str]) -> bytes:
    if part["hex"] or part["octal"]:
        return bytes([int(part["hex"], 16) if part["hex"] else int(part["octal"], 8)])
    return _character(part).encode()


def _character(part: re.Match[str]) -> str:
    if part["text"] is not None:
        return part["text"]
    if part["illegal"] is not None:
        raise invalid(f"Syntax error: Illegal escape sequence: \\{part['illegal']}")
    if part["plain"] is not None:
        return _PLAIN.get(part["plain"], part["plain"])
    digits = part["hex"] or part["short"] or part["long"]
    return chr(int(digits, 16) if digits else int(part["octal"], 8))


def numbered_parameters(
    sql: str, parameters: Sequence[Mapping[str, Any]] | None
) -> tuple[str, list[dict[str, Any]] | None]:
    """Return a statement and its query parameters under names that appear nowhere else.

    Names ignore case and may be quoted. bqemulator replaces a parameter's name in string literals too.

    Raises:
        ValidationError: the statement names a parameter that is not given.
    """
    if not parameters and "@" not in sql and "?" not in sql:
        return sql, None
    parameters = parameters or ()
    by_name = {str(given.get("name") or "").lower(): number for number, given in enumerate(parameters)}
    positions = iter(range(len(parameters)))
    used: list[dict[str, Any]] = []

    def replace(token: re.Match[str]) -> str:
        if token["position"]:
            number = next(positions, None)
            if number is None:
                provided = len(parameters)
                raise invalid(f"Query parameter number {provided + 1} is not defined ({provided} provided)")
        elif token["parameter"]:
            name = token["quoted"] or token["plain"]
            number = by_name.get(name.lower())
            if number is None:
                raise invalid(f"Query parameter '{name}' not found")
        else:
            return token[0]
        used.append({**parameters[number], "name": f"{_PARAMETER}{len(used)}"})
        return f"@{_PARAMETER}{len(used) - 1}"

    substitute: Callable[[re.Match[str]], str] = replace
    return _TOKEN.sub(substitute, sql), used or None
