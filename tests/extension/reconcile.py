"""Puts a month of the new dataset into the new store, and prints as JSON what the store and the reconciliation say.

Run in a copy of the repository that has both: ``python -m tests.extension.reconcile``. The variables ``SOURCE`` and
``AIRFLOW_VAR_SQLITE_FILE`` name the source and the store. The other stores need servers, so they are left out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from local.airflow import reconcile
from local.airflow.environment import AirflowSettings
from nyc_taxi import stores
from nyc_taxi.common.sql import render_sql
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.parquet.provenance import provenance
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import published_file
from nyc_taxi.registry.model import PublishedFile

FILE = published_file("ferry", "2021-01")
MADE_FROM = provenance(FILE.dataset, FILE.source_path(Layout.MIRROR).name, 'etag="1" length=2')


def main(source: Path, parquet: Path) -> None:
    """Load the month twice, as a run and its rerun do."""
    stores.STORES[:] = [store for store in stores.STORES if store.name == "sqlite"]
    store = stores.connect("sqlite")
    before = store.find(FILE)
    to_parquet(source, parquet, dataset=FILE.dataset, month=FILE.month, provenance=MADE_FROM)
    load(parquet, FILE)
    load(parquet, FILE)
    settings = AirflowSettings.from_env()
    counts = reconcile.count(settings, reconcile.month_file(settings, "ferry", "2021-01"))
    [(month, stored)] = store.months(FILE.dataset).items()
    report = {
        "before": before,
        "line": counts.line("ferry", "2021-01"),
        "month": [str(month), stored.rows, stored.made_from == MADE_FROM],
        "content": {name: content.rows for name, content in reconcile.contents(settings, FILE).items()},
    }
    print(json.dumps(report))


def load(parquet: Path, file: PublishedFile) -> None:
    """Load a file as the store's task does, with the same statements."""
    from nyc_taxi.stores.sqlite.parquet_to_sqlite import ParquetToSqliteOperator  # type: ignore[import-not-found]

    macros = {name: macro for store in stores.STORES for name, macro in store.macros.items()}
    values = {"dataset": file.dataset, "file": lambda: file, **macros}
    ParquetToSqliteOperator(
        task_id="publish",
        src=str(parquet),
        table=file.dataset.table,
        create_sql=render_sql("sqlite/create.sql", **values),
        delete_sql=render_sql("sqlite/delete.sql", **values),
    ).execute({})


if __name__ == "__main__":
    main(Path(os.environ["FERRY_SOURCE"]), Path(os.environ["FERRY_PARQUET"]))
