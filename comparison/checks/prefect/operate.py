"""Checks of Prefect: how it is operated."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from prefect.blocks.webhook import Webhook
from prefect_sqlalchemy import ConnectionComponents, SqlAlchemyConnector

from comparison.checks import BuiltIn, Finding, NotPossible, WithCode, await_
from comparison.checks.prefect.side import DOCS, PASSWORD, Prefect, change_database, check, run_in, run_without_server
from comparison.prefect_flows import examples, starts_and_limits
from comparison.prefect_flows.parameters import published_file
from comparison.receiver import Note, note_taker
from local.cloud.settings import REPOSITORY


@check("connections", alone=True)
def connections(prefect: Prefect) -> Finding:
    """The address that a flow reads from changes without a change of the code."""
    _read(value="")
    hosts = ["one.invalid", "two.invalid"]
    found = []
    for host in hosts:
        _save_database(host)
        found.append(examples.connected()["host"])
    assert found == hosts
    return BuiltIn(
        f"[blocks]({DOCS}/concepts/blocks): typed, nested, with methods that use the other "
        "system; from the UI or code; also types of your own"
    )


def _read(*, value: str) -> dict[str, str]:
    """Set blocks and a variable, and run a flow that reads them; returns what it read."""
    from prefect.blocks.system import Secret
    from prefect.variables import Variable

    _save_database("one.invalid")
    Secret(value=PASSWORD).save("compared", overwrite=True)
    Variable.set("compared", value, overwrite=True)
    return examples.connected()


def _save_database(host: str) -> None:
    """Save a block of a collection that holds the address of a database."""
    components = ConnectionComponents(driver="postgresql+psycopg", host=host, database="compared")
    SqlAlchemyConnector(connection_info=components).save("compared", overwrite=True)


@check("secrets", alone=True)
def secrets(prefect: Prefect) -> Finding:
    """Neither the API nor the log of a task that prints it shows a password."""
    _read(value="")
    shown = json.dumps(prefect.api.call("POST", "/block_documents/filter", include_secrets=False))
    with psycopg.connect(os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"].replace("+asyncpg", "")) as database:
        kept = str(database.execute("SELECT data::text FROM block_document").fetchall())
    assert "compared" in shown
    assert "gAAAA" in kept  # how Fernet's tokens begin
    assert PASSWORD not in shown + kept
    assert PASSWORD in json.dumps(prefect.api.call("POST", "/block_documents/filter", include_secrets=True))
    assert PASSWORD in _printed(prefect), "logs are masked now: assert that"
    examples.connected(masked=True)
    assert _printed(prefect) == "the password is ***"
    return WithCode(
        "encrypted in the database and hidden by the API, unless it is asked with `include_secrets`; the log shows it "
        "where a task prints it, unless a filter of ours replaces it, which leaves tracebacks as they are"
    )


def _printed(prefect: Prefect) -> str:
    """What the newest run of the flow that prints the password has logged of it."""
    run = prefect.called("connected")

    def printed() -> str | None:
        return next((line for line in prefect.api.log(run["id"]) if "the password is" in line), None)

    return await_(printed, "the printed line is in the log")


@check("variables", alone=True)
def variables(prefect: Prefect) -> Finding:
    """A value that flows read changes without a change of the code."""
    values = ["first", "second"]
    assert [_read(value=value)["variable"] for value in values] == values
    return BuiltIn(f"variables, [with JSON values, and in the templates of deployments]({DOCS}/concepts/variables)")


@check("notifications")
def notifications(prefect: Prefect) -> Finding:
    """A failed run sends an alert."""
    run = prefect.api.end(prefect.api.start("failing/example"))
    assert run["state_type"] == "FAILED"
    posts = await_(lambda: prefect.alerts(run["name"], "Failed"), "the receiver gets the alert of the failure")
    assert len(posts) == 1
    return BuiltIn(
        f"[an automation]({DOCS}/concepts/automations) in the server, by tag; or "
        f"[a hook in the code]({DOCS}/how-to-guides/workflows/state-change-hooks), also with a block for Slack"
    )


@check("lateness")
def lateness(prefect: Prefect) -> Finding:
    """A run that starts late sends an alert, and so does one that takes too long while it still runs."""
    late = prefect.api.run(prefect.api.start("late/example"))
    long = prefect.api.run(prefect.api.start("late/running"))
    await_(lambda: prefect.alerts(late["name"], "Late"), "the receiver gets the alert of the delay", timeout=90)
    assert prefect.api.run(late["id"])["state_name"] == "Late"
    await_(lambda: prefect.alerts(long["name"], "Running"), "the receiver gets the alert of the long run", timeout=150)
    assert prefect.api.run(long["id"])["state_name"] == "Running"
    prefect.api.call("POST", f"/flow_runs/{long['id']}/set_state", state={"type": "CANCELLING", "name": "Cancelling"})
    return BuiltIn(
        "automations: of runs that no worker takes in time, which become `Late`, and of runs that do not end within a "
        f"given time, [as documented]({DOCS}/concepts/event-triggers)"
    )


@check("metadata", alone=True)
def metadata(prefect: Prefect) -> Finding:
    """A task's description of its result stays with the asset."""
    examples.described()

    def payloads(key: str) -> list[dict[str, Any]]:
        found = prefect.api.events("prefect.asset.materialization.succeeded")
        return [event["payload"] for event in found if event["resource"]["prefect.resource.id"] == key]

    described = await_(lambda: payloads("file://compared"), "the asset's event is there")
    assert [payload["made by"] for payload in described] == [prefect.called("described")["id"]]
    name = published_file(prefect.ground.dataset, prefect.ground.month).lake_object  # type: ignore[arg-type]
    assert {payload["rows"] for payload in payloads(f"gs://{os.environ['LAKE_BUCKET']}/{name}")} == {
        prefect.ground.rows
    }
    slug = published_file(prefect.ground.dataset, prefect.ground.month).slug  # type: ignore[arg-type]
    found = prefect.api.call(
        "POST", "/artifacts/latest/filter", artifacts={"key": {"like_": f"checks-{slug}".replace("_", "-")}}
    )
    assert [artifact["type"] for artifact in found] == ["table"]
    return BuiltIn(
        f"the asset event carries it; the checks are [an artifact, which the UI shows]({DOCS}/concepts/artifacts) as a "
        f"table. Pages of assets are [in the cloud only]({DOCS}/concepts/assets)"
    )


@check("roles")
def roles(prefect: Prefect) -> Finding:
    """A user who may only read cannot start a run, and nobody can do anything without a token."""
    found = [path for path in prefect.paths() if {"users", "roles", "api_keys"} & set(path.split("/"))]
    assert found == [], f"there are users now: write the check: {found}"
    home = prefect.ground.folder / "guarded"
    change_database(home, "upgrade")
    answers = run_in(home, _WITH_PASSWORDS)
    assert answers == ["200", "401", "401", "created", "200", *["created"] * 3]
    return NotPossible(
        "one password for all; without it (401) no more than whether the server is healthy, and without that setting "
        f"anybody as much as with it. Users and roles are [in the cloud only]({DOCS}/concepts/server)"
    )


# Asks a server within this program for its health, and to create a flow: without a password, with another user's name,
# and as it wants it; then all again, without the setting of the password.
_WITH_PASSWORDS = """\
import asyncio, os
import httpx
from prefect.server.api.server import create_app
from prefect.settings import PREFECT_SERVER_API_AUTH_STRING, temporary_settings


async def ask():
    user, _, password = os.environ["PREFECT_API_AUTH_STRING"].partition(":")
    server = httpx.ASGITransport(create_app(ephemeral=True, ignore_cache=True))
    async with httpx.AsyncClient(transport=server, base_url="http://server/api") as client:
        print((await client.get("/health")).status_code)
        for number, auth in enumerate((None, ("reader", password), (user, password))):
            answer = await client.post("/flows/", json={"name": f"{os.urandom(4).hex()}-{number}"}, auth=auth)
            print("created" if answer.is_success else answer.status_code)


asyncio.run(ask())
with temporary_settings(restore_defaults={PREFECT_SERVER_API_AUTH_STRING}):
    asyncio.run(ask())
"""


@check("clean_up", alone=True)
def clean_up(prefect: Prefect) -> Finding:
    """Old runs are removed from the database, and newer ones stay."""
    old, kept = (str(starts_and_limits.cleaned(return_state=True).state_details.flow_run_id) for _ in range(2))
    with psycopg.connect(os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"].replace("+asyncpg", "")) as database:
        for run_id, days in ((old, 91), (kept, 89)):
            age = f"{days} days"
            database.execute("UPDATE flow_run SET end_time = now() - %s::interval WHERE id = %s", [age, run_id])

    def left() -> set[str]:
        return {run["id"] for run in prefect.api.runs(flows={"name": {"any_": ["cleaned"]}})}

    await_(lambda: old not in left(), "the server removes the old run")
    assert left() == {kept}
    return BuiltIn(
        f"the server removes runs after 90 days, [if a setting enables that]({DOCS}/advanced/database-maintenance), "
        "here it looks every ten seconds"
    )


@check("openlineage", alone=True)
def openlineage(prefect: Prefect) -> Finding:
    """A collector gets an event of OpenLineage with what a task has read and written."""
    with note_taker(200) as (url, seen):
        webhook = Webhook(method="POST", url=url).save("lineage", overwrite=True)
        automation = starts_and_limits.as_openlineage(webhook).create()
        starts_and_limits.lineage()
        await_(lambda: seen, "the collector gets the event")
        automation.delete()
    event = json.loads(seen[0].body)
    names = [(each["namespace"], each["name"]) for side in ("inputs", "outputs") for each in event[side]]
    assert names == [("gs://compared", "read"), ("gs://compared", "written")]
    assert event["run"]["runId"] == prefect.called("lineage")["id"]
    return WithCode(
        "a task's event has the assets that it declares; an automation with a template of ours posts it as an event of "
        "OpenLineage"
    )


@check("secret_rotation")
def secret_rotation(prefect: Prefect) -> Finding:
    """What was encrypted with an old key is encrypted with the new one, and flows can read it."""
    home = prefect.ground.folder / "rotated"
    change_database(home, "upgrade")
    codes = [str(HTTPStatus.INTERNAL_SERVER_ERROR.value)] * 2
    values = [f"hunter2-old {name} True" for name in ("first", "second")]
    assert run_in(home, _ROTATED) == [*codes, *values], "the server can do more now: change the note"
    return WithCode(
        "with another key the server can neither read nor delete a block (HTTP 500): a program of ours takes all of "
        "them out under the old key, and puts them back under the new one, with new ids"
    )


# The server runs within this program, so that it can be given another key.
_ROTATED = """\
import asyncio, os
import httpx
from cryptography.fernet import Fernet
from prefect.blocks.system import Secret
from prefect.client.orchestration import PrefectClient
from prefect.server.api.server import create_app
from comparison.prefect_flows import rotation


async def main():
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    os.environ["PREFECT_SERVER_ENCRYPTION_KEY"] = old
    server = {"transport": httpx.ASGITransport(create_app(ephemeral=True), raise_app_exceptions=False)}
    password = os.environ["PREFECT_API_AUTH_STRING"]
    async with PrefectClient("http://server/api", auth_string=password, httpx_settings=server) as client:
        names = ("first", "second")
        kept = [await Secret(value=f"hunter2-old {name}").save(name, client=client) for name in names]
        os.environ["PREFECT_SERVER_ENCRYPTION_KEY"] = new
        for call in (client.read_block_document(kept[0]), client.delete_block_document(kept[0])):
            try:
                await call
            except httpx.HTTPStatusError as error:
                print(error.response.status_code)
        os.environ["PREFECT_SERVER_ENCRYPTION_KEY"] = old
        taken = await rotation.take(client)
        os.environ["PREFECT_SERVER_ENCRYPTION_KEY"] = new
        await rotation.put_back(client, taken)
        for name in names:
            document = await client.read_block_document_by_name(name, "secret")
            print(document.data["value"], document.id not in kept)


asyncio.run(main())
"""


# The newest revision of Prefect 3.8 for SQLite, of the folder that TABLES names.
OF_3_8 = "a3b9c7d2e5f1"
TABLES = "https://github.com/PrefectHQ/prefect/tree/3.8.8/src/prefect/server/database/_migrations/versions/sqlite"


@check("upgrade")
def upgrade(prefect: Prefect) -> Finding:
    """A database of this version becomes one of the previous minor version, and then one of this version again."""
    assert version("prefect").startswith("3.9."), "OF_3_8 is no longer of the previous minor version"
    home = prefect.ground.folder / "of-a-version-before"
    change_database(home, "upgrade")
    today = _revision(home)
    run_without_server("from comparison.prefect_flows.examples import mapped; mapped()", home=home)
    change_database(home, "downgrade", "--revision", OF_3_8)
    assert _revision(home) == OF_3_8 != today
    kept = run_without_server(_KEPT, home=home)  # its server upgrades the database at its start
    assert kept[-5:] == ["mapped Completed", "list_months Completed", *["load Completed"] * 3]
    assert _revision(home) == today
    return BuiltIn(
        f"`prefect server database downgrade` to [the last tables of 3.8]({TABLES}); those of today came back as soon "
        "as a server started, with a finished run and its tasks, here in SQLite; there is also the command `upgrade`"
    )


def _revision(home: Path) -> str:
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        [(revision,)] = database.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(revision)


_KEPT = """\
from prefect.client.orchestration import get_client

with get_client(sync_client=True) as client:
    for run in client.read_flow_runs():
        print(client.read_flow(run.flow_id).name, run.state_name)
    for run in sorted(client.read_task_runs(), key=lambda run: run.name):
        print(run.name.rpartition("-")[0], run.state_name)
"""


@check("telemetry")
def telemetry(prefect: Prefect) -> Finding:
    """A collector of OpenTelemetry gets metrics, and a span of a task."""
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    program = "from comparison.prefect_flows.starts_and_limits import lineage; lineage()"
    with note_taker(200) as (url, seen):
        to = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        done = subprocess.run(
            [instrument, sys.executable, "-c", program],
            cwd=REPOSITORY, env={**os.environ, **to}, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    metrics, spans = _metrics(seen), _spans(seen)
    kinds = {name.partition(".")[0] for name in metrics}
    assert {"process"} <= kinds <= {"process", "system", "cpython"}, f"there are more metrics now: {metrics}"
    run = prefect.called("lineage")
    assert run["name"] in spans, spans
    assert [name for name in spans if name.startswith("copy-")], spans
    home = prefect.ground.folder / "with-metrics"
    change_database(home, "upgrade")
    served = {line.split()[2] for line in run_in(home, _SERVED) if line.startswith("# TYPE")}
    for kind in ("events", "worker_channel"):
        assert any(name.startswith(f"prefect_{kind}_") for name in served), served
    assert [name for name in served if "run" in name.split("_")] == [], f"there are metrics of runs now: {served}"
    return BuiltIn(
        "with the extra `otel`, started by `opentelemetry-instrument`: a span for the flow run, one for its task run, "
        "and metrics of the flow's process and its machine; by a setting the server has metrics of its events and "
        "of its channel to the workers for Prometheus. None are of runs, for which Prefect has [an "
        "exporter](https://github.com/PrefectHQ/prometheus-prefect-exporter), not tried here"
    )


# Asks a server within this program for its metrics.
_SERVED = """\
import asyncio, os
import httpx
from prefect.server.api.server import create_app
from prefect.settings import PREFECT_SERVER_METRICS_ENABLED, temporary_settings


async def ask():
    server = httpx.ASGITransport(create_app(ephemeral=True, ignore_cache=True))
    auth = tuple(os.environ["PREFECT_API_AUTH_STRING"].split(":"))
    async with httpx.AsyncClient(transport=server, base_url="http://server/api", auth=auth) as client:
        print((await client.get("/metrics")).raise_for_status().text)


with temporary_settings({PREFECT_SERVER_METRICS_ENABLED: True}):
    asyncio.run(ask())
"""


def _metrics(seen: Sequence[Note]) -> set[str]:
    """The names of the metrics that the collector got."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    sent = [ExportMetricsServiceRequest.FromString(note.body) for note in seen if note.path == "/v1/metrics"]
    scopes = [scope for each in sent for resource in each.resource_metrics for scope in resource.scope_metrics]
    return {metric.name for scope in scopes for metric in scope.metrics}


def _spans(seen: Sequence[Note]) -> set[str]:
    """The names of the spans that the collector got."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    sent = [ExportTraceServiceRequest.FromString(note.body) for note in seen if note.path == "/v1/traces"]
    scopes = [scope for each in sent for resource in each.resource_spans for scope in resource.scope_spans]
    return {span.name for scope in scopes for span in scope.spans}
