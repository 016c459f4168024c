"""What Prefect's server does by itself when something happens to a run.

Like the blocks, automations live in the server. They are made anew by name, so that this can be repeated.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta

from prefect.automations import Automation, CallWebhook, ChangeFlowRunState, EventTrigger
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import StateType
from prefect.events.schemas.automations import Posture

TAG = "prefect.tag.nyc-taxi"
ALERTS = "taxi-alerts"


def save(alerts_url: str) -> None:
    """Save the automations; those that are there are replaced.

    Args:
        alerts_url: where alerts are posted to.
    """
    alerts = Webhook(method="POST", url=alerts_url).save(ALERTS, overwrite=True)
    related = {"prefect.resource.role": "tag", "prefect.resource.id": TAG}
    automations = [
        Automation(
            name="tell of failures",
            trigger=EventTrigger(
                expect={"prefect.flow-run.Failed", "prefect.flow-run.TimedOut"}, match_related=related, threshold=1
            ),
            actions=[
                CallWebhook(
                    block_document_id=alerts,
                    payload='{"run": "{{ flow_run.name }}", "state": "{{ flow_run.state.name }}"}',
                )
            ],
        ),
        # A worker that is there but busy lets runs wait, and so does one that is not there.
        Automation(
            name="tell of late runs",
            trigger=EventTrigger(expect={"prefect.flow-run.Late"}, match_related=related, threshold=1),
            actions=[
                CallWebhook(
                    block_document_id=alerts,
                    payload='{"run": "{{ flow_run.name }}", "state": "{{ flow_run.state.name }}"}',
                )
            ],
        ),
        # Retries are for errors inside a run; a run whose process was killed stays crashed unless somebody starts it.
        Automation(
            name="start crashed runs again",
            trigger=EventTrigger(
                expect={"prefect.flow-run.Crashed"},
                match_related=related,
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", force=True)],
        ),
    ]
    for automation in automations:
        with contextlib.suppress(ValueError):  # there is none of that name
            Automation.read(name=automation.name).delete()
        automation.create()
