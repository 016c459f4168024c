"""What both sides need to know of the place they run in; handed to the programs of each side by the environment."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "COMPARISON"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """One comparison.

    Attributes:
        folder: its temporary folder.
        receiver_url: where alerts are posted to, and where they can be read again.
        dataset: the dataset whose month the checks look at.
        month: that month; both sides have taken it to all stores before the checks begin.
        rows: how many rows it has at the source.
        prefect_url: Prefect's API.
    """

    folder: Path
    receiver_url: str
    dataset: str
    month: str
    rows: int
    prefect_url: str

    def environment(self) -> dict[str, str]:
        """The variable from which :meth:`from_env` reads it."""
        return {VARIABLE: json.dumps(asdict(self), default=str)}

    @classmethod
    def from_env(cls) -> Ground:
        """Read it in a program of either side."""
        values = json.loads(os.environ[VARIABLE])
        return cls(**{**values, "folder": Path(values["folder"])})
