"""BigQuery's REST answers as plain values, in the spelling of the corpus."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
_EPOCH = datetime(1970, 1, 1)
_TOLERANCE = 1e-13
"""Relative difference of two FLOAT64 that count as equal: the last bits depend on the order of additions."""


def columns(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return GoogleSQL's types by column name."""
    return {field["name"]: _type(field) for field in schema.get("fields", ())}


def rows(answer: Mapping[str, Any]) -> list[list[Any]]:
    """Return the rows of an answer of ``jobs.query``."""
    fields = answer.get("schema", {}).get("fields", ())
    return [_cells(row["f"], fields) for row in answer.get("rows", ())]


def is_same(expected: Any, found: Any) -> bool:
    """Compare a value of a case with one of an answer."""
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(expected) == len(found)
            and all(is_same(*pair) for pair in zip(expected, found, strict=True))
        )
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and list(expected) == list(found)
            and all(is_same(expected[name], found[name]) for name in expected)
        )
    if isinstance(found, float):
        if isinstance(expected, bool) or not isinstance(expected, int | float):
            return False
        return math.isclose(expected, found, rel_tol=_TOLERANCE) or (math.isnan(expected) and math.isnan(found))
    return type(expected) is type(found) and expected == found


def _type(field: Mapping[str, Any]) -> str:
    name = _NAMES.get(field["type"], field["type"])
    if name == "STRUCT":
        name += f"<{', '.join(' '.join((one['name'], _type(one))) for one in field['fields'])}>"
    elif name == "RANGE":
        name += f"<{field['rangeElementType']['type']}>"
    return f"ARRAY<{name}>" if field.get("mode") == "REPEATED" else name


def _cells(cells: Sequence[Mapping[str, Any]], fields: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [_cell(cell["v"], field) for cell, field in zip(cells, fields, strict=True)]


def _cell(value: Any, field: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    if field.get("mode") == "REPEATED":
        one = {**field, "mode": "NULLABLE"}
        return [_cell(element["v"], one) for element in value]
    match _NAMES.get(field["type"], field["type"]):
        case "INT64":
            return int(value)
        case "FLOAT64":
            return float(value)
        case "BOOL":
            return {"true": True, "false": False}[str(value).lower()]
        case "STRUCT":
            names = [one["name"] for one in field["fields"]]
            return dict(zip(names, _cells(value["f"], field["fields"]), strict=True))
        case "JSON":
            return json.loads(value)
        case "TIMESTAMP":
            return _timestamp(int(value))
        case "DATETIME" | "TIME":
            return _short(str(value).replace("T", " "))
        case _:
            return str(value)


def _timestamp(microseconds: int) -> str:
    return _short((_EPOCH + timedelta(microseconds=microseconds)).isoformat(" ", "microseconds")) + "+00"


def _short(text: str) -> str:
    """Drop the digits of a second's fraction that ``CAST(... AS STRING)`` drops."""
    seconds, _, fraction = text.partition(".")
    fraction = fraction.removesuffix("000").removesuffix("000")
    return f"{seconds}.{fraction}" if fraction else seconds
