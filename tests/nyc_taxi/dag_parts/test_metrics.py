"""What a task that has moved something reports, and that others report nothing."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.api.datamodels._generated import DagRunType

from nyc_taxi.common.progress import Progress, take_ended
from nyc_taxi.dag_parts import metrics
from nyc_taxi.dag_parts.metrics import report_transfers
from nyc_taxi.registry.datasets import GREEN

Sent = list[tuple[str, float, dict[str, str]]]
TAGS = {"dag_id": "green_web_to_gcs", "task_id": "local_to_gcs", "dataset": "green"}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The metrics that are sent, in their order."""
    take_ended()
    found: Sent = []

    def keep(name: str, value: float = 1, *, tags: dict[str, str]) -> None:
        found.append((name.removeprefix("nyc_taxi."), value, tags))

    monkeypatch.setattr(metrics.stats, "incr", keep)
    monkeypatch.setattr(metrics.stats, "gauge", keep)
    return found


def move(**numbers: Any) -> None:
    clock = iter([0.0, 2.5, 2.5])
    with Progress(logging.getLogger(), "test", clock=lambda: next(clock)) as progress:
        progress.complete(**numbers)


def context(*outlets: Asset, late: float = 0, **macros: Any) -> Any:
    due = datetime(2021, 3, 1, tzinfo=UTC)
    ended = due + timedelta(seconds=late)
    return {
        "ti": SimpleNamespace(dag_id=TAGS["dag_id"], task_id=TAGS["task_id"], end_date=ended),
        "dag": SimpleNamespace(user_defined_macros=macros),
        "task": SimpleNamespace(outlets=outlets),
        "dag_run": SimpleNamespace(run_after=due, run_type=DagRunType.SCHEDULED),
    }


def test_a_task_that_moved_nothing_sends_nothing(sent: Sent) -> None:
    report_transfers(context(Asset("lake_green"), dataset=GREEN))
    assert sent == []


def test_a_transfer_sends_what_is_known_of_it_once(sent: Sent) -> None:
    move(rows=7)
    move(size=1_000)
    report_transfers(context(dataset=GREEN))
    expected = [("milliseconds", 2500), ("rows", 7), ("milliseconds", 2500), ("bytes", 1_000)]
    assert sent == [(f"transfer.{name}", value, TAGS) for name, value in expected]
    report_transfers(context(dataset=GREEN))
    assert len(sent) == 4


def test_a_transfer_that_fails_does_not_count(sent: Sent) -> None:
    with pytest.raises(ValueError, match="broken"), Progress(logging.getLogger(), "test"):
        raise ValueError("broken")
    report_transfers(context(dataset=GREEN))
    assert sent == []


def test_the_task_that_updates_the_asset_has_loaded_a_month(sent: Sent) -> None:
    move(rows=7)
    report_transfers(context(Asset("lake_green"), late=3600, dataset=GREEN))
    assert sent[2:] == [
        ("load.months", 1, TAGS),
        ("load.lateness_seconds", 3600, {**TAGS, "run_type": "scheduled"}),
    ]


def test_a_dag_for_all_datasets_says_so(sent: Sent) -> None:
    move(rows=7)
    report_transfers(context())
    assert {tags["dataset"] for _, _, tags in sent} == {"all"}
