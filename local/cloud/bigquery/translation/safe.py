"""The prefix SAFE.

Source: "Function calls", SAFE. prefix
(https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-reference#safe_prefix).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation.annotation import Types
from local.cloud.bigquery.translation.rules import Context, call, is_simple, rule

_NAME = "bq_safe"


@rule(exp.SafeFunc)
def safe_prefix(node: exp.SafeFunc, context: Context) -> exp.Expression | None:
    """``SAFE.function(...)`` is NULL where the function fails.

    Source: "Function calls", SAFE. prefix.
    """
    return call("TRY", node.this)


def isolate_arguments(tree: exp.Expression, known: Types) -> bool:
    """Evaluate the arguments of functions with the prefix SAFE outside of them, where their errors stay errors.

    Returns:
        Whether the tree has changed.
    """
    changed = False
    for node in reversed(list(tree.find_all(exp.SafeFunc))):
        if isinstance(node, exp.SafeFunc):
            if isinstance(node.this, exp.AggFunc):
                raise invalid(f"Function {node.this.sql_name()} does not support SAFE error mode")
            changed = _isolate(node, known) or changed
    return changed


def _isolate(node: exp.SafeFunc, known: Types) -> bool:
    parts = [part for part in node.this.iter_expressions() if known.of(part) is not None and not is_simple(part)]
    if not parts:
        return False
    fields = []
    for number, part in enumerate(parts):
        name = call("struct_extract", exp.column(_NAME), f"p{number}")
        known.set(name, known.of(part))
        parent, key, index = part.parent, part.arg_key, part.index
        fields.append(exp.PropertyEQ(this=exp.to_identifier(f"p{number}"), expression=part))
        parent.set(key, name, index)
    site, key, index = node.parent, node.arg_key, node.index
    kind = known.of(node)
    function = exp.Lambda(this=node, expressions=[exp.to_identifier(_NAME)])
    values = exp.Array(expressions=[exp.Struct(expressions=fields)])
    result = call("list_extract", call("list_transform", values, function), 1)
    known.set(result, kind)
    site.set(key, result, index)
    return True
