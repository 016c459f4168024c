"""From the lake to the warehouse: one month of trips as one partition in BigQuery."""

from __future__ import annotations

from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery
from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.assets import materialize
from prefect.cache_policies import NO_CACHE
from prefect_gcp.bigquery import bigquery_create_table, bigquery_load_cloud_storage, bigquery_query

from comparison.prefect_flows import blocks
from comparison.prefect_flows.parameters import DatasetName, MonthName, published_file
from comparison.prefect_flows.retries import RETRIED, CheckError
from comparison.statements import Load
from nyc_taxi.registry.checks import Level, TableCheck
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.stores.bigquery.checks import bigquery_table_checks
from nyc_taxi.stores.bigquery.schema import OVERTAKEN, bigquery_fields
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.store import StoredMonth

query = bigquery_query.with_options(**RETRIED)
create_table = bigquery_create_table.with_options(**RETRIED)
load_from_lake = bigquery_load_cloud_storage.with_options(**RETRIED)


@task(**RETRIED)
def find_in_lake(file: PublishedFile, bucket: blocks.LakeBucket) -> StoredMonth:
    """Return which generation of the month's object the lake has, and how many rows.

    Raises:
        MissingMonthError: the lake lacks it.
    """
    return LakeStore(bucket.gcp_credentials.get_cloud_storage_client(), bucket.bucket).get(file)


def external(file: PublishedFile, bucket: blocks.LakeBucket) -> bigquery.ExternalConfig:
    """The lake's files as one table, in which a check of the staging table counts the month."""
    prefix = f"gs://{bucket.bucket}/{file.dataset.name}"
    files = bigquery.ExternalConfig("PARQUET")
    files.autodetect = True
    files.source_uris = [f"{prefix}/*.parquet"]
    hive = bigquery.HivePartitioningOptions()
    hive.mode, hive.source_uri_prefix = "CUSTOM", f"{prefix}/{{year:INTEGER}}/{{month:INTEGER}}"
    files.hive_partitioning = hive
    return files


def checks_of(load: Load) -> str:
    """The query of the dataset's checks on the staging table: a row with a truth value for each."""
    conditions = _conditions(load).items()
    columns = ", ".join(f"COALESCE({condition}, FALSE) AS {name}" for name, (_, condition) in conditions)
    return f"SELECT {columns} FROM trips_staging.{load.staging_table}"


@task(cache_policy=NO_CACHE)
def judge(load: Load, row: bigquery.Row) -> list[dict[str, Any]]:
    """List the results of the checks in an artifact.

    Raises:
        CheckError: a check with level fail does not hold.
    """
    conditions = _conditions(load)
    found = [{"check": name, "level": level.value, "holds": bool(row[name])} for name, (level, _) in conditions.items()]
    create_table_artifact(key=f"checks-{load.file.slug.replace('_', '-')}", table=found)
    broken = [name for name in conditions if not row[name]]
    if failed := [name for name in broken if conditions[name][0] is Level.FAIL]:
        raise CheckError(f"nothing was published, because checks failed: {', '.join(failed)}")
    for name in broken:
        get_run_logger().warning("the check %s failed; the month is published, because it only warns", name)
    return found


def _conditions(load: Load) -> dict[str, tuple[Level, str]]:
    """The dataset's checks by name: the level, and the condition in BigQuery's SQL."""
    dataset = load.file.dataset
    conditions = {
        name: (level, check["check_statement"])
        for level in Level
        for name, check in bigquery_table_checks(dataset, level).items()
    }
    columns = [TableCheck(name=check.column, condition=check.condition()) for check in dataset.checks.columns]
    conditions |= {check.name: (check.level, check.condition.replace('"', "`")) for check in columns}
    return {name: (level, load.render_text(condition)) for name, (level, condition) in conditions.items()}


# A call names the table that it fills, and the object that it takes. The collection's task for queries would download
# all rows of the table that it fills.
@materialize("bigquery://trips", **RETRIED)
def publish(load: Load, bucket: blocks.LakeBucket) -> None:
    """Replace the month's partition by the staging table, atomically; a partition of a newer object stays."""
    client = bucket.gcp_credentials.get_bigquery_client()
    configuration = bigquery.QueryJobConfig(
        destination=f"{client.project}.trips.{load.file.bigquery_table}",
        write_disposition="WRITE_TRUNCATE",
        create_disposition="CREATE_NEVER",
    )
    try:
        client.query_and_wait(load.render("bigquery/publish/rows.sql"), job_config=configuration)
    except GoogleAPICallError as error:
        if OVERTAKEN not in str(error):
            raise
        get_run_logger().warning("%s: the published rows stay", OVERTAKEN)


@flow(name="gcs-to-bigquery", flow_run_name="gcs-to-bigquery-{dataset}-{month}", timeout_seconds=2 * 60 * 60)
def gcs_to_bigquery(dataset: DatasetName, month: MonthName) -> None:
    """Load one month from the lake into BigQuery; its partition is replaced as a whole.

    Args:
        dataset: which dataset.
        month: the month.

    Raises:
        CheckError: a check failed; the partition is unchanged.
    """
    bucket, file = blocks.lake(), published_file(dataset, month)
    credentials = bucket.gcp_credentials
    stored = find_in_lake(file, bucket)
    load = Load(
        file=file, run=f"gcs-to-bigquery/{runtime.flow_run.id}", rows=stored.rows, generation=int(stored.revision)
    )
    query(load.render("bigquery/create/trip_table.sql"), credentials)
    create_table("trips", f"{file.dataset.name}_external", credentials, external_config=external(file, bucket))
    uri = f"gs://{bucket.bucket}/{file.lake_object}"
    try:
        load_from_lake(
            dataset="trips_staging",
            table=load.staging_table,
            uri=uri,
            gcp_credentials=credentials,
            schema=[bigquery.SchemaField.from_api_repr(field) for field in bigquery_fields(file.dataset)],
            job_config={"source_format": "PARQUET", "write_disposition": "WRITE_TRUNCATE", "autodetect": False},
            return_state=False,
        )
        [row] = query(checks_of(load), credentials)
        judge(load, row)
        publish.with_options(assets=[f"bigquery://trips/{file.slug}"], asset_deps=[uri])(load, bucket)
    finally:
        query(f"DROP TABLE IF EXISTS trips_staging.{load.staging_table}", credentials)
