"""Aliases of the SELECT list that have the name of a column.

In GROUP BY, HAVING, QUALIFY and ORDER BY they override the names of FROM. DuckDB prefers the column, other than as a
whole key of ORDER BY. The annotation marks the columns that stand for an alias. When the rules have been applied,
:func:`replace_aliases` puts the alias's expression, or its position, in their place.

Source: "Query syntax", GROUP BY clause
(https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#group_by_clause), and HAVING and ORDER BY
clause. The arguments of aggregate functions and of window functions name columns of FROM.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlglot import exp

from local.cloud.bigquery.limits import limit

_MARK = "alias_of_select"
_OPAQUE = (exp.Query, exp.AggFunc, exp.Window)
"""Nodes in which names stand for columns of FROM, or of another query."""


def selected_names(query: exp.Select) -> Mapping[str, exp.Expression]:
    """Return the items of a SELECT list by lower-case name, without plain columns and names that repeat."""
    names: dict[str, list[exp.Expression]] = {}
    for item in query.expressions:
        if isinstance(item, exp.Alias | exp.Column) and not item.is_star:
            names.setdefault(item.alias_or_name.lower(), []).append(item)
    return {name: items[0] for name, items in names.items() if len(items) == 1 and not _is_column(items[0], name)}


def _is_column(item: exp.Expression, name: str) -> bool:
    """Return whether an item is the column of its own name, so that the alias changes nothing."""
    value = item.unalias()
    return isinstance(value, exp.Column) and len(value.parts) == 1 and value.name.lower() == name


def mark_aliases(query: exp.Select, names: Collection[str]) -> bool:
    """Mark the columns in the clauses after the SELECT list that stand for an alias.

    In GROUP BY, only a whole key can be an alias.

    Args:
        query: the query.
        names: the aliases, in lower case, that FROM may have too.

    Returns:
        Whether there are any.
    """
    keys = [node for node in _group_keys(query) if isinstance(node, exp.Column)]
    clauses = [clause for name in ("having", "qualify", "order") if (clause := query.args.get(name)) is not None]
    columns = [
        node
        for clause in clauses
        for node in clause.walk(prune=lambda node: isinstance(node, _OPAQUE))
        if isinstance(node, exp.Column)
    ]
    marked = [node for node in (*keys, *columns) if len(node.parts) == 1 and node.name.lower() in names]
    for node in marked:
        node.meta[_MARK] = True
    return bool(marked)


def _group_keys(query: exp.Select) -> list[exp.Expression]:
    """Return the keys of GROUP BY, also of ROLLUP, CUBE and GROUPING SETS."""
    group = query.args.get("group")
    nodes: list[exp.Expression] = [group] if group is not None else []
    keys: list[exp.Expression] = []
    while nodes:
        for part in nodes.pop().iter_expressions():
            is_list = isinstance(part, exp.Rollup | exp.Cube | exp.GroupingSets | exp.Tuple | exp.Paren)
            (nodes if is_list else keys).append(part)
    return keys


def is_alias(node: exp.Column) -> bool:
    """Return whether a column is marked as an alias of the SELECT list."""
    return bool(node.meta.get(_MARK))


def replace_aliases(tree: exp.Expression) -> None:
    """Replace the marked columns of a tree by the expressions of their aliases, or by their positions in GROUP BY.

    A copied expression may be a query with marked columns of its own, so the tree is searched until none is left.
    """
    while marked := [node for node in tree.find_all(exp.Column) if is_alias(node)]:
        for node in marked:
            node.meta.pop(_MARK)
            if not (isinstance(node.parent, exp.Ordered) and isinstance(node.parent.parent.parent, exp.Select)):
                _replace(node)


def _replace(node: exp.Column) -> None:
    query = node.find_ancestor(exp.Select)
    item = selected_names(query).get(node.name.lower()) if query is not None else None
    if query is None or item is None:
        return
    position = next(number for number, other in enumerate(query.expressions, 1) if other is item)
    is_key = isinstance(node.find_ancestor(exp.Group, exp.Select), exp.Group)
    if is_key and not query.args.get("kind") and not any(other.is_star for other in query.expressions[:position]):
        node.replace(exp.Literal.number(position))  # the same expression twice may not be equal: with parameters
        return
    value = item.unalias().copy()
    if query.args.get("group") is not None and value.find(exp.Parameter):
        raise limit(
            f"compute with the alias {node.name}, whose expression has a query parameter, in HAVING, QUALIFY or a "
            "longer key of ORDER BY, while FROM has a column of its name; give the alias another name"
        )
    node.replace(exp.paren(value) if isinstance(value, exp.Binary | exp.Unary | exp.Predicate) else value)
