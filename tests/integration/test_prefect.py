"""The Prefect version leaves the same rows as the DAGs, and the commands of Prefect on the pages work.

For the rows, the flows run by being called, with a server that Prefect starts for the time. For the commands there are
a server and a worker, as in ``make compare``, which does much more.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.system import PREFECT_PYTHON
from comparison.prefect_side import PrefectSide
from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY
from nyc_taxi.registry.datasets import GREEN, YELLOW
from nyc_taxi.registry.months import Month
from tests.integration.conftest import publish
from tests.integration.prefect_beside import assert_same_rows, call_flows, prefect_beside
from tests.integration.support import leftovers, run_months

pytestmark = pytest.mark.full

# Real months where there are any; make compare compares further ones.
MONTHS = (
    {"green": ["2021-01"], "yellow": ["2019-01", "2020-01", "2020-04", "2020-07"]}
    if os.environ.get("NYC_TLC_DATA_DIR")
    else {"green": ["2020-06"], "yellow": ["2020-05"]}
)
REFUSED = "2019-08"

# The commands of the pages in one process, because each would take seconds to import Prefect. Prints their exit codes.
_COMMANDS = """
import json, sys
from prefect.blocks.system import Secret
from prefect.cli import app

Secret(value="1234567890").save("third-party")
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        code = app()
    except SystemExit as end:
        code = end.code
    print("exit", code or 0, flush=True)
"""
# These stay in the foreground; PrefectSide.start runs them, and set-up, which is not Prefect's.
_STARTS = ("server start", "worker start --pool local", "set-up")


def documented_commands() -> list[str]:
    """The commands ``bin/prefect ...`` of the pages, without that word: those in code blocks, then those in lines."""
    text = "\n".join((REPOSITORY / "docs" / page).read_text() for page in ("from-prefect.md", "homework.md"))
    found = re.findall(r"(?m)^bin/prefect (.+)$", text) + re.findall(r"`bin/prefect (.+?)`", text)
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def prefect(stack: AirflowSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectSide]:
    with prefect_beside(stack, tmp_path_factory.mktemp("prefect-side")) as side:
        yield side


def test_prefects_flows_leave_the_same_rows(stack: AirflowSettings, api: AirflowApi, prefect: PrefectSide) -> None:
    datasets = {each.name: each for each in (GREEN, YELLOW)}
    files = [datasets[name].file(Month.parse(month)) for name, months in MONTHS.items() for month in months]
    for file in files:
        run_months(api, {file.dataset.name: str(file.month)}, force=True)

    assert_same_rows(stack, prefect, files)


def test_prefects_flows_keep_what_is_published_if_a_check_fails(source_dir: Path, prefect: PrefectSide) -> None:
    file = GREEN.file(Month.parse(REFUSED))
    publish(source_dir, "green", REFUSED)
    assert call_flows(prefect, [file]) == []
    before = reconcile.contents(prefect.settings, file)
    publish(source_dir, "green", REFUSED, defects=["wrong-month"])

    failed = call_flows(prefect, [file])

    assert {each.partition(" ")[0] for each in failed} == {"gcs-to-bigquery", "web-to-postgres"}
    assert all("has_most_pickups_in_its_month" in each for each in failed)
    after = reconcile.contents(prefect.settings, file)
    assert after.pop("lake") != before.pop("lake")  # the lake has what the source has
    assert after == before
    assert {name: left for name, left in leftovers(prefect.settings).items() if name != "files"} == {
        "postgres": [],
        "bigquery": [],
    }


@pytest.mark.every_step
def test_documented_commands_of_prefect_work(prefect: PrefectSide) -> None:
    documented = documented_commands()
    assert set(_STARTS) < set(documented)
    commands = [command for command in documented if command not in _STARTS]
    refused = "deployment run web-to-gcs/green --param month=2021-13"
    words = [shlex.split(command) for command in [*commands, "block inspect secret/third-party", refused]]
    prefect.start()
    try:
        done = subprocess.run(
            [str(PREFECT_PYTHON), "-c", _COMMANDS, json.dumps(words)],
            cwd=REPOSITORY,
            env={**os.environ, **prefect.environment()},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    finally:
        prefect.stop()

    codes = re.findall(r"(?m)^exit (\d+)$", done.stdout)
    failed = [command for command, code in zip(commands, codes, strict=False) if code != "0"]
    assert (failed, codes[len(commands) :]) == ([], ["0", "1"]), done.stdout[-5000:] + done.stderr[-3000:]
    assert re.search(r"[^*]\*{8}[^*]", done.stdout), "the secret is shown as eight asterisks"
    assert "1234567890" not in done.stdout
