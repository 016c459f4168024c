"""Loads a Parquet file of the work dir into a fresh Postgres table."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import BaseOperator
from psycopg import sql

from nyc_taxi.common.files import DiskFullError
from nyc_taxi.common.lineage import file_dataset, postgres_dataset, reads_and_writes
from nyc_taxi.common.runs import staged_by
from nyc_taxi.common.work_files import input_file
from nyc_taxi.parquet.provenance import read_provenance
from nyc_taxi.parquet.schema import column_types as parquet_columns
from nyc_taxi.registry.datasets import get_dataset
from nyc_taxi.stores.postgres.copy import copy_parquet
from nyc_taxi.stores.postgres.errors import printable_errors
from nyc_taxi.stores.postgres.schema import column_types
from nyc_taxi.stores.postgres.staging import drop_ended_runs

if TYPE_CHECKING:
    from airflow.sdk import Context


class ParquetToPostgresOperator(BaseOperator):
    """Create a staging table and load one Parquet file into it with binary COPY, in one transaction.

    The table exists with all rows or not at all. Its comment names the run, and below has the provenance in the file,
    if there is any. Use a table name that is unique to the run and the try: a process of an earlier try may still be
    alive, and must not write to the table of a later one.

    First, staging tables are dropped that runs of the same DAG have left which have ended: timed out, or killed in the
    last try of the load.

    Args:
        src: path or ``gs://`` URI of the Parquet file (templated).
        table: name of the staging table, ``schema.table`` (templated).
        create_sql: the statement that creates the table, or the name of its ``.sql`` file (templated).
        dataset: name of the dataset in the registry (templated).
        postgres_conn_id: the Postgres connection (templated).

    Returns:
        The staging table's name, schema included, for the tasks that check and publish it.

    Raises:
        DiskFullError: the disk of the Postgres server is full.
        MissingFileError: the file is missing that the conversion has written.
        WorkDirError: the bucket does not exist, or refuses the request. A retry would fail the same way.
        psycopg.Error: the database rejects the statement or a row.
    """

    template_fields: Sequence[str] = ("src", "table", "create_sql", "dataset", "postgres_conn_id")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"create_sql": "sql"}
    ui_color = "#fce4d6"

    def __init__(
        self,
        *,
        src: str,
        table: str,
        create_sql: str,
        dataset: str = "{{ dataset.name }}",
        postgres_conn_id: str = "ny_taxi",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.src = src
        self.table = table
        self.create_sql = create_sql
        self.dataset = dataset
        self.postgres_conn_id = postgres_conn_id

    def execute(self, context: Context) -> str:
        try:
            with input_file(self.src) as source:
                rows = self._load(source, context)
        except psycopg.errors.DiskFull as error:
            raise DiskFullError(
                errno.ENOSPC,
                f"the Postgres server cannot write {self.table}: {error}; free some space on the disk of its data "
                "directory, then clear the task",
            ) from error
        self.log.info("Copied %s rows to %s", f"{rows:,}", self.table)
        return self.table

    def get_openlineage_facets_on_start(self) -> Any:
        """Return what OpenLineage is told: the Parquet file, and the staging table, with their columns."""
        dataset, connection = get_dataset(self.dataset), PostgresHook.get_connection(self.postgres_conn_id)
        return reads_and_writes(
            inputs=[file_dataset(self.src, parquet_columns(dataset))],
            outputs=[postgres_dataset(connection, self.table, column_types(dataset))],
        )

    @printable_errors()
    def _load(self, source: Path, context: Context) -> int:
        with PostgresHook(postgres_conn_id=self.postgres_conn_id).get_conn() as connection:
            connection.autocommit = True
            drop_ended_runs(connection, context)
            connection.autocommit = False
            connection.execute(self.create_sql)
            table = sql.Identifier(*self.table.split("."))
            rows = copy_parquet(connection, source, table)
            # The publish leaves the first line out.
            comment = "\n".join(filter(None, [staged_by(context), read_provenance(source)]))
            connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(comment)))
        return rows
