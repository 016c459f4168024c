"""The yellow month and its rendered statements."""

from __future__ import annotations

from benchmarks.conditions import YELLOW_MONTH
from comparison.statements import Load
from nyc_taxi.registry.datasets import YELLOW
from nyc_taxi.registry.months import Month

FILE = YELLOW.file(Month.parse(YELLOW_MONTH))
LOAD = Load(file=FILE, run="benchmarks")
