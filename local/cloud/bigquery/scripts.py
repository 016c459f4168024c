"""Multi-statement scripts: DDL of :mod:`ddl`, ASSERT, and transactions that are DuckDB's own.

bqemulator emulates transactions with copies of the tables, which other readers see half changed and a crash leaves
half changed. Here BEGIN TRANSACTION is DuckDB's; what BigQuery says of a script that ends inside one holds: it is
rolled back.
"""

from __future__ import annotations

import re
from typing import Any

from bqemulator.domain.errors import InvalidQueryError
from bqemulator.jobs import executor
from bqemulator.scripting.interpreter import ScriptInterpreter, ScriptResult, _rewrite_vars_to_params

from local.cloud.bigquery.ddl import Statement, run_ddl
from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.statements import check_single_matches, check_statement, with_named_columns
from local.cloud.bigquery.store import Store

_ASSERT = re.compile(r"\s*ASSERT\b(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_DESCRIPTION = re.compile(
    r"""(?P<condition>.*)\bAS\s+(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*;?\s*""", re.I | re.S
)


def parse_assert(sql: str) -> tuple[str, str] | None:
    """Split ``ASSERT condition [AS 'message']`` into the condition and the message; None for other statements."""
    match = _ASSERT.fullmatch(sql)
    if not match:
        return None
    described = _DESCRIPTION.fullmatch(match["rest"])
    condition = (described["condition"] if described else match["rest"]).strip().removesuffix(";")
    return condition, described["text"][1:-1] if described else f"Assertion failed: {condition.strip()}"


def install(store: Store) -> None:
    """Make bqemulator check each statement first, and run scripts with the interpreter of this module."""
    import bqemulator.scripting.interpreter as interpreter

    translate = executor.rewrite_and_translate_statement

    async def checked(bq_sql: str, *, project_id: str, **kwargs: Any) -> str:
        check_statement(store, bq_sql, project_id)
        return await translate(with_named_columns(bq_sql), project_id=project_id, **kwargs)

    class Interpreter(_Interpreter):
        _store = store

    executor.rewrite_and_translate_statement = checked
    interpreter.rewrite_and_translate_statement = checked
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
        rewritten, values = _rewrite_vars_to_params(self._rewrite_temp_calls(sql), self._frames)
        statement = Statement(store=self._store, sql=rewritten, project=self._project_id, script_values=values)
        if self._mark is not None and re.match(
            r"\s*(CREATE|DROP|ALTER)\s+(?!(OR\s+REPLACE\s+)?TEMP)", sql, re.IGNORECASE
        ):
            raise invalid("Only DML and DDL on temporary tables are supported inside a transaction")
        if await run_ddl(statement):
            self._final_table = None
            return
        await check_single_matches(self._store, rewritten, self._project_id, script_values=values)
        await super()._exec_sql(sql)
        await executor._capture_dml_snapshots(self._project_id, sql, self._ctx)

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
