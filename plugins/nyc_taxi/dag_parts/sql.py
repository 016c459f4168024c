"""The folder of the SQL files, in each layout that this package is deployed in."""

from __future__ import annotations

from pathlib import Path

_PLUGINS = Path(__file__).resolve().parents[2]


SQL_DIR = _PLUGINS.parent / "include" / "sql"
