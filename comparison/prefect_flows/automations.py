"""What Prefect's server does by itself when something happens to a run.

Like the blocks, automations live in the server. They are made anew by name, so that this can be repeated.
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
    """Save the automations; those that are there are replaced.

    Args:
        alerts_url: where alerts are posted to; None for nowhere.
    """
    # Retries are for errors inside a run; a run whose process was killed stays crashed unless somebody starts it. Three
    # times at most: what kills it may be its own doing.
    automations = [
        Automation(
            name="start crashed runs again",
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
            _tell("tell of failures", alerts, "prefect.flow-run.Failed", "prefect.flow-run.TimedOut"),
            # A worker that is there but busy lets runs wait, and so does one that is not there.
            _tell("tell of late runs", alerts, "prefect.flow-run.Late"),
        ]
    for automation in automations:
        with contextlib.suppress(ValueError):  # there is none of that name
            Automation.read(name=automation.name).delete()
        automation.create()


def _tell(name: str, alerts: UUID, *events: str) -> Automation:
    """Post the name and the state of each run to which one of the events happens."""
    payload = '{"run": "{{ flow_run.name }}", "state": "{{ flow_run.state.name }}"}'
    return Automation(
        name=name,
        trigger=EventTrigger(expect=set(events), match_related=RELATED, threshold=1),
        actions=[CallWebhook(block_document_id=alerts, payload=payload)],
    )
