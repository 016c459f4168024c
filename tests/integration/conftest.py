"""One whole stack for the integration tests: the embedded cloud and Airflow, on ports and in a folder of their own."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from unittest import mock

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from comparison.receiver import receiver
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.settings import HOST
from local.cloud.source.layouts import MIRROR
from local.cloud.source.layouts import Layout as SourceLayout
from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from nyc_taxi.registry.columns import Layout
from tests.browser import chromium, launch, log_in
from tests.integration.support import AirflowCli
from tests.leftovers import processes_with
from tests.nyc_taxi.dag_parts.mail import MailServer, served
from tests.ports import PORTS, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
SYNTHETIC_ROWS = 20_000
# How long a page may take on a busy machine.
BROWSER_SECONDS = 120.0
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def source_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source in the mirror's layout: synthetic months, broken ones, and the real ones where there are any."""
    folder = make_source(tmp_path_factory.mktemp("source"))
    _write_broken_months(folder / "green")
    return folder


def make_source(folder: Path) -> Path:
    """Fill the folder with two synthetic months of each dataset, the zones, and the real months where there are any."""
    if data := os.environ.get("NYC_TLC_DATA_DIR"):
        shutil.copytree(data, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    for dataset in ("yellow", "green", "fhv", "fhvhv"):
        for month in ("2020-05", "2020-06"):
            publish(folder, dataset, month)
    if not data:
        zones = "".join(f'{zone},"Queens","Zone {zone}","Boro Zone"\r\n' for zone in range(1, 266))
        (folder / "misc").mkdir()
        (folder / "misc" / "taxi_zone_lookup.csv").write_text(
            f'"LocationID","Borough","Zone","service_zone"\r\n{zones}', newline=""
        )
    return folder


def publish(
    source_dir: Path, dataset: str, month: str, *, layout: SourceLayout = MIRROR, defects: Sequence[str] = ()
) -> None:
    """Put a synthetic month into the source; it appears whole."""
    path = source_dir / layout.file(dataset, month)
    write_month(dataset, SourceMonth.parse(month), path, rows=SYNTHETIC_ROWS, defects=defects)


def _write_broken_months(folder: Path) -> None:
    good = (folder / "green_tripdata_2020-06.csv.gz").read_bytes()
    lines = gzip.decompress(good).decode().splitlines()
    letter = lines[:]
    letter[5000] = ",".join("abc" if index == 9 else field for index, field in enumerate(lines[5000].split(",")))
    broken = {
        "2019-02": good[: len(good) // 2],
        "2019-03": gzip.compress("\n".join(line.rpartition(",")[0] for line in lines).encode()),
        "2019-04": gzip.compress("\n".join(letter).encode()),
        "2019-05": b"<html>Not Found</html>",
        "2019-06": gzip.compress(lines[0].encode()),
    }
    for month, content in broken.items():
        (folder / f"green_tripdata_{month}.csv.gz").write_bytes(content)


@pytest.fixture(scope="session")
def webhook() -> Iterator[str]:
    """Where the stack's DAGs tell of failed runs: keeps what is posted, and answers a GET with it."""
    with receiver() as url:
        yield url


@pytest.fixture(scope="session")
def mail() -> Iterator[MailServer]:
    """Where they send e-mail."""
    made = MailServer()
    for _ in served(made.server):
        yield made


@pytest.fixture(scope="session")
def environment(
    source_dir: Path, webhook: str, mail: MailServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of every command of the shared stack; nothing runs yet."""
    failure_webhook = {"conn_type": "http", "host": webhook, "password": token_hex()}
    source_port = str(free_port())
    # As the stack itself defines it, and with a login.
    taxi_source = {
        "conn_type": "http",
        "host": f"http://{HOST}:{source_port}",
        "login": "me",
        "password": token_hex(),
        "extra": {"layout": Layout.MIRROR.value, "last_month": ""},
    }
    made = stack_environment(
        tmp_path_factory.mktemp("local"),
        source_dir,
        AIRFLOW_VAR_PUBLICATION_WAIT_SECONDS="600",
        AIRFLOW_CONN_FAILURE_WEBHOOK=json.dumps(failure_webhook),
        AIRFLOW_CONN_FAILURE_EMAIL=json.dumps({**mail.connection, "password": token_hex()}),
        AIRFLOW_CONN_TAXI_SOURCE=json.dumps(taxi_source),
    )
    return made | {"SOURCE_PORT": source_port}


def stack_environment(local_dir: Path, source_dir: Path, **settings: str) -> dict[str, str]:
    """The environment of every command of a stack with state and ports of its own.

    Args:
        local_dir: the folder of its state.
        source_dir: its source.
        settings: Airflow's settings, connections and variables; the stack takes them from an env file alone.
    """
    env_file = local_dir / "settings.env"
    env_file.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
    own = {port: str(free_port()) for port in PORTS}
    own |= {"LOCAL_DIR": str(local_dir), "LOCAL_ENV_FILE": str(env_file), "SOURCE": str(source_dir)}
    return {**os.environ, **own}


@pytest.fixture(scope="session")
def local_airflow(environment: dict[str, str]) -> Command:
    """Runs ``python -m local.airflow ...`` on the shared stack."""
    return commands(environment)


def commands(environment: dict[str, str]) -> Command:
    """A function that runs ``python -m local.airflow ...`` as the Makefile does, and returns what it printed."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "local.airflow", *arguments],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    return run


@pytest.fixture(scope="package")
def stack(environment: dict[str, str]) -> Iterator[AirflowSettings]:
    """The stack that all modules share but those that need one of their own; a module leaves it as it found it.

    It ends with the last of them: its environment is that of the process, in which a worker goes on with unit tests.
    """
    with running_stack(environment) as settings:
        yield settings


@contextmanager
def running_stack(environment: dict[str, str]) -> Iterator[AirflowSettings]:
    """A running stack, whose environment is that of the tests meanwhile; nothing of it may be left at the end."""
    run = commands(environment)
    up = run("up")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        with mock.patch.dict(os.environ, environment):
            settings = AirflowSettings.from_env()
            # It is in the stack's env file, which each command reads by itself. Other clouds have other sources.
            os.environ.pop("AIRFLOW_CONN_TAXI_SOURCE", None)
            yield settings
    finally:
        down = run("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert processes_of(environment) == []


@pytest.fixture(scope="package")
def api(stack: AirflowSettings) -> Iterator[AirflowApi]:
    """A client of the stack's API."""
    with AirflowApi(stack) as client:
        yield client


@pytest.fixture(scope="package")
def stack_cli(stack: AirflowSettings) -> Iterator[AirflowCli]:
    """The Airflow CLI on the stack."""
    with AirflowCli(stack) as cli:
        yield cli


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    chromium()  # before Playwright starts, so that a skip leaves nothing behind
    with sync_playwright() as playwright:
        opened = launch(playwright, seconds=BROWSER_SECONDS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, stack: AirflowSettings) -> Iterator[Page]:
    """Airflow's UI after a login; at the end, no script of a page may have failed."""
    # High, so that the notices of refused requests, at the bottom, do not cover a form's button.
    context = browser.new_context(viewport={"width": 1280, "height": 1600}, base_url=stack.url)
    context.set_default_timeout(BROWSER_SECONDS * 1000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    log_in(opened, stack)
    yield opened
    context.close()
    assert problems == []


def processes_of(environment: dict[str, str]) -> list[str]:
    """The processes that belong to the stack, once those that are ending have ended."""
    return processes_with("LOCAL_DIR", environment["LOCAL_DIR"])


def open_ports(environment: dict[str, str]) -> list[str]:
    """The stack's ports on which anything listens."""
    busy = []
    for name in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(environment[name]))) == 0:
                busy.append(name)
    return busy
