"""Small flows, each showing one concept that the pipeline itself does not need.

``comparison/airflow_dags/examples.py`` has the same examples under the same names. Those that need a worker have a
deployment in ``examples.yaml``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from datetime import date

from prefect import flow, pause_flow_run, runtime, task
from prefect.assets import add_asset_metadata, materialize
from prefect.blocks.system import Secret
from prefect.cache_policies import INPUTS, NO_CACHE, TASK_SOURCE
from prefect.concurrency.sync import concurrency
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.states import State
from prefect.task_runners import ProcessPoolTaskRunner
from prefect.tasks import exponential_backoff
from prefect.transactions import Transaction, transaction
from prefect.variables import Variable
from prefect_sqlalchemy import SqlAlchemyConnector

from comparison.prefect_flows.masking import mask
from comparison.prefect_flows.retries import RETRIED
from nyc_taxi.source.errors import NotPublishedError

MONTHS = ["2021-01", "2021-02", "2021-03"]


@task(retries=2, retry_delay_seconds=exponential_backoff(backoff_factor=1), cache_policy=NO_CACHE)
def fetch() -> int:
    """Fails twice, and succeeds in the third try; the delays grow."""
    if runtime.task_run.run_count < 3:
        raise RuntimeError("the source is down")
    return runtime.task_run.run_count


@flow
def retries() -> int:
    """Retries a task."""
    return fetch()


@task(**RETRIED)
def fetch_nothing() -> None:
    """Fails with an error that the pipeline's retry condition calls final."""
    raise NotPublishedError("the source has no such month")


@flow
def not_retried() -> None:
    """Does not retry a task."""
    fetch_nothing()


@task(timeout_seconds=1, cache_policy=NO_CACHE)
def hang(seconds: float = 60) -> None:
    """Makes one call that takes longer than the task may."""
    time.sleep(seconds)


@flow
def time_out() -> None:
    """Stops a task in its one call."""
    hang()


@flow
def time_out_in_thread() -> None:
    """Runs the call in a thread, as ``submit`` and ``map`` do."""
    hang.submit(6).result()


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def time_out_in_processes() -> None:
    """Runs two calls at once, each in another process."""
    hang.map([60, 60]).result()


@task(timeout_seconds=1, cache_policy=NO_CACHE)
async def hang_in_await() -> None:
    """Waits, with ``await``, for longer than the task may."""
    await asyncio.sleep(60)


@flow
async def time_out_of_async_tasks() -> list[State[None]]:
    """Runs two such tasks at once."""
    return await asyncio.gather(*(hang_in_await(return_state=True) for _ in range(2)))


@task(cache_policy=NO_CACHE)
def wait_at_most(seconds: float) -> None:
    """Makes a call that limits itself."""
    subprocess.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=seconds, check=True)


@flow
def time_out_of_the_call() -> None:
    """Runs in a thread a call that limits itself."""
    wait_at_most.submit(1).result()


@flow
def child(month: str = "2021-01") -> str:
    """Is called by another flow."""
    return month


@flow
def parent() -> str:
    """Calls another flow."""
    return child("2021-02")


@task(cache_policy=NO_CACHE)
def list_months() -> list[str]:
    """Lists the months, which are known only at run time."""
    return MONTHS


@task(cache_policy=NO_CACHE)
def load(month: str) -> str:
    """Loads one month."""
    return month


@flow
def mapped() -> list[str]:
    """Creates one task run for each month."""
    return load.map(list_months()).result()


@task(cache_policy=NO_CACHE)
def load_in_turn(month: str) -> tuple[float, float]:
    """Returns start and end of the part that only one task run may execute at a time, on all machines."""
    with concurrency("one-at-a-time", strict=True):
        begin = time.time()
        time.sleep(0.3)
        return begin, time.time()


@flow
def limited() -> list[tuple[float, float]]:
    """Starts three task runs that could run at the same time."""
    return load_in_turn.map(MONTHS).result()


@flow(log_prints=True)
def connected(masked: bool = False) -> dict[str, str]:
    """Reads blocks and a variable at run time; all can change without a change of the code."""
    secret = Secret.load("compared").get()
    if masked:
        mask(secret)
    print("the password is", secret)
    connector = SqlAlchemyConnector.load("compared")
    return {"host": connector.connection_info.host, "variable": str(Variable.get("compared"))}


@flow
def failing() -> None:
    """Fails; an automation of the server sends an alert."""
    raise RuntimeError("meant to fail")


@flow
def late(seconds: int = 0) -> None:
    """Waits for a worker that does not exist, or takes too long; automations of the server send an alert."""
    time.sleep(seconds)


@materialize("file://compared", cache_policy=NO_CACHE)
def count() -> None:
    """Makes an asset, and says of which run it is."""
    add_asset_metadata("file://compared", {"made by": str(runtime.flow_run.id)})


@flow
def described() -> None:
    """Describes its asset in the event, for people and for the flows that the event starts."""
    count()


@task(cache_policy=NO_CACHE)
def create_staging() -> None:
    """Creates a temporary object."""
    Variable.set("staging", "there", overwrite=True)


@create_staging.on_rollback
def drop_staging(undone: Transaction) -> None:
    """Removes the object if a later step of the transaction fails."""
    Variable.unset("staging")


@flow
def tidied() -> None:
    """Removes the temporary object although the work fails; the run still fails."""
    with transaction():
        create_staging()
        raise RuntimeError("meant to fail")


@flow
def killed() -> int:
    """Hangs in the first try, so that it can be killed; the next try is short."""
    if runtime.flow_run.run_count == 1:
        time.sleep(300)
    return int(runtime.flow_run.run_count)


@flow
def cancelled() -> None:
    """Hangs, so that it can be cancelled."""
    time.sleep(300)


class Approval(RunInput):
    """The form that a person fills in."""

    approved: bool


@flow
def approved() -> str:
    """Continues when a person approves."""
    answer = pause_flow_run(wait_for_input=Approval, timeout=60, poll_interval=1)
    return "published" if answer.approved else "not published"


@flow
def in_new_york() -> None:
    """Runs at six in the morning in New York, in summer and in winter."""


@flow
def caught_up() -> None:
    """Has missed some times of its schedule."""


STEPS = ("fetch", "convert", "publish")


@task(cache_policy=INPUTS, persist_result=True)
def convert_version(version: str) -> str:
    """Returns which run has converted this version of a file."""
    return str(runtime.flow_run.id)


@flow
def cached(version: str) -> str:
    """Converts a version of a file, unless an earlier run has done so."""
    return convert_version(version)


@task(persist_result=True, cache_policy=INPUTS + TASK_SOURCE)
def step(name: str, month: str) -> str:
    """Returns which run has executed the step."""
    return str(runtime.flow_run.id)


@flow
def repeated(month: str, again_from: str = "publish") -> list[str]:
    """Repeats its steps from a chosen one on; earlier ones keep the results of the run that executed them."""
    first = STEPS.index(again_from)
    return [
        step.with_options(task_run_name=name, refresh_cache=number >= first)(name, month)
        for number, name in enumerate(STEPS)
    ]


@task(persist_result=True)
def fetch_once() -> int:
    """Returns which try of the run has executed it."""
    return runtime.flow_run.run_count


@flow
def resumed() -> None:
    """Fails after its first step; a retry takes that step's result, and goes on from there."""
    fetched_by, this_one = fetch_once(), runtime.flow_run.run_count
    if this_one == 1:
        raise RuntimeError("the warehouse is down")
    get_run_logger().info("fetched by try %s, published by try %s", fetched_by, this_one)


@flow
def until_empty(pages: int = 4) -> int:
    """Reads pages until one is empty; their number is known only at the end."""
    page = 0
    while read_page(page, pages):
        page += 1
    return page


@task(cache_policy=NO_CACHE)
def read_page(page: int, pages: int) -> bool:
    """Whether the page has content."""
    return page < pages


@flow
def typed(day: date) -> str:
    """Receives a date, not a string that looks like one."""
    return f"{day:%B}"


@flow(flow_run_name="{dataset}")
def scheduled(dataset: str) -> str:
    """Runs for a dataset; each of its schedules gives another."""
    return dataset


@flow
def in_its_environment() -> str:
    """Logs a variable that the run's own infrastructure has set."""
    value = os.environ.get("TAXI_COMPARED", "")
    get_run_logger().info("TAXI_COMPARED is %s", value)
    return value


@task(cache_policy=NO_CACHE)
def do_nothing(number: int) -> int:
    """Does nothing."""
    return number + 1


@flow
def no_ops() -> int:
    """Runs ten no-op tasks in a chain; their duration is the orchestrator's overhead."""
    number = 0
    for _ in range(10):
        number = do_nothing(number)
    return number
