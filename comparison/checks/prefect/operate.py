"""Checks of Prefect: how it is operated."""

from __future__ import annotations

import json
import os
from typing import Any

import psycopg
from prefect_sqlalchemy import ConnectionComponents, SqlAlchemyConnector

from comparison.checks import BuiltIn, Finding, WithCode, await_
from comparison.checks.prefect.side import PASSWORD, Prefect, check
from comparison.prefect_flows import examples
from comparison.prefect_flows.parameters import published_file


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
        "blocks: typed, nested, with methods that use the other system; from the UI or code; also types of your own"
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
    assert len(kept) > len(PASSWORD)
    assert PASSWORD not in shown + kept
    assert PASSWORD in _printed(prefect), "logs are masked now: assert that"
    examples.connected(masked=True)
    assert _printed(prefect) == "the password is ***"
    return WithCode(
        "encrypted in the database and hidden by the API and the UI; the log shows it where a task prints it, unless a "
        "filter of ours replaces it"
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
    return BuiltIn("variables with JSON values, also in the templates of deployments")


@check("notifications")
def notifications(prefect: Prefect) -> Finding:
    """A failed run sends an alert."""
    run = prefect.api.end(prefect.api.start("failing/example"))
    assert run["state_type"] == "FAILED"
    posts = await_(lambda: prefect.alerts(run["name"], "Failed"), "the receiver gets the alert of the failure")
    assert len(posts) == 1
    return BuiltIn("an automation in the server, by tag; or a hook in the code; blocks for Slack, Teams and others")


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
        "given time"
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
        "the asset event carries it; the checks are an artifact, shown as a table in the UI (assets: in the cloud only)"
    )
