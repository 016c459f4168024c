"""Text from outside, as messages quote it."""

from __future__ import annotations

import pytest

from nyc_taxi.common.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fare_amount", "fare_amount"),
        ("Straße 東京 £5", "Straße 東京 £5"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),  # the one-byte form of ESC [
        ("one\ntwo\r\tthree\0", r"one\ntwo\r\tthree\x00"),
        ("a\u2028b\u202ec\ufeff", r"a\u2028b\u202ec\ufeff"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        (ValueError("\x1b"), r"\x1b"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: object, shown: str) -> None:
    assert printable(text) == shown


def test_a_long_text_is_cut() -> None:
    assert printable("x" * 50, longest=3) == "xxx..."
    assert printable("xxx", longest=3) == "xxx"
