"""Patch of bqemulator 1.4.0: the bodies of functions and materialized views pass the typed translation too.

Wraps ``materialize`` of ``SQLUDFRuntime`` and ``TableValuedRuntime`` of ``bqemulator.udf``, and
``MaterializedViewManager._translate`` of ``bqemulator.versioning.materialized_views``. Replaces ``materialize`` of
``JavaScriptUDFRuntime``, whose error asks for a package.

Why: bqemulator translates these apart from statements (see :mod:`.statement_checks`), so that functions in them would
mean something else than in queries.

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
from local.cloud.bigquery.statements import checked_sql, typed_expression
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.translation import types


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


def _syntax(kind: Mapping[str, Any] | None) -> exp.DataType | None:
    """Return the type of an argument, or of the result, as SQL has it; None if it is not declared."""
    text = _type_sql(kind or {})
    return exp.DataType.build(text, dialect="bigquery") if text else None


def _type_sql(kind: Mapping[str, Any]) -> str:
    name = str(kind.get("typeKind", "")).upper()
    if name == "ARRAY":
        element = _type_sql(kind.get("arrayElementType") or {})
        return f"ARRAY<{element}>" if element else ""
    if name == "STRUCT":
        fields = (kind.get("structType") or {}).get("fields") or ()
        members = [(field.get("name") or "", _type_sql(field.get("type") or {})) for field in fields]
        shown = ", ".join(f"`{name}` {member}" if name else member for name, member in members)
        return f"STRUCT<{shown}>" if members and all(member for _, member in members) else ""
    return name if types.named(name) else ""


def install(store: Store) -> None:
    """Make bqemulator translate typed bodies."""
    scalar, table, view = SQLUDFRuntime.materialize, TableValuedRuntime.materialize, MaterializedViewManager._translate

    def typed_scalar(self: SQLUDFRuntime, routine: RoutineMeta, engine: Any) -> None:
        for kind in (*(argument.data_type for argument in routine.arguments), routine.return_type):
            _check_type(kind or {})
        kinds = {argument.name: _syntax(argument.data_type) for argument in routine.arguments}
        body = typed_expression(routine.definition_body, kinds, _syntax(routine.return_type))
        scalar(self, routine.model_copy(update={"definition_body": body}), engine)

    def typed_table(self: TableValuedRuntime, routine: RoutineMeta, engine: Any) -> None:
        body = checked_sql(store, routine.definition_body, routine.project_id)
        table(self, routine.model_copy(update={"definition_body": body}), engine)

    def typed_view(self: MaterializedViewManager, bq_sql: str, project_id: str) -> str:
        return view(self, checked_sql(store, bq_sql, project_id), project_id)

    JavaScriptUDFRuntime.materialize = _refuse_other_language  # type: ignore[method-assign]
    SQLUDFRuntime.materialize = typed_scalar  # type: ignore[method-assign]
    TableValuedRuntime.materialize = typed_table  # type: ignore[method-assign]
    MaterializedViewManager._translate = typed_view  # type: ignore[method-assign]
