"""docs/scale.md says what the kept results say, and computes as it explains."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from benchmarks.page import page_with
from benchmarks.results import Results, Row
from benchmarks.scale_page import PAGE, REQUESTS, requests_of_a_month, scale_section, tasks_of_a_month
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
    kept, conditions = Results.read(), {"backfill_months": 12, "yellow_rows": 2_000_000}
    return scale_section(replace(kept, rows=list(rows), machine={**kept.machine, "cores": 2}, conditions=conditions))


def test_the_page_says_what_results_json_says() -> None:
    text = PAGE.read_text()
    assert text == page_with(text, scale_section(Results.read())), "stale: .venv/bin/python -m benchmarks report"


def test_what_was_not_measured_is_named() -> None:
    assert "The cost of a month has not been measured yet." in shown()
    assert "once both benchmarks were measured" in shown(COSTS)


def test_figures_are_of_a_million_rows_and_of_a_month() -> None:
    [green] = re.findall(r"\| `green` \|.*", shown(COSTS))
    requests = [requests_of_a_month("green", 12, 24, in_bucket=each) for each in (False, True)]
    whole = f"2.4 | 12 | 24 | {tasks_of_a_month('green')} | {requests[0]} | {requests[1]} |"
    assert green == f"| `green` | 4 | 300 | 20 | 40 | 0.6 million | {whole}"


def test_the_time_is_the_longer_one_of_work_and_scheduling() -> None:
    tasks = 180 * sum(map(tasks_of_a_month, MILLIONS))
    work, overhead = 180 * sum(MILLIONS.values()) * 4, tasks * 1.0
    few, _, many = re.findall(r"\| (\S+) hours \| (\S+) hours \| (\S+) hours \|", shown(COSTS, BACKFILL))
    assert few[0] == few[2] == f"{(work + overhead) / 2 / 3600:.3g}"
    assert many[1] == many[2] == f"{tasks / 2 / 3600:.3g}"


def test_tasks_a_second_are_those_of_the_simulated_backfill_once_it_was_measured() -> None:
    text = shown(COSTS, BACKFILL, SIMULATED)
    tasks = 180 * sum(map(tasks_of_a_month, MILLIONS))
    *_, many = re.findall(r"\| (\S+) hours \| (\S+) hours \| (\S+) hours \|", text)
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


def test_workers_that_share_no_disk_hand_files_on_through_a_bucket() -> None:
    work_dir = Row(name="work_dir", unit="s", ours=3.0, baseline=2.0)
    without, with_ = (shown(COSTS, BACKFILL, *more) for more in ((), (work_dir,)))
    assert "What a work dir in a bucket adds has not been measured yet." in without
    more = 2 * 180 * sum(MILLIONS.values()) * 1.0 / 2.0
    assert f"adds {more / 3600:.3g} hours by `work_dir`" in with_
    few, some, many = (
        re.findall(r"\| (\d+) \| a (\w+) \| (\d+) \| (\d+) \| (\S+) hours ", text) for text in (without, with_, with_)
    )
    assert [row[:4] for row in many] == [
        ("2", "folder", "2", "1"),
        ("20", "bucket", "20", "2"),
        ("200", "bucket", "200", "17"),
    ]
    assert few[0] == some[0]
    tasks = 180 * sum(map(tasks_of_a_month, MILLIONS))
    own = 180 * sum(MILLIONS.values()) * 4 + tasks * 1.0
    assert some[1][4] == f"{(own + more) / 20 / 3600:.3g}"


def test_tasks_and_requests_are_those_of_the_golden_files() -> None:
    assert tasks_of_a_month("green") == 6 + 9 + 11
    counts = json.loads(REQUESTS.read_text())
    for dataset in MILLIONS:
        runs = [f"{dataset}_{step}" for step in ("web_to_gcs", "gcs_to_bigquery", "web_to_postgres")]
        small = requests_of_a_month(dataset, 1, 1)
        assert small == sum(number for run in runs for number in counts[run].values())
        assert requests_of_a_month(dataset, 1, 20) == small + 2, "two parts of 16 MiB to the lake"
        in_bucket = requests_of_a_month(dataset, 1, 1, in_bucket=True)
        assert in_bucket > small
        assert requests_of_a_month(dataset, 10, 20, in_bucket=True) == in_bucket + 2 * (1 + 2) + 2
