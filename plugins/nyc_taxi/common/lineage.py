"""What a task reads and writes, for OpenLineage: the names and columns of files and tables.

OpenLineage's provider is optional. While it is on, it asks an operator by ``get_openlineage_facets_on_start``; so these
functions, which import it, are called only then. Names follow https://openlineage.io/docs/spec/naming.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

Columns = Iterable[tuple[str, str]]
"""The name and the type of each column."""


def reads_and_writes(*, inputs: list[Any], outputs: list[Any]) -> Any:
    """Return the datasets as the ``OperatorLineage`` of a task."""
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(inputs=inputs, outputs=outputs)


def file_dataset(location: str, columns: Columns = ()) -> Any:
    """Return the dataset of a file: a path of this machine, or a ``gs://`` or ``http(s)://`` address."""
    if "://" not in location:
        return _dataset("file", location, columns)
    address = urlsplit(location)
    # Without a login or a query: either may have a secret.
    host = address.netloc.rpartition("@")[2]
    return _dataset(f"{address.scheme}://{host}", address.path.lstrip("/"), columns)


def postgres_dataset(connection: Any, table: str, columns: Columns = ()) -> Any:
    """Return the dataset of a table of Postgres.

    Args:
        connection: the Airflow connection of its database.
        table: its name, ``schema.table``.
        columns: its columns.
    """
    namespace = f"postgres://{connection.host}:{connection.port or 5432}"
    return _dataset(namespace, f"{connection.schema}.{table}", columns)


def _dataset(namespace: str, name: str, columns: Columns) -> Any:
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )

    fields = [SchemaDatasetFacetFields(name=column, type=kind) for column, kind in columns]
    return Dataset(
        namespace=namespace, name=name, facets={"schema": SchemaDatasetFacet(fields=fields)} if fields else {}
    )
