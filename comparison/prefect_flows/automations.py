"""The automations by which Prefect's server reacts to events of a run.

Like blocks, automations are stored in the server. They are replaced by name, so that saving can be repeated.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation, CallWebhook, ChangeFlowRunState, EventTrigger
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import StateType
from prefect.events.schemas.automations import Posture

RELATED = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.nyc-taxi"}
ALERTS = "taxi-alerts"


def save(alerts_url: str | None) -> None:
    """Save the automations; existing ones are replaced.

    Args:
        alerts_url: where alerts are posted; None for no alerts.
    """
    # Retries cover errors inside a run; a run whose process was killed stays crashed unless something restarts it. At
    # most three times, because the run itself may be what gets it killed.
    automations = [
        Automation(
            name="restart crashed runs",
            trigger=EventTrigger(
                expect={"prefect.flow-run.Crashed"},
                match={"prefect.run-count": ["1", "2", "3"]},
                match_related=RELATED,
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", force=True)],
        )
    ]
    if alerts_url:
        alerts = Webhook(method="POST", url=alerts_url).save(ALERTS, overwrite=True)
        automations += [
            _report("report failures", alerts, "prefect.flow-run.Failed", "prefect.flow-run.TimedOut"),
            # A run waits when the worker is busy, and when there is no worker.
            _report("report late runs", alerts, "prefect.flow-run.Late"),
        ]
    for automation in automations:
        with contextlib.suppress(ValueError):  # no automation has that name yet
            Automation.read(name=automation.name).delete()
        automation.create()


def _report(name: str, alerts: UUID, *events: str) -> Automation:
    """An automation that posts the name and the state of each run with one of the events."""
    payload = '{"run": "{{ flow_run.name }}", "state": "{{ flow_run.state.name }}"}'
    return Automation(
        name=name,
        trigger=EventTrigger(expect=set(events), match_related=RELATED, threshold=1),
        actions=[CallWebhook(block_document_id=alerts, payload=payload)],
    )
