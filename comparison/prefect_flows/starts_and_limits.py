"""Small flows about what starts, waits and ends when, each showing one concept that the pipeline itself does not need.

``comparison/airflow_dags/starts_and_limits.py`` has the same examples under the same names. Those that need a worker
have a deployment in ``examples.yaml``; what starts one of them is an automation, which is here.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import flow, task
from prefect.assets import materialize
from prefect.automations import Automation, CallWebhook, CompoundTrigger, EventTrigger, RunDeployment
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import rate_limit
from prefect.events.schemas.automations import Posture

WAITS = 20
RATE_SECONDS = 2
ARRIVED = "input.{dataset}.arrived"


@flow
def both_arrived(month: str) -> str:
    """Starts for a month when both of its inputs have arrived."""
    return month


def when_both_arrive(deployment: UUID) -> list[Automation]:
    """Two automations, one for each order, that start a deployment when both inputs of a month have arrived."""
    green, yellow = (ARRIVED.format(dataset=dataset) for dataset in ("green", "yellow"))
    return [
        Automation(
            name=f"{second} after {first}",
            trigger=EventTrigger(
                after={first},
                expect={second},
                for_each={"month"},
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(days=1),
            ),
            actions=[RunDeployment(deployment_id=deployment, parameters={"month": "{{ event.resource.month }}"})],
        )
        for first, second in ((green, yellow), (yellow, green))
    ]


def when_both_arrive_in_any_month(deployment: UUID) -> Automation:
    """What Prefect has for several events, which knows no months: it starts a deployment when both inputs arrived."""
    inputs = [
        EventTrigger(
            expect={ARRIVED.format(dataset=dataset)}, for_each={"month"}, posture=Posture.Reactive, threshold=1
        )
        for dataset in ("green", "yellow")
    ]
    return Automation(
        name="both, in any month",
        trigger=CompoundTrigger(require="all", triggers=inputs, within=timedelta(days=1)),
        actions=[RunDeployment(deployment_id=deployment, parameters={"month": "{{ event.resource.month }}"})],
    )


@flow
def from_outside(month: str) -> str:
    """Starts by a message of another system to the REST API."""
    return month


@task(cache_policy=NO_CACHE)
def work(seconds: int) -> int:
    """Works for some seconds."""
    time.sleep(seconds)
    return seconds


@task(cache_policy=NO_CACHE)
def publish(result: int) -> int:
    """Takes the result of another task."""
    return result


@flow
def outage(seconds: int) -> int:
    """Has a task that works for some seconds, and another one that takes its result."""
    return publish(work(seconds))


@task(cache_policy=NO_CACHE)
async def wait(until: datetime) -> None:
    """Waits for a time, without a thread or a process of its own."""
    await asyncio.sleep((until - datetime.now(UTC)).total_seconds())


@flow
async def waiting(until: datetime) -> None:
    """Waits twenty times at once."""
    await asyncio.gather(*(wait(until) for _ in range(WAITS)))


@flow
def prioritised() -> None:
    """Waits in a queue that is more or less important."""


@task(cache_policy=NO_CACHE)
def call(number: int) -> float:
    """Calls another system, no more often than every two seconds."""
    rate_limit("compared-rate", strict=True)
    return time.time()


@flow
def rated() -> list[float]:
    """Makes three calls that could happen at once."""
    return call.map([1, 2, 3]).result()


@flow
def cleaned() -> None:
    """Leaves runs that are removed later."""


@materialize("gs://compared/written", asset_deps=["gs://compared/read"], cache_policy=NO_CACHE)
def copy() -> None:
    """Reads one object and writes another."""


@flow
def lineage() -> None:
    """Has a task with an input and an output."""
    copy()


def as_openlineage(webhook: UUID) -> Automation:
    """An automation that posts the assets of a task as an event of OpenLineage, by a template of ours."""
    written = EventTrigger(
        expect={"prefect.asset.materialization.succeeded"},
        match={"prefect.resource.id": "gs://compared/*"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
    post = CallWebhook(block_document_id=webhook, payload=_OPENLINEAGE)
    return Automation(name="report lineage", trigger=written, actions=[post])


def _dataset(asset: str) -> str:
    """A dataset of OpenLineage, in Prefect's template language; ``asset`` is an expression for the asset."""
    space, name = (f"{{{{ {asset}.id.split('/'){part} | join('/') }}}}" for part in ("[:3]", "[3:]"))
    return f'{{"namespace": "{space}", "name": "{name}"}}'


_OPENLINEAGE = f"""\
{{"eventType": "COMPLETE", "eventTime": "{{{{ event.occurred }}}}", "producer": "https://github.com/PrefectHQ/prefect",
 "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
 "run": {{"runId": "{{{{ flow_run.id }}}}"}}, "job": {{"namespace": "compared", "name": "{{{{ flow.name }}}}"}},
 "inputs": [{{% for each in event.related if each.role == "asset" %}}
{{{{ "" if loop.first else ", " }}}}{_dataset("each")}{{% endfor %}}],
 "outputs": [{_dataset("event.resource")}]}}
"""
