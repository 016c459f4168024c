"""What a comparison found, and how that is kept in ``comparison/results.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from comparison.checks import Result
from comparison.concepts import CONCEPTS
from comparison.measurements import Measurement
from local.cloud.settings import REPOSITORY

RESULTS = REPOSITORY / "comparison" / "results.json"
SIDES = ("airflow", "prefect")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What both sides have of a month.

    Attributes:
        dataset, month: which.
        rows: the rows in each store, by side and store.
        identical: whether each store has the same number of rows and the same sum of their hashes on both sides.
    """

    dataset: str
    month: str
    rows: dict[str, dict[str, int]]
    identical: bool


@dataclass(frozen=True, kw_only=True)
class Results:
    """One comparison.

    Attributes:
        date: when it began, ISO, UTC.
        quick: whether it was a quick one, no measure of speed.
        seconds: how long it took.
        machine: on what; see :func:`benchmarks.system.machine`.
        versions: of the packages that take part.
        source: where the months came from: synthetic, or real ones.
        checks: by side and concept, how each check ended.
        loaded: the months that both took to all stores.
        course_rerun: rows of the course's table after its first and its second run of one month; empty if not run.
        measurements: the figures.
        lines_of_code: by version.
        failures: what went wrong beside the checks: why a side did not start, why a figure is missing.
    """

    date: str
    quick: bool
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, str]
    source: str
    checks: dict[str, dict[str, Result]]
    loaded: list[Loaded]
    course_rerun: list[int]
    measurements: list[Measurement]
    lines_of_code: dict[str, int]
    failures: dict[str, str] = field(default_factory=dict)

    def passed(self, side: str) -> int:
        """How many of a side's checks have passed."""
        return sum(result.outcome == "passed" for result in self.checks[side].values())

    @property
    def identical(self) -> bool:
        """Whether there are months that both have loaded, and all of them are the same in all stores."""
        return bool(self.loaded) and all(each.identical for each in self.loaded)

    @property
    def is_complete(self) -> bool:
        """Whether everything was compared as it should be; a thing that one side cannot do is a finding."""
        ended = {result.outcome for of_side in self.checks.values() for result in of_side.values()}
        return self.identical and not self.failures and ended <= {"passed", "cannot"}

    def with_checks_of(self, other: Results) -> Results:
        """The same, with the results of another run's checks, in their order, and with what went wrong in that run."""
        names = [concept.name for concept in CONCEPTS]
        renewed = {side: {**of_side, **other.checks[side]} for side, of_side in self.checks.items()}
        ordered = {side: {name: found[name] for name in names if name in found} for side, found in renewed.items()}
        # What the months hold depends on the other run's source; only that they differ is news.
        loaded = self.loaded if other.identical else other.loaded
        return replace(self, checks=ordered, loaded=loaded, failures={**self.failures, **other.failures})

    def last_line(self) -> str:
        """The whole comparison in one line, for programs."""
        counts = " ".join(f"{side}={self.passed(side)}" for side in SIDES)
        concepts = len(set().union(*(of_side for of_side in self.checks.values())))
        return f"compared concepts={concepts} {counts} identical={'yes' if self.identical else 'no'}"

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path = RESULTS) -> Results:
        """Read what was kept."""
        values = json.loads(path.read_text(encoding="utf-8"))
        values["checks"] = {
            side: {name: Result(**result) for name, result in of_side.items()}
            for side, of_side in values["checks"].items()
        }
        values["loaded"] = [Loaded(**each) for each in values["loaded"]]
        values["measurements"] = [Measurement(**each) for each in values["measurements"]]
        return cls(**values)
