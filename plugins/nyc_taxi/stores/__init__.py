"""The stores of published months: one folder for each, all with the interface in ``store``.

To add a store, add a folder with its :class:`~nyc_taxi.stores.store.Store`, a DAG file, its SQL, and a line here.
"""

from __future__ import annotations

from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.postgres.store import PostgresStore
from nyc_taxi.stores.store import Store

# In the order of the data flow; the reconciliation line keeps it.
STORES: list[type[Store]] = [LakeStore, BigQueryStore, PostgresStore]


def connect(name: str) -> Store:
    """Return the store called ``name``, configured by Airflow's connections and variables.

    Raises:
        ValueError: the store is unknown; the message lists the known ones.
        AirflowNotFoundException: a connection is not defined.
    """
    for store in STORES:
        if store.name == name:
            return store.connect()
    raise ValueError(f"unknown store {name!r}; use one of {', '.join(store.name for store in STORES)}")
