"""Adds a dataset and a store to the registries, and reports what follows from them, as JSON.

A process of its own: the registries are changed before anything else is imported.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from nyc_taxi import stores
from nyc_taxi.registry import datasets
from nyc_taxi.registry.checks import Checks, not_null, trip_checks, warning
from nyc_taxi.registry.columns import Column, Layout, Type
from nyc_taxi.registry.model import TripDataset
from nyc_taxi.registry.months import Month
from tests.extension.archive_store import ArchiveStore

FERRY = TripDataset(
    name="ferry",
    title="Ferry trips",
    postgres_table="ferry_trips",
    first_month={Layout.MIRROR: Month(2020, 1), Layout.TLC: Month(2020, 1)},
    pickup_column="boarding_datetime",
    pickup_zone_column="PULocationID",
    checks=Checks(
        columns=not_null("boarding_datetime"),
        table=(
            *trip_checks(pickup="boarding_datetime", dropoff="landing_datetime"),
            warning("has_few_free_trips", 0.5, '"fare" = 0'),
        ),
    ),
    source_columns=(
        Column("boarding_datetime", Type.DATETIME, "When the passenger went on board."),
        Column("landing_datetime", Type.DATETIME, "When the passenger's ferry landed."),
        Column("PULocationID", Type.INTEGER, "Taxi zone of the pier."),
        Column("fare", Type.FLOAT, "Fare, US dollars."),
    ),
)
datasets.DATASETS[FERRY.name] = FERRY
datasets.TRIP_DATASETS = (*datasets.TRIP_DATASETS, FERRY)
stores.STORES.append(ArchiveStore)

CSV = b"""boarding_datetime,landing_datetime,PULocationID,fare
2021-01-01 08:00:00,2021-01-01 08:30:00,12,4.5
2021-01-31 23:50:00,2021-02-01 00:10:00,13,0
"""


def main(repository: Path, folder: Path) -> None:
    """Report what Airflow, the documentation and the reconciliation make of both."""
    from airflow.dag_processing.dagbag import DagBag

    from local.airflow import dags_page
    from tests.dags.rendering import golden_key, render

    dags = shutil.copytree(repository / "dags", folder / "dags")
    shutil.copy(repository / "tests" / "extension" / "web_to_archive.py", dags)
    bag = DagBag(dag_folder=dags)
    rendered = {
        dag_id: json.loads(json.dumps(render(dag, partition_key=golden_key(dag)), default=str))
        for dag_id, dag in bag.dags.items()
        if "ferry" in dag_id or dag_id == "trips_yearly_rollup" or dag_id.endswith("_web_to_archive")
    }
    report = {
        "dag_ids": sorted(bag.dags),
        "import_errors": list(bag.import_errors.values()),
        "rendered": rendered,
        "page": dags_page.page(bag.dags.values()),
        **_reconciled(folder),
    }
    print(json.dumps(report))


def _reconciled(folder: Path) -> dict[str, Any]:
    """Put a month into the archive, as the pipeline's own functions make it, and count it there and at its source."""
    from local.airflow import reconcile
    from local.airflow.environment import AirflowSettings
    from nyc_taxi.parquet.convert import to_parquet
    from nyc_taxi.parquet.provenance import provenance

    os.environ["ARCHIVE"] = str(folder / "archive")
    stores.STORES[:] = [ArchiveStore]
    file = FERRY.file(Month(2021, 1))
    source = folder / "source" / file.source_path(Layout.MIRROR)
    source.parent.mkdir(parents=True)
    source.write_bytes(gzip.compress(CSV))
    before = stores.connect("archive").find(file)
    made_from = provenance(FERRY, source.name, 'etag="1" length=2')
    target = folder / "archive" / file.parquet_name
    to_parquet(source, target, dataset=FERRY, month=file.month, provenance=made_from)

    settings = AirflowSettings.from_env()
    counts = reconcile.count(settings, reconcile.month_file(settings, "ferry", "2021-01"))
    [month] = stores.connect("archive").months(FERRY).items()
    return {
        "before": before,
        "line": counts.line("ferry", "2021-01"),
        "month": [str(month[0]), month[1].rows, month[1].made_from == made_from],
        "content": {name: content.rows for name, content in reconcile.contents(settings, file).items()},
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
