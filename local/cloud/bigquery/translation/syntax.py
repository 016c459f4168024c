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
from local.cloud.bigquery.literals import BEFORE, position_of
from local.cloud.bigquery.translation.clauses import check_clauses
from local.cloud.bigquery.translation.function_names import check_calls, check_function_names, is_known
from local.cloud.bigquery.translation.parse_errors import syntax_error
from local.cloud.bigquery.translation.tokens import check_tokens

_OPERATORS: dict[type[exp.Expression], str] = {
    **{exp.ILike: "ILIKE", exp.SimilarTo: "SIMILAR TO", exp.Glob: "GLOB", exp.Filter: "FILTER"},
    **{exp.RegexpILike: "~*", exp.Escape: "ESCAPE", exp.Lateral: "LATERAL"},
    **{exp.WithinGroup: "WITHIN GROUP", exp.Comprehension: "FOR", exp.Fetch: "FETCH"},
}
_ADDS = re.compile(r"\b(?P<name>(?:DATE|DATETIME|TIME|TIMESTAMP)_(?:ADD|SUB))\s*\((?P<rest>[^)]*)", re.IGNORECASE)
_FIRST_WORD = re.compile(rf"{BEFORE}(?P<word>\w+)")
_DROP_TABLE_FUNCTION = re.compile(rf"{BEFORE}DROP\s+TABLE\s+FUNCTION\b", re.IGNORECASE)  # bqemulator reads it
_STATEMENTS = {"ASSERT", "CALL", "EXPORT", "GRANT", "LOAD", "RAISE", "REVOKE", "UNDROP"}
"""First words of statements that the parser does not know, and other modules do."""
_PARSED = {"SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE"}
"""First words of statements that only the parser reads."""
_JOINS = {"ASOF", "SEMI", "ANTI", "POSITIONAL", "NATURAL"}
# Words that the tree does not keep apart from BigQuery's own.
_WORDS = {
    exp.TryCast: re.compile(r"\bTRY_CAST(?=\s*\()", re.I),
    exp.Star: re.compile(r"\*\s*(EXCLUDE|RENAME)\b", re.I),
    exp.GroupConcat: re.compile(r"\bWITHIN\s+GROUP\b", re.I),
}


_FROM_FIRST = re.compile(r"(?:\A|[();]|\bAS)\s*FROM\b", re.I)  # may begin a query

_Token = sqlglot.TokenType
_ENDS_EARLY = re.compile(r"\b(WHERE|ON|BY|HAVING|QUALIFY|LIMIT|FROM|JOIN|AND|OR)\b[\s;]*\Z", re.IGNORECASE)
_UNFINISHED = {
    *(_Token.WHERE, _Token.ON, _Token.GROUP_BY, _Token.ORDER_BY, _Token.PARTITION_BY, _Token.HAVING, _Token.QUALIFY),
    *(_Token.LIMIT, _Token.FROM, _Token.JOIN, _Token.AND, _Token.OR),
}
"""Words that nothing ends with."""
_PARTS = {
    *("MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "ISOWEEK", "MONTH", "QUARTER", "YEAR"),
    *("ISOYEAR", "DAYOFWEEK", "DAYOFYEAR", "DATE", "TIME"),
}
_TAKE_PARTS = {f"{kind}_{name}" for kind in ("DATE", "DATETIME", "TIMESTAMP", "TIME") for name in ("TRUNC", "DIFF")} | {
    "LAST_DAY"
}
"""Functions with a part as an argument."""
_QUOTED_PART = re.compile(rf"['\"]({'|'.join(_PARTS)})['\"]", re.IGNORECASE)
_DType = exp.DataType.Type
# Types that the parser knows, and the layers below do not have.
_TYPES = {
    **{_DType.BIGDECIMAL: "BIGNUMERIC", _DType.GEOGRAPHY: "GEOGRAPHY", _DType.RANGE: "RANGE"},
    **{_DType.NULL: "NULL", _DType.UNKNOWN: "UNKNOWN", _DType.UNION: "UNION"},
}
_WITH_LENGTHS = {"STRING", "BYTES", "NUMERIC", "DECIMAL", "BIGNUMERIC", "BIGDECIMAL"}
_PIPE = re.compile(r"Unsupported pipe syntax operator: '(?P<name>\w+)'")
_NAMES_ELSEWHERE = {
    *("ALTER", "DECLARE", "DROP", "GLOB", "ILIKE", "INSERT", "NOTNULL", "OUT", "PARTITIONED_BY", "REGEXP", "RETURNING"),
    *("REVOKE", "RLIKE", "ROLLBACK", "UNCACHE", "XOR", "CONNECT_BY_ROOT"),
}
"""Keywords of the parser that are names in BigQuery, where the parser reads no name."""
_LIMITS: dict[type[exp.Expression], str] = {exp.ParseBignumeric: "BIGNUMERIC"}
"""Functions of a type that the embedded BigQuery does not have."""
_INSTEAD = {
    "BIGNUMERIC": ", which has 38 decimals; use NUMERIC, which has 9",
    "GEOGRAPHY": " and its functions",
    "RANGE": " and its functions",
}
_SIGN = re.compile(r"e[+-]?\d+([+-])", re.IGNORECASE)


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
    exp.Rand: lambda node: node.this is None,
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
    if _DROP_TABLE_FUNCTION.match(sql):
        return
    check_calls(sql)
    try:
        sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.ParseError as error:
        if "INTERVAL expression expected" in str(error):
            raise _without_interval(sql) from error
        first = error.errors[0] if error.errors else {}
        place = f"[{first.get('line')}:{(first.get('col') or 1) - len(first.get('highlight') or ' ') + 1}]"
        description = str(first.get("description"))
        if pipe := _PIPE.search(description):
            raise limit(f"have the pipe operator {pipe['name']}") from error
        if word := _quoted_elsewhere(sql, first):
            raise limit(f"read {word} as a name without backticks; write `{word}`") from error
        if "Expected DISTINCT or ALL" in description:
            token = first.get("highlight")
            message = f"Expected keyword ALL or keyword DISTINCT but got keyword {token} at {place}"
            raise invalid(f"Syntax error: {message}") from error
        if "Required keyword" in description or "number of provided arguments" in description:
            _explain_call(sql, first, error)
        start = _FIRST_WORD.match(sql)
        of_type = (
            "Expecting >" in description
            or "Expected TYPE" in description
            or ("Expecting )" in description and _begins(sql, "CREATE"))
        )
        if of_type and _is_word(first):
            raise _unknown_type(sql, first) from error
        word = start["word"].upper() if start else ""
        if word in _PARSED or ("Unexpected token" in description and word not in _STATEMENTS):
            raise syntax_error(sql, first) from error
    except sqlglot.errors.SqlglotError:
        pass


def _without_interval(sql: str) -> Exception:
    """Return the error for DATE_ADD or one of its neighbours that is given no INTERVAL."""
    names = [call["name"].upper() for call in _ADDS.finditer(sql) if "INTERVAL" not in call["rest"].upper()]
    return invalid(f"No matching signature for function {names[0] if names else 'DATE_ADD'}")


def _quoted_elsewhere(sql: str, error: dict[str, Any]) -> str | None:
    """Return the word at or before an error of the parser that is a name in BigQuery, and a keyword of the parser."""
    lines = sql.splitlines()[: error.get("line") or 0]
    before = "\n".join([*lines[:-1], lines[-1][: error.get("col") or 0]]) if lines else ""
    words = re.findall(r"(?<![\w`.'\"])\w+", before)
    return next((word for word in words[:-3:-1] if word.upper() in _NAMES_ELSEWHERE), None) if _is_select(sql) else None


def _unknown_type(sql: str, found: dict[str, Any]) -> Exception:
    """Return the error for a type that is no BigQuery's: the parser stops at it, or at the name of its field."""
    tokens = sqlglot.tokenize(sql, read="bigquery")
    at = (found.get("line"), found.get("col"))
    number = next(one for one, token in enumerate(tokens) if (token.line, token.col) == at)
    if number + 1 < len(tokens) and tokens[number + 1].text.isidentifier():
        number += 1
    if tokens[number].text.upper() in _WITH_LENGTHS:  # the parser does not know its length there
        return limit(f"support parameterized types such as {tokens[number].text.upper()} in arrays and structs")
    return invalid(f"Type not found: {tokens[number].text} at {position_of(sql, tokens[number].start)}")


def _begins(sql: str, word: str) -> bool:
    first = _FIRST_WORD.match(sql)
    return first is not None and first["word"].upper() == word


def _is_select(sql: str) -> bool:
    first = _FIRST_WORD.match(sql)
    return first is not None and first["word"].upper() in ("SELECT", "WITH")


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


def check_words(sql: str) -> None:
    """Refuse a statement that ends too early, and parts of dates as strings, which the parser reads as bare words.

    Args:
        sql: the statement as it is written.

    Raises:
        ValidationError: in BigQuery's words.
    """
    if not _ENDS_EARLY.search(sql) and not _QUOTED_PART.search(sql):
        return
    try:
        tokens = sqlglot.tokenize(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return
    last = [token for token in tokens if token.token_type != _Token.SEMICOLON][-2:]
    if len(last) == 2 and last[1].token_type in _UNFINISHED and last[0].token_type != _Token.DOT:
        raise invalid(f"Syntax error: Unexpected end of script at {position_of(sql, last[1].end + 1)}")
    calls: list[str] = []
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if token.token_type == _Token.L_PAREN:
            calls.append(before.text.upper())
        elif token.token_type == _Token.R_PAREN and calls:
            calls.pop()
        elif token.token_type == _Token.STRING and token.text.upper() in _PARTS:
            _check_part(sql, before, token, after, calls[-1] if calls else "")


def _check_part(sql: str, before: Any, token: Any, after: Any, call: str) -> None:
    """Refuse a string that stands where a part of a date must: ``DATE_TRUNC(d, 'month')``, ``INTERVAL 1 'day'``."""
    place = position_of(sql, token.start)
    is_argument = before.token_type == _Token.COMMA and after.token_type in (_Token.R_PAREN, _Token.COMMA)
    if is_argument and call in _TAKE_PARTS:
        raise invalid(f"A valid date part name is required at {place}")
    if call == "EXTRACT" or before.token_type in (_Token.NUMBER, _Token.STRING, _Token.R_PAREN, _Token.VAR):
        raise invalid(f"Syntax error: Unexpected string literal {token.text!r} at {place}")


def _check_select(select: exp.Select) -> None:
    """Refuse two tables of one alias in FROM, and a sample of the rows."""
    if select.args.get("sample") is not None:
        raise _unexpected("USING SAMPLE")
    start = select.args.get("from_")
    nodes = [start.this] if start is not None else []
    nodes += [join.this for join in select.args.get("joins") or ()]
    names = [node.alias_or_name for node in nodes if isinstance(node, exp.Table | exp.Subquery) and node.alias_or_name]
    twice = next((name for number, name in enumerate(names) if name.lower() in map(str.lower, names[:number])), None)
    if twice:
        raise invalid(f"Duplicate table alias {twice} in the same FROM clause")


def check_syntax(tree: exp.Expression, sql: str) -> None:
    """Refuse a statement with operators, clauses, joins or functions that only other databases have.

    Raises:
        ValidationError: as for other errors of syntax.
    """
    check_calls(sql)
    check_tokens(sql)
    for node in tree.walk():
        kind = type(node)
        if kind in _OPERATORS:
            raise _unexpected(_OPERATORS[kind])
        if kind is exp.Select:
            _check_select(node)  # type: ignore[arg-type]
        elif kind is exp.Join:
            words = {str(node.args.get(part) or "").upper() for part in ("method", "side", "kind")} & _JOINS
            if words:
                raise _unexpected(words.pop())
            _check_join(node)  # type: ignore[arg-type]
        elif kind is exp.Distinct and node.args.get("on") is not None:
            raise _unexpected("ON")
        elif kind is exp.Literal and not node.is_string and (sign := _SIGN.search(node.name)):
            # The tokenizer takes what follows an exponent for a part of the number.
            raise limit(f"read {node.name} without a space; write {node.name[: sign.start(1)]} {sign[1]} ...")
        elif kind is exp.Values and not isinstance(node.parent, exp.Insert):
            raise _unexpected("VALUES")
        elif kind is exp.Ordered and _is_all(node.args.get("this")):
            raise _unexpected("ALL")
        elif kind is exp.Table and isinstance(node.this, exp.Parameter | exp.Placeholder):
            raise invalid("Query parameters cannot be used in place of table names")
        elif kind in (exp.Limit, exp.Offset) and _is_no_count(node.args.get("expression")):
            raise invalid(f"{kind.__name__.upper()} expects a non-negative integer literal or parameter")
        elif kind is exp.Distinct and isinstance(node.parent, exp.Count) and node.find(exp.Star):
            raise invalid("COUNT(*) cannot be used with DISTINCT")
        elif _expands_expression(node):
            raise limit("expand an expression by .*; name it: SELECT s.* FROM (SELECT ... AS s FROM ...)")
        elif kind is exp.AtTimeZone and not isinstance(node.parent, exp.Extract) and node.arg_key != "format":
            raise _unexpected("AT")  # other databases have it in any expression
        elif kind is exp.LimitOptions:
            raise _unexpected("%")
        elif kind in (exp.Cast, exp.TryCast) and isinstance(node.this, exp.Array) and node.to.this != _DType.ARRAY:  # type: ignore[attr-defined]
            # Here and not with the other casts: the parser writes it as something else.
            raise invalid(f"Invalid cast from ARRAY to {node.to.sql(dialect='bigquery')}")  # type: ignore[attr-defined]
        elif kind is exp.Unnest and isinstance(node.parent, exp.Select | exp.Alias):
            raise _unexpected("UNNEST")
        elif isinstance(node, exp.SetOperation):
            _check_set_operation(node)
        elif kind in (exp.JSONExtract, exp.JSONExtractScalar) and node.args.get("only_json_types") is not None:
            raise _unexpected("->")
        elif kind in _COUNTS and not _COUNTS[kind](node):
            name = str(node.meta.get("name") or node.sql_name()).upper()  # type: ignore[attr-defined]
            what = "aggregate function" if isinstance(node, exp.AggFunc) else "function"
            if not is_known(name):
                raise invalid(f"Function not found: {name}")
            raise invalid(f"No matching signature for {what} {name}: wrong number of arguments")
        elif kind is exp.DataTypeParam:
            _check_parameterized(node.parent)
        elif kind in _LIMITS or (kind is exp.DataType and node.this in _TYPES):
            _refuse_type(_LIMITS.get(kind) or _TYPES[node.this])  # type: ignore[attr-defined]
        elif kind in _WORDS and (found := _WORDS[kind].search(sql)):
            raise _unexpected(found[0].lstrip("*").strip())
    if _FROM_FIRST.search(sql):
        _check_from_first(sql)
    check_function_names(tree)
    for select in tree.find_all(exp.Select):
        check_clauses(select)


def _expands_expression(node: exp.Expression) -> bool:
    """Return whether a node is ``.*`` after anything but a single name, which the layers below do not read."""
    if isinstance(node, exp.Column):
        return isinstance(node.this, exp.Star) and bool(node.args.get("db"))
    return isinstance(node, exp.Dot) and isinstance(node.expression, exp.Star)


def _check_join(join: exp.Join) -> None:
    """Refuse a join without a condition, other than with an array, and CROSS JOIN with one.

    Source: "Query syntax", join types.
    """
    has_condition = join.args.get("on") is not None or bool(join.args.get("using"))
    if join.kind == "CROSS" and has_condition:
        raise _unexpected("ON")
    if join.kind != "CROSS" and not has_condition and not isinstance(join.this, exp.Unnest):
        name = f"{join.side} OUTER" if join.side else "INNER"
        raise invalid(f"Syntax error: {name} JOIN must have an immediately following ON or USING clause")


def _check_parameterized(kind: exp.Expression | None) -> None:
    """Refuse a type with a length or precision, other than in a cast and of a variable: no column enforces it here.

    Source: "Data types", parameterized types.
    """
    if kind is None or isinstance(kind.parent, exp.Cast):
        return
    of_variable = kind.parent is None and isinstance(kind, exp.DataType) and kind.this == _DType.DECIMAL
    if not of_variable:  # DECLARE casts what it assigns
        name = kind.sql(dialect="bigquery")
        raise limit(
            f"support parameterized types such as {name} other than in CAST; check the values with an expression"
        )


def _refuse_type(name: str) -> None:
    if name in _INSTEAD:
        raise limit(f"have the type {name}{_INSTEAD[name]}")
    raise invalid(f"Type not found: {name}")


def _is_no_count(node: object) -> bool:
    """Return whether the number of LIMIT or OFFSET is negative, or no number."""
    return isinstance(node, exp.Neg) or (isinstance(node, exp.Literal) and node.is_string)


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
