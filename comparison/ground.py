"""The facts that both sides share; the programs of each side read them from an environment variable."""

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
        receiver_url: where alerts are posted, and can be read again.
        dataset: the dataset whose month the checks look at.
        month: that month; both sides have loaded it into all stores before the checks start.
        rows: its number of rows at the source.
        prefect_url: the address of Prefect's API.
    """

    folder: Path
    receiver_url: str
    dataset: str
    month: str
    rows: int
    prefect_url: str

    def environment(self) -> dict[str, str]:
        """The environment variable that :meth:`from_env` reads."""
        return {VARIABLE: json.dumps(asdict(self), default=str)}

    @classmethod
    def from_env(cls) -> Ground:
        """Read the facts in a program of either side."""
        values = json.loads(os.environ[VARIABLE])
        return cls(**{**values, "folder": Path(values["folder"])})
