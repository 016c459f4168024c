"""Fixture with the DAGs of this repository, parsed once."""

from __future__ import annotations

import pytest
from airflow.dag_processing.dagbag import DagBag

from tests.conftest import REPOSITORY


@pytest.fixture(scope="session")
def bag() -> DagBag:
    return DagBag(dag_folder=REPOSITORY / "dags")
