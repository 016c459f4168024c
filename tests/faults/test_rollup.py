"""Faults in the runs of ``trips_yearly_rollup``."""

from __future__ import annotations

import pytest

from tests.faults.cases import Case
from tests.faults.harness import check_rollup_case, parameters
from tests.faults.scene import Scene


@pytest.mark.parametrize("case", parameters("rollup"))
def test_fault(scene: Scene, case: Case) -> None:
    check_rollup_case(scene, case)
