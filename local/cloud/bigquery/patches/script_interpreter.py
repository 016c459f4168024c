"""Patch of bqemulator 1.4.0: scripts with the DDL of this package, ASSERT, and DuckDB's own transactions.

Replaces ``bqemulator.scripting.interpreter.ScriptInterpreter``, also where ``bqemulator.jobs.executor`` imports it, by
a subclass that overrides its private methods ``_exec_sql``, ``_exec_set`` and ``_handle_txn_statement``.

Why: bqemulator emulates a transaction with copies of the tables. Other readers see it half done, and a crash leaves it
half done. Here BEGIN TRANSACTION is DuckDB's. A script that ends inside a transaction is rolled back, as in BigQuery.
bqemulator also refuses ASSERT, and its own DDL loses partitioning and options (see :mod:`..ddl`). It assigns the struct
of ``SET (x) = (SELECT AS STRUCT ...)`` instead of the struct's fields.

Can be removed when bqemulator runs script transactions in DuckDB transactions, knows ASSERT, and has a hook for DDL.
"""

from __future__ import annotations

import re
from typing import Any

from bqemulator.domain.errors import InvalidQueryError
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.scripting.ast import SetStmt
from bqemulator.scripting.interpreter import ScriptInterpreter, ScriptResult

from local.cloud.bigquery.ddl import Statement, run_ddl
from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.patches.internals import capture_dml_snapshots, rewrite_vars_to_params
from local.cloud.bigquery.statements import check_single_matches, parse_assert
from local.cloud.bigquery.store import Store

_STRUCT = re.compile(r"\s*\(\s*SELECT\s+AS\s+STRUCT\b", re.IGNORECASE)
_DDL = re.compile(r"\s*(CREATE|DROP|ALTER)\s+(?!(OR\s+REPLACE\s+)?TEMP)", re.IGNORECASE)


def install(store: Store) -> None:
    """Make bqemulator run scripts with the interpreter of this module, on ``store``."""

    class Interpreter(_Interpreter):
        _store = store

    executor.ScriptInterpreter = Interpreter  # type: ignore[misc]
    interpreter.ScriptInterpreter = Interpreter  # type: ignore[misc]


class _Interpreter(ScriptInterpreter):
    _store: Store
    _mark: dict[str, dict[Any, Any]] | None = None

    async def run(self, source: str) -> ScriptResult:
        try:
            return await super().run(source)
        finally:
            if self._mark is not None:
                self._end_transaction(commit=False)

    async def _exec_sql(self, sql: str) -> None:
        asserted = parse_assert(sql)
        if asserted:
            condition, message = asserted
            if await self._eval_expr_scalar(f"({condition})") is not True:
                raise InvalidQueryError(message)
            self._final_table = None
            return
        rewritten, values = rewrite_vars_to_params(self._rewrite_temp_calls(sql), self._frames)
        statement = Statement(store=self._store, sql=rewritten, project=self._project_id, script_values=values)
        if self._mark is not None and _DDL.match(sql):
            raise invalid("Only DML and DDL on temporary tables are supported inside a transaction")
        if await run_ddl(statement):
            self._final_table = None
            return
        await check_single_matches(self._store, rewritten, self._project_id, script_values=values)
        await super()._exec_sql(sql)
        await capture_dml_snapshots(self._project_id, sql, self._ctx)

    async def _exec_set(self, stmt: SetStmt) -> None:
        declared = self._frames.all_visible().get(stmt.targets[0])
        is_struct = len(stmt.targets) == 1 and declared is not None and declared.type_name.upper().startswith("STRUCT")
        if is_struct or not _STRUCT.match(stmt.source_expr):
            await super()._exec_set(stmt)
            return
        values = list((await self._eval_expr_scalar(stmt.source_expr) or {}).values())
        if len(values) != len(stmt.targets):
            raise invalid(f"SET assigns {len(values)} values to {len(stmt.targets)} variables")
        for name, value in zip(stmt.targets, values, strict=True):
            self._frames.set(name, value)

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
