"""Checks of Prefect: what starts its runs."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
from prefect import get_client

from comparison.checks import BuiltIn, Finding, WithCode, await_
from comparison.checks.prefect.side import DOCS, Prefect, change_database, check, run_in, take_away, timestamp
from comparison.prefect_flows import starts_and_limits
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
    return BuiltIn(f"next: {when}; a cron in a time zone, [an interval or rrule]({DOCS}/concepts/schedules)")


@check("several_schedules")
def several_schedules(prefect: Prefect) -> Finding:
    """One deployment has several schedules, each with its own parameters."""
    identity = prefect.api.deployment("scheduled/example")["id"]
    even_and_odd = {"yellow": "*/2 * * * *", "green": "1-59/2 * * * *"}
    body = [
        {"schedule": {"cron": cron, "timezone": "UTC"}, "parameters": {"dataset": dataset}, "active": True}
        for dataset, cron in even_and_odd.items()
    ]
    answer = httpx.post(
        f"{prefect.ground.prefect_url}/deployments/{identity}/schedules", json=body, trust_env=False, timeout=60
    )
    assert answer.is_success, answer.text

    def ran() -> set[tuple[str, int]]:
        """The names of what has run, which its flow makes of its parameter, and whether its minute was odd."""
        runs = prefect.api.runs(deployments={"id": {"any_": [identity]}})
        done = [run for run in runs if run["auto_scheduled"] and run["state_type"] == "COMPLETED"]
        return {(run["name"], datetime.fromisoformat(run["expected_start_time"]).minute % 2) for run in done}

    try:
        await_(lambda: len(ran()) > 1, "a run of each schedule has ended", timeout=240)
    finally:
        for made in answer.json():
            prefect.api.call("DELETE", f"/deployments/{identity}/schedules/{made['id']}")
    assert ran() == {("yellow", 0), ("green", 1)}
    return BuiltIn(
        f"{len(body)} schedules added to a deployment, without deploying it again; both ran, each at its own times and "
        "with its own parameters"
    )


@check("backfill")
def backfill(prefect: Prefect) -> Finding:
    """One command runs a range of past months, several at a time, and none twice."""
    identity = prefect.api.deployment("web-to-postgres/green")["id"]
    days = {"start_time": "2020-03-01T00:00:00Z", "end_time": "2020-07-01T00:00:00Z"}

    def of_range() -> list[dict[str, Any]]:
        runs = prefect.api.runs(deployments={"id": {"any_": [identity]}})
        return [run for run in runs if run["expected_start_time"].startswith("2020-")]

    prefect.api.call("POST", f"/deployments/{identity}/schedule", **days)
    assert not of_range(), "paused schedules are backfilled now: change the note"
    [made] = _add_schedule(prefect, identity, {"cron": "0 0 1 * *", "timezone": "UTC"})
    try:
        prefect.api.call("POST", f"/deployments/{identity}/schedule", **days, parameters={"dataset": "yellow"})
        by_default = len(of_range())
        plan = json.dumps({**days, "min_runs": 5})
        for _ in range(2):
            done = prefect.prefect("api", "POST", f"/deployments/{identity}/schedule", "--data", plan)
            assert done.returncode == 0, done.stdout + done.stderr
        runs = [prefect.api.end(run["id"], timeout=300) for run in of_range()]
    finally:
        prefect.api.call("DELETE", f"/deployments/{identity}/schedules/{made['id']}")
    assert sorted(run["expected_start_time"][:7] for run in runs) == [f"2020-{month:02}" for month in range(3, 8)]
    assert {run["state_type"] for run in runs} == {"COMPLETED"}, [run["state"] for run in runs]
    overlap = sorted((run["start_time"], run["end_time"]) for run in runs)
    assert any(one[1] > two[0] for one, two in pairwise(overlap))
    assert {run["parameters"]["dataset"] for run in runs} == {"green"}, "a range has parameters now: change the note"
    commands = prefect.prefect("deployment", "schedule", "--help").stdout
    assert "create" in commands, commands
    assert "backfill" not in commands, "the CLI has it now: change the note"
    assert by_default < len(runs), "it makes all by default now: change the note"
    fields = prefect.fields("/deployments/{id}/schedule")
    assert fields == {"start_time", "end_time", "min_time", "min_runs", "max_runs"}, f"it takes more now: {fields}"
    methods = [name for name in dir(get_client(sync_client=True)) if {"schedule", "backfill"} & set(name.split("_"))]
    assert methods
    assert not [name for name in methods if "backfill" in name or name == "schedule_deployment"], methods
    return BuiltIn(
        f"[`POST /deployments/{{id}}/schedule`]({_PLAN}) with past times: {len(runs)} months, several at a time, none "
        "twice. "
        f"Without `min_runs` it stops after {by_default}; only by active schedules, without parameters for the "
        f"range and a dry run. There is no command for it, but [`prefect api`]({_ANY_CALL}) makes any call, and no "
        "method of the client"
    )


_ANY_CALL = f"{DOCS}/api-ref/python/prefect-cli-api"
_PLAN = f"{DOCS}/api-ref/rest-api/server/deployments/schedule-deployment"


def _add_schedule(prefect: Prefect, deployment: str, schedule: dict[str, Any]) -> list[dict[str, Any]]:
    """Add an active schedule to a deployment; what the server answers."""
    url = f"{prefect.ground.prefect_url}/deployments/{deployment}/schedules"
    answer = httpx.post(url, json=[{"schedule": schedule, "active": True}], trust_env=False, timeout=60)
    assert answer.is_success, answer.text
    added: list[dict[str, Any]] = answer.json()
    return added


@check("catch_up", last=True)
def catch_up(prefect: Prefect) -> Finding:
    """Each scheduled time that was missed gets its own run afterwards: of half a minute, and of a day.

    The day is a past one: what the scheduler had planned when it began comes from the call that plans, with the
    scheduler's own limits.
    """
    short = _missed_for_half_a_minute(prefect)
    deployed = prefect.api.deployment("caught-up/example")
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=26)
    end = begin + timedelta(hours=23, minutes=30)

    def planned() -> list[datetime]:
        runs = prefect.api.runs(deployments={"id": {"any_": [deployed["id"]]}})
        return sorted(datetime.fromisoformat(run["expected_start_time"]) for run in runs)

    def missed() -> list[datetime]:
        return [moment for moment in planned() if begin <= moment <= end]

    def plan(**limits: int) -> None:
        times = {"start_time": begin.isoformat(), "end_time": end.isoformat()}
        prefect.api.call("POST", f"/deployments/{deployed['id']}/schedule", **times, **limits)

    def ahead() -> int:
        return sum(moment > datetime.now(UTC) for moment in planned())

    # Two after the turn of an hour, until the server plans again.
    await_(lambda: ahead() == 3, "the server has planned three runs", timeout=90)
    assert min(planned()).timestamp() >= timestamp(deployed["created"]) - 60, "missed times are run now"
    [minutely] = _add_schedule(prefect, deployed["id"], {"interval": 60})
    hour = await_(lambda: made if (made := ahead()) >= 60 else None, "an hour of minutes is planned", timeout=90)
    prefect.api.call("DELETE", f"/deployments/{deployed['id']}/schedules/{minutely['id']}")
    assert 60 <= hour <= 62 + 3, f"more than an hour is planned: {hour}"
    plan()
    late = len(missed())
    assert late == 3
    for _ in range(2):
        plan(min_runs=24)
    assert missed() == [begin + timedelta(hours=hour) for hour in range(24)]
    home = prefect.ground.folder / "plans-a-day"
    change_database(home, "upgrade")
    assert run_in(home, _PLANS_A_DAY) == ["24"]
    return WithCode(
        f"the server plans runs ahead, and these start late: all {short} of half a minute without a server. It plans "
        f"those of the next hour, and at least {late}; with [a setting]({DOCS}/concepts/schedules) of 24, a day of an "
        f"hourly schedule. Times that it had not planned, here {24 - late} of a past day, needed a call of ours, as "
        "for a backfill"
    )


# The scheduler of a server within this program, with another setting.
_PLANS_A_DAY = """\
import asyncio, os
os.environ["PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS"] = "24"
import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.server.api.server import create_app
from prefect.server.services.scheduler import schedule_deployments


async def main():
    server = {"transport": httpx.ASGITransport(create_app(ephemeral=True))}
    password = os.environ["PREFECT_API_AUTH_STRING"]
    async with PrefectClient("http://server/api", auth_string=password, httpx_settings=server) as client:
        flow = await client.create_flow_from_name("hourly")
        hourly = DeploymentScheduleCreate(schedule=CronSchedule(cron="0 * * * *"))
        await client.create_deployment(flow, "hourly", schedules=[hourly])
        await schedule_deployments()
        print(len(await client.read_flow_runs(limit=200)))


asyncio.run(main())
"""


EVERY = 5


def _missed_for_half_a_minute(prefect: Prefect) -> int:
    """Take the server away; each time that passed meanwhile gets a run afterwards. Returns how many passed."""
    deployed = prefect.api.deployment("caught-up/every-five-seconds")["id"]
    [made] = _add_schedule(prefect, deployed, {"interval": EVERY})

    def runs() -> dict[datetime, dict[str, Any]]:
        found = prefect.api.runs(deployments={"id": {"any_": [deployed]}}, limit=200)
        return {datetime.fromisoformat(run["expected_start_time"]): run for run in found}

    def ended(begin: datetime, end: datetime) -> list[str]:
        return [run["state_type"] for at, run in runs().items() if begin < at < end and run["end_time"]]

    try:
        await_(lambda: len(runs()) > 20, "the server has planned runs", timeout=60)
        begin = datetime.now(UTC)
        take_away(prefect)
        end = datetime.now(UTC)
        passed = sum(begin < at < end for at in runs())
        assert passed >= (end - begin).total_seconds() // EVERY - 1, (passed, begin, end)
        await_(lambda: ended(begin, end) == ["COMPLETED"] * passed, "what was missed has run", timeout=240, poll=2)
        return passed
    finally:
        prefect.api.call("DELETE", f"/deployments/{deployed}/schedules/{made['id']}")


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


@check("outside_events")
def outside_events(prefect: Prefect) -> Finding:
    """Another system starts a run and says for what, by a message to the API."""
    deployed = prefect.api.deployment("from-outside/example")["id"]
    prefect.api.emit("outside.arrived", "outside", month="2021-01")

    def started() -> dict[str, Any] | None:
        return next(iter(prefect.api.runs(deployments={"id": {"any_": [deployed]}})), None)

    run = prefect.api.end(await_(started, "the message starts a run")["id"])
    assert (run["state_type"], run["parameters"]) == ("COMPLETED", {"month": "2021-01"})
    assert [path for path in prefect.paths() if "webhook" in path] == [], "the server has webhooks now: use one"
    return BuiltIn(
        "a call of the API creates an event; a trigger of the deployment starts a run with parameters from its "
        "payload, [how soon](#figures). Webhooks, whose senders need to know nothing of Prefect, are "
        f"[in the cloud only]({DOCS}/concepts/webhooks)"
    )


@check("two_inputs")
def two_inputs(prefect: Prefect) -> Finding:
    """A flow starts for the month whose inputs are both there, and for no other month."""
    deployed = UUID(prefect.api.deployment("both-arrived/example")["id"])

    def started(year: str = "2021") -> list[str]:
        runs = prefect.api.runs(deployments={"id": {"any_": [str(deployed)]}})
        months = [run["parameters"]["month"] for run in runs if prefect.api.end(run["id"])["created_by"]]
        return sorted(month for month in months if month.startswith(year))

    def announce(*inputs: tuple[str, str]) -> None:
        for dataset, month in inputs:
            event = starts_and_limits.ARRIVED.format(dataset=dataset)
            prefect.api.emit(event, f"input.{dataset}.{month}", labels={"month": month})

    def are_loaded(year: str) -> bool:
        """Whether the server knows both automations, which it loads after it has answered: each has its order."""
        announce(("green", f"{year}-01"), ("yellow", f"{year}-01"), ("yellow", f"{year}-02"), ("green", f"{year}-02"))
        time.sleep(5)
        return started(year) == [f"{year}-01", f"{year}-02"]

    made = [each.create() for each in starts_and_limits.when_both_arrive(deployed)]
    assert any(are_loaded(str(year)) for year in range(2001, 2020)), "the server does not load the automations"
    announce(("green", "2021-01"), ("yellow", "2021-02"), ("yellow", "2021-01"))
    await_(lambda: started() == ["2021-01"], "the month whose inputs are both there starts a run")
    announce(("green", "2021-02"))
    await_(lambda: started() == ["2021-01", "2021-02"], "the other month starts a run when its second input is there")
    for each in made:
        each.delete()
    assert started() == ["2021-01", "2021-02"]
    compound = starts_and_limits.when_both_arrive_in_any_month(deployed).create()
    announce(("green", "2021-03"), ("yellow", "2021-04"))
    await_(lambda: started()[2:] == ["2021-04"], "a compound trigger takes inputs of different months")
    compound.delete()
    return WithCode(
        "two automations of ours, one for each order of the inputs: each waits "
        f"[`after` one for the other, `for_each` month]({DOCS}/concepts/event-triggers), for a day; inputs of "
        "different months started nothing. One compound trigger of both started a run for these, too"
    )
