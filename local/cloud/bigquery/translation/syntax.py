"""Syntax that the parser knows from other dialects and BigQuery does not have.

Source: "Query syntax" and "Operators"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sqlglot
from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.literals import position_of
from local.cloud.bigquery.translation.function_names import check_function_names

_OPERATORS: dict[type[exp.Expression], str] = {
    **{exp.ILike: "ILIKE", exp.SimilarTo: "SIMILAR TO", exp.Glob: "GLOB", exp.Filter: "FILTER"},
    **{exp.RegexpILike: "~*", exp.Escape: "ESCAPE", exp.Lateral: "LATERAL"},
    **{exp.WithinGroup: "WITHIN GROUP", exp.Comprehension: "FOR", exp.Fetch: "FETCH"},
}
_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*\n|#[^\n]*\n|/\*.*?\*/)*(?P<word>\w+)", re.DOTALL)
_STATEMENTS = {"ASSERT", "CALL", "EXPORT", "GRANT", "LOAD", "RAISE", "REVOKE", "UNDROP"}
"""First words of statements that the parser does not know, and other modules do."""
_JOINS = {"ASOF", "SEMI", "ANTI", "POSITIONAL", "NATURAL"}
# Words that the tree does not keep apart from BigQuery's own.
_WORDS = {
    exp.TryCast: re.compile(r"\bTRY_CAST(?=\s*\()", re.I),
    exp.Star: re.compile(r"\*\s*(EXCLUDE|RENAME)\b", re.I),
    exp.GroupConcat: re.compile(r"\bWITHIN\s+GROUP\b", re.I),
}


_FROM_FIRST = re.compile(r"(?:\A|[();]|\bAS)\s*FROM\b", re.I)  # may begin a query

_DType = exp.DataType.Type
# Types that the parser knows, and the layers below do not have.
_TYPES = {
    **{_DType.BIGDECIMAL: "BIGNUMERIC", _DType.GEOGRAPHY: "GEOGRAPHY", _DType.RANGE: "RANGE"},
    **{_DType.NULL: "NULL", _DType.UNKNOWN: "UNKNOWN", _DType.UNION: "UNION"},
}
_LIMITS: dict[type[exp.Expression], str] = {exp.ParseBignumeric: "BIGNUMERIC"}
"""Functions of a type that the embedded BigQuery does not have."""
_INSTEAD = {
    "BIGNUMERIC": ", which has 38 decimals; use NUMERIC, which has 9",
    "GEOGRAPHY": " and its functions",
    "RANGE": " and its functions",
}


def _has_one(node: exp.Expression) -> bool:
    """Return whether COUNT has one argument; other databases count the rows without one, or tuples."""
    value = node.this
    return (
        value is not None and not node.expressions and not (isinstance(value, exp.Distinct) and value.expressions[1:])
    )


# Functions that other databases give another number of arguments, and whether a call has as many as in BigQuery.
_COUNTS: dict[type[exp.Expression], Callable[[Any], bool]] = {
    exp.Count: _has_one,
    **dict.fromkeys((exp.Min, exp.Max), lambda node: not node.expressions),
    **dict.fromkeys(
        (exp.PercentileCont, exp.PercentileDisc),
        lambda node: node.args.get("expression") is not None,
    ),
    exp.If: lambda node: isinstance(node.parent, exp.Case) or node.args.get("false") is not None,
    **dict.fromkeys(
        (exp.DateDiff, exp.DatetimeDiff, exp.TimestampDiff, exp.TimeDiff),
        lambda node: node.args.get("unit") is not None,
    ),
}


def check_parses(sql: str) -> None:
    """Refuse a statement that cannot be parsed; the parser of the layers below names other tokens than BigQuery.

    Raises:
        ValidationError: in BigQuery's words, for the errors that are most frequent.
    """
    try:
        sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.ParseError as error:
        first = error.errors[0] if error.errors else {}
        place = f"[{first.get('line')}:{(first.get('col') or 1) - len(first.get('highlight') or ' ') + 1}]"
        description = str(first.get("description"))
        if "Expected DISTINCT or ALL" in description:
            token = first.get("highlight")
            message = f"Expected keyword ALL or keyword DISTINCT but got keyword {token} at {place}"
            raise invalid(f"Syntax error: {message}") from error
        if "Required keyword" in description or "number of provided arguments" in description:
            _explain_call(sql, first, error)
        start = _FIRST_WORD.match(sql)
        if "Expecting )" in description and start and start["word"].upper() == "CREATE" and _is_word(first):
            raise invalid(f"Type not found: {first['highlight']} at {place}") from error
        if start and "Unexpected token" in description:
            is_name = sqlglot.tokenize(sql, read="bigquery")[0].token_type == sqlglot.TokenType.VAR
            if is_name and start["word"].upper() not in _STATEMENTS:
                place = position_of(sql, start.start("word"))
                raise invalid(f'Syntax error: Unexpected identifier "{start["word"]}" at {place}') from error
            if not is_name:
                raise invalid(f'Syntax error: Unexpected "{first.get("highlight")}" at {place}') from error
    except sqlglot.errors.SqlglotError:
        pass


def _explain_call(sql: str, found: dict[str, Any], error: Exception) -> None:
    """Refuse a call with too few or too many arguments, if the error is at its closing parenthesis."""
    lines = sql.splitlines()
    end = sum(len(line) + 1 for line in lines[: found["line"] - 1]) + found["col"]
    depth, at = 0, end - 1
    if sql[at : at + 1] != ")":
        return
    while at >= 0:
        depth += {")": 1, "(": -1}.get(sql[at], 0)
        if depth == 0:
            break
        at -= 1
    name = re.search(r"(\w+)\s*\Z", sql[: max(at, 0)])
    if name:
        given = "" if sql[at + 1 : end - 1].strip() else " with no arguments"
        raise invalid(f"No matching signature for function {name[1].upper()}{given}") from error


def _is_word(error: dict[str, Any]) -> bool:
    return str(error.get("highlight") or "").replace("_", "a").isalnum()


def check_syntax(tree: exp.Expression, sql: str) -> None:
    """Refuse a statement with operators, clauses, joins or functions that only other databases have.

    Raises:
        ValidationError: as for other errors of syntax.
    """
    for node in tree.walk():
        kind = type(node)
        if kind in _OPERATORS:
            raise _unexpected(_OPERATORS[kind])
        if kind is exp.Join:
            words = {str(node.args.get(part) or "").upper() for part in ("method", "side", "kind")} & _JOINS
            if words:
                raise _unexpected(words.pop())
        elif kind is exp.Distinct and node.args.get("on") is not None:
            raise _unexpected("ON")
        elif kind is exp.Values and not isinstance(node.parent, exp.Insert):
            raise _unexpected("VALUES")
        elif kind is exp.Ordered and _is_all(node.args.get("this")):
            raise _unexpected("ALL")
        elif kind is exp.Select and node.args.get("sample") is not None:
            raise _unexpected("USING SAMPLE")
        elif kind is exp.LimitOptions:
            raise _unexpected("%")
        elif isinstance(node, exp.SetOperation):
            _check_set_operation(node)
        elif kind in (exp.JSONExtract, exp.JSONExtractScalar) and node.args.get("only_json_types") is not None:
            raise _unexpected("->")
        elif kind in _COUNTS and not _COUNTS[kind](node):
            name = str(node.meta.get("name") or node.sql_name()).upper()  # type: ignore[attr-defined]
            what = "aggregate function" if isinstance(node, exp.AggFunc) else "function"
            raise invalid(f"No matching signature for {what} {name}: wrong number of arguments")
        elif kind in _LIMITS or (kind is exp.DataType and node.this in _TYPES):
            _refuse_type(_LIMITS.get(kind) or _TYPES[node.this])  # type: ignore[attr-defined]
        elif kind in _WORDS and (found := _WORDS[kind].search(sql)):
            raise _unexpected(found[0].lstrip("*").strip())
    if _FROM_FIRST.search(sql):
        _check_from_first(sql)
    check_function_names(tree)


def _refuse_type(name: str) -> None:
    if name in _INSTEAD:
        raise limit(f"have the type {name}{_INSTEAD[name]}")
    raise invalid(f"Type not found: {name}")


def _is_all(key: object) -> bool:
    """Return whether a key is the word ALL, which is reserved."""
    return isinstance(key, exp.Column) and key.sql().upper() == "ALL"


def _check_set_operation(node: exp.SetOperation) -> None:
    """Refuse different set operations without parentheses.

    Source: "Query syntax", set operators.
    """
    for part in (node.this, node.expression):
        if isinstance(part, exp.SetOperation) and (type(part), bool(part.args.get("distinct"))) != (
            type(node),
            bool(node.args.get("distinct")),
        ):
            grouping = "cannot be used in the same query without using parentheses for grouping"
            raise invalid(f"Syntax error: Different set operations {grouping}")


def _check_from_first(sql: str) -> None:
    """Refuse SELECT after FROM, other than after a pipe; the parser turns them around.

    Source: "Pipe query syntax", FROM queries.
    """
    kinds = sqlglot.TokenType
    begins = {None, kinds.L_PAREN, kinds.R_PAREN, kinds.SEMICOLON, kinds.ALIAS}
    # FROM or SELECT, whichever begins the query, by depth of parentheses.
    first: list[sqlglot.TokenType | None] = [None]
    before: sqlglot.TokenType | None = None
    for token in sqlglot.tokenize(sql, read="bigquery"):
        kind = token.token_type
        if kind == kinds.L_PAREN:
            first.append(None)
        elif kind == kinds.R_PAREN and len(first) > 1:
            first.pop()
        elif kind == kinds.SEMICOLON:
            first = [None]
        elif kind == kinds.FROM and first[-1] is None and before in begins:
            first[-1] = kind
        elif kind == kinds.SELECT:
            if first[-1] == kinds.FROM and before not in (kinds.PIPE_GT, kinds.ALL, kinds.DISTINCT):
                raise _unexpected("SELECT")
            first[-1] = kind
        before = kind


def _unexpected(word: str) -> Exception:
    return invalid(f'Syntax error: Unexpected "{word}"')
