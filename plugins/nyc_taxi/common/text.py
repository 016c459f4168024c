"""Makes text from outside safe to quote in a message: names, values and headers that others wrote."""

from __future__ import annotations


def printable(text: object, *, longest: int = 1000) -> str:
    """Return the text on one line, with every character escaped that a terminal would obey instead of show.

    Escape sequences can move the cursor or rewrite earlier lines of a log; a line break can forge a log line;
    bidirectional marks can reorder what follows. They appear as ``\\x1b``, ``\\n`` and ``\\u202e``. Letters of all
    scripts stay as they are.

    Args:
        text: a column name, a value of a file, an HTTP header, an error message that quotes one.
        longest: the number of characters to keep; the rest is replaced by ``...``.
    """
    whole = str(text)
    shown = whole if len(whole) <= longest else f"{whole[:longest]}..."
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in shown
    )
