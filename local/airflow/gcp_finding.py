"""One line of what ``make gcp-check`` says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nyc_taxi.common.text import printable

OK, NOTE, WRONG = "ok", "note", "wrong"


@dataclass(frozen=True)
class Finding:
    """One line of the answer.

    Attributes:
        state: OK, NOTE (nothing to do, or nothing that could be found out) or WRONG.
        subject: what was looked at.
        text: what was found; for WRONG also what to do.
    """

    state: str
    subject: str
    text: str

    def __str__(self) -> str:
        return printable(f"{self.state:<6} {self.subject:<12} {self.text}")


def said(error: Exception) -> str:
    """Return the first line of what Google has said, without the request that its clients put before it."""
    line = str(getattr(error, "message", error)).partition("\n")[0]
    return re.sub(r"^[A-Z]+ https?://\S+: ", "", line).rstrip(".")
