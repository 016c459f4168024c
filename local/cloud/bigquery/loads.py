"""Load jobs: Parquet bound by name, CSV and JSON, into a table or a partition, all files or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from local.cloud.bigquery.limits import invalid, limit, refuse_other_options
from local.cloud.bigquery.load_errors import reading_error
from local.cloud.bigquery.objects import StoredObject, require_objects
from local.cloud.bigquery.partitions import TableRef
from local.cloud.bigquery.schemas import (
    Field,
    by_name,
    check_parquet,
    duckdb_type,
    field_of_duckdb,
    literal,
    normalized,
    parquet_columns,
    parquet_fields,
    parquet_select,
    quoted,
    table_fields,
)
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.writes import Write, check_dispositions, write_table

_OPTIONS = {
    *("destinationTable", "sourceUris", "sourceFormat", "schema", "autodetect", "createDisposition"),
    *("writeDisposition", "ignoreUnknownValues", "timePartitioning", "clustering", "schemaUpdateOptions"),
    *("destinationTableProperties", "parquetOptions", "fieldDelimiter", "skipLeadingRows", "quote", "nullMarker"),
    *("allowQuotedNewlines", "allowJaggedRows", "encoding"),
}
# Accepted and ignored: they apply to other formats only.
_OTHER_FORMATS = {"useAvroLogicalTypes"}
_SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
_OF_JSON = "Error while reading data, error message: JSON parsing error:"
_OPEN_QUOTE = f"CAST(bq_error({literal('Missing close quote character')}) AS VARCHAR)"
_WHOLE = literal(r"\s*[+-]?\d+(\.0*)?\s*")
_ZONE = literal(r"\d[T ].*(Z|[+-]\d{1,2}(:?\d\d)?)\s*$")
_FORMATS = ("PARQUET", "CSV", "NEWLINE_DELIMITED_JSON")


def check_load(project: str, config: Mapping[str, Any]) -> None:
    """Check a load job's configuration before the job is created.

    Raises:
        ValidationError: an option is invalid or not implemented.
    """
    refuse_other_options("configuration.load", config, _OPTIONS | _OTHER_FORMATS)
    properties = config.get("destinationTableProperties") or {}
    refuse_other_options("destinationTableProperties", properties, {"description", "labels", "friendlyName"})
    refuse_other_options("parquetOptions", config.get("parquetOptions") or {}, {"enumAsString", "enableListInference"})
    source_format = config.get("sourceFormat") or "CSV"
    if source_format not in _FORMATS:
        raise limit(f"load {source_format} files; only {', '.join(_FORMATS)}")
    if (config.get("encoding") or "UTF-8").upper() not in ("UTF-8", "UTF8"):
        raise limit(f"load files in the encoding {config['encoding']}; only UTF-8")
    check_dispositions(dict(config), write_default="WRITE_APPEND")
    TableRef.from_rest(config.get("destinationTable") or {}, project)
    normalized((config.get("schema") or {}).get("fields") or [])


def run_load(store: Store, project: str, config: Mapping[str, Any], *, upload: Path | None = None) -> dict[str, Any]:
    """Run a load job.

    Args:
        config: ``configuration.load`` of the job.
        upload: the file that was uploaded with the request, instead of ``sourceUris``.

    Returns:
        The job's statistics.

    Raises:
        DomainError: the files or the table do not fit the job; nothing has changed.

    Rerun: depends on the write disposition.
    """
    objects = [_uploaded(upload)] if upload else _named_objects(store, config)
    ref = TableRef.from_rest(config["destinationTable"], project)
    write_disposition, create_disposition = check_dispositions(dict(config), write_default="WRITE_APPEND")
    with store.transaction():
        declared = _target_fields(store, ref, config, write_disposition)
        reader = _read_parquet if (config.get("sourceFormat") or "CSV") == "PARQUET" else _read_text
        select, fields = reader(store, objects, declared, config)
        write = Write(
            destination=ref,
            select=select,
            fields=fields,
            write_disposition=write_disposition,
            create_disposition=create_disposition,
            **_partitioning(config),
        )
        try:
            rows = write_table(store, write)
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise reading_error(error) from error
    return _statistics(objects, rows)


def _named_objects(store: Store, config: Mapping[str, Any]) -> list[StoredObject]:
    uris = list(config.get("sourceUris") or [])
    if not uris:
        raise invalid("Load configuration must specify at least one source URI")
    return require_objects(store.gcs_root, uris)


def _partitioning(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for the destination's partitioning and clustering, as arguments of ``Write``."""
    return {
        "time_partitioning": config.get("timePartitioning"),
        "clustering": config.get("clustering"),
        "update_options": config.get("schemaUpdateOptions") or (),
        "properties": config.get("destinationTableProperties") or {},
    }


def _statistics(objects: Sequence[StoredObject], rows: int) -> dict[str, Any]:
    size = str(sum(stored.size for stored in objects))
    return {
        "load": {
            "inputFiles": str(len(objects)),
            "inputFileBytes": size,
            "outputRows": str(rows),
            "outputBytes": size,
            "badRecords": "0",
        }
    }


def _uploaded(path: Path) -> StoredObject:
    status = path.stat()
    return StoredObject(uri=f"upload:{path.name}", path=str(path), size=status.st_size, modified_ns=status.st_mtime_ns)


def _target_fields(store: Store, ref: TableRef, config: Mapping[str, Any], write_disposition: str) -> list[Field]:
    """Return the columns to load into: the job's, else those of a table that is kept, else none (use the files')."""
    declared = normalized((config.get("schema") or {}).get("fields") or [])
    table = store.catalog.get_table(*ref.key)
    replaces = write_disposition == "WRITE_TRUNCATE" and ref.partition is None
    if declared or table is None or replaces:
        return declared
    return table_fields(table)


# --- Parquet ---------------------------------------------------------------------------------------------------------


def _read_parquet(
    store: Store, objects: Sequence[StoredObject], declared: Sequence[Field], config: Mapping[str, Any]
) -> tuple[str, list[Field]]:
    # BigQuery takes the schema from the last file by name.
    fields = list(declared) or parquet_fields(max(objects, key=lambda stored: stored.uri))
    known = by_name(fields)
    for stored in objects:
        check_parquet(stored, fields)
        for key, (name, _) in parquet_columns(stored).items():
            if key in known or config.get("ignoreUnknownValues"):
                continue
            if "ALLOW_FIELD_ADDITION" in (config.get("schemaUpdateOptions") or ()):
                added = next(field for field in parquet_fields(stored) if field["name"] == name)
                fields.append(added)
                known[key] = added
                continue
            raise invalid(
                f"Provided Schema does not match the file. Cannot add fields (field: {name}). File: {stored.uri}"
            )
    return parquet_select(objects, fields), fields


# --- CSV and JSON ----------------------------------------------------------------------------------------------------


def _read_text(
    store: Store, objects: Sequence[StoredObject], declared: Sequence[Field], config: Mapping[str, Any]
) -> tuple[str, list[Field]]:
    is_csv = (config.get("sourceFormat") or "CSV") == "CSV"
    paths = "[" + ", ".join(literal(stored.duckdb_path) for stored in objects) + "]"
    if declared:
        read = _csv_select(paths, declared, config) if is_csv else _json_select(store, paths, declared, config)
        return read, list(declared)
    if not config.get("autodetect"):
        raise invalid("No schema specified on job or table: give a schema, or set autodetect")
    options = _csv_options(config) if is_csv else "format = 'newline_delimited'"
    select = f"SELECT * FROM {'read_csv' if is_csv else 'read_json'}({paths}, {options}, union_by_name = true)"
    try:
        rows = store.execute(f"DESCRIBE {select}").fetchall()
    except duckdb.Error as error:
        raise reading_error(error) from error
    return select, normalized(field_of_duckdb(row[0], row[1]) for row in rows)


def _csv_options(config: Mapping[str, Any]) -> str:
    delimiter = {"tab": "\t", "\\t": "\t"}.get(config.get("fieldDelimiter") or ",", config.get("fieldDelimiter") or ",")
    quote = config["quote"] if config.get("quote") is not None else '"'
    options = [f"delim = {literal(delimiter)}", f"quote = {literal(quote)}", f"escape = {literal(quote)}"]
    skip = int(config.get("skipLeadingRows") or 0)
    if skip:
        options.append(f"skip = {skip - 1}, header = true")
    return ", ".join(options)


def _csv_select(paths: str, fields: Sequence[Field], config: Mapping[str, Any]) -> str:
    """Return a SELECT that reads columns by position as text and casts them.

    An empty value is NULL, except in a STRING column; with a null marker, the marker is NULL in any column.
    """
    names = ", ".join(f"{literal(f['name'])}: 'VARCHAR'" for f in fields)
    marker = config.get("nullMarker") or ""
    skip = int(config.get("skipLeadingRows") or 0)
    delimiter = {"tab": "\t", "\\t": "\t"}.get(config.get("fieldDelimiter") or ",", config.get("fieldDelimiter") or ",")
    quote = config["quote"] if config.get("quote") is not None else '"'
    padding = ", null_padding = true" if config.get("allowJaggedRows") else ""
    columns = []
    for position, column in enumerate(fields):
        if column["type"] in ("RECORD", "BYTES", "GEOGRAPHY") or column["mode"] == "REPEATED":
            raise limit(f"load CSV into the column {column['name']} of type {column['type']} ({column['mode']})")
        value = quoted(column["name"])
        if marker:
            value = f"nullif({value}, {literal(marker)})"
        elif column["type"] != "STRING":
            value = f"nullif({value}, '')"
        if column["type"] == "STRING" and not marker:
            value = f"coalesce({value}, '')"
        if not config.get("allowQuotedNewlines"):
            value = f"CASE WHEN regexp_matches({value}, '[\\r\\n]') THEN {_OPEN_QUOTE} ELSE {value} END"
        columns.append(f"{_parsed(value, column, position)} AS {quoted(column['name'])}")
    return (
        f"SELECT {', '.join(columns)} FROM read_csv({paths}, columns = {{{names}}}, auto_detect = false, "
        f"header = false, skip = {skip}, delim = {literal(delimiter)}, quote = {literal(quote)}, "
        f"escape = {literal(quote)}, nullstr = '\x01', strict_mode = true{padding})"
    )


def _parsed(value: str, column: Field, position: int) -> str:
    """Return SQL that reads a text as a column's type, or fails as BigQuery does."""
    kind = duckdb_type(column)
    if column["type"] == "STRING":
        return value
    text = value
    if column["type"] == "INTEGER":  # DuckDB rounds 1.5
        text = rf"CASE WHEN regexp_full_match({value}, '\s*[+-]?\d+\s*') THEN {value} END"
    if column["type"] == "DATETIME":  # DuckDB drops a zone
        text = f"CASE WHEN NOT regexp_matches({value}, {_ZONE}, 'i') THEN {value} END"
    before, after = (
        "Could not parse '",
        f"' as {_SQL_TYPES.get(column['type'], column['type'])} for field {column['name']} (position {position})",
    )
    failed = f"CAST(CAST(bq_error({literal(before)} || {value} || {literal(after)}) AS VARCHAR) AS {kind})"
    return f"CASE WHEN {value} IS NOT NULL THEN coalesce(TRY_CAST({text} AS {kind}), {failed}) END"


def _json_select(store: Store, paths: str, fields: Sequence[Field], config: Mapping[str, Any]) -> str:
    """Return a SELECT that reads members by name, ignoring case.

    Raises:
        ValidationError: a member is not a column, and ``ignoreUnknownValues`` is not set.
    """
    read = f"read_json({paths}, format = 'newline_delimited'"
    known = by_name(fields)
    sql = f"SELECT DISTINCT unnest(json_keys(json)) FROM read_ndjson_objects({paths})"
    try:
        members = [row[0] for row in store.execute(sql).fetchall()]
        unknown = [name for name in members if name.lower() not in known]
        if unknown and not config.get("ignoreUnknownValues"):
            raise invalid(f"{_OF_JSON} No such field: {unknown[0]}.")
        _check_json(store, paths, [(name, known[name.lower()]) for name in members if name.lower() in known])
    except duckdb.Error as error:
        raise reading_error(error) from error
    types = ", ".join(f"{literal(f['name'])}: {literal(duckdb_type(f))}" for f in fields)
    columns = ", ".join(quoted(f["name"]) for f in fields)
    return f"SELECT {columns} FROM {read}, columns = {{{types}}})"


def _check_json(store: Store, paths: str, members: Sequence[tuple[str, Field]]) -> None:
    """Refuse values that DuckDB would change: it rounds numbers, and writes objects as text.

    Source: "Loading JSON data from Cloud Storage"
    (https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json).
    """
    for member, column in members:
        if column["mode"] == "REPEATED" or column["type"] in ("RECORD", "JSON"):
            continue
        path = literal('$."' + member.replace('"', '\\"') + '"')
        problems = {
            "JSON object specified for non-record field: {name}": f"json_type(json, {path}) = 'OBJECT'",
            "Array specified for non-repeated field: {name}": f"json_type(json, {path}) = 'ARRAY'",
        }
        if column["type"] == "INTEGER":
            number = f"TRY_CAST(json ->> {path} AS DOUBLE) IS NOT NULL"
            whole = f"regexp_full_match(json ->> {path}, {_WHOLE})"
            text = "Could not convert value to integer. Field: {name}; Value: {value}"
            problems[text] = f"json_type(json, {path}) IN ('DOUBLE', 'VARCHAR') AND {number} AND NOT {whole}"
        for text, condition in problems.items():
            sql = f"SELECT json ->> {path} FROM read_ndjson_objects({paths}) WHERE {condition} LIMIT 1"
            if found := store.execute(sql).fetchone():
                raise invalid(f"{_OF_JSON} {text.format(name=column['name'], value=found[0])}")
