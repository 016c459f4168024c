"""The tables resource of the REST API: native tables, external tables and views, with all their properties."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bqemulator.catalog.models import TableMeta
from bqemulator.domain.errors import AlreadyExistsError, ResourceInUseError, ValidationError
from bqemulator.jobs.executor import execute_query_job

from local.cloud.bigquery import ddl, external_tables
from local.cloud.bigquery.estimates import table_bytes
from local.cloud.bigquery.limits import invalid, limit, refuse_other_options
from local.cloud.bigquery.literals import plain_literals
from local.cloud.bigquery.partitions import TableRef, parse_clustering, parse_time_partitioning, partition_of
from local.cloud.bigquery.patches.internals import table_to_rest
from local.cloud.bigquery.patches.table_metadata import StoredTable, view_text, with_view_text
from local.cloud.bigquery.request_types import check_table
from local.cloud.bigquery.schemas import Field, duckdb_type, normalized, quoted, table_fields, table_schema
from local.cloud.bigquery.statements import ANONYMOUS
from local.cloud.bigquery.store import Store, touched
from local.cloud.bigquery.writes import count_rows, create_table, new_table, require_dataset, require_table

_WRITABLE = {
    *("tableReference", "schema", "description", "friendlyName", "labels", "expirationTime", "timePartitioning"),
    *("clustering", "requirePartitionFilter", "externalDataConfiguration", "view"),
}
# Read-only fields that clients send back from an earlier response.
_READ_ONLY = {
    *("kind", "id", "etag", "selfLink", "type", "creationTime", "lastModifiedTime", "numRows", "numBytes", "location"),
    *("numLongTermBytes", "numActiveLogicalBytes", "numTotalLogicalBytes", "numLongTermLogicalBytes", "numPartitions"),
}


def resource(store: Store, table: TableMeta, ref: TableRef) -> dict[str, Any]:
    """Return the ``Table`` resource; with a partition decorator, its row count is that of the partition.

    Raises:
        ValidationError: the decorator does not fit the table.
    """
    body = table_to_rest(table)
    dataset = store.catalog.get_dataset(ref.project, ref.dataset)
    body["location"] = dataset.location if dataset else "US"
    body["selfLink"] = f"/bigquery/v2/projects/{ref.project}/datasets/{ref.dataset}/tables/{ref.table}"
    if table.schema_.fields:
        body["schema"] = {"fields": table_fields(table)}
    if table.expiration_time:
        body["expirationTime"] = str(int(table.expiration_time.timestamp() * 1000))
    if table.time_partitioning:
        body["requirePartitionFilter"] = table.time_partitioning.require_partition_filter
    if table.view_query:
        body["view"] = {"query": view_text(table), "useLegacySql": False}
    if isinstance(table, StoredTable) and table.external is not None:
        body["externalDataConfiguration"] = external_tables.reported_configuration(table)
    predicate = partition_of(table, ref).predicate if ref.partition is not None else "true"
    rows = count_rows(store, ref, predicate) if table.table_type == "TABLE" else 0
    size = table_bytes(store, table) if table.table_type == "TABLE" and ref.partition is None else 0
    body["numRows"] = str(rows)
    for name in ("numBytes", "numActiveLogicalBytes", "numTotalLogicalBytes"):
        body[name] = str(size)
    if ref.partition is not None:
        body["id"], body["tableReference"] = (
            str(ref),
            {**body["tableReference"], "tableId": f"{ref.table}${ref.partition}"},
        )
        for name in ("numBytes", "numActiveLogicalBytes", "numTotalLogicalBytes"):
            del body[name]
    return body


def list_item(table: TableMeta) -> dict[str, Any]:
    """Return a table in the form of ``tables.list``."""
    full = table_to_rest(table)
    names = ("id", "tableReference", "type", "creationTime", "labels", "friendlyName", "timePartitioning", "clustering")
    item = {"kind": "bigquery#table", **{name: full[name] for name in names if name in full}}
    if table.expiration_time:
        item["expirationTime"] = str(int(table.expiration_time.timestamp() * 1000))
    if table.view_query:
        item["view"] = {"useLegacySql": False}
    return item


async def insert(store: Store, project: str, dataset: str, body: dict[str, Any]) -> TableMeta:
    """Run ``tables.insert``.

    Raises:
        DomainError: the table exists, the dataset does not, or the body is invalid or not supported.
    """
    check_table(body)
    refuse_other_options("table", body, _WRITABLE | _READ_ONLY)
    reference = {"projectId": project, "datasetId": dataset, **(body.get("tableReference") or {})}
    ref = TableRef.from_rest(reference, project)
    if (ref.project, ref.dataset) != (project, dataset) or ref.partition is not None:
        raise invalid(f"Invalid tableReference: {ref}")
    require_dataset(store, ref)
    if store.catalog.get_table(*ref.key) is not None:
        raise AlreadyExistsError(f"Already Exists: Table {ref}")
    if body.get("view") is not None:
        return await _insert_view(store, ref, body)
    declared = (body.get("schema") or {}).get("fields") or []
    table = new_table(
        store,
        ref,
        normalized(declared),
        description=body.get("description"),
        labels=body.get("labels"),
        friendly_name=body.get("friendlyName"),
        expiration_time=_expiration(body),
    )
    config = body.get("externalDataConfiguration")
    if config:
        for name in ("timePartitioning", "clustering", "requirePartitionFilter"):
            if body.get(name):
                raise invalid(f"{name} cannot be set for the external table {ref}")
        return ddl.put_external(store, table, config, declared or (config.get("schema") or {}).get("fields") or [])
    return create_table(store, table.model_copy(update=_partitioning(ref, table_fields(table), body)))


def _partitioning(ref: TableRef, fields: list[Field], body: Mapping[str, Any]) -> dict[str, Any]:
    raw, required = body.get("timePartitioning"), body.get("requirePartitionFilter")
    if required and not raw:
        raise invalid(f"requirePartitionFilter needs a partitioned table: {ref}")
    return {
        "time_partitioning": parse_time_partitioning(raw, fields, require_filter=required) if raw else None,
        "clustering": parse_clustering(body.get("clustering") or {}, fields),
    }


async def _insert_view(store: Store, ref: TableRef, body: dict[str, Any]) -> TableMeta:
    refuse_other_options("view", body["view"], {"query", "useLegacySql"})
    if body["view"].get("useLegacySql"):
        raise limit("have legacy SQL views; set view.useLegacySql to false")
    text = body["view"].get("query")
    if not text:
        raise invalid("Required parameter is missing: view.query")
    sql = ddl.with_view_columns(plain_literals(f"CREATE VIEW `{ref.project}.{ref.dataset}.{ref.table}` AS {text}"))
    await execute_query_job(ref.project, f"view_{ref.table}", sql, None, store.context, caller=ANONYMOUS)
    table = require_table(store, ref)
    changes = {
        "description": body.get("description"),
        "labels": body.get("labels") or {},
        "friendly_name": body.get("friendlyName"),
        "expiration_time": _expiration(body),
    }
    touched_table = touched(with_view_text(table, text), store.context.clock.now(), **changes)
    return store.catalog.update_table(touched_table)


def update(store: Store, ref: TableRef, body: dict[str, Any], *, etag: str | None, replace: bool) -> TableMeta:
    """Run ``tables.patch`` or, with ``replace``, ``tables.update``, which clears properties missing in the body.

    Raises:
        DomainError: the table does not exist, has changed since ``etag``, or does not allow the change.
    """
    table = require_table(store, ref)
    if ref.partition is not None:
        raise invalid(f"Cannot update a partition: {ref}")
    if etag and etag.strip('"') not in ("*", table.etag.strip('"')):
        raise PreconditionFailedError(f"Precondition check failed: {ref} has changed since etag {etag}")
    check_table(body)
    refuse_other_options("table", body, _WRITABLE | _READ_ONLY)
    if replace:
        body = {"description": None, "friendlyName": None, "labels": None, "expirationTime": None, **body}
    if body.get("view") and body["view"].get("query") != view_text(table):
        raise limit("change a view's query; use CREATE OR REPLACE VIEW")
    changes: dict[str, Any] = {}
    for name, attribute in (("description", "description"), ("friendlyName", "friendly_name")):
        if name in body:
            changes[attribute] = body[name]
    if "labels" in body:
        changes["labels"] = _patched_labels({} if replace else table.labels, body["labels"])
    if "expirationTime" in body:
        changes["expiration_time"] = _expiration(body)
    changes.update(_patched_partitioning(table, body))
    table = touched(table, store.context.clock.now(), **changes)
    config = body.get("externalDataConfiguration")
    if config or (table.table_type == "EXTERNAL" and body.get("schema")):
        return _update_external(store, table, config, body)
    if table.table_type == "TABLE" and body.get("schema"):
        fields = _update_columns(store, ref, table, normalized(body["schema"].get("fields") or []))
        table = table.model_copy(update={"schema_": table_schema(fields)})
    return store.catalog.update_table(table)


class PreconditionFailedError(ValidationError):
    """The resource has changed since the client read it (HTTP 412)."""

    http_status = 412
    bq_reason = "conditionNotMet"
    grpc_status_name = "FAILED_PRECONDITION"


def delete(store: Store, ref: TableRef) -> None:
    """Run ``tables.delete``; with a decorator, delete only the rows of that partition.

    Raises:
        DomainError: the table does not exist, or the decorator does not fit it.
    """
    table = require_table(store, ref)
    if ref.partition is not None:
        store.execute(f"DELETE FROM {ref.sql} WHERE {partition_of(table, ref).predicate}")
        store.catalog.update_table(touched(table, store.context.clock.now(), num_rows=count_rows(store, ref)))
        return
    kind = "VIEW" if table.table_type in ("EXTERNAL", "VIEW") else "TABLE"
    store.execute(f"DROP {kind} IF EXISTS {ref.sql}")
    store.catalog.delete_table(*ref.key)
    store.catalog.delete_materialized_view(*ref.key, not_found_ok=True)


def delete_dataset(store: Store, project: str, dataset: str, *, contents: bool) -> None:
    """Run ``datasets.delete``.

    Raises:
        DomainError: the dataset does not exist, or it has tables and ``contents`` is False.
    """
    require_dataset(store, TableRef(project, dataset, ""))
    full = store.catalog.list_tables(project, dataset) or store.catalog.list_routines(project, dataset)
    if full and not contents:
        raise ResourceInUseError(f"Dataset {project}:{dataset} is still in use")
    store.execute(f"DROP SCHEMA IF EXISTS {quoted(f'{project}__{dataset}')} CASCADE")
    store.catalog.delete_dataset(project, dataset, delete_contents=contents)


def _expiration(body: Mapping[str, Any]) -> datetime | None:
    raw = body.get("expirationTime")
    try:
        return datetime.fromtimestamp(int(raw) / 1000, tz=UTC) if raw else None
    except (ValueError, OverflowError, OSError) as error:
        raise invalid(f"Invalid value for table.expirationTime: {raw} is no time before the year 10000") from error


def _patched_labels(labels: Mapping[str, str], patch: Mapping[str, str | None] | None) -> dict[str, str]:
    """Merge labels; a label patched with null is removed."""
    merged = {**labels, **(patch or {})} if patch is not None else {}
    return {name: value for name, value in merged.items() if value is not None}


def _patched_partitioning(table: TableMeta, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changes: expiration, the required filter and clustering may change, the rest may not."""
    changes: dict[str, Any] = {}
    has = table.time_partitioning
    raw = body.get("timePartitioning")
    if raw:
        wanted = parse_time_partitioning(raw, table_fields(table))
        if has is None or (wanted.type, wanted.field) != (has.type, has.field):
            raise invalid(f"Cannot change partitioning spec for a partitioned/non-partitioned table: {table.table_id}")
        changes["time_partitioning"] = has = has.model_copy(
            update={
                "expiration_ms": wanted.expiration_ms,
                "require_partition_filter": raw.get("requirePartitionFilter", has.require_partition_filter),
            }
        )
    if body.get("requirePartitionFilter") is not None:
        if has is None and body["requirePartitionFilter"]:
            raise invalid(f"requirePartitionFilter needs a partitioned table: {table.table_id}")
        if has:
            required = bool(body["requirePartitionFilter"])
            changes["time_partitioning"] = has.model_copy(update={"require_partition_filter": required})
    if "clustering" in body:
        changes["clustering"] = parse_clustering(body["clustering"] or {}, table_fields(table))
    return changes


def _update_external(store: Store, table: TableMeta, config: dict[str, Any] | None, body: dict[str, Any]) -> TableMeta:
    if table.table_type != "EXTERNAL" or not isinstance(table, StoredTable):
        raise invalid(f"Cannot add an external data configuration to {table.table_id}, which is a {table.table_type}")
    config = dict(config or table.external or {})
    options = config.get("hivePartitioningOptions")
    if options:  # drop the columns that an earlier response reported; they are detected again
        config["hivePartitioningOptions"] = {name: value for name, value in options.items() if name != "fields"}
    declared = (body.get("schema") or config.get("schema") or {}).get("fields")
    if not declared:
        declared = [] if body.get("externalDataConfiguration") else table_fields(table)
    return ddl.put_external(store, table, config, declared)


def _update_columns(store: Store, ref: TableRef, table: TableMeta, wanted: list[Field]) -> list[Field]:
    """Add nullable columns, relax required ones and change descriptions; BigQuery allows no other change."""
    has = {f["name"].lower(): f for f in table_fields(table)}
    gets = {f["name"].lower(): f for f in wanted}
    name = f"Provided Schema does not match Table {ref}."
    for key, column in has.items():
        if key not in gets:
            raise invalid(f"{name} Field {column['name']} is missing in new schema")
        new = gets[key]
        if duckdb_type(new) != duckdb_type(column):
            raise invalid(f"{name} Field {column['name']} has changed type from {column['type']} to {new['type']}")
        if new["mode"] != column["mode"]:
            if (column["mode"], new["mode"]) != ("REQUIRED", "NULLABLE"):
                raise invalid(f"{name} Field {column['name']} has changed mode from {column['mode']} to {new['mode']}")
            store.execute(f"ALTER TABLE {ref.sql} ALTER COLUMN {quoted(column['name'])} DROP NOT NULL")
    for key, column in gets.items():
        if key not in has:
            if column["mode"] == "REQUIRED":
                raise invalid(f"{name} Cannot add required fields to an existing schema. (field: {column['name']})")
            store.execute(f"ALTER TABLE {ref.sql} ADD COLUMN {quoted(column['name'])} {duckdb_type(column)}")
    return [gets[key] for key in has] + [column for key, column in gets.items() if key not in has]
