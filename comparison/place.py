"""The environment of a comparison: a temporary folder, an embedded cloud for each side, and one source."""

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
from local.cloud.settings import HOST, Settings
from nyc_taxi.registry.columns import Layout
from nyc_taxi.stores.store import Content

PORTS = ("GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT")
# A scheduled run, as on the first of a month, is for a month after the source's last one: it ends at once.
LAST_MONTH = "2021-07"


@dataclass(frozen=True)
class Place:
    """Both sides and the facts that they share; neither side runs yet."""

    ground: Ground
    airflow: AirflowSide
    prefect: PrefectSide

    def contents(self, month: DatasetMonth) -> dict[str, dict[str, Content]]:
        """The content of a month by side and store: the number of rows and the sum of their hashes."""
        return {side.name: reconcile.contents(side.settings, month.file) for side in (self.airflow, self.prefect)}

    def count_source(self, month: DatasetMonth) -> int:
        """Count the rows of a month at the source."""
        return reconcile.count_source(_url(self.airflow.settings, month))


@contextmanager
def place(*, source: str, rows: int, month: DatasetMonth, more: Sequence[DatasetMonth] = ()) -> Iterator[Place]:
    """Start both embedded clouds in a temporary folder; at the end everything is stopped and removed.

    Args:
        source: what the source server serves: ``synthetic``, or a folder in the mirror's layout.
        rows: rows of a synthetic month.
        month: the month that the checks look at.
        more: further months that are needed; those that the folder lacks are generated beside its own.

    Raises:
        MeasureError: a cloud does not start, the source lacks the month, or ``PREFECT_PORT`` is not a number.
    """
    port = _prefect_port()
    folder = Path(tempfile.mkdtemp(prefix="comparison-"))
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        if source != "synthetic":
            source = str(_completed(Path(source), folder / "source", more, rows))
        receiver_url = cleanup.enter_context(receiver())
        cleanup.enter_context(isolated(folder, **_variables(source, rows)))
        settings, prefects_settings = _start_clouds(cleanup, folder)
        ground = Ground(
            folder=folder,
            receiver_url=receiver_url,
            dataset=month.dataset,
            month=month.month,
            rows=_count(settings, month),
            prefect_url=f"http://{HOST}:{port}/api",
        )
        sides = AirflowSide(ground, settings), PrefectSide(ground, prefects_settings, port)
        for side in sides:
            cleanup.callback(side.stop)
        yield Place(ground, *sides)


def _prefect_port() -> int:
    """The port of Prefect's server: ``PREFECT_PORT``, or a free one.

    Raises:
        MeasureError: it is not a whole number.
    """
    port = os.environ.get("PREFECT_PORT") or str(free_ports(1)[0])
    if not port.isdecimal():
        raise MeasureError(f"PREFECT_PORT={port!r} is not a whole number")
    return int(port)


def _variables(source: str, rows: int) -> dict[str, str]:
    """The settings of the stack that differ from the isolated ones; Airflow's port may be chosen from outside."""
    chosen = {name: value for name in ("AIRFLOW_PORT",) if (value := os.environ.get(name))}
    return {"SOURCE": source, "SYNTHETIC_ROWS": str(rows), "SOURCE_LAST_MONTH": LAST_MONTH, **chosen}


def _start_clouds(cleanup: ExitStack, folder: Path) -> tuple[AirflowSettings, AirflowSettings]:
    """Start an embedded cloud for each side, both with the first one's source; returns Airflow's and Prefect's."""
    settings = AirflowSettings.from_env()
    _start_cloud(cleanup, {})
    others = {
        "LOCAL_DIR": str(folder / "prefect-local"),
        "SOURCE": settings.source_base_url,
        **dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True)),
    }
    _start_cloud(cleanup, others)
    prefects = replace(settings, cloud=Settings.from_env({**os.environ, **others}))
    _make_database(prefects, METADATA)
    return settings, prefects


def _count(settings: AirflowSettings, month: DatasetMonth) -> int:
    """Count the rows of a month at the source.

    Raises:
        MeasureError: the source does not have the month.
    """
    url = _url(settings, month)
    try:
        return reconcile.count_source(url)
    except Exception as error:
        raise MeasureError(
            f"the source lacks {month.dataset} {month.month}, the checked month: {url}: {error}"
        ) from error


def _completed(source: Path, target: Path, months: Sequence[DatasetMonth], rows: int) -> Path:
    """Make a folder of links to the source's files, with synthetic months where files are missing."""
    shutil.copytree(source, target, copy_function=os.symlink)
    for each in months:
        path = target / each.file.source_path(Layout.MIRROR)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            generate = [str(CLOUD_PYTHON), "-m", "local.cloud.source", "generate", each.dataset, each.month]
            command([*generate, str(path), "--rows", str(rows)])
    return target


def _start_cloud(cleanup: ExitStack, variables: dict[str, str]) -> None:
    """Start an embedded cloud; ``cleanup`` stops it."""
    cloud = [str(CLOUD_PYTHON), "-m", "local.cloud"]
    cleanup.callback(command, [*cloud, "down"], variables)
    command([*cloud, "up"], variables)


def _url(settings: AirflowSettings, month: DatasetMonth) -> str:
    return f"{settings.source_base_url}/{month.file.source_path(settings.layout)}"


def _make_database(settings: AirflowSettings, name: str) -> None:
    with psycopg.connect(settings.cloud.postgres_url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
