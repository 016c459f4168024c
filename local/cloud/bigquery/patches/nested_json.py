"""Patch of bqemulator 1.4.0: JSON in arrays and structs of answers has the type JSON.

Wraps ``bqemulator.jobs.executor._arrow_field_to_schema_entry``.

Why: bqemulator takes the types of an answer from Arrow, where JSON is a string, and corrects only whole columns.

Can be removed when bqemulator reports ``ARRAY<JSON>``.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from bqemulator.jobs import executor
from bqemulator.storage.type_map import duckdb_type_to_bq_field

_TYPE = b"bqemu.duckdb_type"


def install() -> None:
    """Make bqemulator take the type of a column with JSON in it from DuckDB."""
    of_arrow = executor._arrow_field_to_schema_entry

    def entry(field: pa.Field) -> dict[str, Any]:
        kind = (field.metadata or {}).get(_TYPE, b"").decode()
        return duckdb_type_to_bq_field(field.name, kind) if kind != "JSON" and "JSON" in kind else of_arrow(field)

    executor._arrow_field_to_schema_entry = entry
