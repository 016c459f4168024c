"""Schemas: columns in BigQuery's REST form, their DuckDB types, and the Parquet types that they accept."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bqemulator.catalog.models import TableMeta, TableSchema
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns, duckdb_type_to_bq_field

from local.cloud.bigquery.limits import invalid, limit, refuse_other_options
from local.cloud.bigquery.nesting import NESTED_FIELDS
from local.cloud.bigquery.objects import StoredObject
from local.cloud.bigquery.patches.internals import field_to_rest, parse_schema_fields

Field = dict[str, Any]

# Standard SQL type names to the names in BigQuery's REST API.
_REST_TYPES = {
    "INT64": "INTEGER",
    "INT": "INTEGER",
    "SMALLINT": "INTEGER",
    "BIGINT": "INTEGER",
    "TINYINT": "INTEGER",
    "BYTEINT": "INTEGER",
    "FLOAT64": "FLOAT",
    "BOOL": "BOOLEAN",
    "STRUCT": "RECORD",
    "DECIMAL": "NUMERIC",
}
_KNOWN_TYPES = {
    *("INTEGER", "FLOAT", "BOOLEAN", "STRING", "BYTES", "DATE", "TIME", "DATETIME", "TIMESTAMP", "NUMERIC"),
    *("JSON", "GEOGRAPHY", "INTERVAL", "RECORD"),
}
_FIELD_OPTIONS = {"name", "type", "mode", "description", "fields"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
_NUMERIC_SCALE = 9
_NUMERIC_INTEGER_DIGITS = 29


def quoted(name: str) -> str:
    """Quote ``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote ``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def normalized(fields: Iterable[Field], *, level: int = 0) -> list[Field]:
    """Normalize the columns of a request to the form that is stored and reported.

    Args:
        fields: the columns, or the fields of a RECORD.
        level: the number of RECORDs around them.

    Raises:
        ValidationError: a name, type, mode or option is invalid or not supported, a name appears twice, or there are
            more levels than BigQuery allows.
    """
    if level > NESTED_FIELDS:
        raise invalid(f"A RECORD cannot be nested more than {NESTED_FIELDS} levels deep")
    result = [_normalized_field(field, level) for field in fields]
    seen: set[str] = set()
    for field in result:
        if field["name"].lower() in seen:
            raise invalid(f"Duplicate field name: {field['name']} (column names ignore case)")
        seen.add(field["name"].lower())
    return result


def _normalized_field(field: Field, level: int) -> Field:
    name = str(field.get("name", ""))
    refuse_other_options(f"schema.fields[{name}]", field, _FIELD_OPTIONS)
    if not _NAME.fullmatch(name):
        raise invalid(f"Invalid field name {name!r}: letters, digits and underscores, not starting with a digit")
    kind = str(field.get("type", "")).upper()
    kind = _REST_TYPES.get(kind, kind)
    if kind not in _KNOWN_TYPES:
        raise limit(f"support the type {kind or '(none)'} of field {name}")
    mode = str(field.get("mode") or "NULLABLE").upper()
    if mode not in ("NULLABLE", "REQUIRED", "REPEATED"):
        raise invalid(f"Invalid mode {mode!r} of field {name}")
    result: Field = {"name": name, "type": kind, "mode": mode}
    if field.get("description"):
        result["description"] = field["description"]
    if kind == "RECORD":
        result["fields"] = normalized(field.get("fields") or [], level=level + 1)
    return result


def table_fields(table: TableMeta) -> list[Field]:
    """Return the columns of a table in REST form."""
    return [field_to_rest(field) for field in table.schema_.fields]


def table_schema(fields: Sequence[Field]) -> TableSchema:
    """Return ``fields`` in the catalog's form."""
    return TableSchema(fields=parse_schema_fields(list(fields)))


def duckdb_type(field: Field) -> str:
    """Return the DuckDB type of a column."""
    kind = bq_schema_to_duckdb_columns([{**field, "mode": "NULLABLE"}])[0][1]
    if field["type"] == "RECORD":  # bqemulator does not quote the names of fields
        parts = ", ".join(f"{quoted(part['name'])} {duckdb_type(part)}" for part in field["fields"])
        kind = f"STRUCT({parts})"
    return f"{kind}[]" if field["mode"] == "REPEATED" else kind


def column_definitions(fields: Sequence[Field]) -> str:
    """Return the column list of a DuckDB ``CREATE TABLE``."""
    required = {"REQUIRED": " NOT NULL", "REPEATED": " DEFAULT []"}
    return ", ".join(f"{quoted(f['name'])} {duckdb_type(f)}{required.get(f['mode'], '')}" for f in fields)


def stored_values(fields: Sequence[Field]) -> str:
    """Return a SELECT list of columns as BigQuery stores them: no array is NULL, or has a NULL in it."""
    return ", ".join(
        f"bq_stored({quoted(f['name'])}, {literal(f['name'])}) AS {quoted(f['name'])}"
        if f["mode"] == "REPEATED"
        else quoted(f["name"])
        for f in fields
    )


def field_of_duckdb(name: str, kind: str) -> Field:
    """Return the BigQuery column for a column of a DuckDB result.

    Raises:
        ValidationError: BigQuery, or this emulator, has no such type.
    """
    decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind.replace(" ", ""))
    if decimal and int(decimal[2]) > _NUMERIC_SCALE:
        raise limit(f"store BIGNUMERIC (column {name})")
    # DuckDB types without a counterpart in BigQuery.
    kind = {"UTINYINT": "BIGINT", "USMALLINT": "BIGINT", "UINTEGER": "BIGINT", "UBIGINT": "BIGINT"}.get(kind, kind)
    kind = {"TIMESTAMP_S": "TIMESTAMP", "TIMESTAMP_MS": "TIMESTAMP", "TIMESTAMP_NS": "TIMESTAMP"}.get(kind, kind)
    if kind == '"NULL"':
        kind = "BIGINT"
    return normalized([_unquoted(duckdb_type_to_bq_field(name, kind))])[0]


def _unquoted(field: Field) -> Field:
    """Return a column whose fields have plain names: in the name of a type, DuckDB quotes those that are keywords."""
    if "fields" not in field:
        return field
    fields = [{**_unquoted(part), "name": part["name"].strip('"').replace('""', '"')} for part in field["fields"]]
    return {**field, "fields": fields}


def by_name(fields: Iterable[Field]) -> dict[str, Field]:
    """Return the columns by lower-case name; column names ignore case in BigQuery."""
    return {field["name"].lower(): field for field in fields}


# --- Parquet ---------------------------------------------------------------------------------------------------------

_PHYSICAL = {
    "INTEGER": "INT64",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOL",
    "STRING": "BYTE_ARRAY(STRING)",
    "BYTES": "BYTE_ARRAY",
    "DATE": "INT32(DATE)",
    "TIME": "INT64(TIME)",
    "DATETIME": "INT64(TIMESTAMP)",
    "TIMESTAMP": "INT64(TIMESTAMP, UTC)",
    "NUMERIC": "DECIMAL",
}
# Further types that a Parquet column of the first type may be read as.
_READABLE_AS = {"DATETIME": {"TIMESTAMP"}, "STRING": {"JSON"}}
_ANY = "NULL"


def parquet_columns(stored: StoredObject) -> dict[str, tuple[str, str]]:
    """Return the columns of a Parquet file: lower-case name to (name, BigQuery type).

    Raises:
        ValidationError: the file is not a Parquet file, or has a column of an unsupported type.
    """
    return _parquet_columns(stored.uri, stored.path, stored.size, stored.modified_ns)


@functools.lru_cache(maxsize=4096)
def _parquet_columns(uri: str, path: str, _size: int, _modified_ns: int) -> dict[str, tuple[str, str]]:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise invalid(
            f"Error while reading data, error message: Input file is not in Parquet format: {error}. File: {uri}"
        ) from error
    columns: dict[str, tuple[str, str]] = {}
    for column in schema:
        if column.name.lower() in columns:
            raise invalid(f"Duplicate column name {column.name!r} (ignoring case). File: {uri}")
        columns[column.name.lower()] = (column.name, _parquet_type(column, uri))
    return columns


def _parquet_type(column: pa.Field, uri: str) -> str:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        (pa.types.is_null, _ANY),
        (pa.types.is_boolean, "BOOLEAN"),
        (pa.types.is_integer, "INTEGER"),
        (pa.types.is_floating, "FLOAT"),
        (lambda t: pa.types.is_string(t) or pa.types.is_large_string(t), "STRING"),
        (lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t) or pa.types.is_fixed_size_binary(t), "BYTES"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_time, "TIME"),
        (pa.types.is_timestamp, "TIMESTAMP" if getattr(kind, "tz", None) else "DATETIME"),
        (pa.types.is_decimal, "NUMERIC"),
    )
    for test, name in tests:
        if test(kind):
            if name == "NUMERIC" and (
                kind.scale > _NUMERIC_SCALE or kind.precision - kind.scale > _NUMERIC_INTEGER_DIGITS
            ):
                raise limit(f"read Parquet column {column.name!r} of type {kind} (BIGNUMERIC). File: {uri}")
            return name
    raise limit(f"read Parquet column {column.name!r} of type {kind} (nested and repeated columns). File: {uri}")


def parquet_fields(stored: StoredObject) -> list[Field]:
    """Return the table schema that BigQuery derives from a Parquet file."""
    columns = parquet_columns(stored).values()
    # A column with only nulls is physically INT32.
    return normalized({"name": name, "type": "INTEGER" if kind == _ANY else kind} for name, kind in columns)


def check_parquet(stored: StoredObject, fields: Sequence[Field]) -> None:
    """Check that a Parquet file can be read into ``fields``.

    Raises:
        ValidationError: a column has another type, or is required and missing; the message names it.
    """
    columns = parquet_columns(stored)
    for field in fields:
        name, wanted = field["name"], field["type"]
        if name.lower() not in columns:
            if field["mode"] == "REQUIRED":
                raise invalid(
                    f"Error while reading data, error message: Required column '{name}' is missing. File: {stored.uri}"
                )
            continue
        kind = columns[name.lower()][1]
        if (kind not in (wanted, _ANY) and wanted not in _READABLE_AS.get(kind, ())) or field["mode"] == "REPEATED":
            raise invalid(
                f"Error while reading data, error message: Parquet column '{name}' has type "
                f"{_PHYSICAL[kind]} which does not match the target type {wanted}. File: {stored.uri}"
            )


def parquet_select(objects: Sequence[StoredObject], fields: Sequence[Field]) -> str:
    """Return DuckDB SQL that reads Parquet files in order into ``fields``, binding columns by name.

    Columns missing in a file are NULL. The caller must have checked the files.
    """
    groups: list[tuple[frozenset[str], list[StoredObject]]] = []
    for stored in objects:
        names = frozenset(parquet_columns(stored))
        if not groups or groups[-1][0] != names:
            groups.append((names, []))
        groups[-1][1].append(stored)
    return " UNION ALL ".join(_parquet_group_select(names, group, fields) for names, group in groups)


def _parquet_group_select(names: frozenset[str], group: list[StoredObject], fields: Sequence[Field]) -> str:
    values = [quoted(field["name"]) if field["name"].lower() in names else "NULL" for field in fields]
    columns = ", ".join(
        f"CAST({value} AS {duckdb_type(field)}) AS {quoted(field['name'])}"
        for value, field in zip(values, fields, strict=True)
    )
    paths = ", ".join(literal(stored.duckdb_path) for stored in group)
    return f"SELECT {columns} FROM read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"
