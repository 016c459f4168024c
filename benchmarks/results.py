"""The definition of a benchmark, its result, and the format of ``results.json``."""

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
        name: the name of the benchmark.
        unit: the unit of ``ours``, ``baseline`` and the spreads.
        ours: the median of our runs; None if the benchmark failed.
        baseline: the median of the baseline's runs; None without a baseline.
        ratio: how many times better ours is; None without a baseline.
        runs: the number of runs of each.
        spread: our largest run minus our smallest.
        baseline_spread: the baseline's largest run minus its smallest.
        ours_runs, baseline_runs: the runs themselves, in order.
        peak_mb, baseline_peak_mb: the peak memory of any run, if one process does the work.
        must_reach: the targets, in words; empty if there are none.
        reached: whether all targets are reached; None if there are none, or the benchmark failed.
        note: what a reader must know about the figures.
        error: the reason of a failure; None if there was none.
        more: further figures by name.
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
        """The outcome in one word; empty without a target."""
        if self.error is not None:
            return "failed"
        return {None: "", True: "reached", False: "missed"}[self.reached]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a benchmark returns: the runs of ours and of the baseline in its unit, and more; see :class:`Row`."""

    ours: Sequence[float]
    baseline: Sequence[float] = ()
    peak_mb: float | None = None
    baseline_peak_mb: float | None = None
    note: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_runs(cls, ours: Sequence[Run], baseline: Sequence[Run], figure: Callable[[Run], float]) -> Measured:
        """Make it from measured processes; ``figure`` selects the figure of each."""
        return cls(
            ours=[figure(run) for run in ours],
            baseline=[figure(run) for run in baseline],
            peak_mb=max(run.peak_mb for run in ours),
            baseline_peak_mb=max(run.peak_mb for run in baseline),
        )


@dataclass(frozen=True)
class Target:
    """A bound for a row, in words and as a condition."""

    text: str
    holds: Callable[[Row], bool]


def times_at_least(factor: float) -> Target:
    """Ours must be at least ``factor`` times better than the baseline."""
    return Target(f"≥ {factor:g} times", lambda row: row.ratio is not None and row.ratio >= factor)


def at_most(bound: float, unit: str) -> Target:
    """Our median must be at most ``bound``."""
    return Target(f"≤ {bound:g} {unit}", lambda row: row.ours is not None and row.ours <= bound)


def of_baseline_at_most(share: float) -> Target:
    """Our median must be at most this share of the baseline, where the baseline is a lower limit."""
    return Target(
        f"≤ {share:g} of the baseline",
        lambda row: row.ours is not None and row.baseline is not None and row.ours / row.baseline <= share,
    )


def peak_at_most(megabytes: float) -> Target:
    """The peak memory of our runs must be at most ``megabytes``."""
    return Target(f"≤ {megabytes:g} MB", lambda row: row.peak_mb is not None and row.peak_mb <= megabytes)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: the name of its row.
        title: what is measured, in a few words.
        against: the baseline, in a few words.
        unit: the unit of its figures.
        run: the function that measures.
        better: whether lower or higher figures are better.
        targets: the bounds for its row.
    """

    name: str
    title: str
    against: str
    unit: str
    run: Callable[[Lab], Measured]
    better: Better = "lower"
    targets: Sequence[Target] = ()

    def measure(self, lab: Lab) -> Row:
        """Run it; an exception becomes the row's error, so that the other rows are not lost."""
        must_reach = ", ".join(target.text for target in self.targets)
        try:
            return self.row(self.run(lab))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            return Row(name=self.name, unit=self.unit, must_reach=must_reach, error=reason)

    def row(self, measured: Measured) -> Row:
        """Make the row of the measured figures."""
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
    """One run of the benchmarks; the content of ``results.json``.

    Attributes:
        date: when it ended, ISO 8601, UTC.
        quick: whether the conditions were those of the quick run.
        seconds: its duration.
        machine: the machine; see :func:`benchmarks.system.machine`.
        versions: the versions of the packages involved.
        conditions: the amounts and repetitions; see :class:`benchmarks.conditions.Conditions`.
        rows: one row for each benchmark.
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
        """The same run with the rows of a later one: they replace their older versions, and new ones come last.

        Each of them says when it was measured, on which processor, and how busy the machine was before. A row compares
        ours and its baseline in one run, so that rows of several machines may stand side by side.

        Raises:
            ValueError: the later run had other conditions.
        """
        later = Results.of_json(later.to_json())  # rounded, as it would be kept
        if self.conditions != later.conditions:
            raise ValueError("the kept results have other conditions; run make bench instead")
        measured = {name: later.machine[name] for name in ("cpu", "load_before")} | {"measured": later.date}
        rows = {row.name: row for row in self.rows}
        rows |= {row.name: replace(row, more={**row.more, **measured}) for row in later.rows}
        return replace(self, rows=list(rows.values()))

    def to_json(self) -> str:
        """The text of ``results.json``."""
        return json.dumps(_rounded(asdict(self)), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path = RESULTS) -> Results:
        """Read ``results.json``."""
        return cls.of_json(path.read_text(encoding="utf-8"))

    @classmethod
    def of_json(cls, text: str) -> Results:
        """Make it from the text of ``results.json``."""
        content = json.loads(text)
        return cls(**{**content, "rows": [Row(**row) for row in content["rows"]]})


def now() -> str:
    """The current time in the format of ``Results.date``."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _rounded(value: Any) -> Any:
    """Round all figures to five significant digits; more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
