"""What all tests share: an Airflow that touches nothing outside the session's own folder, and the real TLC months.

Airflow reads ``AIRFLOW_HOME`` once, when it is first imported. So the folder is made and Airflow's configuration is
imported here, before any test module is; afterwards the variable is gone again, so that processes that tests start find
an environment in which nothing of this is set.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.leftovers import LeftoversPlugin, processes_with

REPOSITORY = Path(__file__).resolve().parents[1]
# Default folder with real TLC months; an empty NYC_TLC_DATA_DIR means none.
TLC_DATA = REPOSITORY.parent / "shared" / "data"
if "NYC_TLC_DATA_DIR" not in os.environ and TLC_DATA.is_dir():
    os.environ["NYC_TLC_DATA_DIR"] = str(TLC_DATA)

# The tests of whole stacks, as their ids begin; and those that come last, beside the others: their modules start small
# stacks of their own.
_INTEGRATION = "tests/integration/"
_ALONE = ("celery", "code_from_git", "demo", "observability", "standalone", "tlc_layout")
_LAST = tuple(f"{_INTEGRATION}test_{name}.py" for name in _ALONE)

_CONFIGURATION = f"""
[core]
dags_folder = {REPOSITORY / "dags"}
plugins_folder = {REPOSITORY / "plugins"}
load_examples = False
executor = LocalExecutor
default_timezone = utc

[usage_data_collection]
enabled = False
"""


def _isolate_airflow() -> Path:
    """Import Airflow's configuration with a home of its own and without the caller's settings; return that home."""
    for name in list(os.environ):
        if re.match(r"AIRFLOW_(HOME|CONFIG)$|AIRFLOW__|AIRFLOW_CONN_|AIRFLOW_VAR_", name):
            del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="airflow-home-"))
    (home / "airflow.cfg").write_text(_CONFIGURATION)
    os.environ["AIRFLOW_HOME"] = str(home)
    try:
        import airflow.configuration
        import airflow.sdk.configuration

        # The SDK reads the file when it is first asked for a value.
        assert airflow.sdk.configuration.conf.get("core", "dags_folder") == str(REPOSITORY / "dags")
        assert str(home) == airflow.configuration.AIRFLOW_HOME
    finally:
        del os.environ["AIRFLOW_HOME"]
    return home


_AIRFLOW_HOME = _isolate_airflow()
_ENVIRONMENT = dict(os.environ)


def pytest_unconfigure() -> None:
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)


class _OneLargeStackAtATime(LoadFileScheduling):
    """Give each worker a file at a time; the integration tests, which share running stacks, are as one file."""

    def _split_scope(self, nodeid: str) -> str:
        is_one = nodeid.startswith(_INTEGRATION) and not nodeid.startswith(_LAST)
        return _INTEGRATION if is_one else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    return _OneLargeStackAtATime(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the integration tests, which take longest; of these, with the modules that start stacks of their own.

    The stack that the others share runs until the end, and costs time even if nothing is asked of it. The worker that
    has no files left when the other one is still busy with that stack takes the last modules.
    """
    sharing = {item.path for item in items if isinstance(item, pytest.Function) and _shares_the_stack(item)}

    def place(item: pytest.Item) -> int:
        if not item.nodeid.startswith(_INTEGRATION):
            return 2
        if item.nodeid.startswith(_LAST):
            return 3
        return 1 if item.path in sharing else 0

    items.sort(key=place)


def _shares_the_stack(test: pytest.Function) -> bool:
    """Return whether a test uses the fixture of all integration tests, and not one of that name in its own module."""
    return "stack" in test.fixturenames and not hasattr(test.module, "stack")


def pytest_configure(config: pytest.Config) -> None:
    """Watch what tests leave behind: as a plugin, because a conftest's hooks do not see fixtures of the session."""
    config.pluginmanager.register(LeftoversPlugin())


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives_the_session() -> Iterator[None]:
    """Fail if a process that descends from the tests is left at the end, also one that was detached from them."""
    name, value = "PYTEST_SESSION_OF", str(os.getpid())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        yield
        assert processes_with(name, value) == []


@pytest.fixture(scope="module", autouse=True)
def _begins_with_the_sessions_environment(request: pytest.FixtureRequest) -> None:
    """Fail a module that would see variables of an earlier one; the integration tests share those of their stack."""
    if not request.node.nodeid.startswith(_INTEGRATION):
        assert _own_variables(os.environ) == _own_variables(_ENVIRONMENT)


def _own_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment without those of pytest."""
    return {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """The home of the Airflow that the tests import."""
    return _AIRFLOW_HOME


@pytest.fixture(scope="session")
def tlc_data() -> Path:
    """Real TLC months, in the mirror's layout: from ``NYC_TLC_DATA_DIR``, or else from beside the repository."""
    folder = os.environ.get("NYC_TLC_DATA_DIR")
    if not folder:
        pytest.skip(f"neither NYC_TLC_DATA_DIR nor {TLC_DATA} is there: real TLC months are not tested")
    return Path(folder)
