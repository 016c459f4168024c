"""FORMAT: values of any type under the control of a pattern.

Source: "String functions", FORMAT
(https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions#format_string); the texts of errors, and
what the page leaves out: Google's implementation of GoogleSQL.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import json_values, types
from local.cloud.bigquery.translation.json_text import json_text
from local.cloud.bigquery.translation.python_functions import python_function
from local.cloud.bigquery.translation.rules import Context, call, fails_safely, named, rule
from local.cloud.bigquery.translation.types import Type

_PLACE = re.compile(r"%(?P<flags>[-+ #'0]*)(?P<width>\*|\d*)(?P<precision>\.(?:\*|\d*))?(?P<kind>.)", re.DOTALL)
_WIDEST = 1024 * 1024
_DIGITS = 100
"""More than a NUMERIC has; Python would round to 28."""
_EXPECTED = {
    **dict.fromkeys("dioxX", ("integer", ("INT64",))),
    **dict.fromkeys("fFeEgG", ("FLOAT64", ("FLOAT64", "NUMERIC", "BIGNUMERIC"))),
    **dict.fromkeys("pP", ("JSON", ("JSON",))),
    "s": ("STRING", ("STRING",)),
    **dict.fromkeys("tT", ("", ())),
}

Shape = str | list[Any]
"""A type as JSON: its name, ``["ARRAY", element]`` or ``["STRUCT", field, ...]``."""


@rule(exp.Format)
def format_string(node: exp.Format, context: Context) -> exp.Expression:
    """FORMAT writes each value as its place in the pattern says.

    Source: "String functions", FORMAT.
    """
    if context.of(node.this) not in (types.STRING, types.NULL, None):
        kinds = [context.of(argument) for argument in (node.this, *node.expressions)]
        raise invalid(f"No matching signature for function FORMAT for argument types: {named(kinds)}")
    texts, shapes = [], []
    for argument in node.expressions:
        kind = context.of(argument)
        if kind is None:
            raise limit("format a value of unknown type; cast it")
        shapes.append(_shape(kind))
        texts.append(json_text(argument, kind, wide=True, unnamed=True) or exp.Literal.string("null"))
    if isinstance(node.this, exp.Literal | exp.RawString) and not fails_safely(node):
        try:
            list(_places(node.this.name, tuple(_name(shape) for shape in shapes)))
        except ValueError as error:
            raise invalid(str(error)) from error
    values = call("bq_json_list", exp.Array(expressions=texts)) if texts else exp.Literal.string("[]")
    return call("bq_python_format_string", node.this, json.dumps(shapes), values)


def _shape(kind: Type) -> Shape:
    if kind.name == "ARRAY":
        return ["ARRAY", _shape(kind.element or types.NULL)]
    if kind.name == "STRUCT":
        return ["STRUCT", *(_shape(member or types.NULL) for _, member in kind.fields)]
    return "INT64" if kind == types.NULL else kind.name


def _name(shape: Shape) -> str:
    return shape if isinstance(shape, str) else shape[0]


# --- Patterns ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """A part of a pattern: text, or the place of a value.

    Attributes:
        text: the text; the rest is empty then.
        flags, kind: of the place.
        width, precision: numbers, ``*`` for that of an argument, or empty.
    """

    text: str = ""
    flags: str = ""
    width: str = ""
    precision: str | None = None
    kind: str = ""


@functools.lru_cache
def _parts(pattern: str) -> tuple[_Place, ...]:
    found: list[_Place] = []
    rest = pattern
    while rest:
        text, percent, _ = rest.partition("%")
        found.append(_Place(text=text))
        rest = rest[len(text) :]
        place = _PLACE.match(rest)
        if percent and not place:
            raise ValueError(f'Invalid FORMAT string: "{pattern}"')
        if place:
            rest = rest[place.end() :]
            if place["kind"] == "%" and place[0] != "%%":
                raise ValueError(f'Invalid FORMAT string: "{pattern}"')
            precision = place["precision"][1:] if place["precision"] else None
            width, kind = place["width"], place["kind"]
            found.append(_Place(flags=place["flags"], width=width, precision=precision, kind=kind))
    return tuple(found)


@functools.lru_cache
def _places(pattern: str, kinds: tuple[str, ...]) -> tuple[_Place, ...]:
    """Return the parts of a pattern, after a check of the number and types of its arguments."""
    parts = _parts(pattern)
    wanted = list(_wanted(pattern, parts))
    for number, (given, (expected, allowed)) in enumerate(zip(kinds, wanted, strict=False), 2):
        if allowed and given not in allowed:
            raise ValueError(f"Invalid type for argument {number} to FORMAT; Expected {expected}; Got {given}")
    if len(wanted) != len(kinds):
        many = "few" if len(wanted) > len(kinds) else "many"
        counts = f"Expected {len(wanted) + 1}; Got {len(kinds) + 1}"
        raise ValueError(f'Too {many} arguments to FORMAT for pattern "{pattern}"; {counts}')
    return parts


def _wanted(pattern: str, parts: Sequence[_Place]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for part in parts:
        for star in (part.width, part.precision):
            if star == "*":
                yield _EXPECTED["d"]
        if part.kind in _EXPECTED:
            yield _EXPECTED[part.kind]
        elif part.kind not in ("", "%"):
            raise ValueError(f'Invalid format specifier character "{part.kind}" in FORMAT string: "{pattern}"')


def formatted(pattern: str, shapes: str, values: str) -> str | None:
    """Return the text of a pattern with values.

    Args:
        pattern: the pattern.
        shapes: their types, as JSON.
        values: the values in an array, as TO_JSON writes them; a STRUCT is an array of its values.
    """
    kinds = json.loads(shapes)
    rest = iter(zip(kinds, json_values.elements(values), strict=True))
    result = []
    for part in _places(pattern, tuple(_name(kind) for kind in kinds)):
        if part.kind in ("", "%"):
            result.append(part.text or part.kind)
            continue
        width = next(rest)[1] if part.width == "*" else part.width
        precision = next(rest)[1] if part.precision == "*" else part.precision
        shape, text = next(rest)
        if "null" in (width, precision) or (text == "null" and part.kind not in "tTpP"):
            return None
        flags = part.flags + ("-" if width.startswith("-") else "")
        digits = None if precision is None or precision.startswith("-") else int(precision or 0)
        result.append(_written(part.kind, flags, int(width.lstrip("-") or 0), digits, shape, text))
    return "".join(result)


python_function("bq_python_format_string", formatted, ["VARCHAR", "VARCHAR", "VARCHAR"], "VARCHAR")


def _written(kind: str, flags: str, width: int, precision: int | None, shape: Shape, text: str) -> str:
    if width > _WIDEST or (precision or 0) > _WIDEST:
        raise ValueError(f"Output string too long while evaluating FORMAT; limit {_WIDEST}")
    if kind in "dioxX":
        return _padded(*_integer(kind, flags, precision, int(text)), flags, width)
    if kind in "fFeEgG":
        return _padded(*_number(kind, flags, precision, shape, text.strip('"')), flags, width)
    if kind in "pP":
        written = text if kind == "p" else json_values.indented(text)
    elif kind == "s":
        written = json.loads(text).partition("\0")[0]
    else:
        written = literal(shape, text) if kind == "T" else plain(shape, text)
    return _padded("", written if precision is None else written[:precision], flags.replace("0", ""), width)


def _padded(sign: str, body: str, flags: str, width: int) -> str:
    missing = width - len(sign) - len(body)
    if "-" in flags:
        return sign + body + " " * missing
    return sign + "0" * missing + body if "0" in flags else " " * missing + sign + body


def _sign(negative: bool, flags: str) -> str:
    return "-" if negative else "+" if "+" in flags else " " if " " in flags else ""


def _integer(kind: str, flags: str, precision: int | None, value: int) -> tuple[str, str]:
    """Return the sign, with the prefix of the base, and the digits."""
    base = {"o": "o", "x": "x", "X": "X"}.get(kind, "d")
    if value < 0 and base != "d":
        raise ValueError(f"Invalid value for %{kind} in FORMAT: {value} is negative")
    digits = "" if precision == value == 0 else format(abs(value), base).rjust(precision or 0, "0")
    if "'" in flags:
        digits = _grouped(digits, 3 if base == "d" else 4, ":" if base in "xX" else ",")
    prefix = {"o": "0", "x": "0x", "X": "0X"}.get(base, "") if "#" in flags and value else ""
    return _sign(value < 0, flags) + prefix, digits


def _number(kind: str, flags: str, precision: int | None, shape: Shape, text: str) -> tuple[str, str]:
    """Return the sign and the digits."""
    value: float | Decimal = float(text) if shape == "FLOAT64" else Decimal(text)
    negative = text.startswith("-")
    if not math.isfinite(value):
        name = "nan" if math.isnan(value) else "inf"
        return _sign(negative, flags), name.upper() if kind.isupper() else name
    all_zeros = "#" in flags
    size = f".{6 if precision is None else precision}{kind}"
    if isinstance(value, Decimal):
        with localcontext(prec=_DIGITS, rounding=ROUND_HALF_UP):
            digits = _of_decimal(format(abs(value), size), kind, all_zeros)
    else:
        digits = format(abs(value), f"{'#' if all_zeros else ''}{size}")
    if "'" in flags:
        whole = re.match(r"\d*", digits)
        length = whole.end() if whole else 0
        digits = _grouped(digits[:length], 3, ",") + digits[length:]
    return _sign(negative, flags), digits


def _of_decimal(digits: str, kind: str, all_zeros: bool) -> str:
    """Return a number that Python has written from a Decimal as C writes it: ``e+02``, and ``%g`` without zeros."""
    mantissa, letter, exponent = digits.replace("E", "e").partition("e")
    if kind in "gG" and "." in mantissa and not all_zeros:
        mantissa = mantissa.rstrip("0").rstrip(".")
    end = f"{letter}{int(exponent):+03d}" if letter else ""
    return mantissa + (end.upper() if kind.isupper() else end)


def _grouped(digits: str, size: int, separator: str) -> str:
    first = len(digits) % size
    groups = [digits[place : place + size] for place in range(first, len(digits), size)]
    return separator.join([*([digits[:first]] if first else []), *groups])


# --- %t and %T --------------------------------------------------------------------------------------------------------


def plain(shape: Shape, text: str) -> str:
    """Return a value as ``%t`` writes it."""
    return _shown(shape, text, quoted=False)


def literal(shape: Shape, text: str) -> str:
    """Return a value as ``%T`` writes it: as a literal of its type."""
    return _shown(shape, text, quoted=True)


def _shown(shape: Shape, text: str, *, quoted: bool) -> str:
    if text == "null" and shape != "JSON":
        return "NULL"
    if isinstance(shape, list):
        parts = json_values.elements(text)
        kinds = [shape[1]] * len(parts) if shape[0] == "ARRAY" else shape[1:]
        shown = ", ".join(_shown(kind, part, quoted=quoted) for kind, part in zip(kinds, parts, strict=True))
        if shape[0] == "ARRAY":
            return f"[{shown}]"
        return f"STRUCT({shown})" if quoted and len(parts) < 2 else f"({shown})"
    if shape == "JSON":
        return f"JSON {_string_literal(text)}" if quoted else text
    if shape in ("INT64", "BOOL"):
        return text.strip('"')
    value = str(json.loads(text)) if text.startswith('"') else text
    if shape == "FLOAT64":
        return _float(value, quoted)
    if shape == "STRING":
        return _string_literal(value) if quoted else value
    if shape == "BYTES":
        return _bytes(base64.b64decode(value), quoted)
    if shape == "DATETIME" or shape == "TIMESTAMP":
        value = value.replace("T", " ").replace("Z", "+00")
    return f'{shape} "{value}"' if quoted else value


def _float(text: str, quoted: bool) -> str:
    special = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}.get(text)
    if special:
        return f'CAST("{special}" AS FLOAT64)' if quoted else special
    return text if re.search("[.e]", text) else f"{text}.0"


_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _string_literal(text: str) -> str:
    quote = "'" if '"' in text and "'" not in text else '"'
    escapes = {**_ESCAPES, quote: f"\\{quote}"}
    return quote + "".join(escapes.get(letter, letter) for letter in text) + quote


def _bytes(value: bytes, quoted: bool) -> str:
    escapes = {ord("\\"): "\\\\", **({ord('"'): '\\"'} if quoted else {})}
    shown = "".join(escapes.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}") for byte in value)
    return f'b"{shown}"' if quoted else shown
