"""A test that leaves a thread, a process or an unhandled error behind fails, and no other does."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import leftovers
from tests.conftest import REPOSITORY
from tests.leftovers import Leftovers, processes_with

_SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]

_TESTS = """
import subprocess, sys, threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests import leftovers

leftovers.PATIENCE = 0.0
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STARTED = []
GO_ON = threading.Event()


@pytest.fixture(scope="session", autouse=True)
def stopped():
    yield
    GO_ON.set()
    for process in STARTED:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def server():
    with subprocess.Popen(SLEEP) as process:
        yield
        process.kill()


def test_leaves_a_process():
    STARTED.append(subprocess.Popen(SLEEP))


def test_leaves_a_thread():
    threading.Thread(target=GO_ON.wait, name="left").start()


def test_leaves_an_error():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


def test_leaves_what_is_shared_and_what_waits(server):
    pool = ThreadPoolExecutor()
    pool.submit(int).result()
    while not all(map(leftovers._waits_for_work, pool._threads)):
        pass
"""


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leftovers are not waited for."""
    monkeypatch.setattr(leftovers, "PATIENCE", 0.0)


def test_a_thread_is_told_once_until_it_ends(at_once: None) -> None:
    end, watch = threading.Event(), Leftovers()
    thread = threading.Thread(target=end.wait, name="retries")
    thread.start()
    try:
        assert watch.of_this_test() == ["thread retries"]
        assert watch.of_this_test() == []
    finally:
        end.set()
        thread.join()


def test_a_process_is_found_and_what_is_shared_is_not(at_once: None) -> None:
    watch = Leftovers()
    with watch.shared(), subprocess.Popen(_SLEEP) as shared:
        try:
            left = subprocess.Popen(_SLEEP)
        finally:
            shared.kill()
    try:
        assert watch.of_this_test() == []
        assert Leftovers().of_this_test() == []
    finally:
        left.kill()
        left.communicate()


def test_what_ends_in_time_is_not_left() -> None:
    watch = Leftovers()
    thread = threading.Timer(0.2, lambda: None)
    thread.start()
    assert watch.of_this_test() == []
    assert not thread.is_alive()


def test_a_detached_process_is_found_by_its_environment(at_once: None, tmp_path: Path) -> None:
    script = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=-3, start_new_session=True).pid)"
    command = [sys.executable, "-c", script, *_SLEEP]
    mark = {"LEFTOVER_TEST": str(tmp_path)}
    printed = subprocess.run(command, env=mark, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = processes_with(*next(iter(mark.items())))
    subprocess.run(["kill", "-9", printed.strip()], check=True)
    assert [line.split()[1] for line in found] == [printed.strip()]


def test_the_hooks_fail_each_test_that_leaves_something(tmp_path: Path) -> None:
    # Below the root, as tests/ is: pytest calls fewer hooks of such a conftest.
    folder = tmp_path / "tests_of_it"
    folder.mkdir()
    (folder / "conftest.py").write_text("from tests.conftest import *\n")
    (folder / "test_leaves.py").write_text(_TESTS)
    options = ["-p", "no:cacheprovider", "-c", "pyproject.toml", "--rootdir", str(tmp_path), "--tb=line", "-q"]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False)

    ended = {line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("ERROR ", "FAILED "))}
    assert {line.rpartition("::")[2] for line in ended} == {
        "test_leaves_a_process",
        "test_leaves_a_thread",
        "test_leaves_an_error",
    }, done.stdout + done.stderr
    assert "the test leaves behind: process" in done.stdout
    assert "ZeroDivisionError" in done.stdout
