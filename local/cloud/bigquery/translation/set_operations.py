"""Set operations that match columns by their names: BY NAME and CORRESPONDING.

Source: "Query syntax", set operators
(https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#set_operators). DuckDB has BY NAME only, and
fills columns that one side has not.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation.annotation import Types


def expand_by_name(tree: exp.Expression, known: Types) -> bool:
    """Give the columns of the innermost set operation by name the same order, in place.

    Returns:
        Whether there was one; then the types are to be found again.

    Raises:
        ValidationError: the columns do not match, or are not known.
    """
    found = [node for node in tree.find_all(exp.SetOperation) if node.args.get("by_name")]
    if not found:
        return False
    node = found[-1]
    sides = node.this, node.expression
    columns = [known.results.get(id(side)) for side in sides]
    names = [[name for name, _ in one.pairs] if one is not None else [] for one in columns]
    if not all(names) or "" in (*names[0], *names[1]):
        raise limit("match columns of a set operation by name whose names are not known; name them")
    wanted = _matched(node, *names)
    for key, side, has in zip(("this", "expression"), sides, names, strict=True):
        present = {name.lower() for name in has}
        items = [
            exp.column(name, quoted=True) if name.lower() in present else exp.alias_(exp.null(), name, quoted=True)
            for name in wanted
        ]
        inner = side.copy() if isinstance(side, exp.Subquery) else side.copy().subquery()
        inner.set("alias", exp.TableAlias(this=exp.to_identifier("bq_side")))
        node.set(key, exp.select(*items).from_(inner))
    for option in ("by_name", "side", "kind", "on"):
        node.set(option, None)
    return True


def _matched(node: exp.SetOperation, left: Sequence[str], right: Sequence[str]) -> list[str]:
    """Return the columns of the result."""
    name = f"{type(node).__name__.upper()} {'DISTINCT' if node.args.get('distinct') else 'ALL'}"
    side, is_inner = str(node.args.get("side") or "").upper(), str(node.args.get("kind") or "").upper() == "INNER"
    lefts, rights = ({column.lower(): column for column in columns} for columns in (left, right))
    if len(lefts) < len(left) or len(rights) < len(right):
        raise invalid(f"{name} by name has two columns of the same name in a query")
    listed = [column.name for column in node.args.get("on") or ()]
    if listed:
        missing = [column for column in listed if column.lower() not in {**lefts, **rights}]
        if missing:
            raise invalid(f"Column {missing[0]} in the list of {name} by name does not exist in its queries")
        lefts = {column.lower(): column for column in listed}
        if side or is_inner:
            raise limit(f"run {name} by name with both a mode and a list of columns; select the columns")
        for query in (left, right):
            absent = set(lefts) - {column.lower() for column in query}
            if absent:
                raise invalid(f"Column {sorted(absent)[0]} of {name} by name is missing in one of its queries")
        return listed
    common = [column for key, column in lefts.items() if key in rights]
    if not side and not is_inner and set(lefts) != set(rights):
        shown = " and ".join(f"[{', '.join(columns)}]" for columns in (left, right))
        raise invalid(f"{name} by name without a mode needs queries with the same columns, but they have {shown}")
    if not common and side != "FULL":
        raise invalid(f"{name} by name has queries without a common column")
    if side == "FULL":
        return [*left, *(column for key, column in rights.items() if key not in lefts)]
    return list(left) if side == "LEFT" or not is_inner else common
