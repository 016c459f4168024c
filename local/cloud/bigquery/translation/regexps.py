"""Regular expressions: DuckDB and BigQuery both use RE2; groups, positions and what is not found differ.

Source: "String functions", REGEXP_EXTRACT
(https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions#regexp_extract).
"""

from __future__ import annotations

import functools
import re

import duckdb
from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.python_functions import python_function
from local.cloud.bigquery.translation.rules import Context, bound, call, fails_safely, rule, with_bound

_GROUP = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<group>\((?!\?)|\(\?P?<(?![=!]))", re.DOTALL)
_TOO_MANY = "Regular expressions passed into extraction functions must not have more than 1 capturing group"


@functools.lru_cache
def groups(pattern: str) -> int:
    """Return 1 if an expression has a capturing group, and 0 if it has none.

    Raises:
        ValueError: it has more than one.
    """
    found = sum(token["group"] is not None for token in _GROUP.finditer(pattern))
    if found > 1:
        raise ValueError(_TOO_MANY)
    return found


python_function("bq_python_groups", groups, ["VARCHAR"], "BIGINT")
for _function in ("regexp_extract", "regexp_extract_all"):
    macro(
        f"bq_{_function}(x, pattern)",
        f"""CASE bq_python_groups(pattern) WHEN 1 THEN {_function}(x, pattern, 1)
        WHEN 0 THEN {_function}(x, pattern, 0) END""",
    )
macro("bq_regexp_first(x, pattern, found)", "CASE WHEN regexp_matches(x, pattern) THEN found END")
macro(
    "bq_regexp_from(x, place)",
    """CASE WHEN place < 1
    THEN CAST(bq_error('The position argument of REGEXP_EXTRACT must be positive') AS VARCHAR)
    WHEN place <= length(x) + 1 THEN substr(x, place) END""",
)
macro(
    "bq_regexp_occurrence(found, occurrence)",
    """CASE WHEN occurrence < 1
    THEN CAST(bq_error('The occurrence argument of REGEXP_EXTRACT must be positive') AS VARCHAR)
    ELSE found[occurrence] END""",
)


@functools.lru_cache
def is_pattern(text: str) -> bool:
    """Return whether RE2, which DuckDB has, can compile a regular expression."""
    try:
        _engine().cursor().execute("SELECT regexp_matches('', ?)", [text])
    except duckdb.Error:
        return False
    return True


@functools.lru_cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"enable_external_access": "false"})


python_function("bq_python_is_pattern", is_pattern, ["VARCHAR"], "BOOLEAN")
macro("bq_pattern(text)", "CASE WHEN bq_python_is_pattern(text) THEN text END")


@rule(exp.RegexpExtract, exp.RegexpExtractAll, exp.RegexpLike, exp.RegexpReplace, exp.RegexpInstr)
def safe_pattern(node: exp.Expression, context: Context) -> exp.Expression | None:
    """With the prefix SAFE., an invalid regular expression gives NULL.

    Source: "Function calls", SAFE. prefix. DuckDB compiles a literal expression before the query runs, outside of TRY.
    """
    if not fails_safely(node):
        return None
    node.set("expression", context.typed(call("bq_pattern", node.args["expression"]), types.STRING))
    return node


@rule(exp.RegexpExtract, exp.RegexpExtractAll)
def extract(node: exp.RegexpExtract | exp.RegexpExtractAll, context: Context) -> exp.Expression | None:
    """REGEXP_EXTRACT gives the group, if there is one, and NULL only if nothing is found.

    Source: "String functions", REGEXP_EXTRACT and REGEXP_EXTRACT_ALL.
    """
    name = "regexp_extract_all" if isinstance(node, exp.RegexpExtractAll) else "regexp_extract"
    kind = context.of(node.this)
    if kind not in (types.STRING, types.NULL, None):
        raise limit(f"run {name.upper()} of {kind}; cast it to STRING")
    pattern, position = node.expression, node.args.get("position")
    lazily = fails_safely(node)
    if name == "regexp_extract_all":
        return _extracted(name, node.this, pattern, lazily)
    value = node.this if position is None else bound("bq_regexp_from", node.this, position)
    occurrence = node.args.get("occurrence")
    if occurrence is not None:
        return bound("bq_regexp_occurrence", _extracted("regexp_extract_all", value, pattern, lazily), occurrence)

    def first(names: list[exp.Expression]) -> exp.Expression:
        found = _extracted(name, names[0].copy(), names[1].copy(), lazily)
        return call("bq_regexp_first", *names, found)

    return with_bound([value, pattern], first)


def _extracted(name: str, value: exp.Expression, pattern: exp.Expression, lazily: bool) -> exp.Expression:
    if not isinstance(pattern, exp.Literal | exp.RawString) or lazily:
        return call(f"bq_{name}", value, pattern)
    try:
        return call(f"bq_{name}_{groups(pattern.name)}", value, pattern)
    except ValueError as error:
        raise invalid(str(error)) from error


for _group in (0, 1):
    macro(f"bq_regexp_extract_{_group}(x, pattern)", f"regexp_extract(x, pattern, {_group})")
    macro(f"bq_regexp_extract_all_{_group}(x, pattern)", f"regexp_extract_all(x, pattern, {_group})")
