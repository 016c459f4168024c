"""What a finished query tells of its tables and rows: the tables that it has read, and the rows that DML has changed.

Source: "Job", JobStatistics2 (https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobstatistics2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bqemulator.catalog.models import TableMeta
from sqlglot import exp

from local.cloud.bigquery.partitions import TableRef
from local.cloud.bigquery.statements import MAX_VIEW_DEPTH, parse, referenced, target_of
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.wildcards import matching_tables
from local.cloud.bigquery.writes import count_rows

_COUNTS = {
    "INSERT": "insertedRowCount",
    "UPDATE": "updatedRowCount",
    "DELETE": "deletedRowCount",
    "TRUNCATE_TABLE": "deletedRowCount",
}


def reference(table: TableRef) -> dict[str, str]:
    """Return a ``TableReference``."""
    project, dataset, name = table.key
    return {"projectId": project, "datasetId": dataset, "tableId": name}


def referenced_tables(store: Store, sql: str, project: str) -> list[dict[str, str]]:
    """Return the tables that a statement reads, those behind its views included."""
    tree = parse(sql)
    if not isinstance(tree, exp.Query | exp.DML) and not (isinstance(tree, exp.Create) and tree.expression):
        return []
    refs = dict.fromkeys(_tables(store, tree, project, depth=0))
    return [{"projectId": table[0], "datasetId": table[1], "tableId": table[2]} for table in refs]


def _tables(store: Store, tree: exp.Expression, project: str, *, depth: int) -> Iterator[tuple[str, str, str]]:
    written = target_of(tree) if isinstance(tree, exp.Insert) else tree.this if isinstance(tree, exp.Create) else None
    for node, ref in referenced(tree, project):
        if node is written:
            continue
        for table in _matching(store, ref):
            body = parse(table.view_query) if table.view_query and depth < MAX_VIEW_DEPTH else None
            if body is not None and table.table_type == "VIEW":
                yield from _tables(store, body, project, depth=depth + 1)
            else:
                yield table.project_id, table.dataset_id, table.table_id


def _matching(store: Store, ref: TableRef) -> list[TableMeta]:
    """Return the table of a name, or those of a wildcard table."""
    if ref.table.endswith("*"):
        return matching_tables(store, ref)
    table = store.catalog.get_table(*ref.key)
    return [table] if table else []


class ChangedRows:
    """Counts the rows that a DML statement inserts, updates and deletes.

    DuckDB tells only how many a MERGE changes. Its actions of two kinds are told apart by the number of rows before and
    after; those of all three kinds cannot be.
    """

    def __init__(self, store: Store, sql: str, project: str) -> None:
        """Count the rows of a MERGE's target, before it runs."""
        tree = parse(sql)
        self._store = store
        self._kinds: set[str] = set()
        self._target: TableRef | None = None
        if isinstance(tree, exp.Merge):
            self._kinds = {_action(when) for when in tree.find_all(exp.When)}
            self._target = next((ref for node, ref in referenced(tree, project) if node is tree.this), None)
        self._before = count_rows(store, self._target) if self._target else 0

    def statistics(self, statement_type: str, affected: int) -> dict[str, str]:
        """Return the ``DmlStats`` of the statement that has changed ``affected`` rows; empty if they are not known."""
        counts: dict[str, int] = {}
        if statement_type in _COUNTS:
            counts = {statement_type: affected}
        elif len(self._kinds) == 1:
            counts = dict.fromkeys(self._kinds, affected)
        elif len(self._kinds) == 2 and self._target:
            counts = self._of_two_kinds(affected, count_rows(self._store, self._target) - self._before)
        merged = dict.fromkeys(_COUNTS.values(), 0) if statement_type == "MERGE" and counts else {}
        return {name: str(count) for name, count in {**merged, **{_COUNTS[k]: n for k, n in counts.items()}}.items()}

    def _of_two_kinds(self, affected: int, more: int) -> dict[str, int]:
        if "UPDATE" in self._kinds:
            other = "INSERT" if "INSERT" in self._kinds else "DELETE"
            return {other: abs(more), "UPDATE": affected - abs(more)}
        inserted = (affected + more) // 2
        return {"INSERT": inserted, "DELETE": affected - inserted}


def _action(when: exp.When) -> str:
    then: Any = when.args["then"]
    return str(then.name if isinstance(then, exp.Var) else then.key).upper()
