"""DuckDB macros that the rules' results call.

Macros are inlined when DuckDB binds a statement, so that they cost nothing beyond their expression. Their names start
with ``bq_``. Each is declared beside the rule that needs it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

_MACROS: list[tuple[str, str]] = []

ERROR_MARK = "\N{SECTION SIGN}bq:"
"""Marks, in DuckDB's error messages, the start of a text in BigQuery's words; see :mod:`..patches.error_messages`."""


def macro(signature: str, body: str) -> None:
    """Declare a DuckDB macro, such as ``macro("bq_double(x)", "2 * x")``."""
    _MACROS.append((signature, body))


@functools.cache
def declared() -> dict[str, tuple[list[str], str]]:
    """Return the parameters and the body of each macro by its name."""
    found = {}
    for signature, body in _MACROS:
        name, _, rest = signature.partition("(")
        found[name] = ([part.strip() for part in rest.rstrip(")").split(",") if part.strip()], body)
    return found


def create_macros(execute: Callable[[str], object]) -> None:
    """Create all macros, or replace those of an earlier version, in the database.

    Args:
        execute: runs DuckDB SQL.
    """
    for signature, body in _MACROS:
        execute(f"CREATE OR REPLACE MACRO {signature} AS ({body})")


# A failing cast, because DuckDB's error() is volatile, which TRY refuses. Its type is BIGINT, which combines with all
# other numbers and strings; cast it for others.
macro("bq_error(message)", f"CAST('{ERROR_MARK}' || message || chr(167) AS BIGINT)")
