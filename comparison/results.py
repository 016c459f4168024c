"""The results of a comparison, and their format in ``comparison/results.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from comparison.checks import Result
from comparison.concepts import CONCEPTS
from comparison.measurements import COLUMNS, Measurement, have_columns
from local.cloud.settings import REPOSITORY

RESULTS = REPOSITORY / "comparison" / "results.json"
SIDES = ("airflow", "prefect")
# The package of each side whose version the page names.
ORCHESTRATORS = {"airflow": "apache-airflow", "prefect": "prefect"}


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A month that both sides loaded.

    Attributes:
        dataset, month: the month.
        rows: its number of rows by side and store.
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
        date: when it started, ISO 8601, UTC.
        quick: whether it was a quick run, whose figures are no measure of speed.
        seconds: its duration.
        machine: the machine; see :func:`benchmarks.system.machine`.
        versions: the versions of the packages when the figures were measured.
        source: the source of the months, in words.
        checks: the result of each check, by side and concept.
        loaded: the months that both sides loaded into all stores.
        course_rerun: rows of the course's table after its first and its second run of one month; empty if not run.
        measurements: the figures.
        failures: failures outside the checks, such as a side that did not start, or a missing figure.
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
    failures: dict[str, str] = field(default_factory=dict)

    def expected(self, side: str) -> int:
        """The number of a side's checks that ended with a finding, whatever its mark; no score."""
        return sum(result.is_expected for result in self.checks[side].values())

    @property
    def identical(self) -> bool:
        """Whether both sides loaded at least one month, and all months are identical in all stores."""
        return bool(self.loaded) and all(each.identical for each in self.loaded)

    @property
    def is_complete(self) -> bool:
        """Whether everything was compared; a concept that a side cannot do is a finding, not a failure."""
        are_expected = all(result.is_expected for of_side in self.checks.values() for result in of_side.values())
        return self.identical and not self.failures and are_expected

    def with_checks_of(self, other: Results) -> Results:
        """These results with the checks of another run, and its failures in the place of all but those of figures."""
        names = [concept.name for concept in CONCEPTS]
        renewed = {side: {**of_side, **other.checks[side]} for side, of_side in self.checks.items()}
        ordered = {side: {name: found[name] for name in names if name in found} for side, found in renewed.items()}
        # The other run may have another source, so its months replace these only if they differ between the sides.
        loaded = self.loaded if other.identical else other.loaded
        return replace(
            self,
            checks=ordered,
            loaded=loaded,
            failures={**{name: why for name, why in self.failures.items() if _is_of_figure(name)}, **other.failures},
        )

    def with_figures_of(self, other: Results) -> Results:
        """These results with the figures of another run, its machine and versions; rows and columns that it lacks stay.

        Figures of before there were columns go as soon as there are others.
        """
        kept = self.measurements if have_columns(self.measurements) else []
        rows = {each.name: replace(each, measured=each.measured or self.date[:10]) for each in kept}
        rows |= {each.name: each.after(rows.get(each.name, each)) for each in other.measurements}
        old = {f"{name}, {column}" for name in rows for column in COLUMNS}
        checks = {
            side: {
                name: replace(each, version=each.version or self.versions[package]) for name, each in of_side.items()
            }
            for (side, package), of_side in zip(ORCHESTRATORS.items(), self.checks.values(), strict=True)
        }
        return replace(
            self,
            machine=other.machine,
            versions=other.versions,
            checks=checks,
            measurements=list(rows.values()),
            failures={**{name: why for name, why in self.failures.items() if name not in old}, **other.failures},
        )

    def last_line(self) -> str:
        """The comparison in one line, for programs: how many checks there are, and how many ended with a finding."""
        counts = " ".join(f"{side}={self.expected(side)}" for side in SIDES)
        concepts = len(set().union(*(of_side for of_side in self.checks.values())))
        return f"compared concepts={concepts} {counts} identical={'yes' if self.identical else 'no'}"

    def to_json(self) -> str:
        """The text of ``comparison/results.json``."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path = RESULTS) -> Results:
        """Read ``comparison/results.json``."""
        values = json.loads(path.read_text(encoding="utf-8"))
        values["checks"] = {
            side: {name: Result(**result) for name, result in of_side.items()}
            for side, of_side in values["checks"].items()
        }
        values["loaded"] = [Loaded(**each) for each in values["loaded"]]
        values["measurements"] = [Measurement(**each) for each in values["measurements"]]
        return cls(**values)


def _is_of_figure(failure: str) -> bool:
    """Whether a failure is that of a figure, which bears the names of its row and column."""
    return failure.rpartition(", ")[2] in COLUMNS
