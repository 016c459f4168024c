"""Renders the statements in ``include/sql`` where Airflow does not: for the Prefect version and the benchmarks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import jinja2

from local.cloud.settings import REPOSITORY
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.stores.bigquery.schema import bigquery_type
from nyc_taxi.stores.postgres.schema import postgres_type

_TEMPLATES = jinja2.Environment(  # noqa: S701 # it is SQL
    loader=jinja2.FileSystemLoader(REPOSITORY / "include" / "sql"), undefined=jinja2.StrictUndefined
)


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load of a published file, as the statements see it.

    Attributes:
        file: the file.
        run: what tells this load from all others; the names of its staging tables carry it.
        rows: how many rows the file has; None as long as that is not known.
    """

    file: PublishedFile
    run: str
    rows: int | None = None

    @property
    def staging_table(self) -> str:
        """The name of its staging table in BigQuery, without the dataset: ``green_2021_01_3f2a90c1d4``."""
        return f"{self.file.slug}_{hashlib.sha256(self.run.encode()).hexdigest()[:10]}"

    @property
    def postgres_staging_table(self) -> str:
        """The same in Postgres, with the schema and the number of the try: a try removes the tables of the others."""
        return f"staging.{self.staging_table}_1"

    def render(self, name: str) -> str:
        """The statement in the file ``name`` below ``include/sql``."""
        return _TEMPLATES.get_template(name).render(self._context())

    def render_text(self, template: str) -> str:
        """A template that stands elsewhere, such as the condition of a check."""
        return _TEMPLATES.from_string(template).render(self._context())

    def _context(self) -> dict[str, Any]:
        return {
            "dataset": self.file.dataset,
            "file": lambda: self.file,
            "staging_table": lambda: self.staging_table,
            "new_staging": lambda: self.postgres_staging_table,
            "loaded_staging": lambda: self.postgres_staging_table,
            "converted_rows": lambda: self.rows,
            "bigquery_type": bigquery_type,
            "postgres_type": postgres_type,
        }
