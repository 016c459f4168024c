"""Copy jobs: from tables or partitions into a table or a partition."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from bqemulator.catalog.models import TableMeta

from local.cloud.bigquery.limits import invalid, limit, refuse_other_options
from local.cloud.bigquery.partitions import TableRef, partition_of
from local.cloud.bigquery.schemas import by_name, duckdb_type, quoted, table_fields
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.writes import Write, check_dispositions, check_writable, require_table, write_table

_OPTIONS = {"sourceTable", "sourceTables", "destinationTable", "createDisposition", "writeDisposition", "operationType"}


def check_copy(project: str, config: Mapping[str, Any]) -> None:
    """Check a copy job's configuration before the job is created.

    Raises:
        ValidationError: an option is invalid or not implemented.
    """
    refuse_other_options("configuration.copy", config, _OPTIONS)
    if (config.get("operationType") or "COPY") not in ("COPY", "OPERATION_TYPE_UNSPECIFIED"):
        raise limit(f"run copy jobs of type {config['operationType']}; only COPY")
    check_dispositions(dict(config), write_default="WRITE_EMPTY")
    TableRef.from_rest(config.get("destinationTable") or {}, project)
    if not _sources(project, config):
        raise invalid("Copy configuration must specify sourceTable or sourceTables")


def run_copy(store: Store, project: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Run a copy job.

    Returns:
        The job's statistics.

    Raises:
        DomainError: the tables do not exist or do not fit; nothing has changed.

    Rerun: depends on the write disposition.
    """
    sources = _sources(project, config)
    write_disposition, create_disposition = check_dispositions(dict(config), write_default="WRITE_EMPTY")
    with store.transaction():
        first = require_table(store, sources[0])
        selects = [_select(store, source) for source in sources]
        for source in sources[1:]:
            _check_same_schema(store, sources[0], source)
        staged = quoted(f"staged_{secrets.token_hex(8)}")
        store.execute(f"CREATE TEMP TABLE {staged} AS {' UNION ALL BY NAME '.join(selects)}")
        destination = TableRef.from_rest(config["destinationTable"], project)
        exists = store.catalog.get_table(*destination.key) is not None
        if exists and (write_disposition != "WRITE_TRUNCATE" or destination.partition is not None):
            _check_same_schema(store, destination, sources[0])
        write = Write(
            destination=destination,
            select=f"SELECT * FROM {staged}",
            fields=table_fields(first),
            write_disposition=write_disposition,
            create_disposition=create_disposition,
            **({} if exists else _partitioning(first)),
        )
        rows = write_table(store, write)
    return {"copy": {"copiedRows": str(rows)}}


def _partitioning(table: TableMeta) -> dict[str, Any]:
    """Return the partitioning and clustering of ``table``, for a destination that the copy creates."""
    partitioning: dict[str, Any] = {}
    if table.time_partitioning:
        partitioning["time_partitioning"] = {
            "type": table.time_partitioning.type,
            "field": table.time_partitioning.field,
            "expirationMs": table.time_partitioning.expiration_ms,
            "requirePartitionFilter": table.time_partitioning.require_partition_filter,
        }
    if table.clustering:
        partitioning["clustering"] = {"fields": list(table.clustering.fields)}
    return partitioning


def _sources(project: str, config: Mapping[str, Any]) -> list[TableRef]:
    given = config.get("sourceTables") or ([config["sourceTable"]] if config.get("sourceTable") else [])
    return [TableRef.from_rest(source, project) for source in given]


def _check_same_schema(store: Store, first: TableRef, second: TableRef) -> None:
    """Check that two tables have columns of the same names and types; order and modes may differ.

    Raises:
        ValidationError: they differ; the message names both tables and the columns.
    """
    has, gets = (by_name(table_fields(require_table(store, ref))) for ref in (first, second))
    differences = [f"Cannot add fields (field: {gets[key]['name']})" for key in gets if key not in has]
    differences += [f"Field {has[key]['name']} is missing in {second}" for key in has if key not in gets]
    differences += [
        f"Field {has[key]['name']} has changed type from {_type(has[key])} to {_type(gets[key])}"
        for key in has
        if key in gets and duckdb_type(has[key]) != duckdb_type(gets[key])
    ]
    if differences:
        raise invalid(f"Provided Schema of {second} does not match Table {first}. {'; '.join(differences)}")


def _type(field: Mapping[str, Any]) -> str:
    return f"{'REPEATED ' if field['mode'] == 'REPEATED' else ''}{field['type']}"


def _select(store: Store, source: TableRef) -> str:
    table = require_table(store, source)
    check_writable(table)
    where = f" WHERE {partition_of(table, source).predicate}" if source.partition is not None else ""
    return f"SELECT * FROM {source.sql}{where}"
