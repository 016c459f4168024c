"""Faults in the runs of ``<dataset>_web_to_gcs``."""

from __future__ import annotations

import pytest

from tests.faults.cases import Case
from tests.faults.harness import check_case, parameters
from tests.faults.scene import Scene


@pytest.mark.parametrize("case", parameters("lake"))
def test_fault(scene: Scene, case: Case) -> None:
    check_case(scene, case)
