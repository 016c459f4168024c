"""The DAGs, parsed once, and a folder for a source file and its conversion."""

from __future__ import annotations

from tests.dags.conftest import bag
from tests.nyc_taxi.conftest import folder

__all__ = ["bag", "folder"]
