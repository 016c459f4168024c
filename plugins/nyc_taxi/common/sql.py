"""The SQL files: their folder, in each layout that this package is deployed in, and rendering outside a task."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

_PLUGINS = Path(__file__).resolve().parents[2]


SQL_DIR = _PLUGINS.parent / "include" / "sql"


def render_sql(name: str, **values: Any) -> str:
    """Return the statement in the file ``name`` below ``SQL_DIR``, rendered with ``values``.

    For statements that no task's template field holds. Airflow renders the others itself.

    Raises:
        jinja2.UndefinedError: the statement uses a name that is not among the values.
    """
    return _environment().get_template(name).render(**values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(loader=jinja2.FileSystemLoader(SQL_DIR), undefined=jinja2.StrictUndefined)  # noqa: S701 # SQL
