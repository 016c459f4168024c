"""What the SQL templates find, for sqlfluff: a run of the green month 2021-01, or of 2021.

sqlfluff makes the names of this module known to Jinja; ``pyproject.toml`` names the folder.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "plugins"))

from nyc_taxi.registry.datasets import GREEN as dataset
from nyc_taxi.registry.datasets import TRIP_DATASETS as trip_datasets
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores import STORES

macros = {name: macro for store in STORES for name, macro in store.macros.items()}
globals().update(macros)

__all__ = [
    "dag_id",
    "dataset",
    "downloaded_at",
    "file",
    "has_generation",
    "has_total",
    "loaded_object",
    "loaded_staging",
    "month",
    "new_staging",
    "published_at",
    "run_started_at",
    "seen_at",
    "staging_table",
    "target",
    "trip_datasets",
    "whole_years",
    "year",
    *macros,
]


# Statements of a store are for one month, or for all of a dataset.
month = Month(2021, 1)
has_generation = True
has_total = True
dag_id = "green_web_to_postgres"
target = dataset.file(month).table
published_at = "2021-03-02T00:00:00+00:00"
seen_at = "2021-04-01T00:00:00+00:00"


def file() -> PublishedFile:
    return dataset.file(month)


def downloaded_at() -> str:
    return "2021-03-01T00:00:00.000000+00:00"


def run_started_at() -> str:
    return "2021-03-01T00:00:00.000000+00:00"


def loaded_object() -> dict[str, object]:
    return {"table": f"trips_staging.{staging_table()}_1", "tries": 2, "generation": "1234567890", "rows": 1234}


def staging_table() -> str:
    return "green_2021_01_0123456789"


def new_staging() -> str:
    return f"staging.{staging_table()}_1"


def loaded_staging() -> str:
    return new_staging()


def whole_years() -> list[str]:
    return ["green"]


def year() -> int:
    return 2021
