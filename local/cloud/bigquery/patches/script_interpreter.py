"""Patch of bqemulator 1.4.0: scripts with the DDL of this package, ASSERT, typed variables and DuckDB's transactions.

Replaces ``bqemulator.scripting.interpreter.ScriptInterpreter``, also where ``bqemulator.jobs.executor`` imports it, by
a subclass that overrides its private methods ``_exec_sql``, ``_exec_declare``, ``_exec_set``, ``_exec_for``,
``_exec_raise``, ``_exec_return``, ``_evaluate_one_argument``, ``_exec_execute_immediate``, ``_run_query`` and
``_handle_txn_statement``, and its ``_frames``.
Replaces ``_rewrite_vars_to_params`` and ``_is_truthy`` of the same module, and wraps ``_upsert_routine``.

Why: bqemulator emulates a transaction with copies of the tables. Other readers see it half done, and a crash leaves it
half done. Here BEGIN TRANSACTION is DuckDB's. A script that ends inside a transaction is rolled back, as in BigQuery.
A function whose body is refused would be listed all the same, in the place of the one before it.
bqemulator also refuses ASSERT, and its own DDL loses partitioning and options (see :mod:`..ddl`). Its variables have
the types of their values, hide columns of their names, and are told apart by case; it does not know system variables,
``USING value AS name`` and tuples in SET, and RETURN outside of procedures is an error.

Can be removed when bqemulator runs script transactions in DuckDB transactions, knows ASSERT, has a hook for DDL, and
types its variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa
from bqemulator.catalog.models import RoutineArgument
from bqemulator.domain.errors import InvalidQueryError
from bqemulator.jobs import executor
from bqemulator.jobs.error_mapper import translate_runtime_error
from bqemulator.scripting import interpreter
from bqemulator.scripting.ast import DeclareStmt, ExecuteImmediateStmt, ForStmt, RaiseStmt, ReturnStmt, SetStmt
from bqemulator.scripting.exceptions import BreakSignal, ContinueSignal, ReturnSignal, ScriptRaise
from bqemulator.scripting.frames import FrameStack
from bqemulator.scripting.interpreter import ScriptInterpreter, ScriptResult
from bqemulator.scripting.parser import parse_script
from bqemulator.storage.type_map import duckdb_to_bq
from sqlglot import exp

from local.cloud.bigquery.ddl import Statement, keep_view_text, run_ddl, with_view_columns
from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.literals import numbered_parameters, plain_literals, view_text
from local.cloud.bigquery.patches.internals import capture_dml_snapshots
from local.cloud.bigquery.script_variables import (
    ERROR_MESSAGE,
    ROW_COUNT,
    assigned,
    bind_variables,
    declared_type,
    type_of_value,
)
from local.cloud.bigquery.statement_kinds import check_kind, is_ddl
from local.cloud.bigquery.statements import check_projects, check_single_matches, parse, parse_assert, referenced
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.translation.syntax import check_words
from local.cloud.bigquery.user_functions import type_sql


def install(store: Store) -> None:
    """Make bqemulator run scripts with the interpreter of this module, on ``store``."""

    class Interpreter(_Interpreter):
        _store = store

    def bound(sql: str, frames: FrameStack) -> tuple[str, list[Any]]:
        return bind_variables(store, sql, frames.all_visible())

    upsert = interpreter._upsert_routine

    async def upsert_whole(*args: Any, **kwargs: Any) -> None:
        try:
            with store.transaction():
                await upsert(*args, **kwargs)
        except duckdb.Error as error:
            raise translate_runtime_error(error) from error  # so that EXCEPTION WHEN ERROR sees it

    executor.ScriptInterpreter = Interpreter  # type: ignore[misc]
    interpreter._upsert_routine = upsert_whole
    interpreter.ScriptInterpreter = Interpreter  # type: ignore[misc]
    interpreter._rewrite_vars_to_params = bound
    interpreter._is_truthy = _is_true


def _expressions(text: str) -> list[exp.Expression]:
    """Return the expressions of a list.

    Raises:
        ValidationError: it cannot be parsed.
    """
    tree = parse(f"SELECT {text}")
    if not isinstance(tree, exp.Select):
        raise invalid(f"Syntax error: Unexpected expression {text}")
    return tree.expressions


def _type_of(column: pa.Field) -> str:
    """Return the BigQuery type of a column of an answer, which bqemulator has marked with its DuckDB type."""
    return duckdb_to_bq((column.metadata or {}).get(b"bqemu.duckdb_type", b"VARCHAR").decode())


def _is_true(value: Any) -> bool:
    """Return whether a condition holds."""
    if value is not None and not isinstance(value, bool):
        raise invalid(f"Condition should return type BOOL, but returns {type_of_value(value) or 'another type'}")
    return value is True


class _Frames(FrameStack):
    """Variables whose names ignore case."""

    def declare(self, name: str, type_name: str, value: Any = None) -> None:
        super().declare(name.lower(), type_name, value)

    def snapshot_current(self) -> dict[str, Any]:
        return _Results(super().snapshot_current())

    def set(self, name: str, value: Any) -> None:
        if not self.has(name.lower()):
            raise invalid(f"Undeclared variable: {name}")
        super().set(name.lower(), value)

    def type_of(self, name: str) -> str:
        """Return the type that a variable is declared with.

        Raises:
            ValidationError: it is not declared; in BigQuery's words.
        """
        variable = self.all_visible().get(name.lower())
        if variable is None:
            raise invalid(f"Undeclared variable: {name}")
        return variable.type_name


class _Results(dict[str, Any]):
    """The variables of a procedure at its end, by names that ignore case."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name.lower())


class _Interpreter(ScriptInterpreter):
    _store: Store
    _mark: dict[str, dict[Any, Any]] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._frames: _Frames = _Frames()
        self._frames.push(kind="root")
        self._frames.declare(ROW_COUNT, "INT64")

    async def run(self, source: str) -> ScriptResult:
        try:
            return await super().run(source)
        except ReturnSignal:  # RETURN ends the script
            return ScriptResult(final_table=self._final_table, statements_executed=self._statements_executed)
        finally:
            if self._mark is not None:
                self._end_transaction(commit=False)

    async def _exec_sql(self, sql: str) -> None:
        check_words(sql)
        check_kind(sql)
        check_projects(self._store, sql)
        text = view_text(sql)
        sql = with_view_columns(sql)
        asserted = parse_assert(sql)
        if asserted:
            condition, message = asserted
            if await self._eval_expr_scalar(f"({condition})") is not True:
                raise InvalidQueryError(message)
            self._final_table = None
            return
        rewritten, values = bind_variables(self._store, self._rewrite_temp_calls(sql), self._frames.all_visible())
        statement = Statement(store=self._store, sql=rewritten, project=self._project_id, script_values=values)
        if self._mark is not None and is_ddl(sql):
            raise invalid("Only DML and DDL on temporary tables are supported inside a transaction")
        if await run_ddl(statement):
            self._final_table = None
            return
        await check_single_matches(self._store, rewritten, self._project_id, script_values=values)
        await super()._exec_sql(sql)
        if text and (created := parse(sql)):
            keep_view_text(self._store, next(ref for _, ref in referenced(created, self._project_id)), text)
        await capture_dml_snapshots(self._project_id, sql, self._ctx)

    async def _run_query(self, bq_sql: str) -> pa.Table:
        table = await super()._run_query(bq_sql)
        if not bq_sql.startswith("SELECT"):
            changed = isinstance(parse(bq_sql), exp.Insert | exp.Update | exp.Delete | exp.Merge)
            self._frames.set(ROW_COUNT, table.column(0)[0].as_py() if changed and table.num_rows else None)
        return table

    async def _exec_declare(self, stmt: DeclareStmt) -> None:
        value, _ = None, declared_type(stmt.type_name)  # refuses one that does not exist
        if stmt.default_expr is not None:
            value = await self._assigned_value(stmt.default_expr, stmt.type_name)
        for name in stmt.names:
            self._frames.declare(name, stmt.type_name or type_of_value(value), value)

    async def _assigned_value(self, expression: str, type_name: str) -> Any:
        typed = assigned(self._store, expression, type_name, self._frames.all_visible())
        return await self._eval_expr_scalar(typed)

    async def _exec_set(self, stmt: SetStmt) -> None:
        kinds = [self._frames.type_of(name) for name in stmt.targets]
        parts = _expressions(stmt.source_expr)
        if len(parts) == 1 and isinstance(parts[0], exp.Tuple) and not kinds[0].upper().startswith("STRUCT"):
            expressions = [part.sql(dialect="bigquery") for part in parts[0].expressions]
            values = [await self._assigned_value(*pair) for pair in zip(expressions, kinds, strict=False)]
            values += [None] * (len(expressions) - len(values))
        elif len(kinds) > 1:
            row = await self._eval_expr_row(stmt.source_expr)
            values = list(row[0].values()) if len(row) == 1 and isinstance(row[0], Mapping) else row
        else:
            value = await self._assigned_value(stmt.source_expr, kinds[0])
            is_struct = isinstance(value, Mapping) and not kinds[0].upper().startswith("STRUCT")
            values = list(value.values()) if is_struct else [value]
        if len(values) != len(stmt.targets):
            raise invalid(f"SET assigns {len(values)} values to {len(stmt.targets)} variables")
        for name, value in zip(stmt.targets, values, strict=True):
            self._frames.set(name, value)

    async def _exec_execute_immediate(self, stmt: ExecuteImmediateStmt) -> None:
        sql = await self._eval_expr_scalar(stmt.sql_expr)
        if not isinstance(sql, str):
            raise invalid("EXECUTE IMMEDIATE needs a STRING that is not NULL")
        check_kind(sql)
        given = []
        for expression in _expressions(", ".join(stmt.using_exprs)) if stmt.using_exprs else ():
            value = await self._eval_expr_scalar(expression.unalias().sql(dialect="bigquery"))
            given.append({"name": expression.alias, "value": value})
        if len({bool(one["name"]) for one in given}) > 1:
            raise invalid("Cannot mix named and positional parameters in EXECUTE IMMEDIATE")
        sql, parameters = numbered_parameters(plain_literals(sql), given)
        self._frames.push(kind="block")
        try:
            for parameter in parameters or ():
                value = parameter["value"]
                self._frames.declare(f"@{parameter['name']}", type_of_value(value), value)
            if is_ddl(sql):
                statement, *others = parse_script(sql).statements
                if others:
                    raise invalid("EXECUTE IMMEDIATE runs one statement; this text has several")
                await self._exec_statement(statement)
                return
            text = exp.Literal.string(sql).sql(dialect="bigquery")
            await super()._exec_execute_immediate(ExecuteImmediateStmt(sql_expr=text, into_names=stmt.into_names))
        finally:
            self._frames.pop()

    async def _evaluate_one_argument(self, param: RoutineArgument, expr: str) -> tuple[Any, str | None]:
        if (param.mode or "IN").upper() == "IN":
            expr = assigned(self._store, expr, type_sql(param.data_type or {}), self._frames.all_visible())
        return await super()._evaluate_one_argument(param, expr)

    async def _exec_return(self, stmt: ReturnStmt) -> None:
        if (stmt.value_expr or "").strip(" ;\n"):
            raise invalid("Syntax error: RETURN has no value")
        raise ReturnSignal(None)

    async def _exec_raise(self, stmt: RaiseStmt) -> None:
        if stmt.message_expr is None:
            handled = self._frames.all_visible().get(ERROR_MESSAGE)
            if handled is None:
                raise invalid("Cannot re-raise an exception outside of an exception handler")
            raise ScriptRaise(InvalidQueryError(handled.value))
        await super()._exec_raise(stmt)

    async def _exec_for(self, stmt: ForStmt) -> None:
        rows = await self._run_query(stmt.source_sql.strip().removeprefix("(").removesuffix(")"))
        kind = f"STRUCT<{', '.join(f'`{field.name}` {_type_of(field)}' for field in rows.schema)}>"
        for row in rows.to_pylist():
            self._frames.push(kind="loop")
            self._frames.declare(stmt.loop_var, kind, row)
            try:
                for inner in stmt.body:
                    await self._exec_statement(inner)
            except BreakSignal:
                return
            except ContinueSignal:
                continue
            finally:
                self._frames.pop()

    async def _handle_txn_statement(self, op: str) -> None:
        if op == "BEGIN":
            if self._mark is not None:
                raise invalid("Transaction is already in progress")
            self._mark = self._store.begin()
        elif self._mark is None:
            raise invalid("There is no active transaction")
        else:
            self._end_transaction(commit=op == "COMMIT")

    def _end_transaction(self, *, commit: bool) -> None:
        mark, self._mark = self._mark, None
        if mark is None:
            return
        if commit:
            try:
                self._store.execute("COMMIT")
            except BaseException:
                self._store.catalog.restore(mark)
                raise
        else:
            self._store.rollback(mark)
