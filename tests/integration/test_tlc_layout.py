"""The TLC's layout through the real scheduler, for every dataset, by the REST API and by backfills."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.processes import stop
from local.cloud.source.layouts import TLC
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.months import Month
from tests.integration.conftest import SYNTHETIC_ROWS, commands, publish
from tests.integration.support import await_, await_warehouse, end, line, runs_of, trigger_both, warehouse_runs

pytestmark = pytest.mark.full

DATASETS = [dataset.name for dataset in TRIP_DATASETS]
# Before and after the TLC changed most of the columns' types.
BY_API, BY_BACKFILL = dict.fromkeys(DATASETS, "2022-04"), dict.fromkeys(DATASETS, "2023-03")


@pytest.fixture(scope="module")
def tlc(
    stack: AirflowSettings, source_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AirflowSettings]:
    """The stack with a scheduler, and so with workers, that read the TLC's layout; for this module only."""
    for months in (BY_API, BY_BACKFILL):
        for dataset, month in months.items():
            publish(source_dir, dataset, month, layout=TLC)
    of_stack = Path(os.environ["LOCAL_ENV_FILE"])
    # It has the source's connection, and so the layout.
    of_tlc = tmp_path_factory.mktemp("tlc") / "settings.env"
    of_tlc.write_text(of_stack.read_text().replace('"layout": "mirror"', '"layout": "tlc"'))
    try:
        _restart_scheduler(stack, of_tlc)
        yield replace(stack, layout=Layout.TLC)
    finally:
        _restart_scheduler(stack, of_stack)


def _restart_scheduler(settings: AirflowSettings, env_file: Path) -> None:
    stop(run_dir=settings.home / "run", names=["scheduler"])
    up = commands({**os.environ, "LOCAL_ENV_FILE": str(env_file)})("up")
    assert up.returncode == 0, up.stdout + up.stderr


@pytest.fixture(scope="module")
def loaded(tlc: AirflowSettings, api: AirflowApi) -> AirflowSettings:
    """The stack with a month of each dataset loaded in each way; all run at once."""
    seen = {"api": warehouse_runs(api, BY_API), "backfill": warehouse_runs(api, BY_BACKFILL)}
    started = [run for each in BY_API.items() for run in trigger_both(api, *each).items()]
    for dag_id, _ in started:
        api.close_backfills(dag_id)
        api.backfill(dag_id, "2023-03-01", "2023-03-31", conf={}, parallel=2)
    for dag_id, _ in list(started):
        (run,) = await_(lambda dag_id=dag_id: runs_of(api, dag_id, "2023-03"), f"{dag_id} is backfilled")
        started.append((dag_id, run["dag_run_id"]))
    for dag_id, run_id in started:
        assert end(api, dag_id, run_id) == "success", (dag_id, run_id)
    await_warehouse(api, BY_API, seen["api"])
    await_warehouse(api, BY_BACKFILL, seen["backfill"])
    return tlc


@pytest.mark.parametrize("months", [BY_API, BY_BACKFILL], ids=["api", "backfill"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_a_month_of_the_tlc_agrees_in_every_store(
    loaded: AirflowSettings, dataset: str, months: dict[str, str]
) -> None:
    file = next(each for each in TRIP_DATASETS if each.name == dataset).file(Month.parse(months[dataset]))

    counts = reconcile.count(loaded, file)

    assert counts.line(dataset, months[dataset]) == line(dataset, months[dataset], SYNTHETIC_ROWS)
