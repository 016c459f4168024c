"""docs/scale.md says what the kept results say, and computes as it explains."""

from __future__ import annotations

import re
from dataclasses import replace

from benchmarks.page import page_with
from benchmarks.results import Results, Row
from benchmarks.scale_page import PAGE, requests_of_a_month, scale_section, tasks_of_a_month
from local.airflow.gcp_forecast import MILLIONS

COST = {"cpu_seconds": 2.0, "seconds": 4.0, "peak_mb": 300.0, "source_mb": 10.0, "lake_mb": 20.0}
COSTS = Row(
    name="cost_of_a_month", unit="s", ours=2.0, more={"rows": 500_000, "by_dataset": dict.fromkeys(MILLIONS, COST)}
)
BACKFILL = Row(name="backfill_parallelism", unit="s", ours=90.0)  # 12 months of 15 tasks: 2 tasks a second

SIMULATED = Row(
    name="simulated_backfill",
    unit="s",
    ours=120.0,
    baseline=30.0,
    more={
        "runs": 720, "tasks": 1200, "tasks_a_second": 10.0, "most_at_once": 7, "slots": 32, "slept_seconds": 960.0,
        "cpu_seconds": {"scheduler": 60.0, "tasks": 120.0, "api-server": 30.0}, "cpu_seconds_of_other_work": 3.0,
    },
)  # fmt: skip


def shown(*rows: Row) -> str:
    kept = Results.read()
    return scale_section(
        replace(kept, rows=list(rows), machine={**kept.machine, "cores": 2}, conditions={"backfill_months": 12})
    )


def test_the_page_says_what_results_json_says() -> None:
    text = PAGE.read_text()
    assert text == page_with(text, scale_section(Results.read())), "stale: .venv/bin/python -m benchmarks report"


def test_what_was_not_measured_is_named() -> None:
    assert "The cost of a month has not been measured yet." in shown()
    assert "once both benchmarks were measured" in shown(COSTS)


def test_figures_are_of_a_million_rows_and_of_a_month() -> None:
    [green] = re.findall(r"\| `green` \|.*", shown(COSTS))
    assert green == f"| `green` | 4 | 300 | 20 | 40 | 0.6 million | 2.4 | 12 | 24 | {tasks_of_a_month('green')} |"


def test_the_time_is_the_longer_one_of_work_and_scheduling() -> None:
    tasks = 180 * sum(map(tasks_of_a_month, MILLIONS))
    work, overhead = 180 * sum(MILLIONS.values()) * 4, tasks * 1.0
    few, _, many = re.findall(r"\| \d+ \| (\S+) hours \| (\S+) hours \| (\S+) hours \|", shown(COSTS, BACKFILL))
    assert few[0] == few[2] == f"{(work + overhead) / 2 / 3600:.3g}"
    assert many[1] == many[2] == f"{tasks / 2 / 3600:.3g}"


def test_tasks_a_second_are_those_of_the_simulated_backfill_once_it_was_measured() -> None:
    text = shown(COSTS, BACKFILL, SIMULATED)
    tasks = 180 * sum(map(tasks_of_a_month, MILLIONS))
    *_, many = re.findall(r"\| \d+ \| (\S+) hours \| (\S+) hours \| (\S+) hours \|", text)
    assert many[1] == f"{tasks / 10 / 3600:.3g}"
    assert "The tasks a second are those of `simulated_backfill`" in text
    assert "720 runs with 1,200 tasks in 2 minutes on 2 cores. That is 10 tasks a second, 7 at once at most" in text
    assert "2 cores alone are enough for at most 11.4 tasks a second" in text
    assert (
        "a core that only the scheduler has for at most 20, and one that only the API server has for at most 40."
        in text
    )
    assert text.index("| `tasks` | 120 | 100 |") < text.index("| `scheduler` | 60 | 50 |")
    assert "The simulated backfill has not been measured yet." in shown(COSTS, BACKFILL)


def test_tasks_and_requests_are_those_of_the_golden_files() -> None:
    assert tasks_of_a_month("green") == 6 + 9 + 11
    assert requests_of_a_month() > 20
