"""The DDL of a table, as the column ``ddl`` of INFORMATION_SCHEMA.TABLES has it.

Source: "TABLES view" (https://cloud.google.com/bigquery/docs/information-schema-tables).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from bqemulator.catalog.models import TableMeta

from local.cloud.bigquery.patches.internals import render_data_type
from local.cloud.bigquery.patches.table_metadata import view_text

_KINDS = {"VIEW": "VIEW", "MATERIALIZED_VIEW": "MATERIALIZED VIEW", "EXTERNAL": "EXTERNAL TABLE"}
_TRUNCATIONS = {"DATE": "DATE_TRUNC", "DATETIME": "DATETIME_TRUNC", "TIMESTAMP": "TIMESTAMP_TRUNC"}


def table_ddl(table: TableMeta) -> str:
    """Return the statement that would create a table or a view."""
    name = f"`{table.project_id}.{table.dataset_id}.{table.table_id}`"
    lines = [f"CREATE {_KINDS.get(table.table_type, 'TABLE')} {name}"]
    if table.table_type not in ("VIEW", "MATERIALIZED_VIEW") and table.schema_.fields:
        lines += ["(", ",\n".join(f"  {column}" for column in _columns(table)), ")"]
    lines += _clauses(table)
    options = list(_options(table))
    if options:
        lines += ["OPTIONS(", ",\n".join(f"  {option}" for option in options), ")"]
    text = view_text(table)
    if text:
        lines.append(f"AS {text}")
    comment_ends = "\n" if re.search(r"(--|#).*\Z", lines[-1]) else ""
    return "\n".join(lines) + comment_ends + ";"


def _columns(table: TableMeta) -> Iterator[str]:
    for field in table.schema_.fields:
        required = " NOT NULL" if field.mode == "REQUIRED" else ""
        described = f" OPTIONS(description={json.dumps(field.description)})" if field.description else ""
        yield f"{field.name} {render_data_type(field)}{required}{described}"


def _clauses(table: TableMeta) -> Iterator[str]:
    partitioning = table.time_partitioning
    if partitioning and partitioning.field:
        kind = next(field.type for field in table.schema_.fields if field.name == partitioning.field)
        expression = f"{_TRUNCATIONS.get(kind, 'DATE_TRUNC')}({partitioning.field}, {partitioning.type})"
        if partitioning.type == "DAY":
            expression = partitioning.field if kind == "DATE" else f"DATE({partitioning.field})"
        yield f"PARTITION BY {expression}"
    if table.clustering and table.clustering.fields:
        yield f"CLUSTER BY {', '.join(table.clustering.fields)}"


def _options(table: TableMeta) -> Iterator[str]:
    external = getattr(table, "external", None) or {}
    if external:
        yield f"format={json.dumps(external.get('sourceFormat'))}"
        yield f"uris={json.dumps(external.get('sourceUris'))}"
    if table.time_partitioning and table.time_partitioning.require_partition_filter:
        yield "require_partition_filter=true"
    for name in ("friendly_name", "description"):
        if getattr(table, name):
            yield f"{name}={json.dumps(getattr(table, name))}"
    if table.labels:
        labels = (f"({json.dumps(key)}, {json.dumps(value)})" for key, value in table.labels.items())
        yield f"labels=[{', '.join(labels)}]"
