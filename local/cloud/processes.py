"""Starts, watches and stops processes that outlive the command that started them.

``start`` launches several components at once, each detached in a session of its own with its output in a log file, and
returns when all of them are healthy, or stops what it started and raises. ``stop`` ends them with everything they
spawned; ``status`` tells how they are. What runs is recorded in a run directory, one JSON file a component, with the
pid and the moment the process began: a pid that the system has given to another process since is never taken for ours.

Standard library only: the Airflow side imports this module too.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

from local.cloud.settings import HOST
from local.cloud.system import Birth, Entry, birth, port_holder, process_table

POLL_SECONDS = 0.05
LOCK_TIMEOUT = 180.0
ORPHAN_GRACE = 2.0
"""Seconds that what a stopped component leaves behind has to end before it is killed."""
LOG_LIMIT = 20_000_000
"""A log longer than this (in bytes) is set aside as ``<name>.1`` at the next start."""
TAIL_LINES = 20

Outcome = Literal["started", "restarted", "running"]
State = Literal["running", "stopped", "unhealthy"]

# Processes that this very Python process started; kept so that they are reaped when they end.
_children: dict[int, subprocess.Popen[bytes]] = {}


class ProcessError(RuntimeError):
    """A component cannot be started or stopped; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One component to supervise.

    Attributes:
        name: unique within a run directory.
        command: the program and its arguments; it must stay in the foreground.
        log: the file that its output is appended to.
        healthy: whether it answers; it returns within a few seconds. An ``OSError`` means no. A ``ProcessError`` means
            that it never will, and ends the start.
        prepare: runs when it is healthy, on every start; must be repeatable.
        env: variables added to this process's environment.
        cwd: the folder to run in; this process's own if None.
        port: the TCP port on 127.0.0.1 that it listens on, if any.
        port_setting: the environment variable that sets ``port``, for messages.
        url: its address for people; ``127.0.0.1:port`` if empty.
        startup_timeout: seconds until it must be healthy.
        stop_signal: the signal that asks it to end.
        stop_timeout: seconds until it is killed after that.
        group: a label by which ``stop`` can choose.
    """

    name: str
    command: Sequence[str]
    log: Path
    healthy: Callable[[], bool]
    prepare: Callable[[], object] = lambda: None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    port: int | None = None
    port_setting: str = ""
    url: str = ""
    startup_timeout: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_timeout: float = 10.0
    group: str = ""

    @property
    def address(self) -> str:
        return self.url or (f"{HOST}:{self.port}" if self.port else "")

    @property
    def fingerprint(self) -> str:
        """Changes when the command or its variables do; a digest, because variables can hold secrets."""
        parts = [list(self.command), sorted(self.env.items()), str(self.cwd)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Started:
    """What ``start`` did for one component.

    Attributes:
        outcome: ``started``; ``restarted``, because it had died or its command has changed; ``running`` already.
        seconds: how long that took.
    """

    process: Process
    pid: int
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Stopped:
    """What ``stop`` did for one component; ``killed`` if it had to be, ``was_dead`` if it had ended before."""

    name: str
    pid: int
    killed: bool
    was_dead: bool


@dataclass(frozen=True)
class Status:
    """How one component is; ``pid`` and ``uptime`` (seconds) are None when it is stopped."""

    name: str
    state: State
    address: str
    pid: int | None = None
    uptime: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What the run directory holds of a component that was started."""

    name: str
    group: str
    pid: int
    birth: Birth
    started_at: float
    fingerprint: str
    stop_signal: int
    stop_timeout: float

    @property
    def alive(self) -> bool:
        return birth(self.pid) == self.birth


def start(
    processes: Sequence[Process], *, run_dir: Path, on_ready: Callable[[Started], object] = lambda started: None
) -> list[Started]:
    """Bring every one of ``processes`` up, all at once, and return when all are healthy and prepared.

    What runs already is left alone; what died, or runs with another command, is started anew. If one fails, or the
    caller is interrupted, everything that this call started is stopped again. A second call at the same time waits.

    Args:
        run_dir: where the running components are recorded; created if missing.
        on_ready: is called in this thread for each component as it becomes ready.

    Raises:
        ProcessError: a port is taken, or a component dies, does not become healthy in time, or cannot be run.
    """
    with _locked(run_dir):
        plan = [(process, *_keep_or_clear(process, run_dir)) for process in processes]
        for process, record, _ in plan:
            if record is None:
                _require_free_port(process)
        launched: list[_Record] = []
        try:
            return _bring_up(plan, launched, run_dir, on_ready)
        except BaseException:
            _stop_records(launched, run_dir)
            raise


def stop(*, run_dir: Path, names: Collection[str] | None = None, group: str | None = None) -> list[Stopped]:
    """Stop the recorded components, all at once, with every process that they spawned.

    Each is sent its stop signal, and after its timeout everything left of it is killed. What is stopped already is left
    alone, so this can be repeated.

    Args:
        names: only these components; all if None.
        group: only components of this group; of all groups if None.

    Raises:
        ProcessError: a process cannot be ended, for example because it belongs to another user.
    """
    if not run_dir.is_dir():
        return []
    with _locked(run_dir):
        records = [
            record
            for record in _read_records(run_dir)
            if (names is None or record.name in names) and (group is None or record.group == group)
        ]
        return _stop_records(records, run_dir)


def status(processes: Sequence[Process], *, run_dir: Path) -> list[Status]:
    """How each of ``processes`` is, asked all at once; changes nothing."""
    if not processes:
        return []
    with ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(lambda process: _status(process, run_dir), processes))


def raise_on_signals() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise in the main thread, so that a start in progress stops what it started.

    SIGINT raises ``KeyboardInterrupt`` also where a shell started this process with the signal ignored, as it does in
    the background; the processes that are started would otherwise inherit that, and not hear their stop signal.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def answers(url: str, *, timeout: float = 2.0) -> bool:
    """Whether a GET of ``url`` returns 200; asks directly, whatever proxy the environment names."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.HTTPError, ValueError):
        return False


def _status(process: Process, run_dir: Path) -> Status:
    record = _read_record(run_dir, process.name)
    if record is None or not record.alive:
        return Status(process.name, "stopped", process.address)
    state: State = "running" if _is_healthy(process) else "unhealthy"
    return Status(process.name, state, process.address, record.pid, max(0.0, time.time() - record.started_at))


def _keep_or_clear(process: Process, run_dir: Path) -> tuple[_Record | None, Outcome]:
    """The record of ``process`` if it runs as it should; otherwise clear what is left of it away."""
    record = _read_record(run_dir, process.name)
    if record is None:
        return None, "started"
    if record.alive and record.fingerprint == process.fingerprint:
        return record, "running"
    _stop_records([record], run_dir)
    return None, "restarted"


def _require_free_port(process: Process) -> None:
    if process.port is None:
        return
    change = f"set {process.port_setting} in .env to another port" if process.port_setting else "choose another port"
    if not 0 < process.port < 65536:
        raise ProcessError(f"{process.name}: {process.port} is no TCP port; {change}")
    if not _is_port_free(process.port):
        holder = port_holder(process.port) or "another process"
        raise ProcessError(
            f"{process.name} needs port {process.port} of {HOST}, but {holder} listens there; stop that, or {change}"
        )


def _is_port_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # As a server does it: connections of the last run that are still closing do not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def _prepare_log(process: Process) -> int:
    """Make the log ready for a start, and return where in it the output of this start begins."""
    process.log.parent.mkdir(parents=True, exist_ok=True)
    if _size(process.log) > LOG_LIMIT:
        process.log.replace(process.log.with_name(process.log.name + ".1"))
    with process.log.open("a", encoding="utf-8") as log:
        log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} starting {process.name}\n")
    return _size(process.log)


def _launch(process: Process, run_dir: Path) -> _Record:
    with process.log.open("ab") as log:
        try:
            child = subprocess.Popen(
                list(process.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **process.env},
                cwd=process.cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessError(f"{process.name} cannot be run: {error}") from error
    _children[child.pid] = child
    record = _Record(
        name=process.name,
        group=process.group,
        pid=child.pid,
        birth=birth(child.pid, or_zombie=True) or Birth("", 0.0),
        started_at=time.time(),
        fingerprint=process.fingerprint,
        stop_signal=int(process.stop_signal),
        stop_timeout=process.stop_timeout,
    )
    _write_record(run_dir, record)
    return record


def _bring_up(
    plan: Sequence[tuple[Process, _Record | None, Outcome]],
    launched: list[_Record],
    run_dir: Path,
    on_ready: Callable[[Started], object],
) -> list[Started]:
    """Launch what has no record yet, adding it to ``launched``, and wait until all are ready or one has failed."""
    if not plan:
        return []
    abort = threading.Event()
    begin = time.monotonic()

    # Launching, too, is done in a thread: an interrupt comes in the main thread, and must not come between the birth of
    # a process and its record.
    def ready(process: Process, record: _Record | None, outcome: Outcome) -> Started:
        offset = _size(process.log)
        if record is None:
            if abort.is_set():
                raise _given_up(process)
            offset = _prepare_log(process)
            record = _launch(process, run_dir)
            launched.append(record)
        _await_healthy(process, record, offset, abort)
        process.prepare()
        return Started(process, record.pid, outcome, time.monotonic() - begin)

    with ThreadPoolExecutor(len(plan)) as pool:
        futures = [pool.submit(ready, *item) for item in plan]
        try:
            for future in as_completed(futures):
                on_ready(future.result())
        except BaseException:
            abort.set()
            raise
    return [future.result() for future in futures]


def _await_healthy(process: Process, record: _Record, offset: int, abort: threading.Event) -> None:
    deadline = time.monotonic() + process.startup_timeout
    while True:
        healthy = _is_healthy(process)
        # Asked after the health: what answered may have been another server on the same port.
        if not record.alive:
            raise ProcessError(f"{process.name} {_ending(record.pid)} during its start{_tail(process.log, offset)}")
        if healthy:
            return
        if time.monotonic() > deadline:
            raise ProcessError(
                f"{process.name} (pid {record.pid}) did not become healthy within {process.startup_timeout:g} s"
                f"{_tail(process.log, offset)}"
            )
        if abort.wait(POLL_SECONDS):
            raise _given_up(process)


def _given_up(process: Process) -> ProcessError:
    return ProcessError(f"the start of {process.name} was given up, because another component failed")


def _is_healthy(process: Process) -> bool:
    try:
        return process.healthy()
    except OSError:
        return False


def _ending(pid: int) -> str:
    child = _children.get(pid)
    code = None if child is None else child.wait()
    if code is None:
        return "ended"
    return f"was ended by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"


def _tail(log: Path, offset: int) -> str:
    """The last lines that were written to ``log`` after ``offset``, as the end of a message."""
    try:
        with log.open("rb") as file:
            file.seek(max(offset, _size(log) - 8000))
            lines = file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        lines = []
    if not lines:
        return f"; it wrote nothing to {log}"
    return f"; the end of {log}:\n" + "\n".join(f"    {line}" for line in lines)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _stop_records(records: Sequence[_Record], run_dir: Path) -> list[Stopped]:
    if not records:
        return []
    with ThreadPoolExecutor(len(records)) as pool:
        return list(pool.map(lambda record: _stop_record(record, run_dir), records))


def _stop_record(record: _Record, run_dir: Path) -> Stopped:
    was_dead = not record.alive
    try:
        killed = _end_family(record)
    except PermissionError as error:
        raise ProcessError(f"{record.name} (pid {record.pid}) belongs to another user, who must stop it") from error
    child = _children.pop(record.pid, None)
    if child is not None:
        child.wait()
    _record_path(run_dir, record.name).unlink(missing_ok=True)
    return Stopped(record.name, record.pid, killed, was_dead)


def _end_family(record: _Record) -> bool:
    """End the component and all that it spawned; returns whether any of it had to be killed."""
    family: set[tuple[int, Birth]] = set()
    asked: set[tuple[int, Birth]] = set()
    killed = False
    deadline = time.monotonic() + record.stop_timeout
    give_up = deadline + ORPHAN_GRACE + 10
    while living := _living_family(record, family):
        family |= living
        leader_lives = (record.pid, record.birth) in living
        # Only the component itself is asked first: it knows how to end its own children in order.
        to_ask = {(record.pid, record.birth)} if leader_lives else living
        if not leader_lives and not to_ask <= asked:
            deadline = min(deadline, time.monotonic() + ORPHAN_GRACE)
        for member in to_ask - asked:
            _signal(member, record.stop_signal if leader_lives else signal.SIGTERM)
        asked |= to_ask
        if time.monotonic() > deadline:
            killed = True
            for member in living:
                _signal(member, signal.SIGKILL)
        if time.monotonic() > give_up:
            raise ProcessError(f"{record.name}: these processes cannot be ended: {sorted(pid for pid, _ in living)}")
        time.sleep(POLL_SECONDS / 2)
    return killed


def _living_family(record: _Record, known: set[tuple[int, Birth]]) -> set[tuple[int, Birth]]:
    """The component, the members of its session and group, and the descendants of all these, as far as they live."""
    table = process_table()
    living = {member for member in known if member[0] in table and table[member[0]].birth == member[1]}
    living |= {(entry.pid, entry.birth) for entry in table.values() if _belongs(entry, record, table)}
    while True:
        pids = {pid for pid, _ in living}
        children = {(entry.pid, entry.birth) for entry in table.values() if entry.parent in pids} - living
        if not children:
            return living
        living |= children


def _belongs(entry: Entry, record: _Record, table: Mapping[int, Entry]) -> bool:
    if entry.pid == record.pid:
        return entry.birth == record.birth
    if record.pid not in (entry.group, entry.session):
        return False
    # A number that names a session or group in use is given to no new process. So if the pid lives on as another
    # process, nothing of ours was left when it was given away, and these are the other one's.
    leader = table.get(record.pid)
    if leader is not None and leader.birth != record.birth:
        return False
    return entry.birth.boot == record.birth.boot and entry.birth.moment >= record.birth.moment


def _signal(member: tuple[int, Birth], number: int) -> None:
    pid, began = member
    if birth(pid) == began:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _record_path(run_dir: Path, name: str) -> Path:
    return run_dir / f"{name}.json"


def _write_record(run_dir: Path, record: _Record) -> None:
    path = _record_path(run_dir, record.name)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(record)))
    temporary.replace(path)


def _read_record(run_dir: Path, name: str) -> _Record | None:
    try:
        values = json.loads(_record_path(run_dir, name).read_text())
    except FileNotFoundError:
        return None
    return _Record(**{**values, "birth": Birth(*values["birth"])})


def _read_records(run_dir: Path) -> list[_Record]:
    records = (_read_record(run_dir, path.stem) for path in sorted(run_dir.glob("*.json")))
    return [record for record in records if record is not None]


@contextlib.contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    """Hold the lock of ``run_dir``, so that starts and stops happen one after another; a dead holder's lock is free."""
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (run_dir / "lock").open("a+") as lock:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.seek(0)
                    raise ProcessError(
                        f"another start or stop (pid {lock.read() or 'unknown'}) has held {run_dir} "
                        f"for {LOCK_TIMEOUT:g} s"
                    ) from None
                time.sleep(POLL_SECONDS)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
