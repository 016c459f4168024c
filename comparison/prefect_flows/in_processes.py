"""The range of months with a process for each month at a time, in place of a thread."""

from __future__ import annotations

from prefect.task_runners import ProcessPoolTaskRunner

from comparison.prefect_flows.months import AT_ONCE, load_months

load_months_in_processes = load_months.with_options(
    name="load-months-in-processes",
    task_runner=ProcessPoolTaskRunner(max_workers=AT_ONCE),  # type: ignore[arg-type]
)
