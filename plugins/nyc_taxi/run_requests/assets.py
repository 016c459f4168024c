"""Which DAG a request about an asset means."""

from __future__ import annotations

from airflow.models.asset import TaskOutletAssetReference
from airflow.utils.session import create_session
from sqlalchemy import select


def producer(asset_id: object) -> str:
    """Return the id of the DAG that updates an asset; empty if none does, or several."""
    if not isinstance(asset_id, int):
        return ""
    query = select(TaskOutletAssetReference.dag_id).where(TaskOutletAssetReference.asset_id == asset_id).distinct()
    with create_session() as session:
        found = session.scalars(query.limit(2)).all()
    return found[0] if len(found) == 1 else ""
