"""The facts that both sides share; the programs of each side read them from an environment variable."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
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

    def first_line_after(self, create: Callable[[], object], timeout: float = 120.0) -> float:
        """Create an event; returns the seconds until the first line of the run that it starts, which writes its time.

        Raises:
            TimeoutError: no such run has come to its first line.
        """
        path = self.folder / "first-line"
        path.unlink(missing_ok=True)
        begin = time.time()
        create()
        while not path.exists() or not path.read_text():
            if time.time() - begin > timeout:
                raise TimeoutError(f"after {timeout:.0f} s, the event has started no run")
            time.sleep(0.1)
        return float(path.read_text()) - begin

    @classmethod
    def from_env(cls) -> Ground:
        """Read the facts in a program of either side."""
        values = json.loads(os.environ[VARIABLE])
        return cls(**{**values, "folder": Path(values["folder"])})
