"""What a load of each dataset reads, by BigQuery's rules: the figures that ``make gcp-check`` forecasts with."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery

from comparison.statements import Load
from local.airflow.gcp_forecast import SIZES
from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.model import TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.schema import bigquery_fields
from tests.conftest import REPOSITORY
from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.support import load, query

ROWS = 5000


def _bytes_read(client: bigquery.Client, sql: str) -> int:
    return int(client.query(sql, bigquery.QueryJobConfig(dry_run=True)).total_bytes_processed)


@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda dataset: dataset.name)
def test_a_load_reads_what_is_forecast(
    client: bigquery.Client, server: Server, tmp_path: Path, dataset: TripDataset
) -> None:
    source, target = tmp_path / f"{dataset.name}_tripdata_2021-01.parquet", tmp_path / "lake.parquet"
    write_month(dataset.name, SourceMonth(2021, 1), source, rows=ROWS)
    to_parquet(source, target, dataset=dataset, month=Month(2021, 1))
    statements = Load(file=dataset.file(Month(2021, 1)), run="forecast", generation=1)
    for statement in statements.render("bigquery/create/trip_table.sql").split(";\n"):
        query(client, statement)
    staging = f"trips_staging.{statements.staging_table}"
    schema = [bigquery.SchemaField.from_api_repr(field) for field in bigquery_fields(dataset)]
    load(client, server.put("forecast.parquet", pq.read_table(target)), staging, schema=schema)

    tasks = json.loads((REPOSITORY / "tests" / "golden" / f"{dataset.name}_gcs_to_bigquery.json").read_text())
    of_tasks = tasks["load_staging"]["destination_project_dataset_table"]
    checks = ["\n".join(task["sql"]) for name, task in tasks.items() if name.startswith("check_")]
    queries = [*(sql.replace(of_tasks, staging) for sql in checks), statements.render("bigquery/publish/rows.sql")]
    # The table has the generation of the lake's object in each row, and the publish also reads it there.
    table = client.get_table(staging).num_bytes / ROWS + 8
    read = sum(_bytes_read(client, sql) for sql in queries) / ROWS + 8
    expected = SIZES[dataset.name]
    assert (table, read) == pytest.approx((expected.table, expected.read), rel=0.02)
    # So small a file is a little larger for each row than a month.
    assert 1 < target.stat().st_size / ROWS / expected.lake < 1.4
