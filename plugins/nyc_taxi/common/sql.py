"""Finds the SQL files, and renders them outside a task."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2


class MissingSqlError(FileNotFoundError):
    """The SQL files were not deployed with the package."""


def find_sql_dir(plugins: Path) -> Path:
    """Find the folder of the SQL files: ``include/sql`` beside the plugins folder, or else inside it.

    It is beside ``plugins/`` in this repository and in an Astro project. Cloud Composer and MWAA deliver ``dags/`` and
    ``plugins/`` only, so there ``include/`` is copied into ``plugins/``.

    Args:
        plugins: Airflow's plugins folder.

    Raises:
        MissingSqlError: it is in neither place. DAG files raise this at import, so that Airflow shows it as an import
            error of each of them instead of failing every run.
    """
    places = [plugins.parent / "include" / "sql", plugins / "include" / "sql"]
    for place in places:
        if place.is_dir():
            return place
    raise MissingSqlError(
        f"the SQL files are missing: there is neither {places[0]} nor {places[1]}. Copy the repository's folder "
        "include/ to one of these places; where only dags/ and plugins/ are deployed, into plugins/ "
        "(see docs/deploy.md)."
    )


SQL_DIR = find_sql_dir(Path(__file__).resolve().parents[2])


def render_sql(name: str, **values: Any) -> str:
    """Return the statement in the file ``name`` below ``SQL_DIR``, rendered with ``values``.

    Use it for statements that are not a task's template field; Airflow renders those.

    Raises:
        jinja2.UndefinedError: the statement uses a name that ``values`` does not have.
    """
    return _environment().get_template(name).render(**values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(loader=jinja2.FileSystemLoader(SQL_DIR), undefined=jinja2.StrictUndefined)  # noqa: S701 # SQL
