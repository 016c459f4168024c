"""Parses numbers and times from text: the spellings that CSV fields and text columns of Parquet files may have.

Both formats use these functions, so a value that one accepts is accepted by the other, with the same result.
docs/sources.md lists the spellings.
"""

from __future__ import annotations

from decimal import Context, Decimal

import pyarrow as pa
import pyarrow.compute as compute

DATETIME = pa.timestamp("us")
# The years 0001 to 9999, which every store can hold; BigQuery's DATETIME has no others.
FIRST_TIME, LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999
# From here on, a double no longer holds every integer.
EXACT_BELOW = 2.0**53

# The length of a time without and with the longest fraction that Arrow parses. All that Arrow accepts between these
# lengths has seconds; shorter texts are dates, hours or minutes, which it completes with zeros.
_SHORTEST, _LONGEST = len("2021-01-01 00:15:56"), len("2021-01-01 00:15:56.123456")
_TIME = r"^(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:(\.\d{1,6})0*)?$"
_WHOLE = r"^(?:\+?(\d+)|(-\d+))(?:\.0*)?$"


def integers(text: pa.Array) -> pa.Array:
    """Parse integers: ``12``, ``+12``, ``012``, ``0x0c``, or ``12.0`` as pandas writes a column with nulls.

    The digits are parsed as an integer and never as a float, so large numbers stay exact.

    Raises:
        pa.ArrowInvalid: a value is not an integer or out of range.
    """
    text = _trimmed(text)
    numbers = compute.replace_substring_regex(text, _WHOLE, r"\1\2").cast(pa.int64())
    negative = compute.less(numbers, 0)
    # Arrow reads 0xffffffffffffffff as -1.
    if _any(compute.and_not(negative, compute.starts_with(text, "-"))):
        raise pa.ArrowInvalid("not in range")
    return numbers


def amounts(text: pa.Array) -> pa.Array:
    """Parse amounts: ``5.5``, ``+5.5``, ``.5``, ``5e3``. The result is the nearest double; integers keep every digit.

    Raises:
        pa.ArrowInvalid: a value is not a finite number, or an integer of more digits than the nearest double has.
    """
    text = _trimmed(text)
    numbers = finite(text.cast(pa.float64()))
    large = compute.greater_equal(compute.abs(numbers), EXACT_BELOW)
    if _any(large):
        for written, number in zip(text.filter(large).to_pylist(), numbers.filter(large).to_pylist(), strict=True):
            if _is_rounded(Decimal(written), Decimal(number)):
                raise pa.ArrowInvalid("not exact")
    return numbers


def times(text: pa.Array) -> pa.Array:
    """Parse wall-clock times: ``2021-01-01 00:15:56``, with ``T`` for the blank, with a fraction of microseconds.

    Zeros may follow the microseconds. A date, or a time without seconds, is not a wall-clock time.

    Raises:
        pa.ArrowInvalid: a value is not a time, has a zone, or lies outside the years 0001 to 9999.
    """
    if _has_usual_lengths(text):
        try:
            return storable(text.cast(DATETIME))
        except pa.ArrowInvalid:
            pass  # blanks around a time, or a refusal that the slower way finds again
    text = _trimmed(text)
    if _any(compute.invert(compute.match_substring_regex(text, _TIME))):
        raise pa.ArrowInvalid("not a time")
    return storable(compute.replace_substring_regex(text, _TIME, r"\1\2").cast(DATETIME))


def finite(numbers: pa.Array) -> pa.Array:
    """Return the numbers; refuse nan and inf, which Arrow accepts as numbers and the TLC does not write."""
    if compute.index(compute.is_finite(numbers), False).as_py() >= 0:
        raise pa.ArrowInvalid("not finite")
    return numbers


def storable(values: pa.Array) -> pa.Array:
    """Return the times; refuse those outside the years 0001 to 9999, which BigQuery cannot hold."""
    ends = compute.min_max(values)
    if ends["min"].is_valid and (ends["min"].value < FIRST_TIME or ends["max"].value > LAST_TIME):
        raise pa.ArrowInvalid("not in the years 0001 to 9999")
    return values


def _is_rounded(exact: Decimal, held: Decimal) -> bool:
    """Whether ``exact`` is an integer, and ``held``, written with as many digits, is another number.

    So 9007199254740993 is refused in any spelling, and 1e23, which is one digit, is the double that prints as 1e23.
    """
    digits = len(exact.as_tuple().digits)
    return exact == exact.to_integral_value() and Context(prec=digits).plus(held) != exact


def _trimmed(text: pa.Array) -> pa.Array:
    """Remove blanks and tabs around the values; what is empty then is null."""
    text = compute.ascii_trim(text, " \t")
    empty = compute.equal(text, "")
    return compute.if_else(empty, None, text) if _any(empty) else text


def _has_usual_lengths(text: pa.Array) -> bool:
    ends = compute.min_max(compute.binary_length(text)).as_py()
    return ends["min"] is None or (ends["min"] >= _SHORTEST and ends["max"] <= _LONGEST)


def _any(condition: pa.Array) -> bool:
    return bool(compute.any(condition).as_py())
