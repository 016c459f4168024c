"""Query jobs: bqemulator runs the SQL; this module adds destinations, dry runs, DDL and errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
from bqemulator.domain.errors import DomainError, InvalidQueryError
from bqemulator.jobs.executor import JOB_RESULTS, JOB_SCHEMAS, execute_query_job
from bqemulator.scripting.ast import SqlStmt
from bqemulator.scripting.parser import parse_script
from bqemulator.sql.parameters import bind_parameters
from sqlglot import exp

from local.cloud.bigquery import ddl
from local.cloud.bigquery.estimates import bytes_read
from local.cloud.bigquery.job_statistics import ChangedRows, reference, referenced_tables
from local.cloud.bigquery.limits import invalid, limit, refuse_other_options
from local.cloud.bigquery.literals import (
    BEFORE,
    check_tables,
    numbered_parameters,
    plain_literals,
    position_of,
    unclosed_literal,
    view_text,
)
from local.cloud.bigquery.partitions import TableRef
from local.cloud.bigquery.patches.internals import apply_default_dataset, referenced_materialized_views
from local.cloud.bigquery.query_parameters import read_parameters
from local.cloud.bigquery.schemas import Field, field_of_duckdb
from local.cloud.bigquery.statement_kinds import check_kind
from local.cloud.bigquery.statements import (
    ANONYMOUS,
    check_projects,
    check_single_matches,
    is_parsed,
    know_parameters,
    parse,
    parse_assert,
    prepare_query,
    referenced,
    translate,
)
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.translation.syntax import check_parses, check_syntax, check_words
from local.cloud.bigquery.writes import Write, check_dispositions, write_table

_OPTIONS = {
    *("query", "useLegacySql", "queryParameters", "parameterMode", "defaultDataset", "destinationTable"),
    *("createDisposition", "writeDisposition", "timePartitioning", "clustering", "schemaUpdateOptions"),
    *("priority", "useQueryCache", "allowLargeResults", "flattenResults", "maximumBytesBilled"),
}
_UNQUALIFIED_EXTERNAL = re.compile(
    rf"(?P<before>{BEFORE}(CREATE(\s+OR\s+REPLACE)?|DROP)\s+EXTERNAL\s+TABLE\s+(IF\s+(NOT\s+)?EXISTS\s+)?)"
    r"(?P<name>`[^`.]+`|\w+)(?![\w.-])",
    re.IGNORECASE,
)
_ANY_TYPE = re.compile(r"\bANY\s+TYPE\b", re.IGNORECASE)
# What is before the body of a function.
_SIGNATURE = re.compile(r"\bFUNCTION\s+[\w.`-]+\s*\((?P<types>(?:(?!\bAS\b).)*)\bAS\b", re.IGNORECASE | re.DOTALL)
_LENGTH = re.compile(r"\b(STRING|BYTES|NUMERIC|DECIMAL|BIGNUMERIC|BIGDECIMAL)\s*\(\s*\d", re.IGNORECASE)
_KEPT_RESULTS = 200
_KEPT_RESULT_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Query:
    """The request of a query job.

    Attributes:
        sql: BigQuery SQL, with names qualified by the default dataset, and plain literals and parameters.
        view_text: for CREATE VIEW the text of its query, if it is complete without a default dataset.
        parameters: the query parameters by the names that ``sql`` has for them.
        statements: number of statements in the script.
    """

    job_id: str
    project: str
    sql: str
    view_text: str | None = None
    config: Mapping[str, Any]
    statements: int
    is_script: bool
    parameters: list[dict[str, Any]] | None = None


def check_query(project: str, job_id: str, config: dict[str, Any]) -> Query:
    """Check a query job's configuration before the job is created.

    Raises:
        DomainError: an option is invalid or not implemented, or the script cannot be split into statements.
    """
    refuse_other_options("configuration.query", config, _OPTIONS)
    sql = config.get("query") or ""
    if config.get("useLegacySql"):
        raise limit("run legacy SQL; set useLegacySql to false (in Airflow: use_legacy_sql=False)")
    if not sql.strip():
        raise invalid("Required parameter is missing: query")
    check_dispositions(config, write_default="WRITE_EMPTY")
    check_tables(sql)
    for signature in _SIGNATURE.finditer(sql):
        if _LENGTH.search(signature["types"]):
            raise invalid("Parameterized types are not supported in function arguments")
    sql = plain_literals(sql)
    statements = _statements(sql)
    is_script = len(statements) != 1 or not isinstance(statements[0], SqlStmt)
    if is_script and config.get("queryParameters"):
        raise limit("bind query parameters in scripts; DECLARE the values")
    if is_script and config.get("maximumBytesBilled") and not all(map(_reads_nothing, statements)):
        raise limit("apply maximumBytesBilled to scripts that read tables; send their statements one by one")
    given = read_parameters(config.get("queryParameters") or ())
    if config.get("destinationTable"):
        if is_script:
            raise invalid("configuration.query.destinationTable cannot be set for scripts")
        TableRef.from_rest(config["destinationTable"], project)
    elif config.get("timePartitioning") or config.get("clustering"):
        raise invalid("timePartitioning and clustering need a destinationTable")
    parameters = None
    if not is_script:
        check_words(sql)
        sql, parameters = numbered_parameters(sql, given)
        _check_statement(sql)
        sql = ddl.with_view_columns(_with_dataset(sql, config, project))
    elif config.get("defaultDataset"):
        raise limit("apply defaultDataset to scripts; qualify the names")
    return Query(
        view_text=None if config.get("defaultDataset") else view_text(config["query"]),
        job_id=job_id,
        project=project,
        sql=sql,
        config=config,
        statements=len(statements),
        is_script=is_script,
        parameters=parameters,
    )


def _check_statement(sql: str) -> None:
    """Check the syntax before names are qualified, which writes TRY_CAST as SAFE_CAST.

    Raises:
        DomainError: it is none of BigQuery's, or not implemented.
    """
    check_kind(sql)
    tree = parse(sql)
    if tree is None:
        check_parses(sql)
    elif not parse_assert(sql):
        check_syntax(tree, sql)


def _with_dataset(sql: str, config: Mapping[str, Any], project: str) -> str:
    """Qualify the names of a statement by the default dataset.

    sqlglot cannot parse CREATE EXTERNAL TABLE, and takes ASSERT for a function.
    """
    dataset = config.get("defaultDataset") or {}
    asserted = parse_assert(sql)
    if asserted:
        condition, message = asserted
        select = apply_default_dataset(f"SELECT ({condition})", config, request_project_id=project)
        quote = '"' if "'" in message else "'"
        return f"ASSERT {select.removeprefix('SELECT ')} AS {quote}{message}{quote}"
    sql = apply_default_dataset(sql, config, request_project_id=project)
    external = _UNQUALIFIED_EXTERNAL.match(sql)
    if not external or not dataset.get("datasetId"):
        return sql
    name = ".".join((dataset.get("projectId") or project, dataset["datasetId"], external["name"].strip("`")))
    return f"{external['before']}`{name}`{sql[external.end() :]}"


def _statements(sql: str) -> Sequence[Any]:
    try:
        return parse_script(sql).statements
    except DomainError as error:
        if "Unterminated string literal" in error.message:
            place = unclosed_literal(sql)
            raise InvalidQueryError(f"Syntax error: Unclosed string literal at {place}", location="query") from error
        if "Unterminated backtick" in error.message:
            place = unclosed_literal(sql)
            raise InvalidQueryError(
                f"Syntax error: Unclosed identifier literal at {place}", location="query"
            ) from error
        if "IDENT:'TYPE'" in error.message and _ANY_TYPE.search(sql):
            raise limit("have functions with arguments of ANY TYPE; declare their types") from error
        if "EOF" in error.message:
            place = position_of(sql, len(sql.rstrip()))
            raise InvalidQueryError(f"Syntax error: Unexpected end of script at {place}", location="query") from error
        if error.message.startswith("Syntax error") or not isinstance(error, InvalidQueryError):
            raise
        raise InvalidQueryError(f"Syntax error: {error.message}", location="query") from error


def _reads_nothing(statement: Any) -> bool:
    """Return whether a statement of a script makes, changes or drops something without reading a table."""
    tree = parse(statement.sql) if isinstance(statement, SqlStmt) else None
    return isinstance(tree, exp.Create | exp.Alter | exp.Drop) and tree.find(exp.Query) is None


async def run_query(store: Store, query: Query) -> dict[str, Any]:
    """Run a query job.

    Returns:
        The job's statistics. The rows of a SELECT are in bqemulator's ``JOB_RESULTS``.

    Raises:
        DomainError, duckdb.Error: the query or its destination is invalid. A single statement has changed nothing; a
            script has run up to the failing statement, as in BigQuery.
    """
    know_parameters(query.parameters)
    if not query.is_script:
        check_projects(store, query.sql)
    await _check_bytes_billed(store, query)
    if query.is_script:
        with store.engine.writing():
            return await _execute(store, query)
    statistics = await _run_statement(store, query)
    statistics["query"]["referencedTables"] = referenced_tables(store, query.sql, query.project)
    return statistics


async def _run_statement(store: Store, query: Query) -> dict[str, Any]:
    if query.config.get("destinationTable"):
        return await _run_into_destination(store, query)
    asserted = parse_assert(query.sql)
    if asserted:
        return await _run_assert(store, query, asserted)
    if _is_query(query.sql) and not _refreshes_views(store, query):
        return await _execute(store, query)
    with store.transaction():
        statement = ddl.Statement(store=store, sql=query.sql, project=query.project, query_parameters=query.parameters)
        read = await _bytes_of_creation(store, query)  # before the table may be replaced that the statement reads
        outcome = await ddl.run_ddl(statement)
        await check_single_matches(store, query.sql, query.project, query_parameters=query.parameters)
        if outcome and outcome.target and outcome.statement_type == ddl.CREATE_TABLE_AS_SELECT:
            # BigQuery reports the new table there; dbt reads its row count.
            query.config["destinationTable"] = reference(outcome.target)  # type: ignore[index]
        return _ddl_statistics(outcome, read) if outcome else await _execute_change(store, query)


async def dry_run(store: Store, query: Query) -> dict[str, Any]:
    """Check a query without running it.

    Returns:
        Statistics with the schema and an upper bound of the bytes it would read. As in BigQuery, those of external
        tables count when the query runs.

    Raises:
        DomainError: the query is invalid, or is not a single SELECT.
    """
    know_parameters(query.parameters)
    check_projects(store, query.sql)
    tree = parse(query.sql)
    if not query.is_script and not is_parsed(query.sql):
        await translate(store, query.sql, query.project)  # tells what is wrong with it
    if query.is_script or not isinstance(tree, exp.Query):
        raise limit("dry-run anything but a single SELECT")
    duckdb_sql, values = bind_parameters(await translate(store, query.sql, query.project), query.parameters)
    rows = store.execute(f"DESCRIBE {duckdb_sql}", values or None).fetchall()
    estimate = str(await bytes_read(store, query.sql, query.project, query.parameters, external=False))
    return {
        "totalBytesProcessed": estimate,
        "query": {
            "totalBytesProcessed": estimate,
            "totalBytesProcessedAccuracy": "LOWER_BOUND" if _reads_external(store, query) else "UPPER_BOUND",
            "statementType": "SELECT",
            "cacheHit": False,
            "schema": {"fields": [field_of_duckdb(row[0], row[1]) for row in rows]},
            "referencedTables": referenced_tables(store, query.sql, query.project),
        },
    }


async def _execute_change(store: Store, query: Query) -> dict[str, Any]:
    """Let bqemulator run DML, or the DDL that it can run."""
    changed = ChangedRows(store, query.sql, query.project)
    statistics = await _execute(store, query)
    told = statistics["query"]
    if told.get("numDmlAffectedRows") is not None:
        counts = changed.statistics(told.get("statementType", ""), int(told["numDmlAffectedRows"]))
        told.update({"dmlStats": counts} if counts else {})
    tree = parse(query.sql)
    if isinstance(tree, exp.Create | exp.Drop) and tree.kind in ("TABLE", "VIEW"):
        target = next((ref for _, ref in referenced(tree, query.project)), None)
        told.update({"ddlTargetTable": reference(target)} if target else {})
        if target and query.view_text and tree.kind == "VIEW":
            ddl.keep_view_text(store, target, query.view_text)
    return statistics


async def _execute(store: Store, query: Query) -> dict[str, Any]:
    """Let bqemulator run the SQL."""
    meta = await execute_query_job(
        query.project, query.job_id, query.sql, query.parameters, store.context, caller=ANONYMOUS
    )
    _check_arrays(query.job_id)
    statistics = dict(meta.statistics)
    if query.is_script:
        statistics["query"] = {**statistics["query"], "statementType": "SCRIPT"}
        statistics["numChildJobs"] = "0"
        return statistics
    if _is_query(query.sql):
        estimate = str(await _bytes_or_zero(store, query, query.sql))
        statistics["totalBytesProcessed"] = estimate
        read = {"totalBytesProcessed": estimate, "totalBytesBilled": estimate}
        statistics["query"] = {**statistics["query"], "statementType": "SELECT", **read}
    destination = meta.configuration.get("query", {}).get("destinationTable")
    if destination and str(destination.get("tableId", "")).startswith("anon"):
        query.config.setdefault("destinationTable", destination)  # type: ignore[attr-defined]
    return statistics


def _refreshes_views(store: Store, query: Query) -> bool:
    """Return whether a statement reads a materialized view, which is brought up to date before it is read."""
    if not store.catalog.list_all_materialized_views():
        return False
    return any(referenced_materialized_views(query.sql, query.project, store.context))


def _is_query(sql: str) -> bool:
    """Return whether a statement only reads: a SELECT, also in parentheses, or a set operation."""
    return isinstance(parse(sql), exp.Query)


def _check_arrays(job_id: str) -> None:
    """Refuse a result with a NULL in an array, which BigQuery has in queries only.

    Raises:
        ValidationError: in BigQuery's words.
    """
    table = JOB_RESULTS.get(job_id)
    for name, column in zip(table.column_names, table.columns, strict=True) if table is not None else ():
        if any(_has_null_element(chunk) for chunk in column.chunks):
            JOB_RESULTS.pop(job_id, None)
            raise invalid(f"Array cannot have a null element; error in writing field {name}")


def _has_null_element(values: pa.Array) -> bool:
    if pa.types.is_struct(values.type):
        return any(_has_null_element(part) for part in values.flatten())
    if not pa.types.is_list(values.type) and not pa.types.is_large_list(values.type):
        return False
    elements = values.flatten()
    return bool(elements.null_count) or _has_null_element(elements)


async def _bytes_or_zero(store: Store, query: Query, sql: str) -> int:
    try:
        return await bytes_read(store, sql, query.project, query.parameters)
    except duckdb.Error:
        return 0  # the query has succeeded, but the table has changed since


async def _check_bytes_billed(store: Store, query: Query) -> None:
    most = query.config.get("maximumBytesBilled")
    if not most:
        return
    # As in a dry run, what external tables will read is not known before.
    estimate = await bytes_read(store, query.sql, query.project, query.parameters, external=False)
    if estimate > int(most):
        raise invalid(f"Query exceeded limit for bytes billed: {most}. {estimate} or higher required.")


async def _run_into_destination(store: Store, query: Query) -> dict[str, Any]:
    tree = parse(query.sql)
    if not isinstance(tree, exp.Query):
        raise invalid("configuration.query.destinationTable cannot be set for jobs with DDL or DML statements")
    config = query.config
    write_disposition, create_disposition = check_dispositions(dict(config), write_default="WRITE_EMPTY")
    with store.transaction():
        ref = TableRef.from_rest(config["destinationTable"], query.project)
        given = await prepare_query(store, query.sql, query.project, destination=ref, query_parameters=query.parameters)
        rows = write_table(
            store,
            Write(
                destination=ref,
                select=given.select,
                values=given.values,
                fields=given.fields,
                write_disposition=write_disposition,
                create_disposition=create_disposition,
                time_partitioning=config.get("timePartitioning"),
                clustering=config.get("clustering"),
                update_options=config.get("schemaUpdateOptions") or (),
            ),
        )
    estimate = str(await _bytes_or_zero(store, query, query.sql))
    return {
        "totalBytesProcessed": estimate,
        "query": {
            "statementType": "SELECT",
            "totalBytesProcessed": estimate,
            "cacheHit": False,
            "totalRows": str(rows),
        },
    }


async def _run_assert(store: Store, query: Query, asserted: tuple[str, str]) -> dict[str, Any]:
    condition, message = asserted
    select = f"SELECT ({condition}) AS holds"
    given = await prepare_query(store, select, query.project, query_parameters=query.parameters)
    row = store.execute(given.select, list(given.values) or None).fetchone()
    if not row or row[0] is not True:
        raise invalid(message)
    return {"query": {"statementType": "ASSERT", "totalBytesProcessed": "0", "cacheHit": False}}


async def _bytes_of_creation(store: Store, query: Query) -> int:
    """Return the bytes read by the query of a CREATE TABLE ... AS SELECT; 0 for other statements."""
    tree = parse(query.sql)
    if not isinstance(tree, exp.Create) or tree.kind != "TABLE" or not isinstance(tree.expression, exp.Query):
        return 0
    return await _bytes_or_zero(store, query, tree.expression.sql(dialect="bigquery"))


def _reads_external(store: Store, query: Query) -> bool:
    tree = parse(query.sql)
    tables = [store.catalog.get_table(*ref.key) for _, ref in referenced(tree, query.project)] if tree else []
    return any(table is not None and table.table_type == "EXTERNAL" for table in tables)


def _ddl_statistics(outcome: ddl.Outcome, read: int) -> dict[str, Any]:
    statistics: dict[str, Any] = {
        "statementType": outcome.statement_type,
        "ddlOperationPerformed": outcome.operation,
        "totalBytesProcessed": str(read if outcome.operation != "SKIP" else 0),
        "cacheHit": False,
    }
    if outcome.target:
        statistics["ddlTargetTable"] = reference(outcome.target)
    return {"query": statistics}


# --- Results ---------------------------------------------------------------------------------------------------------


def forget_old_results() -> None:
    """Discard the oldest query results, which bqemulator would keep in memory forever."""
    size = 0
    for age, job_id in enumerate(reversed(list(JOB_RESULTS))):
        arrow = JOB_RESULTS.get(job_id)
        size += arrow.nbytes if arrow is not None else 0
        if age and (age >= _KEPT_RESULTS or size > _KEPT_RESULT_BYTES):
            JOB_RESULTS.pop(job_id, None)
            JOB_SCHEMAS.pop(job_id, None)


def selected_fields(fields: Sequence[Field], selected: str | None) -> list[Field]:
    """Return the columns named by a ``selectedFields`` parameter, in the table's order.

    Raises:
        ValidationError: a name is not a column.
    """
    if not selected:
        return list(fields)
    names = {name.strip().lower() for name in selected.split(",") if name.strip()}
    unknown = names - {field["name"].lower() for field in fields}
    if unknown:
        raise invalid(f"Invalid selectedFields: no such field {', '.join(sorted(unknown))}")
    return [field for field in fields if field["name"].lower() in names]
