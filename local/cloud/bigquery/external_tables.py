"""External tables over Parquet objects, with Hive partitioning.

An external table is a DuckDB view over the files that a session variable lists. Before each statement, :func:`bind`
lists the matching objects and sets the variable, so new and deleted objects take effect at once. It also checks the
columns of every file against the table's schema: a type that does not fit is an error, as in BigQuery, where DuckDB
would cast silently.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from bqemulator.catalog.models import TableMeta

from local.cloud.bigquery.limits import invalid, limit, refuse_other_options
from local.cloud.bigquery.objects import StoredObject, list_objects
from local.cloud.bigquery.partitions import TableRef
from local.cloud.bigquery.patches.table_metadata import StoredTable
from local.cloud.bigquery.schemas import (
    Field,
    by_name,
    check_parquet,
    duckdb_type,
    literal,
    normalized,
    parquet_fields,
    quoted,
    table_fields,
)
from local.cloud.bigquery.store import Store

_OPTIONS = {
    "sourceFormat",
    "sourceUris",
    "autodetect",
    "schema",
    "hivePartitioningOptions",
    "parquetOptions",
    "compression",
}
# Options of other formats, which clients always send; ignored for Parquet.
_OTHER_FORMATS = {"csvOptions", "googleSheetsOptions", "avroOptions", "bigtableOptions", "ignoreUnknownValues"}
_HIVE_OPTIONS = {"mode", "sourceUriPrefix", "requirePartitionFilter", "fields"}
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_KEY_TEMPLATE = re.compile(r"\{(?P<name>[A-Za-z_][A-Za-z0-9_]*):(?P<type>[A-Za-z0-9]+)\}")
_MODES = ("AUTO", "STRINGS", "CUSTOM")


def _int64(text: str) -> None:
    if not -(2**63) <= int(text) < 2**63:
        raise ValueError(text)


_DAY = r"\d{4}-\d{2}-\d{2}"
_MOMENT = _DAY + r"([ T]\d{2}:\d{2}:\d{2}(\.\d{1,6})?)?"
# Types of Hive columns: the pattern of a value, and a parser that raises ValueError for invalid matches.
_HIVE_TYPES: dict[str, tuple[str, Callable[[str], object]]] = {
    "STRING": (r".*", str),
    "INTEGER": (r"[+-]?\d+", _int64),
    "FLOAT": (r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", float),
    "NUMERIC": (r"[+-]?\d{1,29}(\.\d{1,9})?", str),
    "BOOLEAN": (r"(?i:true|false)", str),
    "DATE": (_DAY, date.fromisoformat),
    "DATETIME": (_MOMENT, datetime.fromisoformat),
    "TIMESTAMP": (_MOMENT + r"(Z|[+-]\d{2}(:\d{2})?)?", datetime.fromisoformat),
}


@dataclass(frozen=True, kw_only=True)
class Hive:
    """Hive partitioning options.

    Attributes:
        prefix: the part of the URIs before the first partition column.
        mode: AUTO, STRINGS or CUSTOM.
        declared: the columns, if the mode is CUSTOM.
    """

    prefix: str
    mode: str
    declared: tuple[Field, ...]


@dataclass(frozen=True, kw_only=True)
class External:
    """Definition of an external table.

    Attributes:
        config: its ``externalDataConfiguration``.
        fields: all columns.
        hive_columns: names of the columns whose values come from the objects' names.
    """

    config: Mapping[str, Any]
    fields: Sequence[Field]
    hive_columns: Collection[str]

    @classmethod
    def of(cls, table: TableMeta) -> External:
        """Return the definition of an existing external table."""
        assert isinstance(table, StoredTable)
        return cls(config=table.external or {}, fields=table_fields(table), hive_columns=table.hive_columns)

    @property
    def hive_fields(self) -> list[Field]:
        return [field for field in self.fields if field["name"] in self.hive_columns]

    @property
    def file_fields(self) -> list[Field]:
        return [field for field in self.fields if field["name"] not in self.hive_columns]


def check_configuration(config: Mapping[str, Any]) -> None:
    """Check an ``externalDataConfiguration``.

    Raises:
        ValidationError: it does not name Parquet files in gs://, or has an option that is not implemented.
    """
    if str(config.get("sourceFormat", "")).upper() != "PARQUET":
        raise limit(f"read external tables of format {config.get('sourceFormat')!r}; only PARQUET")
    refuse_other_options("externalDataConfiguration", config, _OPTIONS | _OTHER_FORMATS)
    refuse_other_options("parquetOptions", config.get("parquetOptions") or {}, {"enumAsString", "enableListInference"})
    if str(config.get("compression") or "NONE").upper() != "NONE":
        raise invalid(f"compression {config['compression']} cannot be set for Parquet files")
    if not config.get("sourceUris"):
        raise invalid("externalDataConfiguration.sourceUris is empty")
    _hive(config)


def define(store: Store, config: Mapping[str, Any], declared: Sequence[Field]) -> External:
    """Return the definition of an external table: the declared columns or those of the last file, then Hive columns.

    Raises:
        ValidationError: the configuration is invalid, no object matches though one is needed, or a file does not fit.
    """
    check_configuration(config)
    objects = _list(store, config)
    hive = _hive(config)
    fields = normalized(declared)
    if not fields:
        if not objects:
            uris = ", ".join(config["sourceUris"])
            raise invalid(
                f"Failed to create external table: no object matches {uris}, so the schema cannot be detected; "
                "upload one first, or give a schema"
            )
        fields = parquet_fields(max(objects, key=lambda stored: stored.uri))
    columns = _hive_columns(hive, objects, by_name(fields)) if hive else []
    names = by_name(columns)
    fields = [field for field in fields if field["name"].lower() not in names] + columns
    external = External(config=config, fields=fields, hive_columns=[column["name"] for column in columns])
    _check_objects(external, objects)
    return external


def create_view(store: Store, ref: TableRef, external: External) -> None:
    """Create the DuckDB view of an external table, even if no object matches yet."""
    objects = _list(store, external.config)
    if objects:
        _set_variable(store, ref, [stored.duckdb_path for stored in objects])
        store.execute(_view_sql(ref, external))
        return
    # DuckDB needs a file to bind the view at its creation.
    with _empty_file(store, external) as path:
        _set_variable(store, ref, [path])
        store.execute(_view_sql(ref, external))


def drop_view(store: Store, ref: TableRef) -> None:
    """Drop the DuckDB view of an external table; keeps the objects."""
    store.execute(f"DROP VIEW IF EXISTS {ref.sql}")


def bind(store: Store, table: TableMeta) -> None:
    """Set the table's view, for this session, to the objects that match now.

    Raises:
        ValidationError: no object matches, or one does not fit the schema.
    """
    external = External.of(table)
    ref = TableRef(table.project_id, table.dataset_id, table.table_id)
    objects = _list(store, external.config)
    if not objects:
        uris = ", ".join(external.config["sourceUris"])
        raise invalid(f"Cannot query the external table {ref}: no object matches {uris}")
    _check_objects(external, objects)
    _set_variable(store, ref, [stored.duckdb_path for stored in objects])


def filter_columns(table: TableMeta) -> list[str]:
    """Return the Hive columns of a table that requires a partition filter; empty for other tables."""
    assert isinstance(table, StoredTable)
    options = (table.external or {}).get("hivePartitioningOptions") or {}
    return list(table.hive_columns) if options.get("requirePartitionFilter") else []


def reported_configuration(table: TableMeta) -> dict[str, Any]:
    """Return the configuration as ``tables.get`` reports it, including the detected Hive columns."""
    assert isinstance(table, StoredTable)
    config = dict(table.external or {})
    if config.get("hivePartitioningOptions"):
        config["hivePartitioningOptions"] = {**config["hivePartitioningOptions"], "fields": list(table.hive_columns)}
    return config


def _view_sql(ref: TableRef, external: External) -> str:
    """Return the view's DDL; an empty relation with all columns comes first, so that columns in no file are NULL."""
    types = ", ".join(f"{quoted(f['name'])}: {duckdb_type(f)}" for f in external.hive_fields)
    hive = f"hive_partitioning = true, hive_types = {{{types}}}" if types else "hive_partitioning = false"
    nulls = ", ".join(f"NULL::{duckdb_type(f)} AS {quoted(f['name'])}" for f in external.fields)
    columns = ", ".join(
        f"CAST({quoted(f['name'])} AS {duckdb_type(f)}) AS {quoted(f['name'])}" for f in external.fields
    )
    return (
        f"CREATE VIEW {ref.sql} AS SELECT {columns} FROM (SELECT * FROM (SELECT {nulls}) WHERE false UNION ALL BY NAME "
        f"SELECT * FROM read_parquet(getvariable({literal(_variable(ref))}), union_by_name = true, {hive}))"
    )


# --- Objects ---------------------------------------------------------------------------------------------------------


def _list(store: Store, config: Mapping[str, Any]) -> list[StoredObject]:
    objects = {o.uri: o for uri in config["sourceUris"] for o in list_objects(store.gcs_root, uri)}
    return list(objects.values())


def _check_objects(external: External, objects: Sequence[StoredObject]) -> None:
    hive = _hive(external.config)
    columns = by_name(external.hive_fields)
    for stored in objects:
        if hive:
            _check_partition_values(stored, _partition_values(hive, stored, columns), columns)
        check_parquet(stored, external.file_fields)


def _variable(ref: TableRef) -> str:
    return f"objects of {ref}"


def _set_variable(store: Store, ref: TableRef, paths: Sequence[str]) -> None:
    values = ", ".join(literal(path) for path in paths)
    store.execute(f"SET VARIABLE {quoted(_variable(ref))} = [{values}]")


@contextmanager
def _empty_file(store: Store, external: External) -> Iterator[str]:
    """Create a temporary Parquet file without rows, in folders named for the Hive columns."""
    with tempfile.TemporaryDirectory(dir=store.context.settings.data_dir) as folder:
        path = Path(folder, *(f"{name}={_HIVE_NULL}" for name in external.hive_columns), "empty.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        nulls = ", ".join(f"NULL::{duckdb_type(f)} AS {quoted(f['name'])}" for f in external.file_fields)
        store.execute(f"COPY (SELECT {nulls} WHERE false) TO {literal(str(path))} (FORMAT parquet)")
        yield str(path)


# --- Hive partitioning -----------------------------------------------------------------------------------------------


def _hive(config: Mapping[str, Any]) -> Hive | None:
    options = config.get("hivePartitioningOptions")
    if not options:
        return None
    refuse_other_options("hivePartitioningOptions", options, _HIVE_OPTIONS)
    mode = str(options.get("mode") or "AUTO").upper()
    if mode not in _MODES:
        raise invalid(f"Invalid hivePartitioningOptions.mode {mode!r}; one of {', '.join(_MODES)}")
    prefix = str(options.get("sourceUriPrefix") or "")
    declared = tuple(normalized({"name": m["name"], "type": m["type"]} for m in _KEY_TEMPLATE.finditer(prefix)))
    if (mode == "CUSTOM") != bool(declared):
        raise invalid(
            f"hivePartitioningOptions.sourceUriPrefix {prefix!r} must name partition columns, as in "
            f"/{{year:INTEGER}}/{{month:INTEGER}}, exactly when mode is CUSTOM; it is {mode}"
        )
    plain = _KEY_TEMPLATE.sub("", prefix).rstrip("/") + "/"
    for uri in config.get("sourceUris") or ():
        if not uri.startswith(plain):
            raise invalid(f"Source URI {uri} does not start with hivePartitioningOptions.sourceUriPrefix {plain}")
    return Hive(prefix=plain, mode=mode, declared=declared)


def _hive_columns(hive: Hive, objects: Sequence[StoredObject], declared: Mapping[str, Field]) -> list[Field]:
    if hive.declared:
        return list(hive.declared)
    if not objects:
        raise invalid(
            f"Cannot detect Hive partition columns: no object under {hive.prefix}; upload one first, or use mode CUSTOM"
        )
    names = list(_partition_values(hive, objects[0], None))
    rows = [_partition_values(hive, stored, {name.lower() for name in names}) for stored in objects]
    columns = []
    for name in names:
        kind = "STRING" if hive.mode == "STRINGS" else _detect_type([row[name] for row in rows])
        columns.append(declared.get(name.lower()) or {"name": name, "type": kind, "mode": "NULLABLE"})
    return normalized(columns)


def _partition_values(hive: Hive, stored: StoredObject, expected: Collection[str] | None) -> dict[str, str | None]:
    """Return the ``key=value`` folders of an object's name after the prefix."""
    folders = stored.uri.removeprefix(hive.prefix).split("/")[:-1]
    values: dict[str, str | None] = {}
    for folder in folders:
        key, equals, value = folder.partition("=")
        if not equals:
            raise invalid(
                f"Incompatible partition schema: {stored.uri} has the folder {folder!r}, which is not key=value, "
                f"under {hive.prefix}"
            )
        values[key] = None if value == _HIVE_NULL else unquote(value)
    if expected is not None and {key.lower() for key in values} != set(expected):
        raise invalid(
            f"Incompatible partition schema: {stored.uri} has the keys {sorted(values)}, expected {sorted(expected)}"
        )
    return values


def _check_partition_values(
    stored: StoredObject, values: Mapping[str, str | None], columns: Mapping[str, Field]
) -> None:
    """Check an object's partition values as BigQuery does; DuckDB checks only columns that a statement reads."""
    for key, value in values.items():
        kind = columns[key.lower()]["type"]
        if kind not in _HIVE_TYPES:
            raise limit(f"read Hive partition columns of type {kind} ({key}); only {', '.join(_HIVE_TYPES)}")
        if value is None:
            continue
        if not _is_of_type(value, kind):
            raise invalid(
                f"Error while reading data, error message: Could not convert value {value!r} of the partition key "
                f"'{key}' to type {kind}. File: {stored.uri}"
            )
        if value.upper() == "NULL":
            raise limit(f"distinguish the partition value {key}={value} from a missing one. File: {stored.uri}")


def _is_of_type(value: str, kind: str) -> bool:
    form, parse = _HIVE_TYPES[kind]
    if not re.fullmatch(form, value, re.ASCII | re.DOTALL):
        return False
    try:
        parse(value)
    except ValueError:
        return False
    return True


def _detect_type(values: Sequence[str | None]) -> str:
    for kind in ("INTEGER", "DATE", "TIMESTAMP"):
        if all(value is None or _is_of_type(value, kind) for value in values):
            return kind
    return "STRING"
