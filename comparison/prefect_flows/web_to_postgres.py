"""From the web to Postgres: one month of trips as one partition of a table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from prefect import flow, runtime, task
from prefect.assets import materialize
from prefect.transactions import Transaction, transaction
from prefect_sqlalchemy import SqlAlchemyConnector
from psycopg import sql

from comparison.prefect_flows import blocks
from comparison.prefect_flows.fetch import fetch_parquet
from comparison.prefect_flows.parameters import DatasetName, MonthName, published_file, run_name, scheduled_month
from comparison.prefect_flows.retries import RETRIED, CheckError
from comparison.statements import Load
from nyc_taxi.parquet.provenance import read_provenance
from nyc_taxi.registry.checks import Level
from nyc_taxi.stores.postgres.checks import postgres_checks
from nyc_taxi.stores.postgres.copy import copy_parquet


@contextmanager
def connection_of(database: SqlAlchemyConnector) -> Iterator[psycopg.Connection]:
    """One transaction: committed at the end of the block, rolled back if it raises."""
    with database.get_connection() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        yield driver


@task(**RETRIED)
def create_table(load: Load, database: SqlAlchemyConnector) -> None:
    """Create the table unless it exists."""
    with connection_of(database) as connection:
        connection.execute(load.render("postgres/create/trip_table.sql"))


@task(**RETRIED)
def load_staging(load: Load, parquet: Path, database: SqlAlchemyConnector) -> None:
    """Copy the Parquet file into a staging table."""
    with connection_of(database) as connection:
        connection.execute(load.render("postgres/clean/staging.sql"))
        connection.execute(load.render("postgres/load/trip_staging.sql"))
        table = sql.Identifier(*load.postgres_staging_table.split("."))
        copy_parquet(connection, parquet, table)
        if made_from := read_provenance(parquet):
            connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(made_from)))


@load_staging.on_rollback
def drop_staging(undone: Transaction) -> None:
    """Remove the staging table if a later step fails."""
    # The transaction hands out copies of what it keeps, and a connector cannot be copied.
    with connection_of(blocks.database()) as connection:
        connection.execute(undone.get("load").render("postgres/clean/staging.sql"))


@task(**RETRIED)
def check_staging(load: Load, database: SqlAlchemyConnector) -> None:
    """Run the dataset's checks on the staging table.

    Raises:
        CheckError: a check with level fail does not hold.
    """
    checks = postgres_checks(load.file.dataset, Level.FAIL)
    conditions = [load.render_text(check["check_statement"]) for check in checks.values()]
    columns = ", ".join(f"COALESCE({condition}, FALSE)" for condition in conditions)
    with connection_of(database) as connection:
        row = connection.execute(f"SELECT {columns} FROM {load.postgres_staging_table}").fetchone()
    assert row is not None
    if failed := [name for name, holds in zip(checks, row, strict=True) if not holds]:
        raise CheckError(f"nothing was published, because checks failed: {', '.join(failed)}")


# A call names the partition that it makes.
@materialize("postgres://ny_taxi", **RETRIED)
def publish(load: Load, database: SqlAlchemyConnector) -> None:
    """Swap in the staging table as the month's partition."""
    with connection_of(database) as connection:
        connection.execute(load.render("postgres/publish/trip.sql"))


@flow(name="web-to-postgres", flow_run_name=run_name, timeout_seconds=2 * 60 * 60)
def web_to_postgres(dataset: DatasetName = "green", month: MonthName | None = None) -> int:
    """Load one month from the source into Postgres; its partition is replaced as a whole.

    Args:
        dataset: which dataset.
        month: the month; by default that of the schedule.

    Returns:
        The number of rows.

    Raises:
        CheckError: a check failed; the partition is unchanged.
    """
    file, database = published_file(dataset, month or scheduled_month()), blocks.database()
    load = Load(file=file, run=f"web-to-postgres/{runtime.flow_run.id}")
    with tempfile.TemporaryDirectory() as folder:
        parquet, rows = fetch_parquet(file, Path(folder))
        load = replace(load, rows=rows)
        create_table(load, database)
        with transaction() as whole:
            whole.set("load", load)
            load_staging(load, parquet, database)
            check_staging(load, database)
            publish.with_options(assets=[f"postgres://ny_taxi/{load.file.slug}"])(load, database)
    return rows
