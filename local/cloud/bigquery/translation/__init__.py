"""The typed pass: what BigQuery's functions and operators mean for the types of their arguments.

bqemulator translates BigQuery's SQL to DuckDB's with sqlglot, without knowing the types of columns. Where the right
translation depends on a type, it guesses, mostly from literals. This pass runs before it: it finds the types of all
expressions from the catalog's schemas (``annotation``, ``functions``, ``types``), then applies one rule a function
(``rules``), which replaces an expression with one that bqemulator passes through: a cast, or a call of a DuckDB macro
(``macros``). What BigQuery refuses, for example a comparison of a string with a number, it refuses in BigQuery's words.
Where a type is not known, a macro looks at it when the query runs.

A rule for another function: a function in the module of its subject, with ``@rule(<sqlglot's node>)``, which returns
the replacement, and whose docstring names its documented source. Its macros are declared beside it with ``macro``. The
type of its result belongs in ``functions``.

- ``aliases``: names of the SELECT list that columns have too
- ``assignments``: values for the columns of INSERT, UPDATE and MERGE
- ``casts``: CAST and SAFE_CAST
- ``coercions``: literals that take the type of their context
- ``comparisons``: which types may meet; NaN; ``ordering``: ORDER BY, MIN, LEAST
- ``merges``: MERGE whose rows never match; ``names``: names that are keywords of DuckDB
- ``numbers``: arithmetic of INT64 and NUMERIC; ``floats``: of FLOAT64; ``rounding``: ROUND and the like
- ``arrays``: elements, ARRAY_AGG, APPROX_QUANTILES; ``unnesting``: UNNEST
- ``windows``: their ORDER BY; ``frames``: their frames; ``constants``: arguments that are literals, and their bounds
- ``pivots``: PIVOT; ``set_operations``: BY NAME and CORRESPONDING
- ``structs``: names of fields, SELECT AS VALUE; ``struct_comparisons``
- ``overflows``: of INT64 in comparisons
- ``strings``: LIKE, concatenation, parts and positions; ``regexps``: REGEXP_EXTRACT; ``code_points``: also encodings
- ``times``, ``time_conversions``, ``time_texts``, ``buckets``: dates and times; ``time_functions`` has their macros
- ``json_text``: TO_JSON_STRING; ``json_functions``: the other functions of JSON, which ``json_values`` and
  ``json_paths`` implement; ``format_function``: FORMAT
- ``system_variables``: ``@@project_id`` and the like
- ``function_names``: the functions that BigQuery has; ``syntax``, ``tokens``: other databases' syntax, which it has not
- ``clauses``: where aggregates may stand; ``parse_errors``: words for what cannot be parsed
- ``expansion``: arguments that macros name twice
- ``safe``: the prefix SAFE.; ``signatures``: the types of arguments; ``debugging``: ERROR, TYPEOF
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from local.cloud.bigquery.nesting import NESTED_FIELDS, SUBQUERIES, check_nesting, check_subqueries
from local.cloud.bigquery.translation import (  # noqa: F401 - their rules
    arrays,
    buckets,
    casts,
    code_points,
    coercions,
    comparisons,
    constants,
    debugging,
    floats,
    format_function,
    json_functions,
    json_text,
    merges,
    names,
    numbers,
    ordering,
    regexps,
    rounding,
    signatures,
    strings,
    structs,
    time_conversions,
    time_functions,
    time_texts,
    times,
    unnesting,
    user_functions,
    windows,
)
from local.cloud.bigquery.translation.aliases import replace_aliases
from local.cloud.bigquery.translation.annotation import Tables, annotate, check_names
from local.cloud.bigquery.translation.assignments import coerce_assignments
from local.cloud.bigquery.translation.expansion import bind_long_arguments
from local.cloud.bigquery.translation.json_functions import mend_json_literals
from local.cloud.bigquery.translation.macros import create_macros
from local.cloud.bigquery.translation.overflows import compute_compared
from local.cloud.bigquery.translation.pivots import expand_pivots
from local.cloud.bigquery.translation.python_functions import create_functions
from local.cloud.bigquery.translation.rules import apply_rules
from local.cloud.bigquery.translation.safe import isolate_arguments
from local.cloud.bigquery.translation.set_operations import expand_by_name
from local.cloud.bigquery.translation.strings import mend_searches
from local.cloud.bigquery.translation.struct_comparisons import expand_struct_comparisons
from local.cloud.bigquery.translation.structs import name_fields
from local.cloud.bigquery.translation.types import Type

_CALLS = 3
"""Levels of calls that may grow with each other without harm: most statements have no more."""
__all__ = ["apply_types", "create_functions", "create_macros"]


def apply_types(
    tree: exp.Expression, tables: Tables, parameters: Mapping[str, Type | None]
) -> tuple[exp.Expression, bool]:
    """Replace, in place, what means something else in DuckDB than in BigQuery.

    Args:
        tree: a statement.
        tables: returns the columns of a table that the statement names; None if they are not known.
        parameters: types of the query parameters, by lower-case name.

    Returns:
        The tree, and whether it has changed.

    Raises:
        ValidationError: BigQuery would refuse the statement for its types.
        NestedTooDeeplyError: the tree that it becomes is nested too deeply.
    """
    mend_json_literals(tree)
    mend_searches(tree)
    named = name_fields(tree)
    known = annotate(tree, tables, parameters)
    expanded = bool(known.pivoted)
    while expand_by_name(tree, known):
        expanded = True
        known = annotate(tree, tables, parameters)
    if known.pivoted:
        expand_pivots(tree, known)
        known = annotate(tree, tables, parameters)
    for _ in range(NESTED_FIELDS):
        if not expand_struct_comparisons(tree, known):
            break
        expanded = True
        known = annotate(tree, tables, parameters)
    check_names(known)
    coerced = coerce_assignments(tree, tables, known)
    isolated = isolate_arguments(tree, known)
    computed = compute_compared(tree, known)
    tree, changed = apply_rules(tree, known)
    if known.overrides:
        replace_aliases(tree)
    levels, calls = check_nesting(tree)
    if levels > 2 * SUBQUERIES:  # each has two levels at least
        check_subqueries(tree)
    if calls > _CALLS and bind_long_arguments(tree):
        changed = True
        check_nesting(tree)
    return tree, named or expanded or computed or coerced or isolated or changed or known.overrides
