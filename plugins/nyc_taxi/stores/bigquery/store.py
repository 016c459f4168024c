"""BigQuery as a store: one partition for each month, with the generation of the lake object in every row."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from nyc_taxi.common.sql import render_sql
from nyc_taxi.registry.model import Dataset, PublishedFile, TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.billing import maximum_bytes_billed
from nyc_taxi.stores.bigquery.schema import LAKE_GENERATION, bigquery_columns, bigquery_text, bigquery_type
from nyc_taxi.stores.store import NOTHING, Content, Store, StoredMonth

if TYPE_CHECKING:
    from google.cloud import bigquery

Answer = TypeVar("Answer")
_log = logging.getLogger(__name__)


class BigQueryStore(Store):
    """The tables in the BigQuery dataset ``trips``, and the external tables over the lake.

    A month's ``made_from`` is the generation of the lake object that its rows were loaded from; the lake's
    ``StoredMonth.revision`` is the same number.

    Args:
        client: a BigQuery client.
    """

    name: ClassVar[str] = "bigquery"
    asset: ClassVar[str] = "warehouse"
    step: ClassVar[str] = "gcs_to_bigquery"
    loaded_from: ClassVar[str | None] = "lake"
    macros: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "bigquery_columns": bigquery_columns,
        "bigquery_text": bigquery_text,
        "bigquery_type": bigquery_type,
        "maximum_bytes_billed": maximum_bytes_billed,
    }

    def __init__(self, client: bigquery.Client) -> None:
        self._client = client

    @classmethod
    def connect(cls) -> Self:
        """Return the warehouse of the connection ``google_cloud_default``."""
        from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
        from google.cloud.bigquery import QueryJobConfig

        hook = BigQueryHook(use_legacy_sql=False)
        client = hook.get_client(project_id=hook.project_id)
        client.default_query_job_config = QueryJobConfig(maximum_bytes_billed=int(maximum_bytes_billed()))
        return cls(client)

    def available(self, dataset: Dataset) -> frozenset[Month | None]:
        """List the partitions that have rows, from the table's metadata alone."""
        if not isinstance(dataset, TripDataset):
            return super().available(dataset)
        # Six digits, because the partition of rows without a month is called __NULL__.
        months = [
            id_ for row in self._rows("partitions", dataset) if re.fullmatch(r"\d{6}", id_ := row["partition_id"])
        ]
        return frozenset(Month(int(id_[:4]), int(id_[4:])) for id_ in months)

    def months(self, dataset: Dataset) -> dict[Month | None, StoredMonth]:
        """Count the rows of each partition; reads two columns of the whole table."""
        return self._months(dataset, None)

    def find(self, file: PublishedFile) -> StoredMonth | None:
        """Count the rows of the file's partition; reads two columns of it."""
        return self._months(file.dataset, file.month).get(file.month)

    def count(self, file: PublishedFile) -> int:
        """Count the rows of the file's partition."""
        return self._count("count", file)

    def counts(self, file: PublishedFile) -> dict[str, int]:
        """Count the rows of the file's partition, and the rows of its month in the external table over the lake."""
        external = {"external": self._count("count_external", file)} if file.month else {}
        return {**external, **super().counts(file)}

    def content(self, file: PublishedFile) -> Content:
        """Hash the rows of the file's partition."""
        rows = self._rows("content", file.dataset, file.month)
        return Content(rows[0]["row_count"], rows[0]["content_hash"]) if rows else NOTHING

    def profile(self, file: PublishedFile) -> list[Any]:
        """Count the trips of the file's partition by day and zone, with refunds and nulls; reads the partition once."""
        has_total = "total_amount" in {column.name for column in file.dataset.source_columns}
        return self._rows("profile", file.dataset, file.month, has_total=has_total)

    def first_rows(self, file: PublishedFile, rows: int) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns and some rows of the file's partition, without a query."""

        def ask() -> tuple[list[str], list[tuple[Any, ...]]]:
            found = self._client.list_rows(f"trips.{file.bigquery_table}", max_results=rows)
            return [field.name for field in found.schema], [row.values() for row in found]

        nothing: tuple[list[str], list[tuple[Any, ...]]] = ([], [])
        return self._unless_missing(ask, file.dataset, nothing)

    def location(self, file: PublishedFile) -> str:
        """Return the table with its partition decorator."""
        return f"trips.{file.bigquery_table}"

    def _months(self, dataset: Dataset, month: Month | None) -> dict[Month | None, StoredMonth]:
        from google.cloud.exceptions import NotFound

        try:
            table = self._client.get_table(f"trips.{dataset.name}")
        except NotFound:
            return {}
        has_generation = LAKE_GENERATION.name in {field.name for field in table.schema}
        published = {row["partition_id"]: row["last_modified_time"] for row in self._rows("partitions", dataset, month)}
        months: dict[Month | None, StoredMonth] = {}
        for row in self._rows("months", dataset, month, has_generation=has_generation):
            found = Month(row["first_day"].year, row["first_day"].month) if row["first_day"] else None
            months[found] = StoredMonth(
                rows=row["row_count"],
                made_from="" if row["lake_generation"] is None else str(row["lake_generation"]),
                published_at=published.get(found.partition_id) if found else table.modified,
            )
        return months

    def _count(self, statement: str, file: PublishedFile) -> int:
        rows = self._rows(statement, file.dataset, file.month)
        return int(rows[0]["row_count"]) if rows else 0

    def _rows(self, statement: str, dataset: Dataset, month: Month | None = None, **values: Any) -> list[Any]:
        """Return the result of a statement in ``include/sql/bigquery/store``; no rows if the table does not exist."""
        query = render_sql(f"bigquery/store/{statement}.sql", dataset=dataset, month=month, **values)
        return self._unless_missing(lambda: list(self._client.query(query).result()), dataset, [])

    def _unless_missing(self, ask: Callable[[], Answer], dataset: Dataset, nothing: Answer) -> Answer:
        """Return what ``ask`` returns, or ``nothing`` if the dataset has no table.

        BigQuery answers 404 for more than a missing table, for example for a job whose results it no longer has. A
        table that is there must not look as if it were empty.
        """
        from google.cloud.exceptions import NotFound

        try:
            return ask()
        except NotFound as error:
            if self._has_table(dataset):
                raise
            _log.info("%s has no table yet: %s", dataset.name, error)
            return nothing

    def _has_table(self, dataset: Dataset) -> bool:
        from google.cloud.exceptions import NotFound

        try:
            self._client.get_table(f"trips.{dataset.name}")
        except NotFound:
            return False
        return True
