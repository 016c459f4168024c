"""The arguments of functions in their bodies, and the names of functions in calls.

Source: "User-defined functions" (https://cloud.google.com/bigquery/docs/user-defined-functions) and "Table functions"
(https://cloud.google.com/bigquery/docs/table-functions).
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from local.cloud.bigquery.translation.annotation import Types

_PREFIX = "_argument_"


def private_name(name: str) -> str:
    """Return the name that an argument has below: one that no column has.

    DuckDB's macros put an argument also where a column has its name.
    """
    return _PREFIX + name.lower()


def bind_arguments(known: Types, arguments: Mapping[str, exp.Expression]) -> None:
    """Put expressions where the body of a function names its arguments; a column of FROM hides one of its name.

    Args:
        known: the types of the body, which say what no column of FROM is.
        arguments: the expression for each argument, by its name in lower case.
    """
    for node in known.unresolved:
        first, *rest = [part.name for part in node.parts]
        if first.lower() not in arguments:
            continue
        value = arguments[first.lower()].copy()
        for name in rest:
            value = exp.Dot(this=exp.paren(value), expression=exp.to_identifier(name))
        if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
            value = exp.alias_(value, node.name)
        node.replace(value)


def name_functions(tree: exp.Expression, project: str) -> bool:
    """Write the names of the project's functions in one of the ways that backticks allow; return whether one changed.

    ``d.f(1)``, `` `d`.f(1)``, `` `d.f`(1)`` and the same with a project before them call one function.
    """
    changed = False
    for call in list(tree.find_all(exp.Anonymous)):
        outer = call.parent
        if isinstance(outer, exp.Table) and not outer.db and "." in call.name:
            *project, dataset, name = call.name.split(".")
            call.set("this", name)
            outer.set("db", exp.to_identifier(dataset, quoted=True))
            outer.set("catalog", exp.to_identifier(".".join(project), quoted=True) if project else None)
            changed = True
        elif isinstance(outer, exp.Dot) and outer.expression is call:
            path = ".".join([*(part.name for part in outer.flatten() if part is not call), call.name])
            own = path.removeprefix(f"{project}.")
            if own.count(".") == 1 and own != path:
                call.set("this", exp.to_identifier(own, quoted=True))
                outer.replace(call)
                changed = True
    return changed
