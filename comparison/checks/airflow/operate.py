"""Checks of Airflow: how it is operated."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import psycopg

from comparison.checks import BuiltIn, Finding, await_
from comparison.checks.airflow.side import Airflow, check, set_connection


@check("connections")
def connections(airflow: Airflow) -> Finding:
    """The address that a task reads from changes without a change of the code."""
    hosts = ["one.invalid", "two.invalid"]
    found = [_read(airflow, "connections", host=host) for host in hosts]
    assert [(each["host"], each["bucket"]) for each in found] == [(host, f"lake-{host}") for host in hosts]
    return BuiltIn(
        "connections: common fields, and any JSON as `extra`; from the UI, API, CLI, environment or a secrets manager"
    )


def _read(airflow: Airflow, name: str, *, host: str = "one.invalid", value: str = "") -> dict[str, str]:
    """Set a connection and a variable, and run a task that reads both; returns what it read."""
    set_connection(airflow, name, host=host, value=value)
    found: dict[str, str] = airflow.result(airflow.run("connected", name=name), "read")
    return found


@check("secrets")
def secrets(airflow: Airflow) -> Finding:
    """Neither the API nor the log of a task that prints it shows a password."""
    set_connection(airflow, "secrets", host="one.invalid", value="")
    run = airflow.run("connected", name="secrets")
    log = airflow.log(run, "read")
    assert "the password is ***" in log
    assert "hunter2-compared" not in log
    assert "hunter2-compared" not in json.dumps(airflow.api.call("GET", "/connections/secrets"))
    with psycopg.connect(airflow.settings.cloud.postgres_url("airflow")) as database:
        [[kept]] = database.execute("SELECT password FROM connection WHERE conn_id = 'secrets'").fetchall()
    assert kept
    assert "hunter2-compared" not in kept
    return BuiltIn("encrypted in the database, left out by the API, masked in logs even where a task prints it")


@check("variables")
def variables(airflow: Airflow) -> Finding:
    """A value that tasks read changes without a change of the code."""
    values = ["first", "second"]
    assert [_read(airflow, "variables", value=value)["variable"] for value in values] == values
    return BuiltIn("variables, also in templates; the pipeline has four")


@check("notifications")
def notifications(airflow: Airflow) -> Finding:
    """A failed run sends an alert."""
    run = airflow.run("failing")
    assert run["state"] == "failed"
    alerts = await_(lambda: airflow.alerts(run["dag_run_id"]), "the receiver gets the alert of the failure")
    assert len(alerts) == 1
    return BuiltIn(
        "a notifier of a provider as `on_failure_callback`, here HTTP; the pipeline's own callback also sends e-mail"
    )


@check("lateness")
def lateness(airflow: Airflow) -> Finding:
    """A run that takes too long sends an alert while it still runs, and one that starts late before it starts."""
    runs = [airflow.start("late") for _ in range(2)]
    alerts = [
        await_(lambda run=run: airflow.alerts(run), f"the receiver gets the alert of {run}", timeout=90)  # type: ignore[misc]
        for run in runs
    ]
    # On a slow machine the first run waits longer for its start than until its deadline.
    assert alerts[0][0]["state"] in ("running", "queued")
    assert [alert["state"] for alert in alerts[1]] == ["queued"]
    assert {airflow.api.run("late", run)["state"] for run in runs} <= {"queued", "running"}
    for run in reversed(runs):
        airflow.api.fail("late", run)
    return BuiltIn(
        "`DeadlineAlert` told of a run that took too long and of one that still waited: a time after it was queued, "
        "after its date, or relative to its average duration"
    )


@check("metadata")
def metadata(airflow: Airflow) -> Finding:
    """A task's description of its result stays with the asset."""
    run = airflow.run("described")
    query = urlencode({"source_dag_id": "described", "source_run_id": run["dag_run_id"]})
    listed = airflow.api.call("GET", f"/assets/events?{query}")
    [event] = listed["asset_events"]
    assert event["extra"]["made by"] == run["dag_run_id"]
    return BuiltIn(
        "the asset event carries it, for people and for the DAGs that it starts; tables and charts are not shown"
    )
