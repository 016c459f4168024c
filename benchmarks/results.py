"""What a benchmark is, what it measured, and how that becomes ``results.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Better, Run, median, spread, times_better
from local.cloud.settings import REPOSITORY

if TYPE_CHECKING:
    from benchmarks.lab import Lab

RESULTS = REPOSITORY / "benchmarks" / "results.json"
SCHEMA = REPOSITORY / "benchmarks" / "results.schema.json"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the report.

    Attributes:
        name: the benchmark's.
        unit: of ``ours``, ``baseline`` and the spreads.
        ours: the median of our runs; None if the benchmark failed.
        baseline: the median of the baseline's; None if there is none.
        ratio: how many times better ours is; None without a baseline.
        runs: how often each way was measured.
        spread: our largest run less our smallest.
        baseline_spread: the same of the baseline.
        ours_runs, baseline_runs: the runs themselves, in their order.
        peak_mb, baseline_peak_mb: the most memory of any run, where one process does the work.
        must_reach: the targets, in words; empty if there are none.
        reached: whether all hold; None if there are none, or the benchmark failed.
        note: what to know of the figures.
        error: why the benchmark failed; None if it did not.
        more: further figures, by name.
    """

    name: str
    unit: str
    ours: float | None = None
    baseline: float | None = None
    ratio: float | None = None
    runs: int = 0
    spread: float | None = None
    baseline_spread: float | None = None
    ours_runs: Sequence[float] = ()
    baseline_runs: Sequence[float] = ()
    peak_mb: float | None = None
    baseline_peak_mb: float | None = None
    must_reach: str = ""
    reached: bool | None = None
    note: str = ""
    error: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """In one word for the table; empty if no target is set."""
        if self.error is not None:
            return "failed"
        return {None: "", True: "reached", False: "missed"}[self.reached]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a benchmark returns: the runs of both ways, in its unit, and what else it learnt; see :class:`Row`."""

    ours: Sequence[float]
    baseline: Sequence[float] = ()
    peak_mb: float | None = None
    baseline_peak_mb: float | None = None
    note: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_runs(cls, ours: Sequence[Run], baseline: Sequence[Run], figure: Callable[[Run], float]) -> Measured:
        """The measured processes of both ways; ``figure`` is what counts of each."""
        return cls(
            ours=[figure(run) for run in ours],
            baseline=[figure(run) for run in baseline],
            peak_mb=max(run.peak_mb for run in ours),
            baseline_peak_mb=max(run.peak_mb for run in baseline),
        )


@dataclass(frozen=True)
class Target:
    """A bound that a row has to keep: in words, and as a condition."""

    text: str
    holds: Callable[[Row], bool]


def times_at_least(factor: float) -> Target:
    """Ours has to be so many times better than the baseline."""
    return Target(f"≥ {factor:g} times", lambda row: row.ratio is not None and row.ratio >= factor)


def at_most(bound: float, unit: str) -> Target:
    """Our median has to be at most ``bound``."""
    return Target(f"≤ {bound:g} {unit}", lambda row: row.ours is not None and row.ours <= bound)


def of_baseline_at_most(share: float) -> Target:
    """Our median has to be at most so much of the baseline: of what no one can be better than."""
    return Target(
        f"≤ {share:g} of the baseline",
        lambda row: row.ours is not None and row.baseline is not None and row.ours / row.baseline <= share,
    )


def peak_at_most(megabytes: float) -> Target:
    """No run of ours may ever hold more memory."""
    return Target(f"≤ {megabytes:g} MB", lambda row: row.peak_mb is not None and row.peak_mb <= megabytes)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: its row's name.
        title: what is measured, in a few words.
        against: what the baseline is, in a few words.
        unit: of its figures.
        run: measures.
        better: which figures are better.
        targets: what its row has to reach.
    """

    name: str
    title: str
    against: str
    unit: str
    run: Callable[[Lab], Measured]
    better: Better = "lower"
    targets: Sequence[Target] = ()

    def measure(self, lab: Lab) -> Row:
        """Run it. Whatever goes wrong is told by the row, so that the other rows are not lost."""
        must_reach = ", ".join(target.text for target in self.targets)
        try:
            return self.row(self.run(lab))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            return Row(name=self.name, unit=self.unit, must_reach=must_reach, error=reason)

    def row(self, measured: Measured) -> Row:
        """The row of what was measured."""
        ours = median(measured.ours)
        baseline = median(measured.baseline) if measured.baseline else None
        row = Row(
            name=self.name,
            unit=self.unit,
            ours=ours,
            baseline=baseline,
            ratio=None if baseline is None else times_better(ours, baseline, self.better),
            runs=len(measured.ours),
            spread=spread(measured.ours),
            baseline_spread=spread(measured.baseline) if measured.baseline else None,
            ours_runs=list(measured.ours),
            baseline_runs=list(measured.baseline),
            peak_mb=measured.peak_mb,
            baseline_peak_mb=measured.baseline_peak_mb,
            must_reach=", ".join(target.text for target in self.targets),
            note=measured.note,
            more=measured.more,
        )
        return replace(row, reached=all(target.holds(row) for target in self.targets) if self.targets else None)


@dataclass(frozen=True, kw_only=True)
class Results:
    """One whole run of the benchmarks; what ``results.json`` holds.

    Attributes:
        date: when it ended, UTC, ISO 8601.
        quick: whether the conditions were those of the quick run.
        seconds: how long it took.
        machine, versions: on what it ran.
        conditions: the constants of ``benchmarks.conditions``.
        rows: one for each benchmark.
    """

    date: str
    quick: bool
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, str]
    conditions: dict[str, Any]
    rows: Sequence[Row]

    @property
    def failed(self) -> bool:
        """Whether any benchmark failed; a missed target is no failure."""
        return any(row.error is not None for row in self.rows)

    def renewed_by(self, later: Results) -> Results:
        """The same run with rows of a later one in the place of its own; each says when it was measured.

        Raises:
            ValueError: the later one was measured on another machine, or not as much of it.
        """
        later = Results.of_json(later.to_json())  # as it would be kept
        if (self.conditions, self.machine["cpu"]) != (later.conditions, later.machine["cpu"]):
            raise ValueError("these rows cannot stand beside those that are kept: the machine or the conditions differ")
        rows = {row.name: replace(row, more={**row.more, "measured": later.date}) for row in later.rows}
        return replace(self, rows=[rows.get(row.name, row) for row in self.rows])

    def to_json(self) -> str:
        """As the text of ``results.json``."""
        return json.dumps(_rounded(asdict(self)), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path = RESULTS) -> Results:
        """Read ``results.json``."""
        return cls.of_json(path.read_text(encoding="utf-8"))

    @classmethod
    def of_json(cls, text: str) -> Results:
        """The reverse of ``to_json``."""
        content = json.loads(text)
        return cls(**{**content, "rows": [Row(**row) for row in content["rows"]]})


def now() -> str:
    """This moment as ``Results.date`` has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _rounded(value: Any) -> Any:
    """Figures to five digits: more of them would only be noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
