"""Patch of bqemulator 1.4.0: the bodies of functions and materialized views pass the typed translation too.

Wraps ``materialize`` of ``SQLUDFRuntime`` and ``TableValuedRuntime`` of ``bqemulator.udf``, and
``MaterializedViewManager._translate`` of ``bqemulator.versioning.materialized_views``. Replaces ``materialize`` of
``JavaScriptUDFRuntime``, whose error asks for a package.

Why: bqemulator translates these apart from statements (see :mod:`.statement_checks`), so that functions in them would
mean something else than in queries. It also keeps the names of arguments, which hide columns then.

Can be removed when bqemulator has one hook for all that it translates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bqemulator.catalog.models import RoutineMeta
from bqemulator.udf.js_udf import JavaScriptUDFRuntime
from bqemulator.udf.sql_udf import SQLUDFRuntime
from bqemulator.udf.table_valued import TableValuedRuntime
from bqemulator.versioning.materialized_views import MaterializedViewManager
from sqlglot import exp

from local.cloud.bigquery.limits import limit
from local.cloud.bigquery.script_variables import declared_type
from local.cloud.bigquery.statements import checked_sql, typed_expression, typed_table
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.translation.arguments import private_name
from local.cloud.bigquery.user_functions import type_sql, type_syntax


def _refuse_other_language(*_: Any) -> None:
    raise limit("run functions in JavaScript; write them in SQL")


def _check_type(kind: Mapping[str, Any]) -> None:
    """Refuse a type that does not exist, as that of an argument or of the result."""
    name = str(kind.get("typeKind", "")).upper()
    if name == "ARRAY":
        _check_type(kind.get("arrayElementType") or {})
    elif name == "STRUCT":
        for field in (kind.get("structType") or {}).get("fields") or ():
            _check_type(field.get("type") or {})
    else:
        declared_type(name)


def routine_ddl(routine: RoutineMeta) -> str:
    """Return the statement that makes a function or a procedure."""
    what = {"TABLE_VALUED_FUNCTION": "TABLE FUNCTION", "PROCEDURE": "PROCEDURE"}.get(routine.routine_type, "FUNCTION")
    modes = [f"{one.mode} " if one.mode and what == "PROCEDURE" else "" for one in routine.arguments]
    kinds = [type_sql(one.data_type or {}) for one in routine.arguments]
    arguments = ", ".join(
        f"{mode}{one.name} {kind}".rstrip() for mode, one, kind in zip(modes, routine.arguments, kinds, strict=True)
    )
    head = f"CREATE {what} `{routine.project_id}.{routine.dataset_id}.{routine.routine_id}`({arguments})"
    if what == "PROCEDURE":
        return f"{head}\nBEGIN\n{routine.definition_body}\nEND;"
    result = f" RETURNS {type_sql(routine.return_type)}" if routine.return_type and what == "FUNCTION" else ""
    return f"{head}{result} AS ({routine.definition_body});"


def _argument_types(routine: RoutineMeta) -> dict[str, exp.DataType | None]:
    """Return the types of the arguments by their names in lower case, after a check that they exist."""
    for argument in routine.arguments:
        _check_type(argument.data_type or {})
    return {argument.name.lower(): type_syntax(argument.data_type) for argument in routine.arguments}


def _with_body(routine: RoutineMeta, body: str) -> RoutineMeta:
    """Return the function with a body that has the arguments' private names."""
    renamed = tuple(one.model_copy(update={"name": private_name(one.name)}) for one in routine.arguments)
    return routine.model_copy(update={"definition_body": body, "arguments": renamed})


def install(store: Store) -> None:
    """Make bqemulator translate typed bodies."""
    scalar, table, view = SQLUDFRuntime.materialize, TableValuedRuntime.materialize, MaterializedViewManager._translate

    def materialize_scalar(self: SQLUDFRuntime, routine: RoutineMeta, engine: Any) -> None:
        kinds, result = _argument_types(routine), type_syntax(routine.return_type)
        _check_type(routine.return_type or {})
        body = typed_expression(store, routine.definition_body, routine.project_id, kinds, result)
        scalar(self, _with_body(routine, body), engine)

    def materialize_table(self: TableValuedRuntime, routine: RoutineMeta, engine: Any) -> None:
        body = typed_table(store, routine.definition_body, routine.project_id, _argument_types(routine))
        table(self, _with_body(routine, body), engine)

    def typed_view(self: MaterializedViewManager, bq_sql: str, project_id: str) -> str:
        return view(self, checked_sql(store, bq_sql, project_id), project_id)

    JavaScriptUDFRuntime.materialize = _refuse_other_language  # type: ignore[method-assign]
    SQLUDFRuntime.materialize = materialize_scalar  # type: ignore[method-assign]
    TableValuedRuntime.materialize = materialize_table  # type: ignore[method-assign]
    MaterializedViewManager._translate = typed_view  # type: ignore[method-assign]
