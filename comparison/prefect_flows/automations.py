"""The automations by which Prefect's server reacts to events of a run.

Like blocks, automations are stored in the server. Those of the same name are updated, so that saving can be repeated.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation, CallWebhook, ChangeFlowRunState, EventTrigger
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import StateType
from prefect.events.schemas.automations import Posture
from prefect.settings import get_current_settings

RELATED = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.nyc-taxi"}
ALERTS = "taxi-alerts"
HEARTBEAT = "prefect.flow-run.heartbeat"
# Seconds between two heartbeats of a run by default.
STOCK_FREQUENCY = 180
ENDS = ("Completed", "Failed", "TimedOut", "Crashed", "Cancelled")


def save(alerts_url: str | None) -> None:
    """Save the automations; existing ones are updated, and stay enabled or disabled.

    Args:
        alerts_url: where alerts are posted; None for no alerts.
    """
    automations = _recover()
    if alerts_url:
        alerts = Webhook(method="POST", url=alerts_url).save(ALERTS, overwrite=True)
        automations += [
            _report("report failures", alerts, "prefect.flow-run.Failed", "prefect.flow-run.TimedOut"),
            # A run waits when the worker is busy, and when there is no worker.
            _report("report late runs", alerts, "prefect.flow-run.Late"),
            _report_long("report long runs", alerts, tag="ten-seconds", within=timedelta(seconds=10)),
        ]
    for automation in automations:
        try:
            existing = Automation.read(name=automation.name)
        except ValueError:  # no automation has that name yet
            automation.create()
        else:
            automation.id, automation.enabled = existing.id, existing.enabled
            automation.update()


def _recover() -> list[Automation]:
    """The automations that restart a run whose process was killed; retries only cover errors inside a run."""
    crashed = EventTrigger(
        expect={"prefect.flow-run.Crashed"},
        # At most three times, because the run itself may be what gets it killed.
        match={"prefect.run-count": ["1", "2", "3"]},
        match_related=RELATED,
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
    restart = ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", force=True)
    # The worker reports a crash. If it is lost too, only the missing heartbeats of the run tell of it. One may be late:
    # https://docs.prefect.io/v3/advanced/detect-zombie-flows waits for three.
    silence = timedelta(seconds=3 * (get_current_settings().flows.heartbeat_frequency or STOCK_FREQUENCY))
    silent = EventTrigger(
        after={HEARTBEAT},
        expect={HEARTBEAT, *(f"prefect.flow-run.{state}" for state in (*ENDS, "AwaitingRetry", "Paused", "Suspended"))},
        for_each={"prefect.resource.id"},
        match_related=RELATED,
        posture=Posture.Proactive,
        threshold=1,
        within=silence,
    )
    message = f"It has sent no heartbeat for {silence.seconds} seconds."
    crash = ChangeFlowRunState(state=StateType.CRASHED, message=message)
    return [
        Automation(name="restart crashed runs", trigger=crashed, actions=[restart]),
        Automation(name="crash silent runs", trigger=silent, actions=[crash]),
    ]


def _report(name: str, alerts: UUID, *events: str) -> Automation:
    """An automation that posts the name and the state of each run with one of the events."""
    trigger = EventTrigger(expect=set(events), match_related=RELATED, threshold=1)
    return Automation(name=name, trigger=trigger, actions=[_post(alerts)])


def _report_long(name: str, alerts: UUID, *, tag: str, within: timedelta) -> Automation:
    """An automation that posts the name and the state of each run with the tag that does not end in time."""
    trigger = EventTrigger(
        after={"prefect.flow-run.Running"},
        expect={f"prefect.flow-run.{state}" for state in ENDS},
        for_each={"prefect.resource.id"},
        match_related={**RELATED, "prefect.resource.id": f"prefect.tag.{tag}"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )
    return Automation(name=name, trigger=trigger, actions=[_post(alerts)])


def _post(alerts: UUID) -> CallWebhook:
    payload = '{"run": "{{ flow_run.name }}", "state": "{{ flow_run.state.name }}"}'
    return CallWebhook(block_document_id=alerts, payload=payload)
