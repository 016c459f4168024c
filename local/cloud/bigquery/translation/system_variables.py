"""System variables: names that start with ``@@``.

Source: "System variables" (https://cloud.google.com/bigquery/docs/reference/system-variables).
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from local.cloud.bigquery.limits import limit

_OF_SCRIPTS = {"row_count": "INT64", "error.message": "STRING"}


def replace_system_variables(
    tree: exp.Expression, project: str, value: Callable[[str, str], exp.Expression] | None = None
) -> bool:
    """Replace system variables by their values.

    Args:
        tree: a statement.
        project: the project.
        value: returns the value of a variable that scripts set, given its name and type; NULL outside of scripts.

    Returns:
        Whether the tree has changed.

    Raises:
        ValidationError: the emulator does not have the variable.
    """
    changed = False
    for node in list(tree.find_all(exp.Parameter)):
        if not isinstance(node.this, exp.Parameter):
            continue
        site = node.parent if isinstance(node.parent, exp.Dot) else node
        name = node.this.name.lower() + (f".{site.expression.name.lower()}" if site is not node else "")
        site.replace(_value(name, project, value))
        changed = True
    return changed


def _value(name: str, project: str, value: Callable[[str, str], exp.Expression] | None) -> exp.Expression:
    if name in ("project_id", "dataset_project_id"):
        return exp.Literal.string(project)
    if name == "time_zone":
        return exp.Literal.string("UTC")
    if name in _OF_SCRIPTS:
        kind = _OF_SCRIPTS[name]
        return value(name, kind) if value else exp.cast(exp.null(), kind, dialect="bigquery")
    raise limit(f"have the system variable @@{name}")
