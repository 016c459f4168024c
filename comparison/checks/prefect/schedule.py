"""Checks of Prefect: what starts its runs."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from comparison.checks import BuiltIn, Finding, NotPossible, await_
from comparison.checks.prefect.side import Prefect, check, timestamp
from comparison.prefect_flows.parameters import published_file


@check("schedule")
def schedule(prefect: Prefect) -> Finding:
    """Runs at six in the morning in New York, also after the clocks change."""
    new_york = ZoneInfo("America/New_York")
    deployed = prefect.api.deployment("in-new-york/example")

    def planned() -> list[datetime]:
        runs = prefect.api.runs(deployments={"id": {"any_": [deployed["id"]]}})
        return sorted(datetime.fromisoformat(run["expected_start_time"]).astimezone(new_york) for run in runs)

    following = await_(planned, "the server has planned runs", timeout=90)[0]
    assert {(moment.hour, moment.minute) for moment in planned()} == {(6, 0)}
    import asyncio

    from prefect.server.schemas.schedules import CronSchedule

    [scheduled] = [each["schedule"] for each in deployed["schedules"]]
    cron = CronSchedule(cron=scheduled["cron"], timezone=scheduled["timezone"])
    hours = set()
    for month in (3, 11):  # the clocks change
        dates = asyncio.run(cron.get_dates(n=15, start=datetime(2027, month, 5, tzinfo=UTC)))
        hours |= {moment.astimezone(new_york).hour for moment in dates}
    assert hours == {6}
    when = f"{following:%Y-%m-%d %H:%M %Z}"
    return BuiltIn(f"next: {when}; cron, interval or rrule. The flow derives its month from the scheduled start")


@check("several_schedules")
def several_schedules(prefect: Prefect) -> Finding:
    """One deployment has several schedules, each with its own parameters."""
    identity = prefect.api.deployment("web-to-gcs/yellow")["id"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)  # none of them may start during the check
    wanted = {f"{minute} {tomorrow.hour} {tomorrow.day} * *": {"force": minute == 7} for minute in (7, 8)}
    body = [
        {"schedule": {"cron": cron, "timezone": "UTC"}, "parameters": values, "active": True}
        for cron, values in wanted.items()
    ]
    answer = httpx.post(
        f"{prefect.ground.prefect_url}/deployments/{identity}/schedules", json=body, trust_env=False, timeout=60
    )
    assert answer.is_success, answer.text

    def planned() -> dict[int, set[bool]]:
        found: dict[int, set[bool]] = {}
        for run in prefect.api.runs(deployments={"id": {"any_": [identity]}}):
            if run["state_type"] == "SCHEDULED" and run["auto_scheduled"]:
                minute = datetime.fromisoformat(run["expected_start_time"]).minute
                found.setdefault(minute, set()).add(run["parameters"]["force"])
        return found

    try:
        await_(lambda: {7, 8} <= planned().keys(), "the server has planned runs of both", timeout=90)
        assert (planned()[7], planned()[8]) == ({True}, {False})
    finally:
        for made in answer.json():
            prefect.api.call("DELETE", f"/deployments/{identity}/schedules/{made['id']}")
    return BuiltIn(
        f"{len(wanted)} more schedules without a new deployment; the planned runs have each schedule's parameters"
    )


@check("backfill")
def backfill(prefect: Prefect) -> Finding:
    """One command runs a range of past months, several at a time, and none twice."""
    paths = prefect.paths()
    assert len(paths) > 50
    assert not [path for path in paths if "backfill" in path.lower()], "there are backfills now: write the check"
    return NotPossible(
        "no such command: a flow over months or a loop of runs does it; an idempotency key prevents duplicates"
    )


@check("catch_up")
def catch_up(prefect: Prefect) -> Finding:
    """Each scheduled time that was missed gets its own run afterwards."""
    deployed = prefect.api.deployment("caught-up/example")
    assert deployed["schedules"][0]["schedule"]["anchor_date"].startswith("2022-01-01")

    def planned() -> list[dict[str, Any]]:
        return prefect.api.runs(deployments={"id": {"any_": [deployed["id"]]}})

    await_(planned, "the server has planned runs", timeout=90)
    earliest = min(timestamp(run["expected_start_time"]) for run in planned())
    created = timestamp(deployed["created"])
    assert earliest >= created - 60, "missed times are run now: write the check"
    return NotPossible("runs are planned ahead, for 100 days or runs by default: those start late, others never")


@check("events")
def events(prefect: Prefect) -> Finding:
    """A month's arrival in the lake starts its load into the warehouse."""
    ground = prefect.ground
    key = f"gs://{os.environ['LAKE_BUCKET']}/{published_file(ground.dataset, ground.month).lake_object}"  # type: ignore[arg-type]
    arrivals = prefect.api.events("prefect.asset.materialization.succeeded")
    assert key in {event["resource"]["prefect.resource.id"] for event in arrivals}
    deployed = prefect.api.deployment("gcs-to-bigquery/arrivals")["id"]

    def started() -> dict[str, Any] | None:
        for run in prefect.api.runs(deployments={"id": {"any_": [deployed]}}):
            if run["parameters"] == {"dataset": ground.dataset, "month": ground.month}:
                return run
        return None

    run = prefect.api.end(await_(started, "the arrival starts the next flow")["id"])
    assert run["state_type"] == "COMPLETED", run["state"]
    assert run["created_by"]["type"] == "AUTOMATION"
    return BuiltIn(
        "an automation in the server: the asset event carries the month, and starts the next deployment for it"
    )
