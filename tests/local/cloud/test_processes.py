"""The supervisor, tested with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local.cloud.processes import (
    LockedError,
    Process,
    ProcessError,
    Started,
    answers,
    end,
    locked,
    lost,
    record_path,
    running,
    start,
    status,
    stop,
)
from local.cloud.system import start_time

SERVER = """
import http.server, sys
print("serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
SLEEPER = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
# One child in the component's session, and one in a session of its own.
PARENT = f"""
import subprocess, sys, time
for new_session in (False, True):
    child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], start_new_session=new_session)
    print("child", child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    stop(run_dir=tmp_path / "run")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Process]:
    def make_process(name: str, script: str, *arguments: object, **options: object) -> Process:
        settings: dict = {"healthy": lambda: True, "startup_timeout": 60.0, "stop_timeout": 60.0, **options}
        command = [sys.executable, "-c", script, *map(str, arguments)]
        return Process(name=name, command=command, log=tmp_path / f"{name}.log", **settings)

    return make_process


@pytest.fixture
def web(make: Callable[..., Process], port: int) -> Process:
    return make(
        "web", SERVER, port, port=port, port_setting="WEB_PORT", healthy=lambda: answers(f"http://127.0.0.1:{port}")
    )


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_start_status_stop(web: Process, make: Callable[..., Process], run_dir: Path) -> None:
    prepared: list[str] = []
    other = make("other", SLEEPER, prepare=lambda: prepared.append("other"))
    seen: list[str] = []
    started = start([web, other], run_dir=run_dir, on_ready=lambda one: seen.append(one.process.name))
    assert [(one.process.name, one.outcome) for one in started] == [("web", "started"), ("other", "started")]
    assert sorted(seen) == ["other", "web"]
    assert prepared == ["other"]
    found = status([web, other], run_dir=run_dir)
    assert [(one.name, one.state, one.pid) for one in found] == [
        ("web", "running", started[0].pid),
        ("other", "running", started[1].pid),
    ]
    assert found[0].address == f"127.0.0.1:{web.port}"
    assert found[0].uptime is not None
    assert found[0].uptime >= 0
    assert os.getsid(started[0].pid) == started[0].pid != os.getsid(0)

    stopped = stop(run_dir=run_dir)
    assert sorted((one.name, one.killed, one.was_dead) for one in stopped) == [
        ("other", False, False),
        ("web", False, False),
    ]
    assert [one.state for one in status([web, other], run_dir=run_dir)] == ["stopped", "stopped"]
    assert not any(is_alive(one.pid) for one in started)
    assert stop(run_dir=run_dir) == []


def test_second_start_changes_nothing(web: Process, run_dir: Path) -> None:
    first = start([web], run_dir=run_dir)
    second = start([web], run_dir=run_dir)
    assert (second[0].pid, second[0].outcome) == (first[0].pid, "running")


def test_dead_component_is_restarted_and_the_others_are_not(
    web: Process, make: Callable[..., Process], run_dir: Path
) -> None:
    other = make("other", SLEEPER)
    first = start([web, other], run_dir=run_dir)
    os.kill(first[0].pid, signal.SIGKILL)
    wait_for(lambda: status([web], run_dir=run_dir)[0].state == "stopped")
    second = start([web, other], run_dir=run_dir)
    assert [one.outcome for one in second] == ["restarted", "running"]
    assert second[0].pid != first[0].pid
    assert second[1].pid == first[1].pid


def test_changed_command_or_variables_restart_just_that_component(make: Callable[..., Process], run_dir: Path) -> None:
    same = make("same", SLEEPER)
    first = start([make("changing", SLEEPER, "a"), same], run_dir=run_dir)
    second = start([make("changing", SLEEPER, "b"), same], run_dir=run_dir)
    assert [one.outcome for one in second] == ["restarted", "running"]
    assert not is_alive(first[0].pid)
    third = start([make("changing", SLEEPER, "b", env={"SECRET": "hunter2"}), same], run_dir=run_dir)
    assert [one.outcome for one in third] == ["restarted", "running"]
    assert "hunter2" not in (run_dir / "changing.json").read_text()


def test_message_for_a_taken_port_names_its_holder_and_its_setting(
    web: Process, make: Callable[..., Process], run_dir: Path
) -> None:
    other = make("other", SLEEPER)
    with socket.create_server(("127.0.0.1", web.port)), pytest.raises(ProcessError) as error:
        start([other, web], run_dir=run_dir)
    message = str(error.value)
    assert message.startswith(f"web needs port {web.port} on 127.0.0.1, but pid {os.getpid()} (")
    assert message.endswith("stop that process, or set WEB_PORT in .env to another port")
    assert [one.state for one in status([other, web], run_dir=run_dir)] == ["stopped", "stopped"]


def test_port_held_on_all_addresses_counts_as_taken(web: Process, run_dir: Path) -> None:
    with socket.create_server(("0.0.0.0", web.port)), pytest.raises(ProcessError, match=f"web needs port {web.port}"):
        start([web], run_dir=run_dir)


def test_invalid_port_is_rejected(make: Callable[..., Process], run_dir: Path) -> None:
    with pytest.raises(ProcessError, match=r"web: 70000 is not a TCP port \(1 to 65535\); set WEB_PORT"):
        start([make("web", SLEEPER, port=70000, port_setting="WEB_PORT")], run_dir=run_dir)


def test_component_that_exits_is_reported_with_the_log_of_this_start(
    web: Process, make: Callable[..., Process], run_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.log").write_text("output of an earlier start\n")
    broken = make("broken", "import sys; print('the disk is on fire'); sys.exit(7)", healthy=lambda: False)
    with pytest.raises(ProcessError) as error:
        start([web, broken], run_dir=run_dir)
    message = str(error.value)
    assert message.startswith("broken exited with code 7 during startup; last lines of ")
    assert "    the disk is on fire" in message
    assert "earlier start" not in message
    assert "earlier start" in (tmp_path / "broken.log").read_text()
    assert status([web], run_dir=run_dir)[0].state == "stopped"
    assert not answers(f"http://127.0.0.1:{web.port}")
    assert list(run_dir.glob("*.json")) == []


def test_component_killed_by_a_signal_is_reported_with_the_signal(make: Callable[..., Process], run_dir: Path) -> None:
    with pytest.raises(ProcessError, match=r"was killed by signal 9 \(SIGKILL\)"):
        start([make("broken", "import os; os.kill(os.getpid(), 9)", healthy=lambda: False)], run_dir=run_dir)


def test_component_that_never_becomes_healthy_stops_all_that_was_started(
    web: Process, make: Callable[..., Process], run_dir: Path, tmp_path: Path
) -> None:
    running = make("running", SLEEPER)
    before = start([running], run_dir=run_dir)

    def warmed_up() -> bool:
        wait_for(lambda: "\nwarming up\n" in (tmp_path / "slow.log").read_text())
        return False

    slow = make("slow", f"print('warming up', flush=True); {SLEEPER}", healthy=warmed_up, startup_timeout=0.1)
    with pytest.raises(ProcessError, match=r"(?s)slow \(pid \d+\) did not become healthy within 0.1 s.*    warming up"):
        start([running, web, slow], run_dir=run_dir)
    assert [one.state for one in status([running, web, slow], run_dir=run_dir)] == ["running", "stopped", "stopped"]
    assert is_alive(before[0].pid)


def test_failed_preparation_stops_the_component(make: Callable[..., Process], run_dir: Path) -> None:
    def prepare() -> None:
        raise ProcessError("no such bucket")

    process = make("web", SLEEPER, prepare=prepare)
    with pytest.raises(ProcessError, match="no such bucket"):
        start([process], run_dir=run_dir)
    assert status([process], run_dir=run_dir)[0].state == "stopped"


def test_missing_program_is_reported(run_dir: Path, tmp_path: Path) -> None:
    process = Process(name="web", command=[str(tmp_path / "nothing")], log=tmp_path / "log", healthy=lambda: True)
    with pytest.raises(ProcessError, match=r"web cannot be executed: .*nothing"):
        start([process], run_dir=run_dir)


def test_interrupt_stops_what_was_started(web: Process, make: Callable[..., Process], run_dir: Path) -> None:
    def interrupt(_: Started) -> None:
        raise KeyboardInterrupt

    slow = make("slow", SLEEPER, healthy=lambda: False)
    with pytest.raises(KeyboardInterrupt):
        start([web, slow], run_dir=run_dir, on_ready=interrupt)
    assert [one.state for one in status([web, slow], run_dir=run_dir)] == ["stopped", "stopped"]


def test_stop_kills_children_that_ignore_sigterm_in_any_session(
    make: Callable[..., Process], run_dir: Path, tmp_path: Path
) -> None:
    log = tmp_path / "parent.log"
    started = start([make("parent", PARENT, healthy=lambda: log.read_text().count("deaf") == 2)], run_dir=run_dir)
    children = [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("child ")]
    assert len(children) == 2
    assert all(is_alive(pid) for pid in children)
    stopped = stop(run_dir=run_dir)
    assert [(one.name, one.killed) for one in stopped] == [("parent", True)]
    assert not any(is_alive(pid) for pid in [started[0].pid, *children])


def test_orphans_of_a_dead_component_are_stopped_before_its_restart(
    make: Callable[..., Process], run_dir: Path, tmp_path: Path
) -> None:
    log = tmp_path / "parent.log"
    process = make("parent", PARENT, healthy=lambda: log.read_text().count("deaf") >= 2)
    first = start([process], run_dir=run_dir)
    orphan = int(next(line for line in log.read_text().splitlines() if line.startswith("child ")).split()[1])
    os.kill(first[0].pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(first[0].pid))
    assert is_alive(orphan)
    # With its parent dead, nothing links the child in its own session to the component: kill it here.
    for line in log.read_text().splitlines():
        if line.startswith("child ") and int(line.split()[1]) != orphan:
            os.kill(int(line.split()[1]), signal.SIGKILL)
    assert start([process], run_dir=run_dir)[0].outcome == "restarted"
    assert not is_alive(orphan)
    # A child that the new parent is just starting could escape the stop at the end of the test.
    wait_for(lambda: log.read_text().count("deaf") == 4)


def test_component_that_ignores_its_stop_signal_is_killed_after_its_timeout(
    make: Callable[..., Process], run_dir: Path, tmp_path: Path
) -> None:
    deaf = make("deaf", STUBBORN, healthy=lambda: "\ndeaf\n" in (tmp_path / "deaf.log").read_text(), stop_timeout=0.3)
    started = start([deaf], run_dir=run_dir)
    assert stop(run_dir=run_dir)[0].killed
    assert not is_alive(started[0].pid)


def test_reused_pid_is_not_mistaken_for_the_component(web: Process, run_dir: Path) -> None:
    start([web], run_dir=run_dir)
    record_file = run_dir / "web.json"
    record = json.loads(record_file.read_text())
    stop(run_dir=run_dir)
    # As after a crash and many new processes: the recorded pid now names a stranger that leads its own session.
    stranger = subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True)
    try:
        record_file.write_text(json.dumps({**record, "pid": stranger.pid}))
        assert status([web], run_dir=run_dir)[0].state == "stopped"
        assert [(one.name, one.was_dead) for one in stop(run_dir=run_dir)] == [("web", True)]
        assert is_alive(stranger.pid)
        record_file.write_text(json.dumps({**record, "pid": stranger.pid}))
        assert start([web], run_dir=run_dir)[0].outcome == "restarted"
        assert is_alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_record_from_before_a_reboot_is_stale(web: Process, run_dir: Path) -> None:
    start([web], run_dir=run_dir)
    record_file = run_dir / "web.json"
    record = json.loads(record_file.read_text())
    stop(run_dir=run_dir)
    stranger = subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True)
    try:
        # The same pid and the same time since boot, but another boot.
        started = start_time(stranger.pid)
        assert started is not None
        before = {**record, "pid": stranger.pid, "start_time": ["another boot", started.seconds]}
        record_file.write_text(json.dumps(before))
        assert status([web], run_dir=run_dir)[0].state == "stopped"
        assert stop(run_dir=run_dir)[0].was_dead
        assert is_alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_concurrent_starts_start_one_process(web: Process, run_dir: Path) -> None:
    outcomes: list[tuple[int, str]] = []

    def run() -> None:
        outcomes.extend((one.pid, one.outcome) for one in start([web], run_dir=run_dir))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome for _, outcome in outcomes) == ["running", "started"]
    assert len({pid for pid, _ in outcomes}) == 1


def test_stop_selects_by_name_and_group(make: Callable[..., Process], run_dir: Path) -> None:
    start([make(name, SLEEPER, group=group) for name, group in (("a", "x"), ("b", "x"), ("c", "y"))], run_dir=run_dir)
    assert [one.name for one in stop(run_dir=run_dir, names=["a"])] == ["a"]
    assert [one.name for one in stop(run_dir=run_dir, group="x")] == ["b"]
    assert [one.name for one in stop(run_dir=run_dir)] == ["c"]


def test_unhealthy_component_is_not_reported_as_stopped(make: Callable[..., Process], run_dir: Path) -> None:
    well = [True]
    process = make("web", SLEEPER, healthy=lambda: well[0])
    start([process], run_dir=run_dir)
    well[0] = False
    assert status([process], run_dir=run_dir)[0].state == "unhealthy"


@pytest.mark.skipif(not psutil.LINUX, reason="only on Linux does psutil derive start times from the clock")
def test_setting_the_clock_does_not_change_a_start_time(monkeypatch: pytest.MonkeyPatch) -> None:
    before = start_time(os.getpid())
    moved = psutil.boot_time() + 3600
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: moved)
    assert psutil.boot_time() == moved
    assert start_time(os.getpid()) == before


@pytest.mark.parametrize("content", ["", "[]", '{"pid": 1}', '{"start_time": ["", 0.0], "unknown": 1}'])
def test_message_for_an_unreadable_record_names_the_file(
    make: Callable[..., Process], tmp_path: Path, content: str
) -> None:
    record = tmp_path / "records/web.json"
    record.parent.mkdir()
    record.write_text(content)
    for command in (
        lambda: start([make("web", SLEEPER)], run_dir=record.parent),
        lambda: stop(run_dir=record.parent),
        lambda: status([make("web", SLEEPER)], run_dir=record.parent),
    ):
        with pytest.raises(ProcessError, match=r"records/web.json is not a record of this version.* delete the file"):
            command()
    assert record.read_text() == content


# What depends on what, and what a watcher needs


def test_what_depends_on_a_restarted_component_is_restarted_too(make: Callable[..., Process], run_dir: Path) -> None:
    database = make("database", SLEEPER)
    needs_it = make("needs-it", SLEEPER, depends_on=[record_path(run_dir, "database")])
    start([database], run_dir=run_dir)
    first = start([needs_it, make("other", SLEEPER)], run_dir=run_dir)
    again = start([database, needs_it], run_dir=run_dir)
    assert [one.outcome for one in again] == ["running", "running"]

    os.kill(again[0].pid, signal.SIGKILL)
    wait_for(lambda: lost(run_dir) == ["database"])
    start([database], run_dir=run_dir)
    again = start([needs_it, make("other", SLEEPER)], run_dir=run_dir)
    assert [one.outcome for one in again] == ["restarted", "running"]
    assert not is_alive(first[0].pid)
    assert [one.outcome for one in start([needs_it], run_dir=run_dir)] == ["running"]


def test_what_has_died_is_lost_until_it_is_stopped(make: Callable[..., Process], run_dir: Path) -> None:
    [one, two] = start([make("one", SLEEPER), make("two", SLEEPER)], run_dir=run_dir)
    assert lost(run_dir) == []
    os.kill(one.pid, signal.SIGKILL)
    wait_for(lambda: lost(run_dir) == ["one"])
    assert running("one", run_dir=run_dir) is None
    found = running("two", run_dir=run_dir)
    assert found is not None
    assert (found.pid, found.started_at <= time.time()) == (two.pid, True)
    stop(run_dir=run_dir)
    assert lost(run_dir) == []


def test_one_component_is_ended_although_the_lock_is_held(make: Callable[..., Process], run_dir: Path) -> None:
    [one, two] = start([make("one", SLEEPER), make("two", SLEEPER)], run_dir=run_dir)
    with locked(run_dir):
        stopped = end("one", run_dir=run_dir)
        assert stopped is not None
        assert (stopped.pid, stopped.killed) == (one.pid, False)
        assert end("one", run_dir=run_dir) is None
    assert (is_alive(one.pid), is_alive(two.pid)) == (False, True)


def test_children_of_a_killed_component_are_ended(make: Callable[..., Process], run_dir: Path, tmp_path: Path) -> None:
    children = "import os, time; [os.fork() or time.sleep(600) for _ in range(3)]; time.sleep(600)"
    [one] = start([make("one", children)], run_dir=run_dir)
    wait_for(lambda: len(psutil.Process(one.pid).children()) == 3)
    pids = [child.pid for child in psutil.Process(one.pid).children()]
    os.kill(one.pid, signal.SIGKILL)
    wait_for(lambda: lost(run_dir) == ["one"])
    assert all(map(is_alive, pids))
    end("one", run_dir=run_dir)
    assert not any(map(is_alive, pids))


def test_lock_says_who_holds_it(run_dir: Path) -> None:
    told: list[str] = []
    held = rf"\(pid {os.getpid()}\) has held the lock of .* for 0 s"
    with locked(run_dir), pytest.raises(LockedError, match=held), locked(run_dir, timeout=0, on_wait=told.append):
        pass
    assert told == [], "it does not wait"
    with locked(run_dir), pytest.raises(LockedError), locked(run_dir, timeout=0.1):
        pass

    def tell(holder: str) -> None:
        told.append(holder)
        raise InterruptedError

    with locked(run_dir), pytest.raises(InterruptedError), locked(run_dir, timeout=60, on_wait=tell):
        pass
    assert told == [str(os.getpid())]
    with locked(run_dir, timeout=0):
        pass
