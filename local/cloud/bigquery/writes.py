"""Atomic writes to a table or one of its partitions, for load, query and copy jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import TableMeta, TimePartitioning
from bqemulator.domain.errors import AlreadyExistsError

from local.cloud.bigquery.limits import invalid, limit, not_found
from local.cloud.bigquery.partitions import (
    Partition,
    TableRef,
    check_same_partitioning,
    parse_clustering,
    parse_time_partitioning,
    partition_of,
)
from local.cloud.bigquery.patches.table_metadata import StoredTable
from local.cloud.bigquery.schemas import (
    Field,
    by_name,
    column_definitions,
    duckdb_type,
    normalized,
    quoted,
    stored_values,
    table_fields,
    table_schema,
)
from local.cloud.bigquery.store import Store, touched

_WRITE_DISPOSITIONS = ("WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA", "WRITE_APPEND", "WRITE_EMPTY")
_CREATE_DISPOSITIONS = ("CREATE_IF_NEEDED", "CREATE_NEVER")
_UPDATE_OPTIONS = ("ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION")


@dataclass(frozen=True, kw_only=True)
class Write:
    """One write of rows to a destination.

    Attributes:
        select: DuckDB SQL for the rows, with the columns ``fields`` by name.
        values: values of the parameters in ``select``.
        properties: ``description``, ``labels`` and ``friendlyName`` for a table that the write creates.
    """

    destination: TableRef
    select: str
    fields: Sequence[Field]
    write_disposition: str
    values: Sequence[Any] = ()
    create_disposition: str = "CREATE_IF_NEEDED"
    time_partitioning: dict[str, Any] | None = None
    clustering: dict[str, Any] | None = None
    update_options: Sequence[str] = ()
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def replaces_table(self) -> bool:
        """True if the write replaces the whole table, including its schema."""
        return self.write_disposition == "WRITE_TRUNCATE" and self.destination.partition is None


def check_dispositions(config: dict[str, Any], *, write_default: str) -> tuple[str, str]:
    """Return the write and create disposition of a job's configuration.

    Raises:
        ValidationError: one of them is unknown, or ``schemaUpdateOptions`` cannot be used with them.
    """
    write = config.get("writeDisposition") or write_default
    create = config.get("createDisposition") or "CREATE_IF_NEEDED"
    if write not in _WRITE_DISPOSITIONS:
        raise invalid(f"Invalid writeDisposition {write!r}; one of {', '.join(_WRITE_DISPOSITIONS)}")
    if create not in _CREATE_DISPOSITIONS:
        raise invalid(f"Invalid createDisposition {create!r}; one of {', '.join(_CREATE_DISPOSITIONS)}")
    options = config.get("schemaUpdateOptions") or []
    for option in options:
        if option not in _UPDATE_OPTIONS:
            raise invalid(f"Invalid schemaUpdateOptions value {option!r}; one of {', '.join(_UPDATE_OPTIONS)}")
    partition = "$" in str((config.get("destinationTable") or {}).get("tableId", ""))
    if (
        options
        and write not in ("WRITE_APPEND", "WRITE_TRUNCATE_DATA")
        and not (write == "WRITE_TRUNCATE" and partition)
    ):
        raise invalid(
            "Schema update options should only be specified with WRITE_APPEND disposition, or with WRITE_TRUNCATE "
            "disposition on a table partition."
        )
    return write, create


def write_table(store: Store, write: Write) -> int:
    """Perform ``write`` in one transaction.

    Returns:
        The number of rows written.

    Raises:
        DomainError: the destination or the rows do not fit; nothing has changed.

    Rerun: WRITE_TRUNCATE gives the same table or partition; WRITE_APPEND adds the rows again.
    """
    ref = write.destination
    with store.transaction():
        require_dataset(store, ref)
        table = store.catalog.get_table(*ref.key)
        if table is None:
            table = _create_destination(store, write)
        else:
            check_writable(table)
            check_same_partitioning(table, write.time_partitioning, ref)
            table = _prepare_destination(store, write, table)
        partition = partition_of(table, ref) if ref.partition is not None else None
        _clear(store, write, partition)
        rows = _insert_into_partition(store, write, partition) if partition else _insert(store, write)
        store.catalog.update_table(touched(table, store.context.clock.now(), num_rows=count_rows(store, ref)))
    return rows


def require_dataset(store: Store, ref: TableRef) -> None:
    """Check that the dataset exists.

    Raises:
        NotFoundError: it does not.
    """
    if store.catalog.get_dataset(ref.project, ref.dataset) is None:
        raise not_found("Dataset", f"{ref.project}:{ref.dataset}")


def require_table(store: Store, ref: TableRef) -> TableMeta:
    """Return the table's metadata.

    Raises:
        NotFoundError: the table does not exist.
    """
    table = store.catalog.get_table(*ref.key)
    if table is None:
        raise not_found("Table", f"{ref.project}:{ref.dataset}.{ref.table}")
    return table


def check_writable(table: TableMeta) -> None:
    """Check that the table is a native one.

    Raises:
        ValidationError: it is an external table or a view.
    """
    if table.table_type != "TABLE":
        name = f"{table.project_id}:{table.dataset_id}.{table.table_id}"
        raise invalid(f"{name} is not allowed for this operation because it is currently a {table.table_type}.")


def count_rows(store: Store, ref: TableRef, predicate: str = "true") -> int:
    """Count the rows of a native table that satisfy a DuckDB predicate."""
    row = store.execute(f"SELECT count(*) FROM {ref.sql} WHERE {predicate}").fetchone()
    return int(row[0]) if row else 0


def create_table(store: Store, table: TableMeta) -> TableMeta:
    """Create an empty native table in DuckDB and in the catalog, with its dataset's default expiration.

    Raises:
        AlreadyExistsError: a table or view of this name exists.
    """
    ref = TableRef(table.project_id, table.dataset_id, table.table_id)
    if store.catalog.get_table(*ref.key) is not None:
        raise AlreadyExistsError(f"Already Exists: Table {ref}")
    fields = table_fields(table)
    if not fields:
        raise limit(f"create the table {ref} without a schema")
    dataset = store.catalog.get_dataset(ref.project, ref.dataset)
    if dataset and dataset.default_table_expiration_ms and table.expiration_time is None:
        lifetime = timedelta(milliseconds=dataset.default_table_expiration_ms)
        table = table.model_copy(update={"expiration_time": table.creation_time + lifetime})
    partitioning = table.time_partitioning
    if dataset and dataset.default_partition_expiration_ms and partitioning and partitioning.expiration_ms is None:
        partitioning = partitioning.model_copy(update={"expiration_ms": dataset.default_partition_expiration_ms})
        table = table.model_copy(update={"time_partitioning": partitioning})
    try:
        store.execute(f"CREATE TABLE {ref.sql} ({column_definitions(fields)})")
    except duckdb.CatalogException as error:
        # Table names ignore case in DuckDB, but not in BigQuery.
        raise limit(f"keep two tables whose names differ by case only: {ref} ({error})") from error
    return store.catalog.create_table(table)


def new_table(
    store: Store,
    ref: TableRef,
    fields: Sequence[Field],
    *,
    time_partitioning: TimePartitioning | None = None,
    clustering: Any = None,
    description: str | None = None,
    labels: dict[str, str] | None = None,
    friendly_name: str | None = None,
    expiration_time: datetime | None = None,
) -> StoredTable:
    """Return the metadata for a new table."""
    now = store.context.clock.now()
    return StoredTable(
        project_id=ref.project,
        dataset_id=ref.dataset,
        table_id=ref.table,
        schema=table_schema(fields),
        time_partitioning=time_partitioning,
        clustering=clustering,
        description=description,
        labels=labels or {},
        friendly_name=friendly_name,
        expiration_time=expiration_time,
        creation_time=now,
        last_modified_time=now,
        etag=generate_etag(*ref.key, str(now)),
    )


def _create_destination(store: Store, write: Write) -> TableMeta:
    ref = write.destination
    if write.create_disposition == "CREATE_NEVER":
        raise not_found("Table", f"{ref.project}:{ref.dataset}.{ref.table}")
    if ref.partition is not None and not write.time_partitioning:
        raise invalid(
            f"Table {ref.project}:{ref.dataset}.{ref.table} does not exist; to create it, a job into ${ref.partition} "
            "must give timePartitioning"
        )
    return create_table(
        store,
        new_table(
            store,
            ref,
            write.fields,
            time_partitioning=parse_time_partitioning(write.time_partitioning, write.fields)
            if write.time_partitioning
            else None,
            clustering=parse_clustering(write.clustering or {}, write.fields),
            description=write.properties.get("description"),
            labels=write.properties.get("labels"),
            friendly_name=write.properties.get("friendlyName"),
        ),
    )


def _prepare_destination(store: Store, write: Write, table: TableMeta) -> TableMeta:
    """Change an existing destination to the schema that the write needs, or raise if that is not allowed."""
    if write.replaces_table:
        return _replace_schema(store, write, table)
    if write.clustering:
        wanted = parse_clustering(write.clustering, table_fields(table))
        if wanted != table.clustering:
            raise invalid(f"Incompatible table clustering specification for {write.destination}")
    return _update_schema(store, write, table)


def _replace_schema(store: Store, write: Write, table: TableMeta) -> TableMeta:
    fields = write.fields
    partitioning = table.time_partitioning
    if partitioning:
        raw = {"type": partitioning.type, "field": partitioning.field, "expirationMs": partitioning.expiration_ms}
        partitioning = parse_time_partitioning(raw, fields, require_filter=partitioning.require_partition_filter)
    clustering = parse_clustering(write.clustering, fields) if write.clustering else table.clustering
    if clustering:
        parse_clustering({"fields": list(clustering.fields)}, fields)
    descriptions = {f.name.lower(): f.description for f in table.schema_.fields if f.description}
    fields = [
        {"description": descriptions[f["name"].lower()], **f} if f["name"].lower() in descriptions else f
        for f in fields
    ]
    store.execute(f"DROP TABLE {write.destination.sql}")
    store.execute(f"CREATE TABLE {write.destination.sql} ({column_definitions(fields)})")
    changes = {"schema_": table_schema(fields), "time_partitioning": partitioning, "clustering": clustering}
    return store.catalog.update_table(touched(table, store.context.clock.now(), **changes))


def _update_schema(store: Store, write: Write, table: TableMeta) -> TableMeta:
    """Check the columns of the rows against the table; add and relax columns if the options allow it."""
    ref, has, gets = write.destination, by_name(table_fields(table)), by_name(write.fields)
    name = f"{ref.project}:{ref.dataset}.{ref.table}"
    changed = dict(has)
    for key, column in gets.items():
        if key not in has:
            if "ALLOW_FIELD_ADDITION" not in write.update_options:
                raise invalid(
                    f"Provided Schema does not match Table {name}. Cannot add fields (field: {column['name']})"
                )
            if column["mode"] == "REQUIRED":
                raise invalid(
                    f"Provided Schema does not match Table {name}. Cannot add required fields (field: {column['name']})"
                )
            changed[key] = column
            store.execute(f"ALTER TABLE {ref.sql} ADD COLUMN {quoted(column['name'])} {duckdb_type(column)}")
        elif duckdb_type(column) != duckdb_type(has[key]):
            raise invalid(
                f"Provided Schema does not match Table {name}. Field {has[key]['name']} has changed type from "
                f"{has[key]['type']} to {column['type']}"
            )
    if "ALLOW_FIELD_RELAXATION" in write.update_options:
        for key, column in has.items():
            if column["mode"] == "REQUIRED" and (key not in gets or gets[key]["mode"] == "NULLABLE"):
                changed[key] = {**column, "mode": "NULLABLE"}
                store.execute(f"ALTER TABLE {ref.sql} ALTER COLUMN {quoted(column['name'])} DROP NOT NULL")
    if changed == has:
        return table
    schema = table_schema(normalized(changed.values()))
    return store.catalog.update_table(touched(table, store.context.clock.now(), schema_=schema))


def _insert_into_partition(store: Store, write: Write, partition: Partition) -> int:
    """Insert the rows; raise if the number of rows outside of the partition has changed.

    Counting afterwards is far cheaper than storing the rows of a query to check them first.
    """
    ref = write.destination
    if partition.field.lower() not in by_name(write.fields):
        raise invalid(f"The rows have no column {partition.field}, by which {ref.table} is partitioned")
    before = count_rows(store, ref) - count_rows(store, ref, partition.predicate)
    rows = _insert(store, write)
    outside = count_rows(store, ref) - count_rows(store, ref, partition.predicate) - before
    if outside:
        raise invalid(
            f"Some rows belong to different partitions rather than destination partition {ref}: {outside} of {rows} "
            f"rows, by {partition.field}"
        )
    return rows


def _clear(store: Store, write: Write, partition: Partition | None) -> None:
    ref = write.destination
    predicate = partition.predicate if partition else "true"
    if write.write_disposition == "WRITE_EMPTY" and count_rows(store, ref, predicate):
        raise AlreadyExistsError(f"Already Exists: Table {ref}")
    if write.write_disposition in ("WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA") and not write.replaces_table:
        store.execute(f"DELETE FROM {ref.sql} WHERE {predicate}")


def _insert(store: Store, write: Write) -> int:
    columns = ", ".join(quoted(f["name"]) for f in write.fields)
    select = f"SELECT {stored_values(write.fields)} FROM ({write.select})"
    sql = f"INSERT INTO {write.destination.sql} ({columns}) {select}"
    row = store.execute(sql, list(write.values) or None).fetchone()
    return int(row[0]) if row else 0
