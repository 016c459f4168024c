"""Where the comparison takes place: in a temporary folder, with an embedded cloud for each side, and one source."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.lab import command, isolated
from benchmarks.measure import MeasureError
from benchmarks.system import CLOUD_PYTHON, free_ports
from comparison.airflow_side import AirflowSide
from comparison.ground import Ground
from comparison.prefect_side import METADATA, PrefectSide
from comparison.receiver import receiver
from comparison.sides import DatasetMonth
from local.airflow import reconcile
from local.airflow.environment import AirflowSettings
from local.airflow.reconcile import Content
from local.cloud.settings import HOST, Settings
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import PublishedFile, TripDataset
from nyc_taxi.registry.months import Month

PORTS = ("GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT")
# An unpaused DAG starts the clock's newest month at once; behind the last one of the source, such a run ends at once.
LAST_MONTH = "2021-07"


@dataclass(frozen=True)
class Place:
    """The common ground and both sides on it, none of which runs yet."""

    ground: Ground
    airflow: AirflowSide
    prefect: PrefectSide

    def contents(self, month: DatasetMonth) -> dict[str, dict[str, Content]]:
        """What each side has of a month: by side and store, the rows and the sum of their hashes."""
        file = published_file(month)
        return {side.name: reconcile.contents(side.settings, file) for side in (self.airflow, self.prefect)}

    def count_source(self, month: DatasetMonth) -> int:
        """How many rows the source's file of a month has."""
        return reconcile.count_source(_url(self.airflow.settings, month))


def published_file(month: DatasetMonth) -> PublishedFile:
    """The file that a source publishes for a month."""
    dataset = DATASETS[month.dataset]
    assert isinstance(dataset, TripDataset)
    return dataset.file(Month.parse(month.month))


@contextmanager
def place(*, source: str, rows: int, month: DatasetMonth, more: Sequence[DatasetMonth] = ()) -> Iterator[Place]:
    """The place, with both embedded clouds up; at the end nothing is left of it, and nothing runs any more.

    Args:
        source: what the source server serves: ``synthetic``, or a folder in the mirror's layout.
        rows: rows of a synthetic month.
        month: the month that the checks look at.
        more: further months that are needed; those that the folder lacks are generated beside its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="comparison-"))
    port = os.environ.get("PREFECT_PORT") or str(free_ports(1)[0])
    if not port.isdecimal():
        raise MeasureError(f"PREFECT_PORT={port!r} is not a whole number")
    airflow_port = {name: value for name in ("AIRFLOW_PORT",) if (value := os.environ.get(name))}
    if source != "synthetic":
        source = str(_completed(Path(source), folder / "source", more, rows))
    variables = {"SOURCE": source, "SYNTHETIC_ROWS": str(rows), "SOURCE_LAST_MONTH": LAST_MONTH, **airflow_port}
    with receiver() as receiver_url, isolated(folder, **variables), ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        settings = AirflowSettings.from_env()
        _start_cloud(cleanup, {})
        others = {
            "LOCAL_DIR": str(folder / "prefect-local"),
            "SOURCE": settings.source_base_url,
            **dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True)),
        }
        _start_cloud(cleanup, others)
        prefects_settings = replace(settings, cloud=Settings.from_env({**os.environ, **others}))
        _make_database(prefects_settings, METADATA)
        ground = Ground(
            folder=folder,
            receiver_url=receiver_url,
            dataset=month.dataset,
            month=month.month,
            rows=_count(settings, month),
            prefect_url=f"http://{HOST}:{port}/api",
        )
        sides = AirflowSide(ground, settings), PrefectSide(ground, prefects_settings, int(port))
        for side in sides:
            cleanup.callback(side.stop)
        yield Place(ground, *sides)


def _count(settings: AirflowSettings, month: DatasetMonth) -> int:
    """How many rows the source's file of a month has.

    Raises:
        MeasureError: the source does not have it.
    """
    url = _url(settings, month)
    try:
        return reconcile.count_source(url)
    except Exception as error:
        raise MeasureError(f"the source must have {month.dataset} {month.month}: {url}: {error}") from error


def _completed(source: Path, target: Path, months: Sequence[DatasetMonth], rows: int) -> Path:
    """A folder of links to the source's files, with synthetic months where it has none."""
    shutil.copytree(source, target, copy_function=os.symlink)
    for each in months:
        path = target / published_file(each).source_path(Layout.MIRROR)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            generate = [str(CLOUD_PYTHON), "-m", "local.cloud.source", "generate", each.dataset, each.month]
            command([*generate, str(path), "--rows", str(rows)])
    return target


def _start_cloud(cleanup: ExitStack, variables: dict[str, str]) -> None:
    """Start an embedded cloud, to be stopped in the end."""
    cloud = [str(CLOUD_PYTHON), "-m", "local.cloud"]
    cleanup.callback(command, [*cloud, "down"], variables)
    command([*cloud, "up"], variables)


def _url(settings: AirflowSettings, month: DatasetMonth) -> str:
    return f"{settings.source_base_url}/{published_file(month).source_path(settings.layout)}"


def _make_database(settings: AirflowSettings, name: str) -> None:
    with psycopg.connect(settings.cloud.postgres_url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
