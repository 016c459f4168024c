"""The TLC's layout through the real scheduler, for every dataset, by the REST API and by backfills."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.source.layouts import TLC
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import GREEN, TRIP_DATASETS, YELLOW
from nyc_taxi.registry.months import Month
from tests.integration.conftest import SYNTHETIC_ROWS, publish, running_stack, stack_environment
from tests.integration.prefect_beside import assert_same_rows, prefect_beside
from tests.integration.support import await_, await_warehouse, end, line, run_months, runs_of, trigger_both

pytestmark = pytest.mark.full

# Before and after the TLC changed most of the columns' types.
BY_API = {"yellow": "2022-04", "fhv": "2023-03"}
BY_BACKFILL = {"green": "2022-04", "fhvhv": "2023-03"}
# Real months, with their rows, where there are any: the columns' types differ from year to year.
REAL = (
    {"2020-12": 83130, "2022-01": 62495, "2023-02": 64809, "2024-01": 56551, "2025-01": 48326}
    if os.environ.get("NYC_TLC_DATA_DIR")
    else {"2022-04": SYNTHETIC_ROWS}
)
MONTHS = {**BY_API, **BY_BACKFILL}
FLOWS = ("web_to_gcs", "web_to_postgres")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSettings]:
    """A stack whose source has the TLC's layout."""
    source = tmp_path_factory.mktemp("source")
    for each in MONTHS.items():
        publish(source, *each, layout=TLC)
    if data := os.environ.get("NYC_TLC_DATA_DIR"):
        for path in (TLC.file("green", month) for month in REAL):
            shutil.copyfile(Path(data) / path, source / path)
    environment = stack_environment(tmp_path_factory.mktemp("local"), source)
    with running_stack({**environment, "SOURCE_LAYOUT": Layout.TLC.value}) as settings:
        yield settings


@pytest.fixture(scope="module")
def loaded(stack: AirflowSettings) -> AirflowSettings:
    """The stack with a month of each dataset; all were loaded at once."""
    with AirflowApi(stack) as api:
        started = [run for each in BY_API.items() for run in trigger_both(api, *each).items()]
        backfilled = {f"{dataset}_{flow}": month for dataset, month in BY_BACKFILL.items() for flow in FLOWS}
        for dag_id, month in backfilled.items():
            api.set_paused(dag_id, False)
            api.backfill(dag_id, f"{month}-01", f"{month}-28", conf={}, parallel=2)
        for dag_id, month in backfilled.items():
            (run,) = await_(lambda dag_id=dag_id, month=month: runs_of(api, dag_id, month), f"{dag_id} is backfilled")
            started.append((dag_id, run["dag_run_id"]))
        for dag_id, run_id in started:
            assert end(api, dag_id, run_id) == "success", (dag_id, run_id)
        await_warehouse(api, MONTHS, {dataset: set() for dataset in MONTHS})
    return stack


@pytest.mark.parametrize(("dataset", "month"), MONTHS.items())
def test_a_month_of_the_tlc_agrees_in_every_store(loaded: AirflowSettings, dataset: str, month: str) -> None:
    file = next(each for each in TRIP_DATASETS if each.name == dataset).file(Month.parse(month))

    counts = reconcile.count(loaded, file)

    assert counts.line(dataset, month) == line(dataset, month, SYNTHETIC_ROWS)


def test_prefects_flows_leave_the_same_rows_of_months_in_that_layout(
    loaded: AirflowSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with AirflowApi(loaded) as api:
        for month in REAL:
            run_months(api, {"green": month}, force=True)
    files = [GREEN.file(Month.parse(month)) for month in REAL]
    for (month, rows), file in zip(REAL.items(), files, strict=True):
        assert reconcile.count(loaded, file).line("green", month) == line("green", month, rows)
    files.append(YELLOW.file(Month.parse(MONTHS["yellow"])))

    with prefect_beside(loaded, tmp_path_factory.mktemp("prefect-side")) as prefect:
        assert_same_rows(loaded, prefect, files)
