"""Assets that the DAGs update, and the task arguments that announce the updated partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.sdk import Asset

from nyc_taxi.registry.model import Dataset, TripDataset
from nyc_taxi.registry.months import resolve_month, resolve_year
from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.store import Store


def store_asset(store: type[Store], dataset: Dataset) -> Asset:
    """Return the asset of a dataset in a store, such as ``lake_green``; its partitions are months."""
    return Asset(name=f"{store.asset}_{dataset.name}", group=store.asset)


def yearly_rollup_asset() -> Asset:
    """Return the asset of the rollup of all datasets in BigQuery; its partitions are years."""
    return Asset(name=f"{BigQueryStore.asset}_yearly_rollup", group=BigQueryStore.asset)


def updates(dataset: Dataset, asset: Asset) -> dict[str, Any]:
    """Return the arguments of a task that updates ``asset``: its outlet, and a hook that adds the month.

    Airflow adds the partition itself if the run has a partition key. A run started by hand has none, so the hook adds
    its month; without it, the run would not start the DAGs that are scheduled on the asset.
    """
    announce = _announcing(asset, resolve_month) if isinstance(dataset, TripDataset) else None
    return {"outlets": [asset], "post_execute": announce}


def updates_year(asset: Asset) -> dict[str, Any]:
    """Return the arguments of a task that updates a whole year of ``asset``; see :func:`updates`."""
    return {"outlets": [asset], "post_execute": _announcing(asset, resolve_year)}


def _announcing(asset: Asset, resolve: Callable[[Any], object]) -> Callable[[Any, Any], None]:
    def announce(context: Any, result: Any) -> None:
        if not context["dag_run"].partition_key:
            context["outlet_events"][asset].add_partitions(str(resolve(context)))

    return announce
