"""Small DAGs, each showing one concept that the pipeline itself does not need.

``comparison/prefect_flows/examples.py`` has the same examples under the same names. Only ``make compare`` adds this
folder to Airflow's DAG bundles.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import (  # type: ignore[attr-defined] # its stub lacks the deadlines
    Asset,
    AsyncCallback,
    BaseHook,
    CronTriggerTimetable,
    DeadlineAlert,
    DeadlineReference,
    Metadata,
    Param,
    Variable,
    dag,
    setup,
    task,
    task_group,
    teardown,
)

from nyc_taxi.dag_parts.defaults import RETRY_POLICY
from nyc_taxi.dag_parts.notifications import notify_failure
from nyc_taxi.source.errors import NotPublishedError

MONTHS = ["2021-01", "2021-02", "2021-03"]
ALERTS = "taxi_alerts"


@dag(schedule=None, tags=["comparison"])
def retries() -> None:
    """A task fails twice, and succeeds in the third try; the delays grow."""

    @task(retries=2, retry_delay=timedelta(seconds=1), retry_exponential_backoff=2.0)
    def fetch(ti: Any = None) -> int:
        if ti.try_number < 3:
            raise RuntimeError("the source is down")
        return ti.try_number

    fetch()


@dag(schedule=None, tags=["comparison"])
def not_retried() -> None:
    """A task fails with an error that the pipeline's retry policy calls final."""

    @task(retries=2, retry_delay=timedelta(seconds=1), retry_policy=RETRY_POLICY)
    def fetch() -> None:
        raise NotPublishedError("the source has no such month")

    fetch()


@dag(schedule=None, tags=["comparison"])
def time_out() -> None:
    """Stops a task that never ends."""

    @task(execution_timeout=timedelta(seconds=1), retries=0)
    def hang() -> None:
        time.sleep(60)  # one blocking call

    hang()


@dag(schedule=None, tags=["comparison"], params={"month": Param("2021-01", type="string")})
def child() -> None:
    """Is started by another DAG."""

    @task
    def load(params: dict[str, Any] | None = None) -> str:
        assert params is not None
        return params["month"]

    load()


@dag(schedule=None, tags=["comparison"], params={"day": Param("2021-02-28", type="string", format="date")})
def typed() -> None:
    """Takes a date as parameter."""

    @task
    def load(params: dict[str, Any] | None = None) -> str:
        assert params is not None
        return type(params["day"]).__name__

    load()


@dag(schedule=None, tags=["comparison"])
def parent() -> None:
    """Has a group of tasks, and a task that runs another DAG and waits for it."""

    @task_group
    def prepare() -> None:
        @task
        def create_table() -> None: ...

        create_table()

    prepare() >> TriggerDagRunOperator(
        task_id="start_child",
        trigger_dag_id="child",
        conf={"month": "2021-02"},
        wait_for_completion=True,
        poke_interval=1,
    )


@dag(schedule=None, tags=["comparison"])
def mapped() -> None:
    """Creates one task instance for each month; the months are known only at run time."""

    @task
    def list_months() -> list[str]:
        return MONTHS

    @task
    def load(month: str) -> str:
        return month

    load.expand(month=list_months())


@dag(schedule=None, tags=["comparison"])
def limited() -> None:
    """Starts three task instances that could run at the same time, in a pool with one slot."""

    @task(pool="one_at_a_time")
    def load(month: str) -> None:
        time.sleep(0.3)

    load.expand(month=MONTHS)


@dag(schedule=None, tags=["comparison"], params={"name": Param("compared", type="string")})
def connected() -> None:
    """Reads a connection and a variable at run time; both can change without a change of the code."""

    @task
    def read(params: dict[str, Any] | None = None) -> dict[str, str]:
        assert params is not None
        connection = BaseHook.get_connection(params["name"])
        print("the password is", connection.password)
        return {"host": connection.host, "variable": Variable.get(params["name"])}

    read()


@dag(
    schedule=None,
    tags=["comparison"],
    on_failure_callback=notify_failure,
)
def failing() -> None:
    """Fails, and sends an alert."""

    @task(retries=0)
    def fail() -> None:
        raise RuntimeError("meant to fail")

    fail()


@dag(
    schedule=None,
    tags=["comparison"],
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=AsyncCallback(HttpNotifier, kwargs={"http_conn_id": ALERTS, "json": {"run": "late"}}),
    ),
)
def late() -> None:
    """Exceeds its deadline, and sends an alert while it still runs."""

    @task
    def work() -> None:
        time.sleep(100)

    work()


@dag(schedule=None, tags=["comparison"])
def described() -> None:
    """Describes its asset in the event, for people and for the DAGs that the event starts."""

    @task(outlets=[Asset("compared")])
    def count(run_id: str | None = None) -> Any:
        yield Metadata(Asset("compared"), {"made by": run_id})

    count()


@dag(schedule=None, tags=["comparison"])
def tidied() -> None:
    """Removes the temporary object although the work fails; the run still fails."""

    @setup
    def create_staging() -> None:
        Variable.set("staging", "there")

    @task(retries=0)
    def load() -> None:
        raise RuntimeError("meant to fail")

    @teardown
    def drop_staging() -> None:
        Variable.delete("staging")

    created = create_staging()
    created >> load() >> drop_staging().as_teardown(setups=created)


@dag(schedule=None, tags=["comparison"])
def killed() -> None:
    """Hangs in the first try, so that it can be killed; the next try is short."""

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def work(ti: Any = None) -> int:
        if ti.try_number == 1:
            time.sleep(300)
        return ti.try_number

    work()


@dag(schedule=None, tags=["comparison"])
def cancelled() -> None:
    """Hangs, so that it can be cancelled."""

    @task(retries=0)
    def work() -> None:
        time.sleep(300)

    work()


@dag(schedule=None, tags=["comparison"])
def approved() -> None:
    """Continues when a person approves."""

    @task
    def publish() -> str:
        return "published"

    ApprovalOperator(task_id="ask", subject="Publish the month?") >> publish()


# While the DAG is paused, no scheduled run is created. Unpausing it creates all of them, one for each year.
@dag(
    tags=["comparison"],
    schedule=CronTriggerTimetable("0 0 1 1 *", timezone="UTC"),
    start_date=datetime(2022, 1, 1, tzinfo=UTC),
    end_date=datetime(2025, 1, 2, tzinfo=UTC),
    catchup=True,
)
def caught_up() -> None:
    """Has missed the first day of four years."""

    @task
    def work() -> None: ...

    work()


@dag(tags=["comparison"], schedule=CronTriggerTimetable("0 6 * * *", timezone="America/New_York"), catchup=False)
def in_new_york() -> None:
    """Runs at six in the morning in New York, in summer and in winter."""

    @task
    def work() -> None: ...

    work()


@dag(schedule=None, tags=["comparison"])
def no_ops() -> None:
    """Runs ten no-op tasks in a chain; their duration is the orchestrator's overhead."""

    @task
    def do_nothing(number: int) -> int:
        return number + 1

    number: Any = 0
    for _ in range(10):
        number = do_nothing(number)


for example in (
    retries,
    not_retried,
    time_out,
    child,
    typed,
    parent,
    mapped,
    limited,
    connected,
    failing,
    late,
    described,
    tidied,
    killed,
    cancelled,
    approved,
    caught_up,
    in_new_york,
    no_ops,
):
    example()
