"""Checks of every SQL statement before bqemulator translates it, and the translation itself."""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import duckdb
import sqlglot
from bqemulator.catalog.models import TableMeta
from bqemulator.jobs.error_mapper import translate_runtime_error
from bqemulator.row_access.identity import CallerIdentity
from bqemulator.sql.inner_query import rewrite_and_translate_statement
from bqemulator.sql.parameters import bind_parameters
from bqemulator.sql.table_rewriter import rewrite_table_refs
from bqemulator.sql.translator import SQLTranslator
from sqlglot import exp

from local.cloud.bigquery import external_tables, wildcards
from local.cloud.bigquery.limits import invalid, limit, not_found
from local.cloud.bigquery.nesting import check_parentheses
from local.cloud.bigquery.partition_filter import check_partition_filter
from local.cloud.bigquery.partitions import TableRef
from local.cloud.bigquery.query_parameters import DECLARED
from local.cloud.bigquery.schemas import Field, field_of_duckdb, normalized, quoted
from local.cloud.bigquery.statement_kinds import check_kind
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.translation import apply_types, types
from local.cloud.bigquery.translation.annotation import Columns, Types, annotate, is_literal
from local.cloud.bigquery.translation.arguments import bind_arguments, name_functions, private_name
from local.cloud.bigquery.translation.assignments import coerces
from local.cloud.bigquery.translation.rules import syntax
from local.cloud.bigquery.translation.structs import name_fields
from local.cloud.bigquery.translation.syntax import check_parses, check_syntax
from local.cloud.bigquery.translation.system_variables import replace_system_variables
from local.cloud.bigquery.translation.types import Type
from local.cloud.bigquery.translation.user_functions import Signature, mark_calls
from local.cloud.bigquery.user_functions import signatures

ANONYMOUS = CallerIdentity(principal="user:anonymous@bqemulator.local", is_authenticated=False)
_translator = SQLTranslator()
_PSEUDO_COLUMNS = {"_partitiontime", "_partitiondate", "_file_name"}
MAX_VIEW_DEPTH = 16
CALL = "()"
"""What the name of a table function ends with here."""
_KEPT = 200
_parameter_types: ContextVar[tuple[tuple[str, Type | None], ...]] = ContextVar("parameter_types", default=())
_PLAIN_NAME = re.compile(r"\w+")
# The one view that belongs to a project.
_DATASETS = "INFORMATION_SCHEMA.SCHEMATA"
_ASSERT = re.compile(r"\s*ASSERT\b(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_DESCRIPTION = re.compile(
    r"""(?P<condition>.*)\bAS\s+(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*;?\s*""", re.I | re.S
)
_STATEMENTS = (
    *(exp.Query, exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable),
    *(exp.Create, exp.Drop, exp.Alter),
)


def parse(sql: str) -> exp.Expression | None:
    """Parse a statement; None if sqlglot does not know the syntax."""
    tree = _parse(sql)
    return None if isinstance(tree, exp.Command) else tree


def is_parsed(sql: str) -> bool:
    """Return whether sqlglot knows the syntax, or at least the statement's first words."""
    return _parse(sql) is not None


def _parse(sql: str) -> exp.Expression | None:
    try:
        check_parentheses(sql)
        return sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return None  # bqemulator reports the syntax error


def parse_assert(sql: str) -> tuple[str, str] | None:
    """Split ``ASSERT condition [AS 'message']`` into the condition and the message; None for other statements."""
    match = _ASSERT.fullmatch(sql)
    if not match:
        return None
    described = _DESCRIPTION.fullmatch(match["rest"])
    condition = (described["condition"] if described else match["rest"]).strip().removesuffix(";")
    return condition, described["text"][1:-1] if described else f"Assertion failed: {condition.strip()}"


def referenced(tree: exp.Expression, project: str) -> Iterator[tuple[exp.Table, TableRef]]:
    """Yield the dataset-qualified tables that a statement names, however they are quoted."""
    for node in tree.find_all(exp.Table):
        if (ref := _reference(node, project)) is not None and not ref.table.endswith(CALL):
            yield node, ref


def _reference(node: exp.Table, project: str) -> TableRef | None:
    """Return the table that a node names, and for a call of a table function its name and ``()``."""
    is_call = isinstance(node.this, exp.Func)
    name = node.this.name if is_call else node.name
    parts = ".".join(part for part in (node.catalog, node.db, name) if part).split(".")
    if len(parts) == 2:
        parts = [project, *parts]
    if not name or len(parts) != 3:
        return None
    return TableRef.parse(parts[0], parts[1], parts[2] + (CALL if is_call else ""))


def check_projects(store: Store, sql: str) -> None:
    """Refuse a statement that names something of another project.

    Raises:
        ValidationError: it does.
    """
    tree = parse(sql)
    if tree is None:
        return
    is_schema = isinstance(tree, exp.Create | exp.Drop) and tree.kind == "SCHEMA"
    for node in tree.find_all(exp.Table):
        parts = [part for one in node.parts for part in one.name.split(".")]
        project = parts[0] if len(parts) == (2 if is_schema else 3) else store.project
        if project != store.project and parts[1].upper() != "INFORMATION_SCHEMA":
            raise limit(f"serve the project {project!r}; only {store.project!r}")


def check_statement(store: Store, sql: str, project: str) -> None:
    """Refuse statements that would give wrong results, and bind the external tables that the statement reads.

    Raises:
        DomainError: BigQuery would refuse the statement too, or it needs a feature that is not implemented.
    """
    tree = _parse(sql)
    if tree is None:
        _check_types(sql)
        check_parses(sql)
        return
    if not isinstance(tree, _STATEMENTS):
        check_kind(sql)
        raise limit(f"run {' '.join(sql.split()[:2]).upper()} here; transactions are for scripts of several statements")
    _check_dml(tree)
    _check_table_functions(tree)
    for column in tree.find_all(exp.Column):
        if column.name.lower() in _PSEUDO_COLUMNS:
            raise limit(f"have the pseudo column {column.name}; use the partitioning column")
    target = target_of(tree)
    for node, ref in referenced(tree, project):
        if ref.partition is not None:
            raise invalid(
                f"Invalid table name: {ref}. Partition decorators cannot be used in standard SQL; filter by the "
                "partitioning column"
            )
        if ref.table.endswith("*"):
            wildcards.check(store, ref)
            continue
        table = store.catalog.get_table(*ref.key)
        if table is None:
            _check_case(store, ref)
            continue
        if node is target:
            _check_target(tree, table, ref)
        _bind(store, table, project, depth=0)
        columns = _filter_columns(table)
        if columns and _reads(tree, node, target):
            check_partition_filter(node, ref, columns)


def _check_types(sql: str) -> None:
    """Report a type that does not exist as BigQuery does; bqemulator reports other syntax errors."""
    try:
        sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.ParseError as error:
        first = error.errors[0] if error.errors else {}
        if "Expected TYPE" in str(first.get("description")):
            place = f"[{first.get('line')}:{first.get('col')}]"
            raise invalid(f"Type not found: {first.get('highlight')} at {place}") from error
    except sqlglot.errors.SqlglotError:
        pass


def _check_table_functions(tree: exp.Expression) -> None:
    """Refuse DuckDB's table functions, such as read_csv, and file names as tables, which BigQuery does not have."""
    for node in tree.find_all(exp.Table):
        if not node.db and node.name and not _PLAIN_NAME.fullmatch(node.name) and node.name.upper() != _DATASETS:
            raise invalid(f'Table "{node.name}" must be qualified with a dataset (e.g. dataset.table)')
        function = node.this
        if isinstance(function, exp.Func) and not node.db and "." not in function.name:
            name = function.name or function.sql_name()
            raise invalid(f"Table-valued function not found: {name}")


def _check_dml(tree: exp.Expression) -> None:
    if isinstance(tree, exp.Update | exp.Delete) and tree.args.get("where") is None:
        kind = type(tree).__name__.upper()
        raise invalid(f"{kind} must have a WHERE clause")
    if isinstance(tree, exp.Merge):
        for when in tree.find_all(exp.When):
            then = when.args.get("then")
            if isinstance(then, exp.Insert) and isinstance(then.this, exp.Var) and then.this.name.upper() == "ROW":
                raise limit("run MERGE ... INSERT ROW; write INSERT (columns) VALUES (values)")


def target_of(tree: exp.Expression) -> exp.Expression | None:
    """Return the node of the table that a DML or DDL statement changes."""
    if isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.Drop | exp.Alter):
        target = tree.this
        return target.this if isinstance(target, exp.Schema) else target
    if isinstance(tree, exp.TruncateTable):
        return tree.expressions[0]
    return None


def _check_target(tree: exp.Expression, table: TableMeta, ref: TableRef) -> None:
    if isinstance(tree, exp.Drop):
        if tree.kind in ("TABLE", "VIEW") and not tree.args.get("materialized") and tree.kind != table.table_type:
            raise invalid(f"Cannot drop {ref} which has type {table.table_type}. A {tree.kind} was expected")
    elif table.table_type == "EXTERNAL" or (table.table_type != "TABLE" and not isinstance(tree, exp.Alter)):
        raise invalid(f"{ref} is not allowed for this operation because it is currently a {table.table_type}.")


def _reads(tree: exp.Expression, node: exp.Table, target: exp.Expression | None) -> bool:
    """Return whether the statement reads the table at ``node``.

    INSERT, TRUNCATE and DDL do not read their target; UPDATE, DELETE and MERGE do.
    """
    if isinstance(tree, exp.Create):
        return False  # a view is checked when it is read
    return node is not target or isinstance(tree, exp.Update | exp.Delete | exp.Merge)


def _filter_columns(table: TableMeta) -> list[str]:
    if table.table_type == "EXTERNAL":
        return external_tables.filter_columns(table)
    partitioning = table.time_partitioning
    return [partitioning.field] if partitioning and partitioning.require_partition_filter and partitioning.field else []


def _bind(store: Store, table: TableMeta, project: str, *, depth: int) -> None:
    """Bind an external table, or the external tables that a view reads."""
    if table.table_type == "EXTERNAL":
        external_tables.bind(store, table)
    elif table.view_query and depth < MAX_VIEW_DEPTH:
        body = parse(table.view_query)
        for node, ref in referenced(body, project) if body else ():
            inner = store.catalog.get_table(*ref.key)
            if inner is not None:
                _bind(store, inner, project, depth=depth + 1)
                columns = _filter_columns(inner)
                if columns:
                    check_partition_filter(node, ref, columns)


def _check_case(store: Store, ref: TableRef) -> None:
    """Refuse a table name in the wrong case, which DuckDB would find and BigQuery does not."""
    key = tuple(part.lower() for part in ref.key)
    for dataset in store.catalog.list_datasets(ref.project):
        for table in store.catalog.list_tables(ref.project, dataset.dataset_id):
            if (table.project_id.lower(), table.dataset_id.lower(), table.table_id.lower()) == key:
                raise not_found("Table", str(ref))


def checked_sql(store: Store, sql: str, project: str) -> str:
    """Check a statement, name its unnamed result columns, and give its functions BigQuery's meaning.

    Returns:
        The statement in BigQuery's SQL, for bqemulator to translate.

    Raises:
        DomainError: see :func:`check_statement`, and :func:`.translation.apply_types`.
    """
    check_statement(store, sql, project)
    refs = _references(sql, project)
    tables = tuple((ref, _columns(store, ref)) for ref in refs)
    unions = tuple((ref, wildcards.members(store, ref)) for ref in refs if ref.table.endswith("*"))
    tree = parse(sql)
    functions = tuple(signatures(store, tree, project).items()) if tree is not None else ()
    return _typed(sql, project, tables, unions, functions, _parameter_types.get())


def known_types(store: Store, tree: exp.Expression, project: str) -> Types:
    """Return the types of a statement's expressions."""

    def columns(node: exp.Table) -> Columns | None:
        ref = _reference(node, project)
        return _columns(store, ref) if ref else None

    mark_calls(tree, signatures(store, tree, project), project)
    return annotate(tree, columns, {})


def know_parameters(parameters: Sequence[Mapping[str, Any]] | None) -> None:
    """Set the types of the query parameters, which :mod:`.query_parameters` has read, for the rest of this job."""
    _parameter_types.set(tuple((given["name"].lower(), _parameter_type(given[DECLARED])) for given in parameters or ()))


def _parameter_type(given: Mapping[str, Any]) -> Type | None:
    if str(given.get("type")).upper() == "ARRAY":
        return types.array(_parameter_type(given.get("arrayType") or {}))
    if str(given.get("type")).upper() == "STRUCT":
        members = given.get("structTypes") or ()
        return types.struct((member.get("name", ""), _parameter_type(member.get("type") or {})) for member in members)
    return types.named(str(given.get("type", "")))


def typed_expression(
    store: Store,
    sql: str,
    project: str,
    arguments: Mapping[str, exp.DataType | None],
    result: exp.DataType | None,
) -> str:
    """Give the functions of an expression BigQuery's meaning, for the body of a function.

    Args:
        store: knows the functions that it calls.
        sql: the expression.
        project: the project of names that have none.
        arguments: the types of the names in it; None for those that are not known.
        result: the type that the function declares, if it does.

    Returns:
        The expression, with its arguments under their private names.

    Raises:
        ValidationError: BigQuery would refuse it for its types.
    """
    tree = parse(f"SELECT {sql}")
    if not isinstance(tree, exp.Select):
        return sql
    if not tree.expressions:
        raise invalid("the body of the function is empty; write an expression")
    _check_body(tree)
    mark_calls(tree, signatures(store, tree, project), project)
    bind_arguments(annotate(tree, lambda _: None, {}), {name: exp.column(private_name(name)) for name in arguments})
    tree.set("expressions", [one.unalias() for one in tree.expressions])
    arguments = {private_name(name): kind for name, kind in arguments.items()}
    known = [exp.alias_(exp.cast(exp.null(), kind.copy()), name) for name, kind in arguments.items() if kind]
    if known:
        tree = tree.from_(exp.select(*known).subquery("arguments"))
    check_syntax(tree, sql)
    if result is not None:
        _coerce_result(tree, result)
    typed, _ = apply_types(tree, lambda _: None, {})
    body = typed.expressions[0].unalias()
    coerced = {name.lower(): kind for name, kind in arguments.items() if kind and _is_coerced(types.of_syntax(kind))}
    for column in list(body.find_all(exp.Column)) if coerced else ():
        kind = coerced.get(column.name.lower())
        if kind is not None and not column.table:
            cast = exp.Cast(this=column.copy(), to=kind.copy())
            body = cast if column is body else body
            column.replace(cast)
    return body.sql(dialect="bigquery")


def _check_body(tree: exp.Select) -> None:
    """Refuse what the expression of a function must not have, or has no support for here.

    Raises:
        ValidationError: in BigQuery's words, or naming the limit.
    """
    for node in tree.find_all(exp.Table):
        if node.db:
            raise limit(
                "read a table in the body of a function; write a table function, or join the table in the query"
            )
    for node in tree.expressions[0].walk(prune=lambda node: isinstance(node, exp.Query)):
        if isinstance(node, exp.Window):
            raise invalid("Analytic function not allowed in SQL function body")
        if isinstance(node, exp.AggFunc):
            raise invalid(f"Aggregate function {node.sql_name()} not allowed in SQL function body")


def typed_table(store: Store, sql: str, project: str, arguments: Mapping[str, exp.DataType | None]) -> str:
    """Check and type the query of a table function, as :func:`checked_sql` does, with its arguments as values."""
    tree = parse(sql)
    if tree is None:
        return checked_sql(store, sql, project)
    values = {name: exp.column(private_name(name)) for name in arguments}
    bind_arguments(
        known_types(store, tree, project),
        {name: exp.cast(values[name], kind.copy()) if kind else values[name] for name, kind in arguments.items()},
    )
    return checked_sql(store, tree.sql(dialect="bigquery"), project)


def _coerce_result(tree: exp.Select, result: exp.DataType) -> None:
    """Give the only column of a query the type that is declared.

    Source: "User-defined functions", SQL UDF structure
    (https://cloud.google.com/bigquery/docs/user-defined-functions#sql-udf-structure): the result is coerced to it.
    """
    name_fields(tree)
    value, target = tree.expressions[0], types.of_syntax(result)
    kind = annotate(tree, lambda _: None, {}).of(value)
    if kind is None or target is None or kind == target:
        return
    if not coerces(kind, target, literal=is_literal(value)):
        raise invalid(f"Could not coerce the function's body of type {kind} to its RETURNS type {target}")
    value.replace(exp.Cast(this=value.copy(), to=result.copy()))


def _is_coerced(kind: Type | None) -> bool:
    """Return whether an argument may be a number of a smaller type than the one that is declared, or a literal date."""
    element = kind.element if kind is not None and kind.name == "ARRAY" else kind
    return element in (types.NUMERIC, types.FLOAT64, types.DATE, types.DATETIME, types.TIMESTAMP, types.TIME)


@functools.lru_cache(_KEPT)
def _references(sql: str, project: str) -> tuple[TableRef, ...]:
    tree = parse(sql)
    refs = {_reference(node, project) for node in tree.find_all(exp.Table)} if tree else set()
    return tuple(ref for ref in refs if ref is not None)


@functools.lru_cache(_KEPT)
def _typed(
    sql: str,
    project: str,
    tables: tuple[tuple[TableRef, Columns | None], ...],
    unions: tuple[tuple[TableRef, wildcards.Members], ...],
    functions: tuple[tuple[str, Signature], ...],
    parameters: tuple[tuple[str, Type | None], ...],
) -> str:
    tree = parse(sql)
    if tree is None:
        return sql
    replaced = replace_system_variables(tree, project) | name_functions(tree, project)
    mark_calls(tree, dict(functions), project)
    check_syntax(tree, sql)
    real_names = {name.lower(): name for _, known in tables if known for name, _ in known.pairs}
    named = _name_columns(tree, real_names)
    wildcards.hide_suffix(tree)
    columns: dict[TableRef | None, Columns | None] = dict(tables)
    # By its name, not by the node: PIVOT makes copies.
    tree, typed = apply_types(tree, lambda node: columns.get(_reference(node, project)), dict(parameters))
    for ref, members in unions:
        nodes = [node for node in tree.find_all(exp.Table) if _reference(node, project) == ref]
        wildcards.expand(nodes, ref, members)
    return tree.sql(dialect="bigquery") if replaced or named or unions or typed else sql


def _columns(store: Store, ref: TableRef) -> Columns | None:
    """Return the columns of a table, a view, a wildcard table or a table function; None if they are not known."""
    if ref.table.endswith(CALL):
        return _columns_of_function(store, ref)
    if ref.table.endswith("*"):
        table = wildcards.newest(wildcards.matching_tables(store, ref))
        suffix: tuple[tuple[str, Type | None], ...] = ((wildcards.SUFFIX, types.STRING),)
    else:
        table, suffix = store.catalog.get_table(*ref.key), ()
    if table is None or not table.schema_.fields:
        return None
    return Columns((*((field.name, types.of_schema_field(field)) for field in table.schema_.fields), *suffix))


def _columns_of_function(store: Store, ref: TableRef) -> Columns | None:
    routine = store.catalog.get_routine(ref.project, ref.dataset, ref.table.removesuffix(CALL))
    body = parse(routine.definition_body) if routine is not None else None
    if routine is None or not isinstance(body, exp.Query):
        return None
    kinds = {one.name.lower(): types.named((one.data_type or {}).get("typeKind", "")) for one in routine.arguments}
    values = {name: exp.cast(exp.null(), syntax(kind)) for name, kind in kinds.items() if kind}
    bind_arguments(known_types(store, body, ref.project), values)
    return known_types(store, body, ref.project).columns


def _is_call(item: exp.Expression) -> bool:
    return isinstance(item, exp.Dot) and isinstance(item.expression, exp.Func)


def _name_columns(tree: exp.Expression, real_names: Mapping[str, str]) -> bool:
    """Name the columns of a query's result as BigQuery does: as the query writes them, or ``f0_``, ``f1_``, ...

    Args:
        tree: a statement.
        real_names: the names of the tables' columns by lower-case name, as DuckDB would give them.

    Returns:
        Whether the tree has changed.
    """
    query: Any = tree
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select):
        return False
    named = (exp.Alias, exp.Column, exp.Star, exp.Dot)
    unnamed = [item for item in query.expressions if not isinstance(item, named) or _is_call(item)]
    for number, item in enumerate(unnamed):
        item.replace(exp.alias_(item.copy(), f"f{number}_"))
    columns = [item for item in query.expressions if isinstance(item, exp.Column | exp.Dot) and not item.is_star]
    renamed = [
        item
        for item in columns
        if isinstance(item, exp.Dot) or real_names.get(item.name.lower(), item.name) != item.name
    ]
    for item in renamed:
        item.replace(exp.alias_(item.copy(), item.name, quoted=True))
    return bool(unnamed or renamed)


async def translate(store: Store, sql: str, project: str) -> str:
    """Check a BigQuery statement and translate it to DuckDB SQL."""
    translated = await rewrite_and_translate_statement(
        checked_sql(store, sql, project),
        project_id=project,
        ctx=store.context,
        caller=ANONYMOUS,
        translator=_translator,
    )
    return rewrite_table_refs(translated, project)


def _matches(tree: exp.Expression) -> exp.Select | None:
    """Return a query for the pairs of target and source rows of a MERGE or UPDATE ... FROM; None for others."""
    pairs = exp.select(exp.alias_("1", "pair")).from_(tree.this.copy()) if isinstance(tree.this, exp.Table) else None
    if pairs and isinstance(tree, exp.Merge):
        changes = [when for when in tree.find_all(exp.When) if when.args.get("matched")]
        conditions = [when.args.get("condition") or exp.true() for when in changes]
        pairs = pairs.join(tree.args["using"].copy(), on=tree.args["on"].copy())
        return pairs.where(exp.or_(*(condition.copy() for condition in conditions))) if changes else None
    if pairs and isinstance(tree, exp.Update) and tree.args.get("from_"):
        source = tree.args["from_"].this.copy()
        joins = source.args.pop("joins", None) or []
        pairs = pairs.join(source, join_type="cross")
        for join in joins:
            pairs.append("joins", join)
        return pairs.where(tree.args["where"].this.copy())
    return None


async def check_single_matches(
    store: Store,
    sql: str,
    project: str,
    *,
    query_parameters: list[dict[str, Any]] | None = None,
    script_values: Sequence[Any] = (),
) -> None:
    """Refuse a MERGE or UPDATE that would change a row twice; DuckDB would pick one of the changes silently.

    Args:
        store: the store.
        sql: any statement.
        project: the default project of table names.
        query_parameters: the job's query parameters.
        script_values: values for ``$1``, ``$2``, ..., which stand for a script's variables.

    Raises:
        DomainError: it would; in BigQuery's wording.
    """
    tree = parse(sql)
    matches = _matches(tree) if tree is not None else None
    if tree is None or matches is None:
        return
    check_statement(store, sql, project)
    target = tree.this.alias_or_name
    matches = matches.group_by(exp.column("rowid", table=target, quoted=True)).having("COUNT(*) > 1").limit(1)
    for table in matches.find_all(exp.Table):
        for part in table.parts:
            part.set("quoted", True)  # a project may have dashes
    select, bound = bind_parameters(await translate(store, matches.sql(dialect="bigquery"), project), query_parameters)
    try:
        twice = store.execute(select, [*script_values, *(bound or ())] or None).fetchone()
    except duckdb.Error as error:
        raise translate_runtime_error(error, duckdb_sql=select) from error
    if twice:
        raise invalid("UPDATE/MERGE must match at most one source row for each target row")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A translated query: DuckDB SQL, the values of its parameters, and its BigQuery columns."""

    select: str
    values: Sequence[Any]
    fields: list[Field]


async def prepare_query(
    store: Store,
    sql: str,
    project: str,
    *,
    destination: TableRef | None = None,
    query_parameters: list[dict[str, Any]] | None = None,
    script_values: Sequence[Any] = (),
) -> Rows:
    """Translate a BigQuery query whose rows will be written to a table.

    Args:
        store: the store.
        sql: a SELECT.
        project: the default project of table names.
        destination: the table to write. A query that may read it runs now, into a temporary table, so that it does not
            see its own changes.
        query_parameters: the job's query parameters.
        script_values: values for ``$1``, ``$2``, ..., which stand for a script's variables.

    Raises:
        DomainError: the query is invalid, or its result cannot be a table.
    """
    tree = parse(sql)
    select, bound = bind_parameters(await translate(store, sql, project), query_parameters)
    values: Sequence[Any] = [*script_values, *(bound or ())]
    try:
        if tree is None or (destination and _may_read(store, tree, project, destination)):
            staged = quoted(f"staged_{secrets.token_hex(8)}")
            store.execute(f"CREATE TEMP TABLE {staged} AS {select}", list(values) or None)
            select, values = f"SELECT * FROM {staged}", ()
        rows = store.execute(f"DESCRIBE {select}", list(values) or None).fetchall()
    except duckdb.Error as error:
        raise translate_runtime_error(error, duckdb_sql=select) from error
    return Rows(select=select, values=values, fields=normalized(field_of_duckdb(row[0], row[1]) for row in rows))


def _may_read(store: Store, tree: exp.Expression, project: str, destination: TableRef) -> bool:
    """Return False only if the query reads nothing but native and external tables other than the destination."""
    for _, ref in referenced(tree, project):
        table = store.catalog.get_table(*ref.key)
        if ref.key == destination.key or table is None or table.table_type not in ("TABLE", "EXTERNAL"):
            return True
    return False
