"""DDL for tables, external tables and datasets; bqemulator's own loses partitioning, clustering and options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import DatasetMeta, TableMeta, TimePartitioning
from bqemulator.domain.errors import AlreadyExistsError
from sqlglot import exp, tokenize

from local.cloud.bigquery import external_tables
from local.cloud.bigquery.limits import invalid, limit, not_found
from local.cloud.bigquery.literals import BEFORE
from local.cloud.bigquery.partitions import TableRef, parse_clustering, parse_time_partitioning
from local.cloud.bigquery.patches.internals import render_data_type
from local.cloud.bigquery.patches.table_metadata import with_view_text
from local.cloud.bigquery.schemas import (
    Field,
    by_name,
    duckdb_type,
    field_of_duckdb,
    normalized,
    quoted,
    stored_values,
    table_fields,
    table_schema,
)
from local.cloud.bigquery.statements import Rows, parse, prepare_query, translate
from local.cloud.bigquery.store import Store, touched
from local.cloud.bigquery.writes import create_table, new_table, require_dataset

CREATE_TABLE_AS_SELECT = "CREATE_TABLE_AS_SELECT"
"""Statement type of a job; its configuration reports the table that it has made as its destination."""

DATASET_ID = re.compile(r"[A-Za-z0-9_]{1,1024}")
_MILLISECONDS_A_DAY = 24 * 60 * 60 * 1000
_EXTERNAL = re.compile(rf"{BEFORE}(CREATE(\s+OR\s+REPLACE)?|DROP)\s+EXTERNAL\s+(TABLE)\b", re.IGNORECASE)
_TABLE_OPTIONS = {
    *("description", "labels", "friendly_name", "expiration_timestamp"),
    *("require_partition_filter", "partition_expiration_days"),
}
_EXTERNAL_OPTIONS = {
    *("format", "uris", "hive_partition_uri_prefix", "require_hive_partition_filter"),
    *("description", "labels", "friendly_name", "expiration_timestamp"),
}
_SCHEMA_OPTIONS = {"description", "labels", "friendly_name", "location", "default_table_expiration_days"}
_WIDER = {"INTEGER": ("NUMERIC", "FLOAT"), "NUMERIC": ("FLOAT",)}
"""Types that SET DATA TYPE may give a column, other than those that are limits of types: BIGNUMERIC, lengths."""
_PARTITION_TYPES = ("DATE", "DATETIME", "TIMESTAMP")
_PARTITION_EXPRESSIONS = (
    "PARTITION BY expression must be DATE(<timestamp_column>), DATE(<datetime_column>), a DATE column, or "
    "DATE_TRUNC, DATETIME_TRUNC or TIMESTAMP_TRUNC of a column"
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of a DDL statement, as a query job's statistics report it."""

    statement_type: str
    operation: str
    target: TableRef | None = None


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One DDL statement and its context.

    Attributes:
        script_values: values for ``$1``, ``$2``, ..., which stand for a script's variables.
        query_parameters: the job's query parameters.
    """

    store: Store
    sql: str
    project: str
    script_values: Sequence[Any] = ()
    query_parameters: list[dict[str, Any]] | None = field(default=None)


async def run_ddl(statement: Statement) -> Outcome | None:
    """Run a DDL statement that bqemulator cannot run correctly.

    Returns:
        The outcome, or None for any other statement, which bqemulator then runs.

    Raises:
        DomainError: the statement is invalid, or needs a feature that is not implemented.
    """
    sql = statement.sql
    external = _EXTERNAL.match(sql)
    if external:
        return await _drop_external(statement) if external[1].upper() == "DROP" else await _create_external(statement)
    tree = parse(sql)
    if isinstance(tree, exp.Create) and tree.kind == "SCHEMA":
        return await _create_schema(statement, tree)
    if isinstance(tree, exp.Create) and tree.kind == "TABLE" and not _is_temporary(tree):
        return await _create_table(statement, tree)
    if isinstance(tree, exp.Alter):
        return await _alter_table(statement, tree)
    return None


def _is_temporary(tree: exp.Create) -> bool:
    properties = tree.args.get("properties")
    return bool(properties and properties.find(exp.TemporaryProperty))


# --- CREATE SCHEMA ---------------------------------------------------------------------------------------------------


async def _create_schema(statement: Statement, tree: exp.Create) -> Outcome:
    store = statement.store
    node = tree.this.find(exp.Table)
    parts = ".".join(part for part in (node.catalog, node.db, node.name) if part).split(".")
    project, dataset = (statement.project, parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    options = await _options(statement, tree, _SCHEMA_OPTIONS)
    if store.catalog.get_dataset(project, dataset) is not None:
        if not tree.args.get("exists"):
            raise AlreadyExistsError(f"Already Exists: Dataset {project}:{dataset}")
        return Outcome(statement_type="CREATE_SCHEMA", operation="SKIP")
    if not DATASET_ID.fullmatch(dataset):
        raise invalid(f'Invalid dataset ID "{dataset}". Dataset IDs must be alphanumeric (plus underscores)')
    days = options.get("default_table_expiration_days")
    now = store.context.clock.now()
    with store.transaction():
        store.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(f'{project}__{dataset}')}")
        store.catalog.create_dataset(
            DatasetMeta(
                project_id=project,
                dataset_id=dataset,
                friendly_name=options.get("friendly_name"),
                description=options.get("description"),
                labels=options.get("labels") or {},
                location=options.get("location") or "US",
                default_table_expiration_ms=int(float(days) * _MILLISECONDS_A_DAY) if days else None,
                creation_time=now,
                last_modified_time=now,
                etag=generate_etag(project, dataset, str(now)),
            )
        )
    return Outcome(statement_type="CREATE_SCHEMA", operation="CREATE")


# --- CREATE TABLE ----------------------------------------------------------------------------------------------------


async def _create_table(statement: Statement, tree: exp.Create) -> Outcome:
    store, ref = statement.store, _table_ref(statement, tree.this)
    for clause in ("clone", "likes"):
        if tree.args.get(clause):
            raise limit("run CREATE TABLE ... CLONE, COPY or LIKE; use a copy job, or CREATE TABLE ... AS SELECT")
    kind = CREATE_TABLE_AS_SELECT if tree.expression else "CREATE_TABLE"
    require_dataset(store, ref)
    existing = store.catalog.get_table(*ref.key)
    if _is_skipped(tree, existing, ref, "TABLE"):
        return Outcome(statement_type=kind, operation="SKIP", target=ref)
    options = await _options(statement, tree, _TABLE_OPTIONS)
    declared = _declared_fields(tree.this)
    partition_by, cluster_by = _partitioning_and_clustering(tree)
    with store.transaction():
        rows = await _selected_rows(statement, tree.expression, ref, declared) if tree.expression else None
        fields = rows.fields if rows else declared
        table = new_table(
            store,
            ref,
            fields,
            time_partitioning=_partitioning(partition_by, options, fields, ref),
            clustering=parse_clustering({"fields": cluster_by}, fields),
            **_properties_of(options),
        )
        if existing:
            drop_table(store, ref)
        create_table(store, table)
        if rows:
            columns = ", ".join(quoted(f["name"]) for f in fields)
            select = f"SELECT {stored_values(fields)} FROM ({rows.select})"
            store.execute(f"INSERT INTO {ref.sql} ({columns}) {select}", list(rows.values) or None)
    return Outcome(statement_type=kind, operation="REPLACE" if existing else "CREATE", target=ref)


def _is_skipped(tree: exp.Create, existing: TableMeta | None, ref: TableRef, kind: str) -> bool:
    """Return whether IF NOT EXISTS skips the statement because the table exists.

    Raises:
        AlreadyExistsError: the table exists, and the statement has neither OR REPLACE nor IF NOT EXISTS.
        ValidationError: OR REPLACE would replace a table of another type.
    """
    if existing is None:
        return False
    if tree.args.get("exists"):
        return True
    if not tree.args.get("replace"):
        raise AlreadyExistsError(f"Already Exists: Table {ref}")
    if existing.table_type != kind:
        expected = "A TABLE" if kind == "TABLE" else "An external table"
        raise invalid(f"Cannot replace {ref} which has type {existing.table_type}. {expected} was expected")
    return False


def _partitioning(
    partition_by: dict[str, Any] | None, options: dict[str, Any], fields: Sequence[Field], ref: TableRef
) -> TimePartitioning | None:
    days = options.get("partition_expiration_days")
    required = bool(options.get("require_partition_filter"))
    if partition_by is None:
        if required or days:
            raise invalid(f"require_partition_filter and partition_expiration_days need a partitioned table: {ref}")
        return None
    column = by_name(fields).get(str(partition_by["field"]).lower())
    allowed = ("DATE",) if partition_by.get("plain") else _PARTITION_TYPES
    if column is not None and column["type"] not in allowed:
        raise invalid(_PARTITION_EXPRESSIONS)
    raw = {
        "type": partition_by["type"],
        "field": partition_by["field"],
        "expirationMs": int(float(days) * _MILLISECONDS_A_DAY) if days else None,
    }
    return parse_time_partitioning(raw, fields, require_filter=required)


def _properties_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the table properties set in OPTIONS, as arguments of ``new_table``."""
    return {
        "description": options.get("description"),
        "labels": options.get("labels"),
        "friendly_name": options.get("friendly_name"),
        "expiration_time": options.get("expiration_timestamp"),
    }


def drop_table(store: Store, ref: TableRef) -> None:
    """Drop a native table from DuckDB and the catalog."""
    store.execute(f"DROP TABLE IF EXISTS {ref.sql}")
    store.catalog.delete_table(*ref.key)


async def _selected_rows(statement: Statement, query: exp.Expression, ref: TableRef, declared: Sequence[Field]) -> Rows:
    """Prepare the query of CREATE TABLE ... AS SELECT, its columns named and typed as declared."""
    if not declared:
        _check_named(query)
    given = await prepare_query(
        statement.store,
        query.sql(dialect="bigquery"),
        statement.project,
        destination=ref,
        query_parameters=statement.query_parameters,
        script_values=statement.script_values,
    )
    fields = list(declared) or given.fields
    return Rows(select=_renamed(given.select, given.fields, fields), values=given.values, fields=fields)


def _check_named(query: exp.Expression, kind: str = "TABLE") -> None:
    """Refuse a query with a column that has no name."""
    named = (exp.Alias, exp.Column, exp.Star, exp.Dot)
    for number, item in enumerate(query.selects if isinstance(query, exp.Query) else (), 1):
        if not isinstance(item, named) or (isinstance(item, exp.Dot) and isinstance(item.expression, exp.Func)):
            raise invalid(f"CREATE {kind} columns must be named, but column {number} has no name")


def _renamed(select: str, given: Sequence[Field], wanted: Sequence[Field]) -> str:
    """Return ``select`` with its columns renamed and cast, by position, to ``wanted``."""
    if len(given) != len(wanted):
        raise invalid(
            f"The number of columns in the column definition list ({len(wanted)}) does not match the number of columns "
            f"produced by the query ({len(given)})"
        )
    columns = ", ".join(
        f"CAST({quoted(g['name'])} AS {duckdb_type(w)}) AS {quoted(w['name'])}"
        for g, w in zip(given, wanted, strict=True)
    )
    return f"SELECT {columns} FROM ({select})"


def _table_ref(statement: Statement, node: exp.Expression) -> TableRef:
    table: Any = node.this if isinstance(node, exp.Schema) else node
    parts = ".".join(part for part in (table.catalog, table.db, table.name) if part).split(".")
    if len(parts) == 1:
        raise invalid(f'Table "{parts[0]}" must be qualified with a dataset (e.g. dataset.table)')
    project = parts[0] if len(parts) == 3 else statement.project
    ref = TableRef.parse(project, parts[-2], parts[-1])
    if ref.partition is not None:
        raise invalid(f"Invalid table name: {ref}")
    return ref


def _declared_fields(node: exp.Expression) -> list[Field]:
    """Return the columns of a CREATE TABLE's column list."""
    if not isinstance(node, exp.Schema):
        return []
    fields = []
    for column in node.expressions:
        if not isinstance(column, exp.ColumnDef) or column.args.get("kind") is None:
            raise limit(f"implement table constraints and untyped columns ({column.sql(dialect='bigquery')})")
        fields.append(_declared_field(column))
    return normalized(fields)


def _declared_field(column: exp.ColumnDef) -> Field:
    result = _typed_field(column.name, column.args["kind"])
    for constraint in column.args.get("constraints") or ():
        kind = constraint.kind
        if isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null"):
            result["mode"] = "REQUIRED"
        elif isinstance(kind, exp.Properties) and all(p.name == "description" for p in kind.expressions):
            result["description"] = kind.expressions[0].args["value"].name
        else:
            raise limit(f"implement the column constraint {constraint.sql(dialect='bigquery')}")
    return result


def _typed_field(name: str, kind: exp.DataType) -> Field:
    if kind.this == exp.DataType.Type.ARRAY:
        if not kind.expressions or kind.expressions[0].this == exp.DataType.Type.ARRAY:
            raise invalid(f"Arrays of arrays are not supported: column {name} of type {kind.sql(dialect='bigquery')}")
        return {**_typed_field(name, kind.expressions[0]), "mode": "REPEATED"}
    if kind.this == exp.DataType.Type.STRUCT:
        members = [_declared_field(member) for member in kind.expressions]
        return {"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": members}
    if kind.expressions:
        raise limit(f"support parameterized types such as {kind.sql(dialect='bigquery')} (column {name})")
    return {"name": name, "type": kind.sql(dialect="bigquery"), "mode": "NULLABLE"}


def _partitioning_and_clustering(tree: exp.Create) -> tuple[dict[str, Any] | None, list[str]]:
    """Return PARTITION BY in the form of ``timePartitioning``, and the columns of CLUSTER BY."""
    partition_by: dict[str, Any] | None = None
    cluster_by: list[str] = []
    for item in _properties(tree):
        if isinstance(item, exp.PartitionedByProperty):
            partition_by = _partition_by(item.this)
        elif isinstance(item, exp.ClusterProperty):
            cluster_by = [column.name for column in item.expressions]
        elif not isinstance(item, exp.Property) or type(item) is not exp.Property:
            raise limit(f"implement {item.sql(dialect='bigquery')} in CREATE TABLE")
    return partition_by, cluster_by


def _properties(tree: exp.Create) -> list[exp.Expression]:
    properties = tree.args.get("properties")
    return list(properties.expressions) if properties else []


def _partition_by(expression: exp.Expression) -> dict[str, Any]:
    text = expression.sql(dialect="bigquery")
    if isinstance(expression, exp.Identifier | exp.Column):
        if expression.name.upper() in ("_PARTITIONDATE", "_PARTITIONTIME"):
            raise limit(f"support ingestion-time partitioning (PARTITION BY {text}); name a column")
        return {"type": "DAY", "field": expression.name, "plain": True}
    column = expression.find(exp.Column)
    if column is None or isinstance(expression, exp.RangeBucket):
        raise limit(f"support integer-range partitioning (PARTITION BY {text}); partition by a date or time")
    if isinstance(expression, exp.Date):
        return {"type": "DAY", "field": column.name}
    unit = expression.args.get("unit")
    if unit is None or column.name.upper() in ("_PARTITIONDATE", "_PARTITIONTIME"):
        raise limit(f"support PARTITION BY {text}")
    return {"type": unit.name.upper(), "field": column.name}


# --- Views -----------------------------------------------------------------------------------------------------------


def with_view_columns(sql: str) -> str:
    """Return a CREATE VIEW with the names of its column list on the columns of its query; other statements as they are.

    Raises:
        ValidationError: the list does not fit the query, or has more than names.
    """
    tree = parse(sql)
    if not isinstance(tree, exp.Create) or tree.kind != "VIEW":
        return sql
    if not isinstance(tree.this, exp.Schema):
        _check_named(tree.expression, "VIEW")
        return sql
    names = tree.this.expressions
    query: Any = tree.expression
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if any(name.args.get("constraints") for name in names):
        raise limit("keep descriptions of a view's columns; leave out their OPTIONS")
    items = query.expressions
    if any(item.is_star for item in items):
        raise limit("name the columns of a view whose query selects *")
    if len(items) != len(names):
        raise invalid(f"Column list has {len(names)} columns, but the view's query has {len(items)}")
    query.set("expressions", [exp.alias_(item.unalias(), name.name) for item, name in zip(items, names, strict=True)])
    tree.set("this", tree.this.this)
    return tree.sql(dialect="bigquery")


def keep_view_text(store: Store, ref: TableRef, text: str) -> None:
    """Keep the text of the query of a view that has been created."""
    table = store.catalog.get_table(*ref.key)
    if table is not None and table.table_type == "VIEW":
        store.catalog.update_table(with_view_text(table, text))


# --- External tables -------------------------------------------------------------------------------------------------


async def _create_external(statement: Statement) -> Outcome:
    """Run CREATE EXTERNAL TABLE; sqlglot cannot parse it, so its parts are parsed as those of a CREATE TABLE."""
    store = statement.store
    plain, partition_columns = _without_partition_columns(statement.sql)
    tree = parse(plain)
    if not isinstance(tree, exp.Create):
        raise invalid(f"Syntax error in CREATE EXTERNAL TABLE: {statement.sql.strip()[:200]}")
    ref = _table_ref(statement, tree.this)
    options = await _options(statement, tree, _EXTERNAL_OPTIONS)
    require_dataset(store, ref)
    existing = store.catalog.get_table(*ref.key)
    if _is_skipped(tree, existing, ref, "EXTERNAL"):
        return Outcome(statement_type="CREATE_EXTERNAL_TABLE", operation="SKIP", target=ref)
    config = _external_configuration(options, partition_columns)
    with store.transaction():
        if existing:
            external_tables.drop_view(store, ref)
            store.catalog.delete_table(*ref.key)
        table = new_table(store, ref, [], **_properties_of(options))
        put_external(store, table, config, _declared_fields(tree.this))
    operation = "REPLACE" if existing else "CREATE"
    return Outcome(statement_type="CREATE_EXTERNAL_TABLE", operation=operation, target=ref)


def put_external(store: Store, table: TableMeta, config: dict[str, Any], declared: Sequence[Field]) -> TableMeta:
    """Create an external table, or replace the configuration of an existing one.

    Raises:
        DomainError: the configuration is invalid, or a table of another type has this name.
    """
    ref = TableRef(table.project_id, table.dataset_id, table.table_id)
    external = external_tables.define(store, config, declared)
    existing = store.catalog.get_table(*ref.key)
    external_tables.drop_view(store, ref)
    external_tables.create_view(store, ref, external)
    table = table.model_copy(
        update={
            "table_type": "EXTERNAL",
            "schema_": table_schema(external.fields),
            "external": dict(config),
            "hive_columns": tuple(external.hive_columns),
        }
    )
    return store.catalog.update_table(table) if existing else store.catalog.create_table(table)


def _without_partition_columns(sql: str) -> tuple[str, list[Field] | None]:
    """Remove EXTERNAL and WITH PARTITION COLUMNS from the statement.

    Returns:
        A CREATE TABLE statement, and the partition columns: None without the clause, empty if they are to be detected.
    """
    tokens = tokenize(sql, read="bigquery")
    words = [token.text.upper() for token in tokens]
    cuts = [(tokens[words.index("EXTERNAL")].start, tokens[words.index("EXTERNAL")].end)]
    columns: list[Field] | None = None
    for at in range(len(words) - 2):
        if words[at : at + 2] == ["WITH", "CONNECTION"]:
            raise limit("use connections; leave out WITH CONNECTION")
        if words[at : at + 3] == ["WITH", "PARTITION", "COLUMNS"]:
            last, columns = at + 2, []
            if words[last + 1 : last + 2] == ["("]:
                first, depth = last + 1, 0
                for last in range(first, len(words)):
                    depth += {"(": 1, ")": -1}.get(words[last], 0)
                    if depth == 0:
                        break
                tree = parse(f"CREATE TABLE t {sql[tokens[first].start : tokens[last].end + 1]}")
                columns = _declared_fields(tree.this) if isinstance(tree, exp.Create) else []
            cuts.append((tokens[at].start, tokens[last].end))
    for start, end in reversed(cuts):
        sql = sql[:start] + " " + sql[end + 1 :]
    return sql, columns


def _external_configuration(options: dict[str, Any], partition_columns: list[Field] | None) -> dict[str, Any]:
    config: dict[str, Any] = {"sourceFormat": options.get("format"), "sourceUris": options.get("uris") or []}
    if partition_columns is None:
        return {**config, "autodetect": True}
    prefix = str(options.get("hive_partition_uri_prefix") or "").rstrip("/")
    if not prefix:
        raise invalid("WITH PARTITION COLUMNS needs the option hive_partition_uri_prefix")
    keys = "".join(f"/{{{column['name']}:{column['type']}}}" for column in partition_columns)
    config["hivePartitioningOptions"] = {
        "mode": "CUSTOM" if keys else "AUTO",
        "sourceUriPrefix": prefix + keys,
        "requirePartitionFilter": bool(options.get("require_hive_partition_filter")),
    }
    return {**config, "autodetect": True}


async def _drop_external(statement: Statement) -> Outcome:
    store = statement.store
    tree = parse(re.sub(r"(?i)\bEXTERNAL\s+", "", statement.sql, count=1))
    if not isinstance(tree, exp.Drop):
        raise invalid("Syntax error in DROP EXTERNAL TABLE")
    ref = _table_ref(statement, tree.this)
    table = store.catalog.get_table(*ref.key)
    if table is None:
        if not tree.args.get("exists"):
            raise not_found("Table", str(ref))
        return Outcome(statement_type="DROP_EXTERNAL_TABLE", operation="SKIP", target=ref)
    if table.table_type != "EXTERNAL":
        raise invalid(f"Cannot drop {ref} which has type {table.table_type}. An external table was expected.")
    with store.transaction():
        external_tables.drop_view(store, ref)
        store.catalog.delete_table(*ref.key)
    return Outcome(statement_type="DROP_EXTERNAL_TABLE", operation="DROP", target=ref)


# --- ALTER TABLE -----------------------------------------------------------------------------------------------------


async def _alter_table(statement: Statement, tree: exp.Alter) -> Outcome:
    store, ref = statement.store, _table_ref(statement, tree.this)
    if tree.args.get("exists") and store.catalog.get_table(*ref.key) is None:
        return Outcome(statement_type="ALTER_TABLE", operation="SKIP", target=ref)
    table = store.catalog.get_table(*ref.key)
    if table is None:
        raise not_found("Table", f"{ref} was not found in location {_location(store, ref)}")
    actions = tree.args["actions"]
    if all(isinstance(action, exp.AlterSet) for action in actions):
        await _set_options(statement, table, actions)
        return Outcome(statement_type="ALTER_TABLE", operation="ALTER", target=ref)
    if table.table_type != "TABLE":
        raise invalid(f"{ref} is not allowed for this operation because it is currently a {table.table_type}.")
    _check_actions(table, actions)
    if all(isinstance(action, exp.ColumnDef) for action in actions):
        _add_columns(store, ref, table, actions)
        return Outcome(statement_type="ALTER_TABLE", operation="ALTER", target=ref)
    sql = await translate(store, statement.sql, statement.project)
    with store.transaction():
        store.execute(sql)
        _read_schema_back(store, ref, table)
    return Outcome(statement_type="ALTER_TABLE", operation="ALTER", target=ref)


def _location(store: Store, ref: TableRef) -> str:
    dataset = store.catalog.get_dataset(ref.project, ref.dataset)
    return dataset.location if dataset else "US"


def _check_actions(table: TableMeta, actions: Sequence[exp.Expression]) -> None:
    fixed = {table.time_partitioning.field} if table.time_partitioning else set()
    fixed |= set(table.clustering.fields) if table.clustering else set()
    for action in actions:
        if isinstance(action, exp.ColumnDef):
            if _declared_field(action)["mode"] == "REQUIRED":
                raise invalid(f"Cannot add the required column {action.name} to an existing table")
        elif isinstance(action, exp.Drop | exp.RenameColumn | exp.AlterColumn):
            column = action.this.name
            if column.lower() in {str(name).lower() for name in fixed}:
                raise invalid(f"Column {column} partitions or clusters the table and cannot be changed")
            if action.args.get("dtype"):
                _check_wider(table, column, action.args["dtype"])
        else:
            raise limit(f"run ALTER TABLE ... {action.sql(dialect='bigquery')}")


def _check_wider(table: TableMeta, name: str, dtype: exp.DataType) -> None:
    """Refuse a type that a column's values do not all have.

    Source: "ALTER COLUMN SET DATA TYPE statement"
    (https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language#alter_column_set_data_type_statement).
    """
    column = by_name(table_fields(table)).get(name.lower())
    (wanted,) = normalized([_typed_field(name, dtype)])
    if column is None or duckdb_type(column) == duckdb_type(wanted):
        return
    if column["type"] == wanted["type"] == "RECORD":
        raise limit("change the types of a STRUCT's fields; create the table again")
    if column["mode"] == "REPEATED" or wanted["type"] not in _WIDER.get(column["type"], ()):
        given = next(render_data_type(field) for field in table.schema_.fields if field.name == column["name"])
        raise invalid(
            f"ALTER TABLE ALTER COLUMN SET DATA TYPE requires that the existing column type ({given}) is assignable to "
            f"the new type ({dtype.sql(dialect='bigquery')})"
        )


def _add_columns(store: Store, ref: TableRef, table: TableMeta, actions: Sequence[exp.Expression]) -> None:
    """Add all columns or none; DuckDB adds them only one by one, and stores no descriptions."""
    fields = table_fields(table)
    missing: list[Field] = []
    for action in actions:
        (column,) = normalized([_declared_field(action)])  # type: ignore[arg-type]
        if column["name"].lower() not in by_name([*fields, *missing]):
            missing.append(column)
        elif not action.args.get("exists"):
            raise invalid(f"Column already exists: {column['name']}")
    if not missing:
        return
    with store.transaction():
        for column in missing:
            store.execute(f"ALTER TABLE {ref.sql} ADD COLUMN {quoted(column['name'])} {duckdb_type(column)}")
            if column["mode"] == "REPEATED":
                store.execute(f"UPDATE {ref.sql} SET {quoted(column['name'])} = []")
                store.execute(f"ALTER TABLE {ref.sql} ALTER COLUMN {quoted(column['name'])} SET DEFAULT []")
        schema = table_schema([*fields, *missing])
        store.catalog.update_table(touched(table, store.context.clock.now(), schema_=schema))


def _read_schema_back(store: Store, ref: TableRef, table: TableMeta) -> None:
    """Read the columns from DuckDB after an ALTER; unchanged columns keep the metadata that DuckDB does not store."""
    before = {f["name"]: f for f in table_fields(table)}
    described = store.execute(f"DESCRIBE {ref.sql}").fetchall()
    renamed = dict(zip((row[0] for row in described), before, strict=False)) if len(described) == len(before) else {}
    fields = []
    for name, kind, nullable, *_ in described:
        column, known = field_of_duckdb(name, kind), before.get(name) or before.get(renamed.get(name, ""))
        if known:
            column = {**(known if known["type"] == column["type"] else column), "name": name}
            column |= {"description": known["description"]} if known.get("description") else {}
        mode = column["mode"] if column["mode"] == "REPEATED" else ("NULLABLE" if nullable == "YES" else "REQUIRED")
        fields.append({**column, "mode": mode})
    store.catalog.update_table(touched(table, store.context.clock.now(), schema_=table_schema(normalized(fields))))


async def _set_options(statement: Statement, table: TableMeta, actions: Sequence[exp.Expression]) -> None:
    store = statement.store
    changes: dict[str, Any] = {}
    for action in actions:
        options = await _option_values(statement, action.find_all(exp.Property), _TABLE_OPTIONS)
        for column in ("description", "friendly_name"):
            if column in options:
                changes[column] = options[column]
        if "labels" in options:
            changes["labels"] = options["labels"] or {}
        if "expiration_timestamp" in options:
            changes["expiration_time"] = options["expiration_timestamp"]
        partitioning: dict[str, Any] = {}
        if "require_partition_filter" in options:
            partitioning["require_partition_filter"] = bool(options["require_partition_filter"])
        if "partition_expiration_days" in options:
            days = options["partition_expiration_days"]
            partitioning["expiration_ms"] = int(float(days) * _MILLISECONDS_A_DAY) if days else None
        if partitioning and table.time_partitioning is None:
            raise invalid(
                f"require_partition_filter and partition_expiration_days need a partitioned table: {table.table_id}"
            )
        if partitioning and table.time_partitioning:
            changes["time_partitioning"] = table.time_partitioning.model_copy(update=partitioning)
    with store.transaction():
        store.catalog.update_table(touched(table, store.context.clock.now(), **changes))


# --- OPTIONS(...) ----------------------------------------------------------------------------------------------------


async def _options(statement: Statement, tree: exp.Create, known: set[str]) -> dict[str, Any]:
    properties = _properties(tree)
    location = {p.this.name for p in properties if isinstance(p, exp.LocationProperty)}
    values = await _option_values(statement, [p for p in properties if type(p) is exp.Property], known)
    formats = [p.this for p in properties if isinstance(p, exp.FileFormatProperty)]
    if formats:
        values["format"] = formats[0].name if isinstance(formats[0], exp.Expression) else str(formats[0])
    if location:
        values["location"] = location.pop()
    return values


async def _option_values(statement: Statement, properties: Any, known: set[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in properties:
        name = item.name.lower()
        if name not in known:
            raise limit(f"implement the option {name}")
        values[name] = await _option_value(statement, name, item.args["value"])
    return values


async def _option_value(statement: Statement, name: str, value: exp.Expression) -> Any:
    if isinstance(value, exp.Null):
        return None
    if name == "labels":
        return {pair.expressions[0].name: pair.expressions[1].name for pair in value.find_all(exp.Tuple, exp.Struct)}
    if isinstance(value, exp.Array):
        return [item.name for item in value.expressions]
    if isinstance(value, exp.Boolean):
        return bool(value.this)
    if isinstance(value, exp.Literal):
        return value.this if value.is_string else float(value.this)
    return await _evaluate(statement, value)


async def _evaluate(statement: Statement, value: exp.Expression) -> Any:
    """Evaluate an option's expression, such as TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)."""
    select = f"SELECT {value.sql(dialect='bigquery')}"
    duckdb_sql = await translate(statement.store, select, statement.project)
    row = statement.store.execute(duckdb_sql).fetchone()
    result = row[0] if row else None
    if isinstance(result, datetime):
        return result.replace(tzinfo=UTC) if result.tzinfo is None else result.astimezone(UTC)
    return result


# --- Expiration ------------------------------------------------------------------------------------------------------


def expire(store: Store) -> None:
    """Drop expired tables and delete expired partitions.

    Called before every request that could read them; does nothing unless a table has an expiration.
    """
    now = store.context.clock.now()
    for dataset in store.catalog.list_datasets(store.project):
        for table in store.catalog.list_tables(store.project, dataset.dataset_id):
            ref = TableRef(table.project_id, table.dataset_id, table.table_id)
            if table.expiration_time and table.expiration_time <= now:
                _drop_expired(store, ref)
            elif table.time_partitioning and table.time_partitioning.expiration_ms:
                _delete_expired(store, ref, table, now)


def _drop_expired(store: Store, ref: TableRef) -> None:
    with store.transaction():
        table = store.catalog.get_table(*ref.key)
        if table and table.expiration_time and table.expiration_time <= store.context.clock.now():
            kind = "TABLE" if table.table_type == "TABLE" else "VIEW"
            store.execute(f"DROP {kind} IF EXISTS {ref.sql}")
            store.catalog.delete_table(*ref.key)


def _delete_expired(store: Store, ref: TableRef, table: TableMeta, now: datetime) -> None:
    partitioning = table.time_partitioning
    if partitioning is None or partitioning.field is None or not partitioning.expiration_ms:
        return
    limit_time = now - timedelta(milliseconds=partitioning.expiration_ms)
    expired = (
        f"date_trunc('{partitioning.type}', {quoted(partitioning.field)}) <= TIMESTAMP '{limit_time:%Y-%m-%d %H:%M:%S}'"
    )
    if store.execute(f"SELECT 1 FROM {ref.sql} WHERE {expired} LIMIT 1").fetchone():
        with store.transaction():
            store.execute(f"DELETE FROM {ref.sql} WHERE {expired}")
