"""Code points and encodings: strings and bytes as numbers, base64 and hexadecimal digits.

Source: "String functions" (https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions); the texts
of errors: GoogleSQL's functions (https://github.com/google/googlesql/blob/master/googlesql/public/functions/string.cc).
"""

from __future__ import annotations

import base64
import binascii
import re

from sqlglot import exp

from local.cloud.bigquery.limits import limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.python_functions import python_function
from local.cloud.bigquery.translation.rules import Context, bound, call, rule

_MOST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_NO_HEX = re.compile(r"[^0-9a-fA-F]")


def _character(point: int) -> str:
    if not 0 <= point <= _MOST or point in _SURROGATES:
        raise ValueError(f"Invalid codepoint {point}")
    return chr(point) if point else ""


def _string(points: list[int | None]) -> str | None:
    return None if None in points else "".join(_character(point) for point in points if point is not None)


def _bytes(points: list[int | None]) -> bytes | None:
    wrong = next((point for point in points if point is not None and not 0 <= point < 256), None)
    if wrong is not None:
        raise ValueError(f"Invalid ASCII value {wrong}")
    return None if None in points else bytes(point for point in points if point is not None)


def _points(text: str) -> list[int]:
    return [ord(character) for character in text]


def _from_base64(text: str) -> bytes:
    compact = re.sub(r"\s", "", text).rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except binascii.Error:
        raise ValueError("Failed to decode invalid base64 string") from None


def _from_hex(text: str) -> bytes:
    if wrong := _NO_HEX.search(text):
        place = f"character at offset {wrong.start()}: {text}"
        raise ValueError(f"Failed to decode invalid hexadecimal string due to {place}")
    return bytes.fromhex(text if len(text) % 2 == 0 else f"0{text}")


def _valid_string(value: bytes) -> str:
    return value.decode(errors="replace")


python_function("bq_python_chr", _character, ["BIGINT"], "VARCHAR")
python_function("bq_python_points_string", _string, ["BIGINT[]"], "VARCHAR")
python_function("bq_python_points_bytes", _bytes, ["BIGINT[]"], "BLOB")
python_function("bq_python_points", _points, ["VARCHAR"], "BIGINT[]")
python_function("bq_python_from_base64", _from_base64, ["VARCHAR"], "BLOB")
python_function("bq_python_from_hex", _from_hex, ["VARCHAR"], "BLOB")
python_function("bq_python_valid_string", _valid_string, ["BLOB"], "VARCHAR")
_FUNCTIONS = {
    exp.Chr: "bq_python_chr",
    exp.CodePointsToString: "bq_python_points_string",
    exp.CodePointsToBytes: "bq_python_points_bytes",
    exp.ToCodePoints: "bq_python_points",
    exp.FromBase64: "bq_python_from_base64",
    exp.Unhex: "bq_python_from_hex",
    exp.SafeConvertBytesToString: "bq_python_valid_string",
}
macro("bq_unicode(x)", "CASE WHEN x = '' THEN 0 ELSE unicode(x) END")
macro(
    "bq_ascii(x)",
    """CASE WHEN x = '' THEN 0 WHEN ascii(x) < 128 THEN ascii(x) WHEN x IS NOT NULL
    THEN bq_error('Argument to ASCII is not a structurally valid ASCII string: ''' || x || '''') END""",
)


@rule(*_FUNCTIONS)
def code_points(node: exp.Expression, context: Context) -> exp.Expression | None:
    """A NULL among the code points gives NULL; what is no code point, no base64 and no hexadecimal digit is an error.

    Source: "String functions", CHR, CODE_POINTS_TO_STRING, FROM_BASE64, FROM_HEX, SAFE_CONVERT_BYTES_TO_STRING.
    """
    if isinstance(node, exp.Unhex) and isinstance(node.this, exp.Literal) and not _NO_HEX.search(node.this.name):
        return None  # a literal of bytes, which was written as a call of FROM_HEX
    value = node.expressions[0] if isinstance(node, exp.Chr) else node.this
    return call(_FUNCTIONS[type(node)], value)


@rule(exp.Unicode, exp.Ascii)
def first_character(node: exp.Unicode | exp.Ascii, context: Context) -> exp.Expression | None:
    """UNICODE and ASCII are 0 for an empty string; ASCII refuses other characters than those of ASCII.

    Source: "String functions", UNICODE and ASCII.
    """
    if context.of(node.this) == types.BYTES:
        raise limit(f"run {type(node).__name__.upper()} of BYTES; cast them to STRING")
    return bound(f"bq_{type(node).__name__.lower()}", node.this)
