"""Strings: LIKE, concatenation, parts and positions.

Sources: "Operators", LIKE and concatenation operators
(https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#like_operator); "String functions"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions).
"""

from __future__ import annotations

import functools
import unicodedata

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.casts import as_string
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.python_functions import python_function
from local.cloud.bigquery.translation.rules import Context, bound, call, cast, named, rule

_LONGEST = 100_000_000
_TOO_LONG = "bq_error('the embedded BigQuery does not make strings of more than 100 MB')"
"""Stops a string that would take all memory; BigQuery stops it too, at another length."""
macro(
    "bq_like(x, pattern)",
    r"""CASE WHEN (length(pattern) - length(rtrim(pattern, '\'))) % 2 = 1
    THEN CAST(bq_error('LIKE pattern ends with a backslash') AS BOOLEAN) ELSE x LIKE pattern ESCAPE '\' END""",
)


macro("bq_trim(x)", r"regexp_replace(regexp_replace(x, '^[\s\p{Z}]+', ''), '[\s\p{Z}]+$', '')")
macro("bq_ltrim(x)", r"regexp_replace(x, '^[\s\p{Z}]+', '')")
macro("bq_rtrim(x)", r"regexp_replace(x, '[\s\p{Z}]+$', '')")
macro("bq_substr_from(x, start)", "CASE WHEN -start > length(x) OR start = 0 THEN x ELSE substr(x, start) END")
macro(
    "bq_substr(x, start, size)",
    """CASE WHEN size < 0 THEN CAST(bq_error('Third argument in SUBSTR() cannot be negative') AS VARCHAR)
    ELSE substr(bq_substr_from(x, start), 1, size) END""",
)

for _side in ("left", "right"):
    macro(
        f"bq_{_side}(x, size)",
        f"""CASE WHEN size < 0
        THEN CAST(bq_error('Second argument in {_side.upper()}() cannot be negative') AS VARCHAR)
        ELSE {_side}(x, size) END""",
    )
    macro(
        f"bq_{_side[0]}pad(x, size, pattern)",
        f"""CASE WHEN size < 0
        THEN CAST(bq_error('Second argument (output size) for LPAD/RPAD cannot be negative') AS VARCHAR)
        WHEN pattern = ''
        THEN CAST(bq_error('Third argument (pad pattern) for LPAD/RPAD cannot be empty') AS VARCHAR)
        WHEN size > {_LONGEST} THEN CAST({_TOO_LONG} AS VARCHAR)
        ELSE {_side[0]}pad(x, CAST(size AS INTEGER), pattern) END""",
    )


@rule(exp.Trim)
def trim(node: exp.Trim, context: Context) -> exp.Expression | None:
    """TRIM, LTRIM and RTRIM without characters remove all white space.

    Source: "String functions", TRIM. DuckDB removes spaces.
    """
    if context.of(node.this) != types.STRING or node.args.get("expression") is not None:
        return None
    name = {"LEADING": "bq_ltrim", "TRAILING": "bq_rtrim"}.get(str(node.args.get("position") or "").upper(), "bq_trim")
    return call(name, node.this)


@rule(exp.Substring)
def substring(node: exp.Substring, context: Context) -> exp.Expression | None:
    """SUBSTR counts from 1; 0 is read as 1, and a start before the string as its start.

    Source: "String functions", SUBSTR.
    """
    start, size = node.args.get("start"), node.args.get("length")
    if context.of(node.this) != types.STRING or start is None:
        return None
    if size is None:
        return bound("bq_substr_from", node.this, start)
    return bound("bq_substr", node.this, start, size)


@rule(exp.Left, exp.Right)
def side(node: exp.Left | exp.Right, context: Context) -> exp.Expression | None:
    """LEFT and RIGHT refuse negative lengths.

    Source: "String functions", LEFT and RIGHT.
    """
    if context.of(node.this) != types.STRING:
        return None
    return call(f"bq_{type(node).__name__.lower()}", node.this, node.expression)


@rule(exp.Pad)
def pad(node: exp.Pad, context: Context) -> exp.Expression | None:
    """LPAD and RPAD refuse negative lengths and empty patterns.

    Source: "String functions", LPAD and RPAD.
    """
    if context.of(node.this) != types.STRING:
        return None
    name = "bq_lpad" if node.args.get("is_left") else "bq_rpad"
    return call(name, node.this, node.expression, node.args.get("fill_pattern") or " ")


def _position(text: str, part: str, start: int, occurrence: int) -> int:
    if start == 0:
        raise ValueError("Position (third argument) of INSTR() cannot be zero")
    if occurrence < 1:
        raise ValueError("Occurrence (fourth argument) of INSTR() must be positive")
    found = start - 2 if start > 0 else len(text) + start + 1
    for _ in range(occurrence):
        if start > 0:
            found = text.find(part, found + 1)
        else:
            found = text.rfind(part, 0, found - 1 + len(part)) if found > 0 else -1
        if found < 0:
            return 0
    return found + 1


python_function("bq_python_position", _position, ["VARCHAR", "VARCHAR", "BIGINT", "BIGINT"], "BIGINT")


@rule(exp.StrPosition)
def position(node: exp.StrPosition, context: Context) -> exp.Expression | None:
    """INSTR with a position and an occurrence; from a negative position it looks backwards.

    Source: "String functions", INSTR.
    """
    start, occurrence = node.args.get("position"), node.args.get("occurrence")
    if start is None:
        return None
    if context.of(node.this) not in (types.STRING, types.NULL, None):
        raise limit(f"run INSTR of {context.of(node.this)} with a position")
    one = exp.Literal.number(1)
    return call("bq_python_position", node.this, node.args["substr"], start, occurrence or one)


@rule(exp.Like)
def like(node: exp.Like, context: Context) -> exp.Expression | None:
    r"""A backslash in the pattern of LIKE makes the next character a plain one.

    Source: "Operators", LIKE. DuckDB's LIKE has no such character unless it is named.
    """
    if isinstance(node.expression, exp.Any | exp.All):
        return _quantified(node)
    kinds = [context.of(node.this), context.of(node.expression)]
    if any(kind not in (None, types.NULL, types.STRING, types.BYTES) for kind in kinds):
        raise invalid(f"No matching signature for operator LIKE for argument types: {named(kinds)}")
    if types.BYTES in kinds:
        raise limit("compare BYTES with LIKE")
    pattern = node.expression
    if isinstance(pattern, exp.Literal | exp.RawString):
        if "\\" not in pattern.name:
            return None
        if (len(pattern.name) - len(pattern.name.rstrip("\\"))) % 2:
            raise invalid("LIKE pattern ends with a backslash")
    result: exp.Expression = call("bq_like", node.this, pattern)
    return exp.not_(result, copy=False) if node.args.get("negate") else result


def _quantified(node: exp.Like) -> exp.Expression:
    """Return LIKE ANY or LIKE ALL of a list of patterns as a chain of LIKE."""
    patterns = node.expression.this
    if not isinstance(patterns, exp.Tuple | exp.Paren):
        raise limit("run LIKE ANY or LIKE ALL of anything but a list of patterns")
    found = patterns.expressions if isinstance(patterns, exp.Tuple) else [patterns.this]
    parts: list[exp.Expression] = [call("bq_like", node.this.copy(), pattern) for pattern in found]
    if node.args.get("negate"):
        parts = [exp.not_(part) for part in parts]
    return exp.paren(exp.or_(*parts) if isinstance(node.expression, exp.Any) else exp.and_(*parts))


@rule(exp.Concat)
def concat(node: exp.Concat, context: Context) -> exp.Expression | None:
    """CONCAT writes other values as CAST to STRING does.

    Source: "String functions", CONCAT.
    """
    kinds = [context.of(operand) for operand in node.expressions]
    if None in kinds or all(kind in (types.STRING, types.NULL) for kind in kinds):
        return None
    if any(kind is not None and kind.name in ("ARRAY", "STRUCT", "JSON") for kind in kinds):
        raise invalid(f"No matching signature for function CONCAT for argument types: {named(kinds)}")
    if types.BYTES in kinds:
        if any(kind not in (types.BYTES, types.NULL) for kind in kinds):
            raise invalid(f"No matching signature for function CONCAT for argument types: {named(kinds)}")
        return functools.reduce(lambda one, other: call("bq_joined", one, other), node.expressions)
    node.set("expressions", [as_string(operand, kind) for operand, kind in zip(node.expressions, kinds, strict=True)])
    context.typed(node, types.STRING)
    return node


@rule(exp.DPipe)
def concatenation(node: exp.DPipe, context: Context) -> exp.Expression | None:
    """The operator || joins strings, bytes or arrays; other values are not cast.

    Source: "Operators", concatenation operator.
    """
    kinds = [context.of(operand) for operand in (node.this, node.expression)]
    known = {kind.name for kind in kinds if kind not in (None, types.NULL)}
    if not known:
        return None
    if len(known) > 1 or not known <= {"STRING", "BYTES", "ARRAY"}:
        raise invalid(f"No matching signature for operator || for argument types: {named(kinds)}")
    return None if known == {"STRING"} else call("bq_joined", node.this, node.expression)


macro("bq_joined(x, y)", "CASE WHEN x IS NOT NULL AND y IS NOT NULL THEN x || y END")

# --- Search -----------------------------------------------------------------------------------------------------------


def mend_searches(tree: exp.Expression) -> None:
    """Make CONTAINS_SUBSTR a function again; sqlglot reads it as a search in the lower-case text."""
    for node in list(tree.find_all(exp.Contains)):
        if isinstance(node.this, exp.Lower) and isinstance(node.expression, exp.Lower):
            node.replace(call("CONTAINS_SUBSTR", node.this.this.copy(), node.expression.this.copy()))


def _contains(text: str, searched: str) -> bool:
    folded = (unicodedata.normalize("NFKC", one).casefold() for one in (searched, text))
    return next(folded) in next(folded)


python_function("bq_python_contains", _contains, ["VARCHAR", "VARCHAR"], "BOOLEAN")


@rule(exp.Anonymous)
def contains_substr(node: exp.Anonymous, context: Context) -> exp.Expression | None:
    """CONTAINS_SUBSTR compares normalized texts, whatever their case.

    Source: "String functions", CONTAINS_SUBSTR.
    """
    if str(node.this).upper() != "CONTAINS_SUBSTR":
        return None
    value, searched = node.expressions
    kind = context.of(value)
    if context.of(searched) == types.NULL:
        raise invalid("CONTAINS_SUBSTR cannot search for NULL")
    if kind is not None and kind.name in ("STRUCT", "ARRAY", "JSON", "BYTES"):
        raise limit(f"run CONTAINS_SUBSTR of {kind}; search the parts as strings")
    return call("bq_python_contains", as_string(value, kind), searched)


# --- Characters -------------------------------------------------------------------------------------------------------

macro(
    "bq_translate(x, source, target)",
    """CASE WHEN len(list_distinct(string_split(source, ''))) < length(source)
    THEN CAST(bq_error('Duplicate character in TRANSLATE source characters: ' || source) AS VARCHAR)
    ELSE translate(x, source, target) END""",
)
_FORMS = {"NFC", "NFKC", "NFD", "NFKD"}


@rule(exp.Translate)
def translate(node: exp.Translate, context: Context) -> exp.Expression | None:
    """TRANSLATE refuses a character that is to become two.

    Source: "String functions", TRANSLATE.
    """
    return bound("bq_translate", node.this, node.args["from_"], node.args["to"])


@rule(exp.Normalize)
def normalized(node: exp.Normalize, context: Context) -> None:
    """NORMALIZE has four forms.

    Source: "String functions", NORMALIZE.
    """
    form = node.args.get("form")
    if isinstance(form, exp.Expression) and form.name.upper() not in _FORMS:
        raise invalid(f"Argument is not a valid NORMALIZE mode: {form.name}")


macro(
    "bq_max_distance(n)",
    "CASE WHEN n >= 0 THEN n WHEN n < 0 THEN bq_error('Max distance must be non-negative') END",
)


@rule(exp.Levenshtein)
def edit_distance(node: exp.Levenshtein, context: Context) -> exp.Expression | None:
    """EDIT_DISTANCE refuses a negative greatest distance.

    Source: "String functions", EDIT_DISTANCE.
    """
    if types.BYTES in (context.of(node.this), context.of(node.expression)):
        raise limit("run EDIT_DISTANCE of BYTES; cast them to STRING")
    most = node.args.get("max_dist")
    if most is None:
        return None
    node.set("max_dist", call("bq_max_distance", most))
    return node


@rule(exp.Split)
def split(node: exp.Split, context: Context) -> exp.Expression | None:
    """SPLIT by NULL is NULL.

    Source: "String functions", SPLIT. DuckDB does not split then.
    """
    delimiter = node.expression
    if delimiter is None or (isinstance(delimiter, exp.Literal) and delimiter.is_string):
        return None
    known = exp.not_(exp.Is(this=delimiter.copy(), expression=exp.null()))
    return exp.Case(ifs=[exp.If(this=known, true=node.copy())])


# --- Bytes ------------------------------------------------------------------------------------------------------------

_OF_STRINGS = {
    **{exp.Left: "LEFT", exp.Right: "RIGHT", exp.Pad: "LPAD and RPAD", exp.Trim: "TRIM", exp.Reverse: "REVERSE"},
    **{exp.StartsWith: "STARTS_WITH", exp.EndsWith: "ENDS_WITH", exp.StrPosition: "STRPOS", exp.Replace: "REPLACE"},
    **{exp.Split: "SPLIT", exp.ToCodePoints: "TO_CODE_POINTS", exp.Substring: "SUBSTR", exp.Repeat: "REPEAT"},
    **{exp.Upper: "UPPER", exp.Lower: "LOWER", exp.RegexpLike: "REGEXP_CONTAINS", exp.RegexpReplace: "REGEXP_REPLACE"},
    **{exp.RegexpInstr: "REGEXP_INSTR", exp.Translate: "TRANSLATE"},
}


@rule(*_OF_STRINGS, first=True)
def of_bytes(node: exp.Expression, context: Context) -> None:
    """Functions of strings take BYTES too; here only of strings.

    Source: "String functions".
    """
    if context.of(node.this) == types.BYTES:
        raise limit(f"run {_OF_STRINGS[type(node)]} of BYTES; cast them to STRING")


@rule(exp.Collate)
def collate(node: exp.Collate, context: Context) -> exp.Expression:
    """A collation changes what is equal; without one, COLLATE changes nothing.

    Source: "Collation concepts" (https://cloud.google.com/bigquery/docs/reference/standard-sql/collation-concepts).
    """
    collation = node.expression
    if not isinstance(collation, exp.Literal) or collation.name not in ("", "binary"):
        raise limit("compare or order by a collation; apply LOWER to both sides")
    return node.this


macro(
    "bq_repeat(x, times)",
    f"""CASE WHEN times < 0 THEN CAST(bq_error('Second argument in REPEAT() cannot be negative') AS VARCHAR)
    WHEN length(x) * CAST(times AS HUGEINT) > {_LONGEST} THEN CAST({_TOO_LONG} AS VARCHAR)
    ELSE repeat(x, times) END""",
)


@rule(exp.Repeat)
def repeated(node: exp.Repeat, context: Context) -> exp.Expression:
    """REPEAT refuses negative numbers.

    Source: "String functions", REPEAT.
    """
    value = cast(node.this, types.STRING) if context.of(node.this) == types.NULL else node.this
    return call("bq_repeat", value, node.args["times"])
