"""Renders the templates in ``include/sql`` without Airflow, for the Prefect version and the benchmarks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import jinja2

from local.cloud.settings import REPOSITORY
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.stores.bigquery.schema import bigquery_columns, bigquery_text, bigquery_type
from nyc_taxi.stores.postgres.schema import postgres_type

_TEMPLATES = jinja2.Environment(  # noqa: S701 # it is SQL
    loader=jinja2.FileSystemLoader(REPOSITORY / "include" / "sql"), undefined=jinja2.StrictUndefined
)


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load of a published file, as the templates see it.

    Attributes:
        file: the file.
        run: the unique name of this load; the names of its staging tables are derived from it.
        rows: the file's number of rows; None while it is unknown.
        generation: generation of the lake's object that is loaded; 0 while it is unknown.
        downloaded_at: when the source sent the file; empty if it is unknown.
        run_started_at: when the run started that has downloaded it; empty if it is unknown.
    """

    file: PublishedFile
    run: str
    rows: int | None = None
    generation: int = 0
    downloaded_at: str = ""
    run_started_at: str = ""

    @property
    def staging_table(self) -> str:
        """The name of its staging table in BigQuery, without the dataset: ``green_2021_01_3f2a90c1d4``."""
        return f"{self.file.slug}_{hashlib.sha256(self.run.encode()).hexdigest()[:10]}"

    @property
    def postgres_staging_table(self) -> str:
        """The name in Postgres, with schema and try number: a try removes the tables of earlier ones."""
        return f"staging.{self.staging_table}_1"

    def render(self, name: str) -> str:
        """Render the template ``name`` in ``include/sql``."""
        return _TEMPLATES.get_template(name).render(self._context())

    def render_text(self, template: str) -> str:
        """Render a template given as text, such as the condition of a check."""
        return _TEMPLATES.from_string(template).render(self._context())

    def _context(self) -> dict[str, Any]:
        return {
            "dataset": self.file.dataset,
            "file": lambda: self.file,
            "staging_table": lambda: self.staging_table,
            "new_staging": lambda: self.postgres_staging_table,
            "loaded_staging": lambda: self.postgres_staging_table,
            "converted_rows": lambda: self.rows,
            "loaded_object": lambda: {
                "table": f"trips_staging.{self.staging_table}",
                "generation": self.generation,
                "rows": self.rows,
            },
            "downloaded_at": lambda: self.downloaded_at,
            "run_started_at": lambda: self.run_started_at,
            "bigquery_columns": bigquery_columns,
            "bigquery_text": bigquery_text,
            "bigquery_type": bigquery_type,
            "postgres_type": postgres_type,
        }
