"""Checks of Airflow: what starts its runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psutil

from comparison.airflow_dags.starts_and_limits import ANNOUNCED
from comparison.checks import BuiltIn, Finding, WithCode, await_
from comparison.checks.airflow.side import DOCS, ENDED, Airflow, check, scheduler_pid


@check("schedule")
def schedule(airflow: Airflow) -> Finding:
    """Runs at six in the morning in New York, also after the clocks change."""
    airflow.api.await_parsed(["in_new_york"], since="")
    dag = airflow.api.call("GET", "/dags/in_new_york/details")
    following = datetime.fromisoformat(dag["next_dagrun_run_after"]).astimezone(ZoneInfo("America/New_York"))
    assert (following.hour, following.minute) == (6, 0)
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
    from airflow.timetables.base import TimeRestriction
    from pendulum import datetime as moment

    from comparison.airflow_dags import examples

    timetable = decode_timetable(encode_timetable(examples.in_new_york().timetable))
    hours = set()
    for month in (3, 11):  # the clocks change
        restriction = TimeRestriction(moment(2027, month, 5), moment(2027, month, 20), True)
        last = None
        while (
            info := timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        ) is not None:
            last = info.data_interval
            hours.add(info.run_after.astimezone(ZoneInfo("America/New_York")).hour)
    assert hours == {6}
    return BuiltIn(
        f"next: {following:%Y-%m-%d %H:%M %Z}; a cron in a time zone, [an interval, dates or a timetable of your "
        f"own]({_TIMETABLES})"
    )


_TIMETABLES = f"{DOCS}/authoring-and-scheduling/timetable.html"


@check("several_schedules")
def several_schedules(airflow: Airflow) -> Finding:
    """The same code has several schedules, each with its own parameters."""
    dag_ids = ["scheduled_yellow", "scheduled_green"]  # in even minutes, and in odd ones
    airflow.api.await_parsed(dag_ids, since="")

    def ran(dag_id: str) -> list[dict[str, Any]]:
        return [run for run in airflow.api.runs(dag_id) if (run["run_type"], run["state"]) == ("scheduled", "success")]

    try:
        for dag_id in dag_ids:
            airflow.api.set_paused(dag_id, False)
        runs = [await_(lambda dag_id=dag_id: ran(dag_id), f"{dag_id} runs", timeout=240)[0] for dag_id in dag_ids]  # type: ignore[misc]
    finally:
        for dag_id in dag_ids:
            airflow.api.set_paused(dag_id, True)
    assert [airflow.result(run, "load") for run in runs] == ["yellow", "green"]
    assert [datetime.fromisoformat(run["logical_date"]).minute % 2 for run in runs] == [0, 1]
    from airflow.sdk import DAG, CronTriggerTimetable

    crons = [CronTriggerTimetable(f"{hour} 6 * * *", timezone="UTC") for hour in (1, 2)]
    refusal = None
    try:
        DAG("two_schedules", schedule=crons)  # type: ignore[arg-type]
    except ValueError as error:
        refusal = str(error)
    assert refusal, "a DAG can have several timetables now: write the check"
    return WithCode(
        f"a DAG has one timetable, [of one cron or several]({_TIMETABLES}), and one set of parameters; a loop of ours "
        f"makes {len(dag_ids)} DAGs, which ran each at its own times and with its own parameters"
    )


@check("backfill")
def backfill(airflow: Airflow) -> Finding:
    """One command runs a range of past months, several at a time, and none twice."""
    dag_id = f"{airflow.ground.dataset}_web_to_postgres"
    airflow.api.set_paused(dag_id, False)
    months = ["2020-05", "2020-06"]

    def of_months() -> list[dict[str, Any]]:
        return [run for run in airflow.api.runs(dag_id) if run["partition_key"] in months]

    times = {"from_date": "2020-05-01T00:00:00Z", "to_date": "2020-06-01T00:00:00Z"}
    dry = airflow.api.call("POST", "/backfills/dry_run", dag_id=dag_id, **times, max_active_runs=2)["backfills"]
    assert (len(dry), of_months()) == (len(months), []), dry
    for _ in range(2):
        made = airflow.api.backfill(dag_id, "2020-05-01", "2020-06-01", conf={}, parallel=2)
        assert airflow.api.call("PUT", f"/backfills/{made}/pause")["is_paused"]
        assert not airflow.api.call("PUT", f"/backfills/{made}/unpause")["is_paused"]
        await_(
            lambda: len(of_months()) == len(months) and all(run["state"] in ENDED for run in of_months()),
            "the months have ended",
            timeout=180,
        )
        airflow.api.close_backfills(dag_id)
    runs = of_months()
    assert sorted(run["partition_key"] for run in runs) == months
    assert {run["state"] for run in runs} == {"success"}
    assert max(run["start_date"] for run in runs) < min(run["end_date"] for run in runs)
    return BuiltIn(
        f"a backfill, here through the API: {' and '.join(months)} at the same time; a second backfill left them out. "
        "It can be paused, and a dry run names what it would start; [also by one "
        f"command, with parameters, or for what failed]({DOCS}/core-concepts/backfill.html)"
    )


# Two DAGs that differ in catchup; the scheduler itself ends their empty tasks.
DAGS = ("caught_up", "not_caught_up")
EVERY, DOWNTIME = 5, 30
_CAUGHT_UP = """\
from datetime import datetime, timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, DeltaTriggerTimetable

for dag_id, more in {{"caught_up": {{"catchup": True}}, "not_caught_up": {{}}}}.items():
    schedule = DeltaTriggerTimetable(timedelta(seconds={seconds}))
    with DAG(dag_id, schedule=schedule, start_date=datetime.fromisoformat("{start}"), **more):
        EmptyOperator(task_id="work")
"""


@check("catch_up")
def catch_up(airflow: Airflow) -> Finding:
    """Each time that was missed while the scheduler was down gets its own run afterwards."""
    begin = datetime.now(UTC).replace(microsecond=0)
    path = airflow.ground.folder / "dropped_dags" / "caught_up.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(_CAUGHT_UP.format(start=begin.isoformat(), seconds=EVERY))
    airflow.api.await_parsed(list(DAGS), since="")
    for dag_id in DAGS:
        airflow.api.set_paused(dag_id, False)
    try:
        for dag_id in DAGS:
            await_(lambda dag_id=dag_id: _times(airflow, dag_id), f"{dag_id} has a run", timeout=120)  # type: ignore[misc]
        down, up = _pause_scheduler(airflow, seconds=DOWNTIME)
        for dag_id in DAGS:
            await_(lambda dag_id=dag_id: max(_times(airflow, dag_id)) > up, f"{dag_id} runs again", timeout=120)  # type: ignore[misc]
    finally:
        for dag_id in DAGS:
            airflow.api.set_paused(dag_id, True)
    points = {begin + timedelta(seconds=after) for after in range(0, 600, EVERY)}
    missed = {point for point in points if down <= point < up}
    made, skipped = (_times(airflow, dag_id) for dag_id in DAGS)
    assert all(made.get(point, down) >= up for point in missed), (missed, made)
    left_out = len(missed - skipped.keys())
    assert left_out >= len(missed) - 1
    return BuiltIn(
        f"`catchup=True`: all {len(missed)} times that passed while the scheduler was stopped for {DOWNTIME} s got a "
        f"run when it went on; as documented, [so do all since the start date]({DOCS}/core-concepts/dag-run.html). By "
        f"default {left_out} of the {len(missed)} got none"
    )


def _times(airflow: Airflow, dag_id: str) -> dict[datetime, datetime]:
    """When each of the DAG's runs was queued, by its scheduled time."""
    runs = airflow.api.call("GET", f"/dags/{dag_id}/dagRuns?order_by=-id&limit=100")["dag_runs"]
    return {datetime.fromisoformat(run["logical_date"]): datetime.fromisoformat(run["queued_at"]) for run in runs}


def _pause_scheduler(airflow: Airflow, *, seconds: float) -> tuple[datetime, datetime]:
    """Stop the scheduler's process, and let it go on after these seconds; returns both times."""
    process = psutil.Process(scheduler_pid(airflow))
    process.suspend()
    down = datetime.now(UTC)
    try:
        time.sleep(seconds)
    finally:
        up = datetime.now(UTC)
        process.resume()
    return down, up


@check("events")
def events(airflow: Airflow) -> Finding:
    """A month's arrival in the lake starts its load into the warehouse."""
    dag_id = f"{airflow.ground.dataset}_gcs_to_bigquery"
    source = airflow.month_run(airflow.to_gcs)["dag_run_id"]
    runs = [run for run in airflow.api.runs(dag_id) if source in airflow.api.started_by(dag_id, run["dag_run_id"])]
    assert [run["partition_key"] for run in runs] == [airflow.ground.month]
    assert runs[0]["run_type"] == "asset_triggered"
    return BuiltIn("assets with partitions: declared in the code, one downstream run for each month")


@check("outside_events")
def outside_events(airflow: Airflow) -> Finding:
    """Another system starts a run and says for what: by a message to the API, or by a file that appears."""
    dag_id = "from_outside"
    airflow.api.await_parsed([dag_id], since="")
    airflow.api.set_paused(dag_id, False)
    [asset] = airflow.api.assets_starting(dag_id)
    airflow.api.call("POST", "/assets/events", asset_id=asset, extra={"month": "2021-01"})
    await_(lambda: _read_by(airflow, dag_id) == [["2021-01"]], "the message has started a run")
    (airflow.ground.folder / ANNOUNCED).write_text("here")
    await_(lambda: _read_by(airflow, dag_id) == [["2021-01"], [None]], "the file has started a run")
    assert not (airflow.ground.folder / ANNOUNCED).exists()
    return BuiltIn(
        "a call of the API with a token creates an asset event, whose `extra` the run reads, "
        "[how soon](#figures); an `AssetWatcher` lets "
        "the triggerer wait for a message, here for a file, [also for "
        f"queues]({DOCS}/authoring-and-scheduling/event-scheduling.html)"
    )


def _read_by(airflow: Airflow, dag_id: str) -> list[Any]:
    """What the ended runs of the DAG have read in their messages, oldest first."""
    return [airflow.result(run, "read") for run in reversed(airflow.api.runs(dag_id)) if run["state"] in ENDED]


@check("two_inputs")
def two_inputs(airflow: Airflow) -> Finding:
    """A DAG starts for the month whose inputs are both there, and for no other month."""
    dag_id = "both_arrived"
    airflow.api.await_parsed([dag_id], since="")
    found = {each["name"]: each["id"] for each in airflow.api.call("GET", f"/assets?dag_ids={dag_id}")["assets"]}
    green, yellow = (int(found[f"input_{dataset}"]) for dataset in ("green", "yellow"))
    airflow.api.set_paused(dag_id, False)
    for asset, month in ((green, "2021-01"), (yellow, "2021-02"), (yellow, "2021-01")):
        airflow.api.announce(asset, month)

    def ended() -> list[dict[str, Any]]:
        return [run for run in airflow.api.runs(dag_id) if run["state"] in ENDED]

    [run] = await_(ended, "the month whose inputs are both there has run")
    assert (run["state"], airflow.result(run, "load")) == ("success", "2021-01")
    assert [each["partition_key"] for each in airflow.api.runs(dag_id)] == ["2021-01"]
    return BuiltIn(
        "`PartitionedAssetTimetable` of two assets: one run when both have the same partition key; "
        "inputs of different months started nothing"
    )
