"""Take a month through the whole pipeline: python -m benchmarks.ours.month_end_to_end BASE_URL FOLDER"""

from __future__ import annotations

import sys
from pathlib import Path

import requests

from benchmarks.clock import clock, report
from benchmarks.conditions import yellow_url
from benchmarks.ours.load import FILE
from benchmarks.ours.warehouse import Warehouse
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.source.download import download


def web_to_bigquery(warehouse: Warehouse, url: str, folder: Path) -> None:
    """Download, convert, upload, load and publish."""
    source, parquet = folder / url.rpartition("/")[2], folder / FILE.parquet_name
    with requests.Session() as session:
        download(session, url, source)
    to_parquet(source, parquet, dataset=FILE.dataset, month=FILE.month)
    warehouse.load(parquet)


if __name__ == "__main__":
    warehouse = Warehouse()
    warehouse.start_anew()
    with clock() as figures:
        web_to_bigquery(warehouse, yellow_url(sys.argv[1]), Path(sys.argv[2]))
    figures["rows"] = warehouse.count_rows()
    report(figures)
