"""Calls of users' functions: their arguments must coerce to the declared types, and their results have a type.

Source: "User-defined functions" (https://cloud.google.com/bigquery/docs/user-defined-functions) and "Conversion rules",
coercion (https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import is_literal
from local.cloud.bigquery.translation.assignments import coerces
from local.cloud.bigquery.translation.functions import SIGNATURE
from local.cloud.bigquery.translation.rules import Context, named, rule
from local.cloud.bigquery.translation.types import Type


@dataclass(frozen=True)
class Signature:
    """What a function takes and returns.

    Attributes:
        name: as BigQuery's errors have it: with its dataset, if it is not temporary.
        kind: ``function``, or ``table-valued function``.
        arguments: their types; None for those that are not known.
        result: its type; None if it is not known, and for a table function.
    """

    name: str
    kind: str
    arguments: tuple[Type | None, ...]
    result: Type | None = None


def path_of(call: exp.Anonymous, project: str) -> str:
    """Return the name that a call has, with its dataset, and with its project if that is another one."""
    outer = call.parent
    if isinstance(outer, exp.Dot) and outer.expression is call:
        parts = [part.name for part in outer.flatten() if part is not call]
    elif isinstance(outer, exp.Table):
        parts = [part for part in (outer.catalog, outer.db) if part]
    else:
        parts = []
    return ".".join([*parts, call.name]).removeprefix(f"{project}.")


def mark_calls(tree: exp.Expression, signatures: Mapping[str, Signature], project: str) -> None:
    """Give each call of a user's function its signature."""
    for call in tree.find_all(exp.Anonymous) if signatures else ():
        signature = signatures.get(path_of(call, project))
        if signature is not None:
            call.meta[SIGNATURE] = signature


@rule(exp.Anonymous, first=True)
def check_arguments(node: exp.Anonymous, context: Context) -> exp.Expression | None:
    """Refuse arguments that BigQuery does not coerce to the types that a user's function declares.

    Source: "Conversion rules", coercion.
    """
    signature = node.meta.get(SIGNATURE)
    if not isinstance(signature, Signature):
        return None
    given = [context.of(argument) for argument in node.expressions]
    if len(given) != len(signature.arguments) or not all(
        kind is None or wanted is None or coerces(kind, wanted, literal=_adapts(argument, kind))
        for argument, kind, wanted in zip(node.expressions, given, signature.arguments, strict=True)
    ):
        wanted = f"{signature.name}({named(signature.arguments)})"
        shown = named(given) if all(given) else "the given ones"
        raise invalid(
            f"No matching signature for {signature.kind} {signature.name} for argument types: {shown}. "
            f"Supported signature: {wanted}"
        )
    return None


def _adapts(argument: exp.Expression, kind: Type) -> bool:
    return is_literal(argument) or (isinstance(argument, exp.Parameter) and kind == types.STRING)
