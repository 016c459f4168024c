"""The functions of datasets and scripts that a statement calls, with their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlglot
from bqemulator.catalog.models import RoutineMeta
from bqemulator.udf.naming import qualified_routine_name
from sqlglot import exp

from local.cloud.bigquery.store import Store
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import annotate
from local.cloud.bigquery.translation.arguments import bind_arguments
from local.cloud.bigquery.translation.types import Type
from local.cloud.bigquery.translation.user_functions import Signature, mark_calls, path_of

TEMPORARY = "_bqemu_temp_"
"""Is in the names that bqemulator gives to a script's temporary functions."""
_DEPTH = 16


def signatures(store: Store, tree: exp.Expression, project: str, *, depth: int = 0) -> dict[str, Signature]:
    """Return the signatures of the users' functions that a statement calls, by the path of the call.

    Args:
        store: knows the functions.
        tree: the statement.
        project: the project of names that have none.
        depth: how many functions are around the call.
    """
    found = {}
    for call in tree.find_all(exp.Anonymous):
        path = path_of(call, project)
        routine = _routine(store, path, project)
        if routine is not None and depth < _DEPTH:
            found[path] = _signature(store, routine, depth)
    return found


def _routine(store: Store, path: str, project: str) -> RoutineMeta | None:
    if TEMPORARY in path:
        known = list(store.context.udf_registry._routines.values())
        return next((routine for routine in known if qualified_routine_name(routine) == path), None)
    dataset, _, name = path.partition(".")
    return store.catalog.get_routine(project, dataset, name) if name and "." not in name else None


def _signature(store: Store, routine: RoutineMeta, depth: int) -> Signature:
    is_temporary = routine.dataset_id.startswith(TEMPORARY)
    name = routine.routine_id if is_temporary else f"{routine.dataset_id}.{routine.routine_id}"
    arguments = tuple(types.of_syntax(type_syntax(argument.data_type)) for argument in routine.arguments)
    if routine.routine_type == "TABLE_VALUED_FUNCTION":
        return Signature(name, "table-valued function", arguments)
    declared = types.of_syntax(type_syntax(routine.return_type))
    return Signature(name, "function", arguments, declared or _type_of_body(store, routine, depth))


def _type_of_body(store: Store, routine: RoutineMeta, depth: int) -> Type | None:
    """Return the type of a function's expression, which is that of its result if it declares none."""
    try:
        tree = sqlglot.parse_one(f"SELECT {routine.definition_body}", read="bigquery")
    except sqlglot.errors.SqlglotError:
        return None
    if not isinstance(tree, exp.Select) or not tree.expressions:
        return None
    mark_calls(tree, signatures(store, tree, routine.project_id, depth=depth + 1), routine.project_id)
    kinds = {one.name.lower(): type_syntax(one.data_type) for one in routine.arguments}
    values = {name: exp.cast(exp.null(), kind) for name, kind in kinds.items() if kind}
    bind_arguments(annotate(tree, lambda _: None, {}), values)
    return annotate(tree, lambda _: None, {}).of(tree.expressions[0].unalias())


def type_syntax(kind: Mapping[str, Any] | None) -> exp.DataType | None:
    """Return the type of an argument, or of the result, as SQL has it; None if it is not declared."""
    text = type_sql(kind or {})
    return exp.DataType.build(text, dialect="bigquery") if text else None


def type_sql(kind: Mapping[str, Any]) -> str:
    """Return a type of the API as SQL writes it; empty if there is none."""
    name = str(kind.get("typeKind", "")).upper()
    if name == "ARRAY":
        element = type_sql(kind.get("arrayElementType") or {})
        return f"ARRAY<{element}>" if element else ""
    if name == "STRUCT":
        fields = (kind.get("structType") or {}).get("fields") or ()
        members = [(field.get("name") or "", type_sql(field.get("type") or {})) for field in fields]
        shown = ", ".join(f"`{name}` {member}" if name else member for name, member in members)
        return f"STRUCT<{shown}>" if members and all(member for _, member in members) else ""
    return name if types.named(name) else ""
