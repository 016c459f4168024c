"""Measures both sides, each as shipped and as here: in turns, and never one while another runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from comparison.measurements import AS_HERE, AS_SHIPPED, Measurement, line_through
from comparison.sides import RANGE_PARALLEL, DatasetMonth, Side
from comparison.usage import cpu_seconds, cpu_seconds_of_commands, memory_mb, peak_memory

SHORT_CHAIN, LONG_CHAIN = 10, 110
RESTART = "warm_start"
Values = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is measured.

    Attributes:
        month: the month that both load, after the months that are compared.
        turns: how often each column is started, and what takes seconds is measured in it.
        slow_turns: the turns in which what takes minutes is measured, too; 0 leaves it out.
        as_shipped: whether the sides are also measured with their own defaults.
        range_months: the months that are loaded as one range.
        range_dataset: the dataset of the range.
        idle_seconds: the window in which an idle side is watched; Airflow parses all files every 30 s as shipped, and
            every minute as here, so that a minute has as many as any other.
        settling_seconds: what is waited before that, until the work of the start is done.
        registered: the DAGs or deployments that are added at once.
        mapped: the task runs of one run.
    """

    month: DatasetMonth
    turns: int
    slow_turns: int
    as_shipped: bool = True
    range_months: int = 12
    range_dataset: str = "green"
    idle_seconds: float = 60.0
    settling_seconds: float = 30.0
    registered: int = 100
    mapped: int = 1_000

    @property
    def range(self) -> list[DatasetMonth]:
        """The months of the range."""
        return [DatasetMonth(self.range_dataset, f"2020-{number:02d}") for number in range(1, self.range_months + 1)]


@dataclass(frozen=True)
class Row:
    """A row of figures: the name, the title, the unit and the note of its measurement."""

    name: str
    title: str
    unit: str = "s"
    note: str = ""


@dataclass(frozen=True)
class Probe:
    """What is done on a running side to get the figures of one row or several.

    Attributes:
        rows: its rows; the processor time stands in the first, if that is in seconds.
        measure: does it once; returns a figure for each row, by name.
        slow: it takes minutes on at least one side.
        sides: the sides that it is measured on; on the others there is no such way.
        parts: by what its processor time is divided.
    """

    rows: tuple[Row, ...]
    measure: Callable[[Side], Values]
    slow: bool = False
    sides: tuple[str, ...] = ("airflow", "prefect")
    parts: int = 1

    @property
    def name(self) -> str:
        """The name by which it is asked for: that of its first row."""
        return self.rows[0].name


@dataclass
class _Found:
    """The figures so far, by row and column, and the reason for each that is missing."""

    runs: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    cpu: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, column: str, value: float) -> None:
        self.runs.setdefault(name, {}).setdefault(column, []).append(value)

    def add_cpu(self, name: str, column: str, value: float) -> None:
        self.cpu.setdefault(name, {}).setdefault(column, []).append(value)

    def failed(self, name: str, column: str, error: Exception) -> None:
        self.failures[f"{name}, {column}"] = f"{type(error).__name__}: {error}"


RESTARTED = Row(RESTART, "Restart, until a run can start", note="the other side is stopped meanwhile")


def measure(
    sides: Sequence[Side],
    amounts: Amounts,
    only: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
    seconds: float = math.inf,
) -> tuple[list[Measurement], dict[str, str]]:
    """Measure the sides, which are stopped before and afterwards.

    Args:
        sides: those that can start.
        amounts: how much.
        only: the names of the probes; by default all.
        tell: reports the progress.
        seconds: no turn begins that would not end in this time if it took as long as the longest so far.

    Returns:
        The measurements, and the reason for each missing figure by its row and column.
    """
    chosen = [probe for probe in probes(amounts) if not only or probe.name in only]
    found = _Found()
    for side in sides:
        side.stop()
    for turn in _turns(amounts.turns, seconds):
        for side, settings in _order(sides, turn, amounts):
            due = [each for each in chosen if side.name in each.sides and (turn < amounts.slow_turns or not each.slow)]
            if not due and only:
                continue
            column = f"{side.name} {settings}"
            tell(f"turn {turn + 1} of {amounts.turns}: {column}")
            with _running(side, settings, found) as is_up:
                for probe in due if is_up else ():
                    tell(f"  {probe.name}: {_run(probe, side, column, found)}")
    today = datetime.now(UTC).date().isoformat()
    rows = [RESTARTED, *(row for probe in chosen for row in probe.rows)]
    return [_measurement(row, found, today) for row in rows if row.name in found.runs], found.failures


def _turns(count: int, seconds: float) -> Iterator[int]:
    """Count the turns, as long as another one ends in time."""
    begin, longest = time.monotonic(), 0.0
    for turn in range(count):
        at = time.monotonic()
        if at - begin + longest > seconds:
            return
        yield turn
        longest = max(longest, time.monotonic() - at)


def _order(sides: Sequence[Side], turn: int, amounts: Amounts) -> list[tuple[Side, str]]:
    """The columns in the order of a turn: sides alternate, and every other turn starts with the last one."""
    kinds = (AS_HERE, AS_SHIPPED) if amounts.as_shipped else (AS_HERE,)
    columns = [(side, settings) for settings in kinds for side in sides]
    return columns[::-1] if turn % 2 else columns


@contextmanager
def _running(side: Side, settings: str, found: _Found) -> Iterator[bool]:
    """Start a side with one kind of settings, and stop it at the end; yields whether it runs."""
    column = f"{side.name} {settings}"
    try:
        try:
            before = _used(side)
            seconds = side.start(settings)
        except Exception as error:
            found.failed(RESTART, column, error)
            yield False
            return
        found.add(RESTART, column, seconds)
        found.add_cpu(RESTART, column, _used(side) - before)
        yield True
    finally:
        side.stop()


def _run(probe: Probe, side: Side, column: str, found: _Found) -> str:
    """Measure the rows of a probe once; returns what was found, or why nothing was, for the progress."""
    before = _used(side)
    try:
        values = probe.measure(side)
    except Exception as error:
        found.failed(probe.name, column, error)
        return f"failed: {error}"
    for name, value in values.items():
        found.add(name, column, value)
    if probe.rows[0].unit == "s":
        found.add_cpu(probe.name, column, (_used(side) - before) / probe.parts)
    return ", ".join(f"{value:.3g} {row.unit}" for row, value in zip(probe.rows, values.values(), strict=True))


def _used(side: Side) -> float:
    """The processor time so far of a side's processes, and of the commands that use it."""
    return cpu_seconds(side.run_dirs()) + cpu_seconds_of_commands()


def _measurement(row: Row, found: _Found, today: str) -> Measurement:
    runs, cpu = found.runs[row.name], found.cpu.get(row.name, {})
    return Measurement(name=row.name, title=row.title, unit=row.unit, note=row.note, runs=runs, cpu=cpu, measured=today)


def probes(amounts: Amounts) -> list[Probe]:
    """All that is measured on a running side, in this order: first what leaves a side as idle as it was."""
    return [
        *_idle(amounts),
        _month(amounts),
        _month_by_call(amounts),
        _latency(),
        _edit(),
        _chains(),
        _recovery(),
        *_ranges(amounts),
        _mapped(amounts),
        _registered(amounts),
    ]


def _idle(amounts: Amounts) -> list[Probe]:
    def measure(side: Side) -> Values:
        time.sleep(amounts.settling_seconds)
        before = cpu_seconds(side.run_dirs())
        time.sleep(amounts.idle_seconds)
        used = cpu_seconds(side.run_dirs()) - before
        return {"idle_cpu": 100 * used / amounts.idle_seconds, "idle_memory": memory_mb(side.run_dirs())}

    rows = (
        Row(
            "idle_cpu",
            "Idle: processor",
            "% of a core",
            f"over {amounts.idle_seconds:.0f} s, {amounts.settling_seconds:.0f} s after the restart",
        ),
        Row("idle_memory", "Idle: memory", "MB", "at the end of that"),
    )
    return [Probe(rows, measure, slow=True)]


def _month(amounts: Amounts) -> Probe:
    def measure(side: Side) -> Values:
        with peak_memory(side.run_dirs()) as peak:
            seconds = side.load([amounts.month], postgres=False)
        return {"month": seconds, "peak_memory": peak[0]}

    rows = (
        Row("month", "A month to the lake and on to BigQuery", note="its arrival in the lake starts the second step"),
        Row("peak_memory", "Peak memory during that", "MB", "shared pages counted once"),
    )
    return Probe(rows, measure)


def _month_by_call(amounts: Amounts) -> Probe:
    note = "the first step's DAG ends with a `TriggerDagRunOperator`; one flow of Prefect calls both as functions"
    row = Row("month_by_call", "The same month, the second step started by a direct call", note=note)
    return Probe((row,), lambda side: {"month_by_call": side.load_by_call(amounts.month)})


def _latency() -> Probe:
    note = "from the call of the API that creates it; a run of Prefect is a new process"
    row = Row("latency", "From an event to the first line of the run that it starts", note=note)
    return Probe((row,), lambda side: {"latency": side.latency()})


def _edit() -> Probe:
    note = "`dag.test()` and a call of the flow, in a new process, which uses the running side's database or server"
    row = Row("edit", "From an edited file to the end of its only task", note=note)
    return Probe((row,), lambda side: {"edit": side.edit()})


def _chains() -> Probe:
    def measure(side: Side) -> Values:
        (short, of_short), (long, of_long) = (side.chain(length) for length in (SHORT_CHAIN, LONG_CHAIN))
        slope, intercept = line_through((SHORT_CHAIN, of_short), (LONG_CHAIN, of_long))
        return {"task": slope, "run": intercept + short - of_short, "short_chain": short, "long_chain": long}

    rows = (
        Row(
            "task",
            "One no-op task more in a chain",
            note=f"the slope from {SHORT_CHAIN} to {LONG_CHAIN} tasks, by the times in the runs' own records, so "
            "without the wait for a scheduler or a worker; the processor time is a share of that of all "
            f"{SHORT_CHAIN + LONG_CHAIN}. Airflow starts a process for each task, Prefect one for the run",
        ),
        Row(
            "run",
            "What a run takes besides its tasks",
            note=f"the intercept: a chain of {SHORT_CHAIN}, from the call that creates it, less its tasks at that "
            "slope; below zero where the tasks of a longer chain take longer each",
        ),
        Row("short_chain", f"A chain of {SHORT_CHAIN} no-op tasks"),
        Row("long_chain", f"A chain of {LONG_CHAIN} no-op tasks"),
    )
    return Probe(rows, measure, slow=True, parts=SHORT_CHAIN + LONG_CHAIN)


def _recovery() -> Probe:
    title = "From the kill of a running process to the end of its work"
    row = Row("recovery", title, note="Prefect through an automation of ours")
    return Probe((row,), lambda side: {"recovery": side.recover()})


def _ranges(amounts: Amounts) -> list[Probe]:
    """The range of months in each documented way: a run for each month, and one run for all."""
    months = f"{amounts.range_months} months to the lake and BigQuery"
    row = Row(
        "months",
        f"{months}, a run for each",
        note=f"{RANGE_PARALLEL} at a time: a backfill, and a work queue with a limit; arrivals do not count",
    )
    return [
        Probe((row,), lambda side: {"months": side.load_range(amounts.range)}, slow=True),
        _range_in_one_run(amounts, "months_in_one_run", f"{months}, one run for all", processes=False),
        _range_in_one_run(amounts, "months_in_processes", f"{months}, one run for all, in processes", processes=True),
    ]


def _range_in_one_run(amounts: Amounts, name: str, title: str, *, processes: bool) -> Probe:
    runner = f"{RANGE_PARALLEL} processes of a `ProcessPoolTaskRunner`" if processes else f"{RANGE_PARALLEL} threads"
    note = f"a parent flow, which does not count, whose months are {runner}; in the DAGs of Airflow a month is a run"
    return Probe(
        (Row(name, title, note=note),),
        lambda side: {name: side.load_range_in_one_run(amounts.range, processes=processes)},
        slow=True,
        sides=("prefect",),
    )


def _mapped(amounts: Amounts) -> Probe:
    note = "`expand` and `map` over a list; Airflow starts a process for each, Prefect a thread"
    row = Row("mapped", f"{amounts.mapped:,} no-op task runs of one run", note=note)
    return Probe((row,), lambda side: {"mapped": side.mapped(amounts.mapped)}, slow=True)


def _registered(amounts: Amounts) -> Probe:
    row = Row(
        "registered",
        f"{amounts.registered} new DAGs or deployments, until all can be started",
        note="each in a file of its own; Airflow looks into their folder every five seconds, as shipped every five "
        "minutes; for Prefect `prefect deploy --all` is run",
    )
    return Probe((row,), lambda side: {"registered": side.register(amounts.registered)}, slow=True)
