"""Counts the rows of one month at the source and in every store, each with that store's own client.

The stores are those of ``nyc_taxi.stores``. Nothing here reads what a task reported, so it verifies the pipeline
independently.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from unittest import mock

import httpx
import pyarrow.parquet as pq

from local.airflow.environment import AirflowSettings
from nyc_taxi import stores
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.model import ContractError, PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import Content, Store

if TYPE_CHECKING:
    from google.cloud import storage  # type: ignore[attr-defined] # storage has no types


StoreType = TypeVar("StoreType", bound=Store)
# One thread at a time: stores connect by variables in the environment of the process.
_ENVIRONMENT = threading.Lock()


@dataclass(frozen=True)
class Counts:
    """The rows of one month by place, in the order of the flow: the source, then the places of each store."""

    rows: Mapping[str, int]

    @property
    def agree(self) -> bool:
        """Whether all counts are equal."""
        return len(set(self.rows.values())) == 1

    def line(self, dataset: str, month: str) -> str:
        """Return the reconciliation line."""
        counts = " ".join(f"{place}={rows}" for place, rows in self.rows.items())
        return f"{'reconciled' if self.agree else 'DISAGREE'} {dataset} {month} {counts}"


def month_file(settings: AirflowSettings, dataset: str, month: str) -> PublishedFile:
    """Return the published file of a dataset's month.

    Raises:
        ContractError, MonthError: there is no such dataset with months, or no such month.
    """
    for each in TRIP_DATASETS:
        if each.name == dataset:
            file = each.file(Month.parse(month))
            file.source_path(settings.layout)  # refuses a month that the source never had
            return file
    raise ContractError(f"unknown dataset {dataset!r}; use one of {', '.join(each.name for each in TRIP_DATASETS)}")


def count(settings: AirflowSettings, file: PublishedFile) -> Counts:
    """Count the rows of ``file``, a file with a month, at the source and in every store; 0 where a store lacks it.

    Raises:
        httpx.HTTPError: the source does not have it, or does not answer.
    """
    rows = {"source": count_source(f"{settings.source_base_url}/{file.source_path(settings.layout)}")}
    for store in connected_stores(settings):
        rows |= store.counts(file)
    return Counts(rows)


def contents(settings: AirflowSettings, file: PublishedFile) -> dict[str, Content]:
    """Return the content of ``file`` in each store, by the store's name."""
    return {store.name: store.content(file) for store in connected_stores(settings)}


def connected_stores(settings: AirflowSettings) -> list[Store]:
    """Return all stores of the local stack, connected as tasks connect to them."""
    with stack_variables(settings):
        return [store.connect() for store in stores.STORES]


def connected(settings: AirflowSettings, store: type[StoreType]) -> StoreType:
    """Return one store, connected as tasks connect to it."""
    with stack_variables(settings):
        return store.connect()


@contextmanager
def stack_variables(settings: AirflowSettings) -> Iterator[None]:
    """Put the stack's connections and variables into the environment during the block."""
    prefixes = ("AIRFLOW_CONN_", "AIRFLOW_VAR_", "STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST")
    own = {name: value for name, value in settings.environment().items() if name.startswith(prefixes)}
    with _ENVIRONMENT, mock.patch.dict(os.environ, own):
        yield


def count_source(url: str) -> int:
    """Count the rows of the file that ``url`` serves: Parquet, or CSV, gzipped or not, not counting the header."""
    with tempfile.TemporaryFile() as spool:
        with httpx.stream("GET", url, follow_redirects=True, timeout=60) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_raw():
                spool.write(chunk)
        spool.seek(0)
        if url.endswith(".parquet"):
            return pq.ParquetFile(spool).metadata.num_rows
        file = gzip.GzipFile(fileobj=spool) if url.endswith(".gz") else spool
        with io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="") as text:
            return sum(1 for row in csv.reader(text) if row) - 1


def storage_client(settings: AirflowSettings) -> storage.Client:
    """Return Google's client of the stack's lake, for queries outside the Store interface."""
    from airflow.providers.google.cloud.hooks.gcs import GCSHook

    with stack_variables(settings):
        return GCSHook().get_conn()
