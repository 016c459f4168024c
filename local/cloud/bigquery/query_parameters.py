"""Query parameters as the request gives them: their values are checked, and written as bqemulator reads them.

Source: "Running parameterized queries" (https://cloud.google.com/bigquery/docs/parameterized-queries).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import time_formats

DECLARED = "declaredType"
"""The key of a parameter's own type: bqemulator gets those of type BYTES and JSON as strings."""
_INT64 = range(-(2**63), 2**63)


def _int64(text: str) -> str:
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"Bad int64 value: {text}") from None
    if value not in _INT64:
        raise ValueError(f"Bad int64 value: {text}")
    return str(value)


def _float64(text: str) -> str:
    try:
        return str(float(text))
    except ValueError:
        raise ValueError(f"Bad double value: {text}") from None


def _numeric(text: str) -> str:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value) >= 10**29:
        raise ValueError(f"Invalid NUMERIC value: {text}")
    return str(value)


def _bool(text: str) -> str:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"Bad bool value: {text}")
    return text.lower()


_READERS: dict[str, Callable[[str], str]] = {
    **{"INT64": _int64, "FLOAT64": _float64, "NUMERIC": _numeric, "BOOL": _bool, "STRING": str, "BYTES": str},
    "JSON": str,
    "DATE": lambda text: time_formats.date_of(text).isoformat(),
    "DATETIME": lambda text: time_formats.datetime_of(text).isoformat(),
    "TIME": lambda text: time_formats.time_of(text).isoformat(),
    "TIMESTAMP": lambda text: f"{time_formats.timestamp_of(text).isoformat()}+00:00",
}
_ALIASES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
_AS_TEXT = ("BYTES", "JSON")


def read_parameters(parameters: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Check the parameters of a request and return them with normal values.

    Raises:
        ValidationError: a value is none of its type, or the emulator does not bind parameters of that type.
    """
    return [_read(parameter) for parameter in parameters]


def _read(parameter: Mapping[str, Any]) -> dict[str, Any]:
    name = str(parameter.get("name") or "positional")
    kind = parameter.get("parameterType") or {}
    value = _value(name, kind, parameter.get("parameterValue") or {}, top=True)
    as_text = str(kind.get("type", "")).upper() in _AS_TEXT
    bound = {"type": "STRING"} if as_text else kind
    return {**parameter, "parameterType": bound, "parameterValue": value, DECLARED: kind}


def _value(name: str, kind: Mapping[str, Any], given: Mapping[str, Any], *, top: bool = False) -> dict[str, Any]:
    type_name = _ALIASES.get(str(kind.get("type", "")).upper(), str(kind.get("type", "")).upper())
    if type_name == "ARRAY":
        if "arrayValues" not in given and "value" in given:
            raise limit(f"bind an array that is NULL ({name})")
        if str((kind.get("arrayType") or {}).get("type", "")).upper() == "ARRAY":
            raise invalid(f"Query parameter '{name}' has an array of arrays, which is not supported")
        elements = given.get("arrayValues") or ()
        return {"arrayValues": [_value(name, kind.get("arrayType") or {}, element) for element in elements]}
    if type_name == "STRUCT":
        members = {member.get("name", ""): member.get("type") or {} for member in kind.get("structTypes") or ()}
        values = given.get("structValues") or {}
        return {"structValues": {key: _value(name, one, values.get(key) or {}) for key, one in members.items()}}
    if type_name not in _READERS or (type_name in _AS_TEXT and not top):
        raise limit(f"bind query parameters of type {type_name}{'' if top else ' in arrays and structs'} ({name})")
    text = given.get("value")
    if text is None:
        return {"value": None}
    try:
        return {"value": _READERS[type_name](str(text))}
    except ValueError as error:
        raise invalid(
            f"Unparseable query parameter `{name}` in type `TYPE_{type_name}`, {error} value: '{text}'"
        ) from error
