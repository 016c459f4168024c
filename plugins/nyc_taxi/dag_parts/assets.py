"""The assets that the DAGs update, and how a task announces which partition it updated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.sdk import Asset

from nyc_taxi.registry.model import Dataset, TripDataset
from nyc_taxi.registry.months import resolve_month, resolve_year


def lake_asset(dataset: Dataset) -> Asset:
    """The dataset's Parquet in the lake; its partitions are months."""
    return Asset(name=f"lake_{dataset.name}", group="lake")


def warehouse_asset(dataset: Dataset) -> Asset:
    """The dataset's table in BigQuery; its partitions are months."""
    return Asset(name=f"warehouse_{dataset.name}", group="warehouse")


def postgres_asset(dataset: Dataset) -> Asset:
    """The dataset's table in Postgres; its partitions are months."""
    return Asset(name=f"postgres_{dataset.name}", group="postgres")


def yearly_rollup_asset() -> Asset:
    """The rollup of all datasets in BigQuery; its partitions are years."""
    return Asset(name="warehouse_yearly_rollup", group="warehouse")


def updates(dataset: Dataset, asset: Asset) -> dict[str, Any]:
    """The arguments of a task that updates ``asset``: its outlet, and the hook that tells which month it was.

    A run with a partition key tells it by itself. A run that was started by hand has none, so the hook adds it; that is
    how such a run, too, reaches the DAGs that wait for the asset.
    """
    announce = _announcing(asset, resolve_month) if isinstance(dataset, TripDataset) else None
    return {"outlets": [asset], "post_execute": announce}


def updates_year(asset: Asset) -> dict[str, Any]:
    """The same of a task that updates a whole year of ``asset``."""
    return {"outlets": [asset], "post_execute": _announcing(asset, resolve_year)}


def _announcing(asset: Asset, resolve: Callable[[Any], object]) -> Callable[[Any, Any], None]:
    def announce(context: Any, result: Any) -> None:
        if not context["dag_run"].partition_key:
            context["outlet_events"][asset].add_partitions(str(resolve(context)))

    return announce
