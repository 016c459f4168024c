"""Faults in the runs of ``<dataset>_gcs_to_bigquery``."""

from __future__ import annotations

import pytest

from tests.faults.cases import Case
from tests.faults.harness import check_case, parameters
from tests.faults.scene import Scene


@pytest.mark.parametrize("case", parameters("bigquery"))
def test_fault(scene: Scene, case: Case) -> None:
    check_case(scene, case)
