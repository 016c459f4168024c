"""Small flows, each for one concept that the pipeline itself does not need.

The same in Airflow, under the same names: ``comparison/airflow_dags/examples.py``. Those that need a worker have a
deployment in ``examples.yaml``.
"""

from __future__ import annotations

import os
import time
from datetime import date

from prefect import flow, pause_flow_run, runtime, task
from prefect.assets import add_asset_metadata, materialize
from prefect.blocks.system import Secret
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.tasks import exponential_backoff
from prefect.transactions import Transaction, transaction
from prefect.variables import Variable

from comparison.prefect_flows.blocks import LakeBucket
from comparison.prefect_flows.retries import RETRIED
from nyc_taxi.source.download import NotPublishedError

MONTHS = ["2021-01", "2021-02", "2021-03"]


@task(retries=2, retry_delay_seconds=exponential_backoff(backoff_factor=1), cache_policy=NO_CACHE)
def fetch() -> int:
    """The source answers at the third try; the delays grow."""
    if runtime.task_run.run_count < 3:
        raise RuntimeError("the source is down")
    return runtime.task_run.run_count


@flow
def retries() -> int:
    """A task that is tried again."""
    return fetch()


@task(**RETRIED)
def fetch_nothing() -> None:
    """The source does not have the file, which the pipeline's condition calls final."""
    raise NotPublishedError("the source has no such month")


@flow
def not_retried() -> None:
    """A task that is not tried again."""
    fetch_nothing()


@task(timeout_seconds=1, cache_policy=NO_CACHE)
def hang() -> None:
    """Would take for ever."""
    while True:
        time.sleep(0.1)


@flow
def time_out() -> None:
    """A task that would take for ever."""
    hang()


@flow
def child(month: str = "2021-01") -> str:
    """What another flow calls."""
    return month


@flow
def parent() -> str:
    """A flow that calls a flow."""
    return child("2021-02")


@task(cache_policy=NO_CACHE)
def list_months() -> list[str]:
    """The months, which are known only when the run is there."""
    return MONTHS


@task(cache_policy=NO_CACHE)
def load(month: str) -> str:
    """One month."""
    return month


@flow
def mapped() -> list[str]:
    """As many task runs as there are months."""
    return load.map(list_months()).result()


@task(cache_policy=NO_CACHE)
def load_in_turn(month: str) -> tuple[float, float]:
    """Begin and end of the part that only one may run at a time, in all flows on all machines."""
    with concurrency("one-at-a-time", occupy=1):
        begin = time.time()
        time.sleep(0.3)
        return begin, time.time()


@flow
def limited() -> list[tuple[float, float]]:
    """Three task runs that could run at once."""
    return load_in_turn.map(MONTHS).result()


@flow(log_prints=True)
def connected() -> dict[str, str]:
    """Reads blocks and a variable when it runs; all can be changed without touching the code."""
    secret = Secret.load("compared").get()
    print("the password is", secret)
    return {"bucket": LakeBucket.load("compared").bucket, "variable": str(Variable.get("compared"))}


@flow
def failing() -> None:
    """Fails; an automation of the server tells whoever listens."""
    raise RuntimeError("meant to fail")


@flow
def late() -> None:
    """Waits for a worker that does not come; an automation of the server tells whoever listens."""


@flow
def described() -> None:
    """What it made carries a description of the event, for people and for whatever starts from it."""

    @materialize("file://compared", cache_policy=NO_CACHE)
    def count() -> None:
        add_asset_metadata("file://compared", {"made by": str(runtime.flow_run.id)})

    count()


@task(cache_policy=NO_CACHE)
def create_staging() -> None:
    """Makes something for the work."""
    Variable.set("staging", "there", overwrite=True)


@create_staging.on_rollback
def drop_staging(undone: Transaction) -> None:
    """Removes it again when anything behind it in the transaction fails."""
    Variable.unset("staging")


@flow
def tidied() -> None:
    """What was made for the work is removed, although the work fails; the run has failed all the same."""
    with transaction():
        create_staging()
        raise RuntimeError("meant to fail")


@flow
def killed() -> int:
    """Hangs at the first try, so that it can be killed; the next try is short."""
    if runtime.flow_run.run_count == 1:
        time.sleep(300)
    return int(runtime.flow_run.run_count)


@flow
def cancelled() -> None:
    """Hangs, so that it can be cancelled."""
    time.sleep(300)


class Approval(RunInput):
    """What is asked of a person."""

    approved: bool


@flow
def approved() -> str:
    """Goes on when somebody says so."""
    answer = pause_flow_run(wait_for_input=Approval, timeout=60, poll_interval=1)
    return "published" if answer.approved else "not published"


@flow
def in_new_york() -> None:
    """At six in the morning in New York, in summer and in winter."""


@flow
def caught_up() -> None:
    """Missed some points of its schedule."""


@flow
def until_empty(pages: int = 4) -> int:
    """Asks for page after page until one is empty: how many there are is known only in the end."""
    page = 0
    while read_page(page, pages):
        page += 1
    return page


@task(cache_policy=NO_CACHE)
def read_page(page: int, pages: int) -> bool:
    """Whether the page has anything."""
    return page < pages


@flow
def typed(day: date) -> str:
    """Gets a date, and not a text that looks like one."""
    return f"{day:%B}"


@flow
def in_its_environment() -> str:
    """Tells what the run's own infrastructure has set."""
    value = os.environ.get("TAXI_COMPARED", "")
    get_run_logger().info("TAXI_COMPARED is %s", value)
    return value


@task(cache_policy=NO_CACHE)
def do_nothing(number: int) -> int:
    """Nothing."""
    return number + 1


@flow
def no_ops() -> int:
    """Ten tasks that do nothing, one after another: what they take is what the orchestrator takes."""
    number = 0
    for _ in range(10):
        number = do_nothing(number)
    return number
