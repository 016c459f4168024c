"""Postgres as a store: one partition for each month, with its provenance in the table comment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Self

from nyc_taxi.common.sql import render_sql
from nyc_taxi.registry.model import Dataset, PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.postgres.errors import printable_errors
from nyc_taxi.stores.postgres.schema import postgres_type
from nyc_taxi.stores.store import NOTHING, Content, Store, StoredMonth

PUBLISHED_AT = "published at "
PUBLISHED_FROM = "published from "
DOWNLOADED_AT = "downloaded at "
# The error that include/sql/postgres/publish/confirm.sql raises if the rows are no longer what they were.
REPLACED = "replaced meanwhile"


class Comment(NamedTuple):
    """The contents of the comment on a published table.

    Attributes:
        made_from: the provenance of the rows; empty if unknown.
        published_at: when the rows were published; None if unknown.
    """

    made_from: str
    published_at: datetime | None

    @classmethod
    def parse(cls, comment: str | None) -> Comment:
        """Parse a table's comment; the result is empty if the publish task did not write it."""
        lines = (comment or "").split("\n")
        if not lines[0].startswith(PUBLISHED_FROM):
            return cls("", None)
        times = [line.removeprefix(PUBLISHED_AT) for line in lines[1:] if line.startswith(PUBLISHED_AT)]
        made_from = [line for line in lines[1:] if not line.startswith((PUBLISHED_AT, DOWNLOADED_AT))]
        return cls("\n".join(made_from), datetime.fromisoformat(times[0]) if times else None)


class PostgresStore(Store):
    """The partitioned tables in the database ``ny_taxi``.

    A month's ``made_from`` is the provenance of the Parquet file that it was loaded from.

    Args:
        connect: opens a psycopg connection to the database.
    """

    name: ClassVar[str] = "postgres"
    asset: ClassVar[str] = "postgres"
    step: ClassVar[str] = "web_to_postgres"
    macros: ClassVar[Mapping[str, Callable[..., Any]]] = {"postgres_type": postgres_type}

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect

    @classmethod
    def connect(cls) -> Self:
        """Return the database that the connection ``ny_taxi`` describes."""
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        hook = PostgresHook(postgres_conn_id="ny_taxi")
        hook.connection  # noqa: B018 # looked up now, so that a missing connection raises here
        return cls(hook.get_conn)

    def months(self, dataset: Dataset) -> dict[Month | None, StoredMonth]:
        """Count the rows of each partition, and read its comment; scans the whole table."""
        return self._months(dataset, None)

    def find(self, file: PublishedFile) -> StoredMonth | None:
        """Count the rows of the file's partition, and read its comment."""
        return self._months(file.dataset, file.month).get(file.month)

    @printable_errors()
    def confirm(self, file: PublishedFile, stored: StoredMonth, seen_at: datetime) -> bool:
        """Raise the mark in the comment of the file's partition.

        Raises:
            psycopg.errors.LockNotAvailable: another session holds a lock on it, and the message names it.
        """
        from psycopg.errors import RaiseException

        query = render_sql(
            "postgres/publish/confirm.sql",
            dataset=file.dataset,
            target=file.table,
            published_at=stored.published_at.isoformat() if stored.published_at else "",
            seen_at=seen_at.isoformat(),
        )
        with self._connect() as connection:
            connection.autocommit = True  # no lock is held while the server waits for this client
            try:
                connection.execute(query.encode())
            except RaiseException as error:
                if not (error.diag.message_primary or "").startswith(REPLACED):
                    raise
                return False
        return True

    def count(self, file: PublishedFile) -> int:
        """Count the rows of the file's month, through the partitioned table."""
        rows = self._rows("count", file.dataset, file.month)
        return int(rows[0][0]) if rows else 0

    def content(self, file: PublishedFile) -> Content:
        """Hash the text of the rows of the file's month."""
        rows = self._rows("content", file.dataset, file.month)
        return Content(int(rows[0][0]), int(rows[0][1])) if rows else NOTHING

    def location(self, file: PublishedFile) -> str:
        """Return the name of the partition, or of the table."""
        return file.table

    def _months(self, dataset: Dataset, month: Month | None) -> dict[Month | None, StoredMonth]:
        months: dict[Month | None, StoredMonth] = {}
        for first_day, rows, text in self._rows("months", dataset, month):
            comment = Comment.parse(text)
            months[Month(first_day.year, first_day.month) if first_day else None] = StoredMonth(
                rows=rows, made_from=comment.made_from, published_at=comment.published_at
            )
        return months

    @printable_errors()
    def _rows(self, statement: str, dataset: Dataset, month: Month | None) -> list[tuple[Any, ...]]:
        """Return the result of a statement in ``include/sql/postgres/store``; no rows if the table does not exist."""
        from psycopg.errors import UndefinedTable

        query = render_sql(f"postgres/store/{statement}.sql", dataset=dataset, month=month)
        try:
            with self._connect() as connection:
                return connection.execute(query.encode()).fetchall()
        except UndefinedTable:
            return []
