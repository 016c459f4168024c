"""Checks of Airflow: how it is operated."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from importlib.metadata import version
from urllib.parse import urlencode

import httpx
import psycopg
from cryptography.fernet import Fernet

from comparison.airflow_side import READER
from comparison.checks import SECONDS, BuiltIn, Finding, await_, refused
from comparison.checks.airflow.side import DOCS, Airflow, check, set_connection
from comparison.receiver import note_taker


@check("connections")
def connections(airflow: Airflow) -> Finding:
    """The address that a task reads from changes without a change of the code."""
    hosts = ["one.invalid", "two.invalid"]
    found = [_read(airflow, "connections", host=host) for host in hosts]
    assert [(each["host"], each["bucket"]) for each in found] == [(host, f"lake-{host}") for host in hosts]
    return BuiltIn(
        "connections: common fields, and any JSON as `extra`; from the API, and [from the UI, CLI, environment or a "
        f"secrets manager]({DOCS}/howto/connection.html)"
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
    assert airflow.api.call("GET", "/connections/secrets")["password"] == "***"  # noqa: S105
    with psycopg.connect(airflow.settings.cloud.postgres_url("airflow")) as database:
        [[kept]] = database.execute("SELECT password FROM connection WHERE conn_id = 'secrets'").fetchall()
    key = airflow.settings.environment()["AIRFLOW__CORE__FERNET_KEY"]
    assert Fernet(key).decrypt(kept.encode()) == b"hunter2-compared"
    return BuiltIn("encrypted in the database, masked by the API and in logs, even where a task prints it")


@check("variables")
def variables(airflow: Airflow) -> Finding:
    """A value that tasks read changes without a change of the code."""
    values = ["first", "second"]
    assert [_read(airflow, "variables", value=value)["variable"] for value in values] == values
    return BuiltIn(f"variables; also [in templates]({DOCS}/templates-ref.html)")


@check("notifications")
def notifications(airflow: Airflow) -> Finding:
    """A failed run sends an alert."""
    run = airflow.run("failing")
    assert run["state"] == "failed"
    alerts = await_(lambda: airflow.alerts(run["dag_run_id"]), "the receiver gets the alert of the failure")
    assert len(alerts) == 1
    return BuiltIn(
        "a notifier of a provider as `on_failure_callback`, here HTTP; the pipeline's own callback [also sends "
        "e-mail](operations.md#notifications)"
    )


@check("lateness")
def lateness(airflow: Airflow) -> Finding:
    """A run that takes too long sends an alert while it still runs, and one that starts late before it starts."""
    runs = [airflow.start("late") for _ in range(2)]
    alerts = [
        await_(lambda run=run: airflow.alerts(run), f"the receiver gets the alert of {run}", timeout=90)  # type: ignore[misc]
        for run in runs
    ]
    assert [[alert["state"] for alert in each] for each in alerts] == [["running"], ["queued"]]
    assert [airflow.api.run("late", run)["state"] for run in runs] == ["running", "queued"]
    for run in reversed(runs):
        airflow.api.fail("late", run)
    return BuiltIn(
        "`DeadlineAlert` told of a run that took too long and of one that still waited: a time after it was queued, "
        f"[after its date, or relative to its average duration]({DOCS}/howto/deadline-alerts.html)"
    )


@check("metadata")
def metadata(airflow: Airflow) -> Finding:
    """A task's description of its result stays with the asset."""
    run = airflow.run("described")
    query = urlencode({"source_dag_id": "described", "source_run_id": run["dag_run_id"]})
    listed = airflow.api.call("GET", f"/assets/events?{query}")
    [event] = listed["asset_events"]
    assert event["extra"]["made by"] == run["dag_run_id"]
    return BuiltIn("the asset event carries it, also to [the runs that it starts](#an-event-from-outside)")


@check("roles")
def roles(airflow: Airflow) -> Finding:
    """A user who may only read cannot start a run, and nobody can do anything without a token."""
    passwords = json.loads((airflow.settings.home / "passwords.json").read_text())
    with httpx.Client(base_url=airflow.settings.url, trust_env=False, timeout=SECONDS) as browser:
        assert browser.get("/api/v2/dags").status_code == 401
        login = {"username": READER, "password": passwords[READER]}
        token = browser.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        browser.headers["Authorization"] = f"Bearer {token}"
        assert browser.get("/api/v2/dags").status_code == 200
        started = browser.post("/api/v2/dags/child/dagRuns", json={"logical_date": None})
        assert started.status_code == 403, started.text
        assert browser.get("/api/v2/connections").status_code == 403
    return BuiltIn(
        "users with roles, each with a token: a viewer may read DAGs (200), but not start one or see connections "
        "(403). Here by the stock auth manager, which is [for "
        f"development]({DOCS}/core-concepts/auth-manager/simple/index.html); for production there is "
        "[that of FAB](https://airflow.apache.org/docs/apache-airflow-providers-fab/stable/auth-manager/index.html), "
        "not run here"
    )


@check("clean_up")
def clean_up(airflow: Airflow) -> Finding:
    """Old runs are removed from the database, and newer ones stay."""
    other = airflow.month_run(airflow.to_gcs)
    old, kept = (airflow.run("cleaned") for _ in range(2))
    assert other["run_after"] < kept["run_after"]
    before = ["--clean-before-timestamp", kept["run_after"]]
    which = ["--tables", "dag_run", "--dag-ids", "cleaned"]
    done = airflow.airflow("db", "clean", *before, *which, "--skip-archive", "--yes")
    assert done.returncode == 0, done.stderr[-1000:]
    assert [run["dag_run_id"] for run in airflow.api.runs("cleaned")] == [kept["dag_run_id"]]
    refused(lambda: airflow.api.run("cleaned", old["dag_run_id"]), 404)
    assert airflow.api.run(airflow.to_gcs, other["dag_run_id"])["state"] == "success"
    return BuiltIn(f"a command, `airflow db clean`, by age and DAG, also [table by table]({DOCS}/howto/usage-cli.html)")


@check("openlineage")
def openlineage(airflow: Airflow) -> Finding:
    """A collector gets an event of OpenLineage with what a task has read and written."""
    with note_taker(200) as (url, seen):
        transport = json.dumps({"type": "http", "url": url, "endpoint": "lineage"})
        done = airflow.airflow("dags", "test", "lineage", AIRFLOW__OPENLINEAGE__TRANSPORT=transport)
    assert done.returncode == 0, done.stderr[-1000:]
    events = [json.loads(note.body) for note in seen]
    of_task = {each["eventType"]: each for each in events if each["job"]["name"] == "lineage.copy"}
    assert of_task.keys() == {"START", "COMPLETE"}
    event = of_task["COMPLETE"]
    names = [(each["namespace"], each["name"]) for side in ("inputs", "outputs") for each in event[side]]
    assert names == [("gs://compared", "read"), ("gs://compared", "written")]
    return BuiltIn(
        "the provider of OpenLineage: by one setting, every task sends its start and end, with its assets and what "
        f"[the operators of other providers]({_LINEAGE}) tell of their tables; here by `airflow dags test`"
    )


_LINEAGE = "https://airflow.apache.org/docs/apache-airflow-providers-openlineage/stable/supported_classes.html"


@check("secret_rotation")
def secret_rotation(airflow: Airflow) -> Finding:
    """What was encrypted with an old key is encrypted with the new one, and tasks can read it."""
    new = airflow.settings.environment()["AIRFLOW__CORE__FERNET_KEY"]
    old = Fernet.generate_key().decode()
    set_connection(airflow, "rotated", host="one.invalid", value="rotated")
    values = [Fernet(old).encrypt(value).decode() for value in (b"hunter2-old", b'{"bucket": "lake-old"}')]
    with psycopg.connect(airflow.settings.cloud.postgres_url("airflow")) as database:
        database.execute("UPDATE connection SET password = %s, extra = %s WHERE conn_id = 'rotated'", values)
    assert airflow.run("connected", name="rotated")["state"] == "failed"
    done = airflow.airflow("rotate-fernet-key", AIRFLOW__CORE__FERNET_KEY=f"{new},{old}")
    assert done.returncode == 0, done.stderr[-1000:]
    assert airflow.result(airflow.run("connected", name="rotated"), "read")["bucket"] == "lake-old"
    return BuiltIn(
        "`airflow rotate-fernet-key` encrypts connections anew while both keys are set; a task that could not read a "
        "connection of the old key then could"
    )


@check("upgrade")
def upgrade(airflow: Airflow) -> Finding:
    """A database of this version becomes one of the previous minor version, and then one of this version again."""
    [major, minor, _] = version("apache-airflow").split(".")
    before = f"{major}.{int(minor) - 1}.0"
    path = airflow.ground.folder / "airflow-of-a-version-before.db"
    steps = (
        ["db", "migrate"],
        ["dags", "test", "child", "--conf", '{"month": "2021-02"}'],
        ["db", "downgrade", "--yes", "--to-version", before],
        ["db", "migrate"],
        ["dags", "list-runs", "child", "--output", "json"],
    )
    revisions, told = [], ""
    for words in steps:
        done = airflow.airflow(*words, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{path}")
        assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1000:]
        with closing(sqlite3.connect(path)) as database:
            revisions += database.execute("SELECT version_num FROM alembic_version").fetchone()
        told = done.stdout
    with closing(sqlite3.connect(path)) as database:
        kept = database.execute("SELECT task_id, state, value FROM task_instance JOIN xcom USING (run_id, task_id)")
        [(task, state, value)] = kept.fetchall()
    today, _, old, *upgraded = revisions
    assert old != today
    assert upgraded == [today, today]
    assert [run["state"] for run in json.loads(told[told.index("[{") :])] == ["success"]
    assert (task, state, json.loads(value)) == ("load", "success", "2021-02")
    return BuiltIn(
        f"`airflow db downgrade` to the tables of {before} and `airflow db migrate` to those of today, both with a "
        "finished run, its task and what that returned, here in SQLite"
    )


@check("telemetry")
def telemetry(airflow: Airflow) -> Finding:
    """A collector of OpenTelemetry gets metrics of tasks, and a span of a task."""
    with note_taker(200) as (url, seen):
        on = {"AIRFLOW__METRICS__OTEL_ON": "True", "AIRFLOW__TRACES__OTEL_ON": "True"}
        done = airflow.airflow("dags", "test", "lineage", **on, OTEL_EXPORTER_OTLP_ENDPOINT=url)
    assert done.returncode == 0, done.stderr[-1000:]
    metrics, traces = (b"".join(note.body for note in seen if note.path == f"/v1/{kind}") for kind in _SIGNALS)
    assert [name in metrics for name in (b"ti.finish", b"task.duration")] == [True, True], seen
    assert [name in traces for name in (b"dag_run.lineage", b"task_run.copy")] == [True, True], seen
    return BuiltIn(
        "with the extra `otel`, two settings, an address and [for HTTP the exporter]"
        f"({DOCS}/administration-and-deployment/logging-monitoring/traces.html): "
        "metrics, such as how many tasks ended in which state and how long they took, and a span for a run and one for "
        "its task; here by `airflow dags test`"
    )


_SIGNALS = ("metrics", "traces")
