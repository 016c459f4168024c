"""Small DAGs, each showing one concept that the pipeline itself does not need.

``comparison/prefect_flows/examples.py`` has the same examples under the same names. Only ``make compare`` adds this
folder to Airflow's DAG bundles.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import (  # type: ignore[attr-defined] # its stub lacks the deadlines
    Asset,
    AsyncCallback,
    BaseHook,
    CronTriggerTimetable,
    DeadlineAlert,
    DeadlineReference,
    ExceptionRetryPolicy,
    Metadata,
    Param,
    RetryAction,
    RetryRule,
    Variable,
    dag,
    setup,
    task,
    task_group,
    teardown,
)

from nyc_taxi.source.errors import NotPublishedError

MONTHS = ["2021-01", "2021-02", "2021-03"]
ALERTS = "taxi_alerts"
LATE = {"run": "{{ dag_run.dag_run_id }}", "state": "{{ dag_run.state }}"}


@dag(schedule=None, tags=["comparison"])
def retries() -> None:
    """A task fails twice, and succeeds in the third try; the delays grow."""

    @task(retries=2, retry_delay=timedelta(seconds=3), retry_exponential_backoff=2.0)
    def fetch(ti: Any = None) -> int:
        if ti.try_number < 3:
            raise RuntimeError("the source is down")
        return ti.try_number

    fetch()


@dag(schedule=None, tags=["comparison"])
def not_retried() -> None:
    """A task fails with an error that its retry policy calls final."""
    final = RetryRule(exception=NotPublishedError, action=RetryAction.FAIL)

    @task(retries=2, retry_delay=timedelta(seconds=1), retry_policy=ExceptionRetryPolicy(rules=[final]))
    def fetch() -> None:
        raise NotPublishedError("the source has no such month")

    fetch()


@task(execution_timeout=timedelta(seconds=1), retries=0)
def hang(number: int) -> None:
    """Never ends, in the main thread of its process."""
    if threading.current_thread() is threading.main_thread():
        time.sleep(60)  # one blocking call


@dag(schedule=None, tags=["comparison"])
def time_out() -> None:
    """Stops a task that never ends."""
    hang(0)


@dag(schedule=None, tags=["comparison"])
def time_out_in_processes() -> None:
    """Stops two tasks that never end, at the same time."""
    hang.expand(number=[1, 2])


@dag(schedule=None, tags=["comparison"], params={"month": Param("2021-01", type="string")})
def child() -> None:
    """Is started by another DAG."""

    @task
    def load(params: dict[str, Any] | None = None) -> str:
        assert params is not None
        return params["month"]

    load()


@dag(
    schedule=None,
    tags=["comparison"],
    params={"day": Param("2021-02-28", type="string", format="date")},
    render_template_as_native_obj=True,
)
def typed() -> None:
    """Takes a date as parameter; a template makes a date object of it."""

    @task
    def load(day: Any, params: dict[str, Any] | None = None) -> list[str]:
        assert params is not None
        return [type(params["day"]).__name__, type(day).__name__]

    load("{{ macros.datetime.strptime(params.day, '%Y-%m-%d').date() }}")


@dag(schedule=None, tags=["comparison"])
def parent() -> None:
    """Has a group of tasks, a task that runs another DAG and waits for it, and one that looks up its result."""

    @task_group
    def prepare() -> None:
        @task
        def create_table() -> None: ...

        create_table()

    start_child = TriggerDagRunOperator(
        task_id="start_child",
        trigger_dag_id="child",
        conf={"month": "2021-02"},
        wait_for_completion=True,
        poke_interval=1,
    )

    @task
    def take_result(ti: Any = None) -> str:
        run_id = ti.xcom_pull(task_ids="start_child", key="trigger_run_id")
        return ti.xcom_pull(dag_id="child", run_id=run_id, task_ids="load")

    prepare() >> start_child >> take_result()


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
        found = {"host": connection.host, "bucket": connection.extra_dejson["bucket"]}
        return found | {"variable": Variable.get(params["name"])}

    read()


@dag(
    schedule=None,
    tags=["comparison"],
    on_failure_callback=HttpNotifier(http_conn_id=ALERTS, json={"run": "{{ run_id }}"}),
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
    max_active_runs=1,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=30),
        callback=AsyncCallback(HttpNotifier, kwargs={"http_conn_id": ALERTS, "json": LATE}),
    ),
)
def late() -> None:
    """Exceeds its deadline, and sends an alert while it still runs, or still waits for the run before it."""

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


@task(retries=1, retry_delay=timedelta(seconds=1))
def hang_once(ti: Any = None) -> int:
    """Hangs in the first try, so that it can be killed; the next try is short."""
    if ti.try_number == 1:
        time.sleep(300)
    return ti.try_number


@dag(schedule=None, tags=["comparison"])
def killed() -> None:
    """Is killed, and tried again."""
    hang_once()


@dag(schedule=None, tags=["comparison"])
def killed_with_its_host() -> None:
    """Is killed with all that could have told of it; then it needs no retry."""
    hang_once.override(retries=0)()


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


@dag(tags=["comparison"], schedule=CronTriggerTimetable("0 6 * * *", timezone="America/New_York"), catchup=False)
def in_new_york() -> None:
    """Runs at six in the morning in New York, in summer and in winter."""

    @task
    def work() -> None: ...

    work()


def scheduled(dataset: str, cron: str) -> None:
    """Make a DAG that runs for a dataset at its own times; the loop below makes one for each."""

    @dag(
        dag_id=f"scheduled_{dataset}",
        tags=["comparison"],
        schedule=CronTriggerTimetable(cron, timezone="UTC"),
        catchup=False,
        params={"dataset": Param(dataset, type="string")},
    )
    def of_dataset() -> None:
        @task
        def load(params: dict[str, Any] | None = None) -> str:
            assert params is not None
            return params["dataset"]

        load()

    of_dataset()


@dag(
    schedule=None,
    tags=["comparison"],
    params={"page": Param(0, type="integer"), "pages": Param(2, type="integer")},
    render_template_as_native_obj=True,
)
def until_empty() -> None:
    """Reads a page, and runs again for the next one unless it is empty; their number is known only at the end."""

    @task.short_circuit
    def read_page(params: dict[str, Any] | None = None) -> bool:
        assert params is not None
        return params["page"] < params["pages"]

    read_page() >> TriggerDagRunOperator(
        task_id="read_next",
        trigger_dag_id="until_empty",
        conf={"page": "{{ params.page + 1 }}", "pages": "{{ params.pages }}"},
    )


@dag(schedule=None, tags=["comparison"], params={"value": Param("", type="string")})
def in_its_environment() -> None:
    """Prints a variable that the run's caller has set; ``airflow_settings`` puts it where the caller wants it."""
    BashOperator(
        task_id="read",
        bash_command='echo "$TAXI_COMPARED"',
        env={"TAXI_COMPARED": "{{ params.value }}"},
        append_env=True,
    )


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
    time_out_in_processes,
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
    killed_with_its_host,
    cancelled,
    approved,
    in_new_york,
    until_empty,
    in_its_environment,
    no_ops,
):
    example()
for name, at in {"yellow": "*/2 * * * *", "green": "1-59/2 * * * *"}.items():
    scheduled(name, at)
