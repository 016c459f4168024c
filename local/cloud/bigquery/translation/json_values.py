"""JSON values as BigQuery keeps, reads and changes them: functions of their texts.

Sources: "JSON functions" (https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions); "Data types",
JSON: of repeated keys the first counts, and the order of keys is not kept; here they are sorted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from local.cloud.bigquery.translation.json_paths import Path, path_to, steps_of

_MISSING = object()
_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)


class _Number(str):
    """A number in the digits of its text."""


# --- Texts ------------------------------------------------------------------------------------------------------------


def normal(text: str, wide_number_mode: str = "exact") -> str:
    """Return a text as a value of type JSON.

    Raises:
        ValueError: it is no JSON, or has a number that would be rounded.
    """
    if wide_number_mode not in ("exact", "round"):
        raise ValueError(f"Invalid wide_number_mode: {wide_number_mode}")
    exact = wide_number_mode == "exact"
    try:
        return _compact(_read(text, lambda digits: _number(digits, exact)), sort=True)
    except json.JSONDecodeError as error:
        place = text.find(error.doc) if error.doc != text else error.pos  # NaN and Infinity come without their place
        problem = (
            f"invalid literal; last read: '{text[: place + 1]}'" if place < len(text) else "unexpected end of input"
        )
        raise ValueError(f"Invalid input to PARSE_JSON: syntax error while parsing value - {problem}") from None


def _number(digits: str, exact: bool) -> _Number:
    if digits.lstrip("-").isdigit() and (int(digits) in _INT64 or int(digits) in _UINT64):
        return _Number(int(digits))
    number = float(digits)
    if abs(number) == float("inf") or (exact and Decimal(repr(number)) != Decimal(digits)):
        raise ValueError(f"Input number: {digits} cannot round-trip through string representation")
    return _Number(repr(number))


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        members.setdefault(name, value)
    return members


def _no_constant(text: str) -> Any:
    raise json.JSONDecodeError(f"invalid literal {text}", text, 0)


def _read(text: str, number: Callable[[str], Any] = _Number) -> Any:
    return json.loads(
        text, object_pairs_hook=_first_of_each, parse_int=number, parse_float=number, parse_constant=_no_constant
    )


def _compact(value: Any, *, sort: bool = False) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        members = sorted(value.items()) if sort else value.items()
        return "{" + ",".join(f"{_compact(name)}:{_compact(member, sort=sort)}" for name, member in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_compact(element, sort=sort) for element in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def indented(text: str) -> str:
    """Return a JSON text with one member or element a line."""
    return _indented(_read(text), "")


def _indented(value: Any, margin: str) -> str:
    inner = margin + "  "
    if isinstance(value, dict) and value:
        lines = [f"{inner}{_compact(name)}: {_indented(member, inner)}" for name, member in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
    if isinstance(value, list) and value:
        lines = [f"{inner}{_indented(element, inner)}" for element in value]
        return "[\n" + ",\n".join(lines) + f"\n{margin}]"
    return _compact(value)


# --- Parts ------------------------------------------------------------------------------------------------------------


def _found(value: Any, steps: Path) -> Any:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(str(step), _MISSING)
        elif isinstance(value, list) and str(step).isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _MISSING
    return value


def _part(text: str, path: str) -> Any:
    steps = steps_of(path)
    try:
        return _found(_read(text), steps)
    except json.JSONDecodeError:
        return _MISSING


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else None


def query(text: str, path: str) -> str | None:
    """Return a part as JSON text; None if there is none, or the text is no JSON."""
    part = _part(text, path)
    return None if part is _MISSING else _compact(part)


def query_string(text: str, path: str) -> str | None:
    """Return what JSON_QUERY gives of a STRING: as :func:`query`, but None for a JSON null."""
    part = query(text, path)
    return None if part == "null" else part


def value(text: str, path: str) -> str | None:
    """Return a scalar part as text; None for other parts."""
    return _scalar(_part(text, path))


def query_array(text: str, path: str) -> list[str] | None:
    """Return the elements of an array as JSON texts."""
    part = _part(text, path)
    return [_compact(element) for element in part] if isinstance(part, list) else None


def value_array(text: str, path: str) -> list[str | None] | None:
    """Return the elements of an array of scalars as texts."""
    part = _part(text, path)
    if not isinstance(part, list) or any(isinstance(element, dict | list) for element in part):
        return None
    return [_scalar(element) for element in part]


def elements(text: str) -> list[str]:
    """Return the elements of an array as JSON texts."""
    return [_compact(element) for element in _read(text)]


def member(text: str, name: str) -> str | None:
    """Return a member of an object as JSON text."""
    found = _read(text)
    return _compact(found[name]) if isinstance(found, dict) and name in found else None


def element(text: str, place: int) -> str | None:
    """Return an element of an array as JSON text."""
    found = _read(text)
    return _compact(found[place]) if isinstance(found, list) and 0 <= place < len(found) else None


def keys(text: str, depth: int, mode: str) -> list[str]:
    """Return the keys of an object and of the objects in it, down to a depth.

    Args:
        text: a JSON value.
        depth: levels of keys.
        mode: ``strict``: no keys of objects in arrays; ``lax``: those too; ``lax recursive``: also in nested arrays.
    """
    if depth <= 0:
        raise ValueError("max_depth must be positive.")
    if mode.lower() not in ("strict", "lax", "lax recursive"):
        raise ValueError(f"Invalid JSON mode specified: {mode}")
    found: set[str] = set()

    def look(value: Any, names: tuple[str, ...], arrays: int) -> None:
        if isinstance(value, dict) and len(names) < depth:
            for name, inner in value.items():
                found.add(path_to((*names, name)))
                look(inner, (*names, name), 0)
        elif isinstance(value, list) and mode.lower() != "strict" and (arrays == 0 or mode.lower() == "lax recursive"):
            for inner in value:
                look(inner, names, arrays + 1)

    look(_read(text), (), 0)
    return sorted(found)


# --- Conversions ------------------------------------------------------------------------------------------------------


def int64(text: str) -> int:
    """Return an integer number as INT64."""
    value = _read(text)
    if not isinstance(value, _Number) or (value.isdigit() and int(value) not in _INT64):
        raise ValueError("The provided JSON input is not an integer")
    number = Decimal(value)
    if number != int(number) or int(number) not in _INT64:
        raise ValueError(f"The provided JSON number: {value} cannot be converted to an integer")
    return int(number)


def float64(text: str, wide_number_mode: str) -> float:
    """Return a number as FLOAT64."""
    value = _read(text)
    if not isinstance(value, _Number):
        raise ValueError("The provided JSON input is not a number")
    if wide_number_mode == "exact" and Decimal(float(value)) != Decimal(value) and value.lstrip("-").isdigit():
        raise ValueError(f"JSON number: {value} cannot be converted to FLOAT64 without loss of precision")
    return float(value)


def boolean(text: str) -> bool:
    """Return a boolean as BOOL."""
    value = _read(text)
    if not isinstance(value, bool):
        raise ValueError("The provided JSON input is not a boolean")
    return value


def string(text: str) -> str:
    """Return a string as STRING."""
    value = _read(text)
    if not isinstance(value, str) or isinstance(value, _Number):
        raise ValueError("The provided JSON input is not a string")
    return value


def lax_int64(text: str) -> int | None:
    """Return a number, rounded, a number in a string or a boolean as INT64; None for all else."""
    value = _read(text)
    if isinstance(value, bool):
        return int(value)
    try:
        number = Decimal(value).to_integral_value("ROUND_HALF_UP") if isinstance(value, str) else None
        return int(number) if number is not None and int(number) in _INT64 else None
    except (ArithmeticError, ValueError):
        return None


def lax_float64(text: str) -> float | None:
    """Return a number, or a number in a string, as FLOAT64; None for all else."""
    value = _read(text)
    try:
        return float(value) if isinstance(value, str) and "_" not in value else None
    except ValueError:
        return None


def lax_boolean(text: str) -> bool | None:
    """Return a boolean, one in a string, or whether a number is not 0; None for all else."""
    value = _read(text)
    if isinstance(value, _Number):
        return float(value) != 0
    return {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, bool | str) else None


def lax_string(text: str) -> str | None:
    """Return a scalar as STRING; None for all else."""
    value = _read(text)
    if isinstance(value, _Number) and not value.lstrip("-").isdigit():
        return f"{float(value):.15g}" if float(f"{float(value):.15g}") == float(value) else f"{float(value):.17g}"
    return _scalar(value)


def kind(text: str) -> str:
    """Return what JSON_TYPE calls a value."""
    value = _read(text)
    if isinstance(value, _Number):
        return "number"
    names = {dict: "object", list: "array", bool: "boolean", str: "string"}
    return names.get(type(value), "null")


# --- Changes ----------------------------------------------------------------------------------------------------------


def _changed(text: str, path: str, change: Callable[[Any, Path], Any]) -> str:
    return _compact(change(_read(text), steps_of(path)), sort=True)


def set_value(text: str, path: str, new: str, create: bool) -> str:
    """Set a part of a JSON value; nothing if the path leads through a scalar, or to nothing and ``create`` is false."""
    return _changed(text, path, lambda value, steps: _with(value, steps, _read(new), create))


def _with(value: Any, steps: Path, new: Any, create: bool) -> Any:
    if not steps:
        return new
    step, rest = steps[0], steps[1:]
    if value is None and create:
        value = [] if isinstance(step, int) else {}
    if isinstance(value, dict) and isinstance(step, str) and (create or step in value):
        value[step] = _with(value.get(step), rest, new, create)
    elif isinstance(value, list) and isinstance(step, int) and (create or step < len(value)):
        value += [None] * (step + 1 - len(value))
        value[step] = _with(value[step], rest, new, create)
    return value


def remove(text: str, path: str) -> str:
    """Remove a part of a JSON value, if it is there."""
    steps = steps_of(path)
    if not steps:
        raise ValueError("The JSONPath cannot be '$'")
    value = _read(text)
    parent, last = _found(value, steps[:-1]), steps[-1]
    if isinstance(parent, dict):
        parent.pop(str(last), None)
    elif isinstance(parent, list) and isinstance(last, int) and last < len(parent):
        del parent[last]
    return _compact(value, sort=True)


def append(text: str, path: str, new: str, each: bool) -> str:
    """Add a value, or each of its elements, to the end of an array; a JSON null becomes one."""
    return _changed(text, path, lambda value, steps: _inserted(value, steps, None, _read(new), each))


def insert(text: str, path: str, new: str, each: bool) -> str:
    """Insert a value, or each of its elements, before an element of an array; a JSON null becomes one."""
    steps = steps_of(path)
    if not steps or not isinstance(steps[-1], int):
        return text
    return _compact(_inserted(_read(text), steps[:-1], steps[-1], _read(new), each), sort=True)


def _inserted(value: Any, steps: Path, place: int | None, new: Any, each: bool) -> Any:
    array = _found(value, steps)
    if array is None:
        array = []
        value = _with(value, steps, array, create=False)
    if isinstance(array, list):
        place = len(array) if place is None else place
        array += [None] * (place - len(array))
        array[place:place] = new if each and isinstance(new, list) else [new]
    return value


def strip_nulls(text: str, path: str, arrays: bool, empty: bool) -> str:
    """Remove JSON nulls of objects and, if ``arrays``, of arrays; and, if ``empty``, those that are empty then."""

    def is_nothing(value: Any) -> bool:
        return value is None or (empty and (value == {} or (arrays and value == [])))

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            members = {name: stripped(member) for name, member in value.items()}
            value = {name: member for name, member in members.items() if not is_nothing(member)}
        elif isinstance(value, list):
            value = [stripped(element) for element in value]
            value = [element for element in value if not (arrays and is_nothing(element))]
        return value

    def change(value: Any, steps: Path) -> Any:
        part = _found(value, steps)
        if part is _MISSING:
            return value
        part = stripped(part)
        return _with(value, steps, None if not steps and is_nothing(part) else part, create=False)

    return _changed(text, path, change)
