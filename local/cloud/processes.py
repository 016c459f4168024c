"""Supervises background processes: starts, checks and stops components that outlive the command that started them.

``start`` launches several components in parallel, each in its own session with its output in a log file. It returns
when all are healthy; if one fails, it stops what it started and raises. ``stop`` ends components and all their child
processes; ``status`` reports their state. A run directory holds one JSON file for each running component, with its pid
and start time, so a pid that the system has reused for another process is never mistaken for a component.

Both environments import this module, so it depends on nothing but psutil.
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
from typing import Literal, NamedTuple

from local.cloud.settings import HOST
from local.cloud.system import Entry, StartTime, port_holder, process_table, start_time

POLL_SECONDS = 0.05
LOCK_TIMEOUT = 180.0
LOCK_MARGIN = 60.0
"""Seconds beyond the start-up limit that another start may hold the lock, to stop what it has started."""
ORPHAN_GRACE = 2.0
"""Seconds that the remaining child processes of a stopped component have to exit before they are killed."""
LOG_LIMIT = 20_000_000
"""Size in bytes above which a log is renamed to ``<name>.1`` at the next start."""
TAIL_LINES = 20

Outcome = Literal["started", "restarted", "running"]
State = Literal["running", "stopped", "unhealthy"]

# Processes started by this Python process, kept so that they are reaped when they exit.
_children: dict[int, subprocess.Popen[bytes]] = {}
_Member = tuple[int, StartTime]


class ProcessError(RuntimeError):
    """A component cannot be started or stopped; the message says why and what to do."""


class LockedError(ProcessError):
    """Another start or stop holds the lock."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One component to supervise.

    Attributes:
        name: unique within a run directory.
        command: the program and its arguments; it must run in the foreground.
        log: the file to append its output to.
        healthy: health check; must return within a few seconds. An ``OSError`` counts as unhealthy. A ``ProcessError``
            means that it will never become healthy and aborts the start.
        prepare: called on every start once the component is healthy; must be idempotent.
        env: variables to add to the environment of this process.
        cwd: working directory; that of this process if None.
        port: the TCP port on 127.0.0.1 that it listens on, if any.
        port_setting: the environment variable that sets ``port``, for messages.
        url: the address to print; ``127.0.0.1:port`` if empty.
        startup_timeout: seconds it may take to become healthy.
        stop_signal: the signal that asks it to exit.
        stop_timeout: seconds it may take to exit before it is killed.
        group: a label that ``stop`` can select by.
        depends_on: record files (see :func:`record_path`) of components that this one does not survive. It is
            restarted if one of them started after it: it may still run, but it is about to fail.
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
    depends_on: Sequence[Path] = ()

    @property
    def address(self) -> str:
        return self.url or (f"{HOST}:{self.port}" if self.port else "")

    @property
    def fingerprint(self) -> str:
        """Digest of the command, variables and working directory; a digest because variables can hold secrets."""
        parts = [list(self.command), sorted(self.env.items()), str(self.cwd)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Started:
    """What ``start`` did with one component.

    Attributes:
        outcome: ``started``; ``restarted`` because it had died, its command has changed or a component that it depends
            on has been restarted; or ``running`` already.
        seconds: how long it took to become ready.
    """

    process: Process
    pid: int
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Stopped:
    """What ``stop`` did with one component.

    Attributes:
        killed: whether it, or one of its child processes, had to be killed.
        was_dead: whether it had already exited.
    """

    name: str
    pid: int
    killed: bool
    was_dead: bool


@dataclass(frozen=True)
class Status:
    """State of one component; ``pid`` and ``uptime`` (seconds) are None when it is stopped."""

    name: str
    state: State
    address: str
    pid: int | None = None
    uptime: float | None = None


class Running(NamedTuple):
    """A running component; ``started_at`` is in seconds since the epoch."""

    pid: int
    started_at: float


@dataclass(frozen=True, kw_only=True)
class _Record:
    """Contents of a component's file in the run directory."""

    name: str
    group: str
    pid: int
    start_time: StartTime
    started_at: float
    fingerprint: str
    stop_signal: int
    stop_timeout: float

    @property
    def member(self) -> _Member:
        return self.pid, self.start_time

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.start_time


def start(
    processes: Sequence[Process], *, run_dir: Path, on_ready: Callable[[Started], object] = lambda started: None
) -> list[Started]:
    """Start ``processes`` in parallel and return when all are healthy and prepared.

    Components that already run are left alone; those that died, whose command has changed or that are older than what
    they depend on are restarted. If one fails, or the caller is interrupted, all components started by this call are
    stopped again. Concurrent calls run one after another.

    Args:
        run_dir: folder with the records of running components; created if missing.
        on_ready: called in this thread for each component when it is ready.

    Raises:
        ProcessError: a port is taken, or a component exits, does not become healthy in time, or cannot be executed.
    """
    patience = max([LOCK_TIMEOUT, *(process.startup_timeout + LOCK_MARGIN for process in processes)])
    with locked(run_dir, timeout=patience):
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
    """Stop the recorded components in parallel, with all their child processes.

    Each component is sent its stop signal; what is left of it after its timeout is killed. Idempotent.

    Args:
        names: stop only these components; all if None.
        group: stop only components of this group; of all groups if None.

    Raises:
        ProcessError: a process cannot be ended, for example because it belongs to another user.
    """
    if not run_dir.is_dir():
        return []
    with locked(run_dir):
        records = [
            record
            for record in _read_records(run_dir)
            if (names is None or record.name in names) and (group is None or record.group == group)
        ]
        return _stop_records(records, run_dir)


def end(name: str, *, run_dir: Path) -> Stopped | None:
    """Stop one component, without the lock of ``run_dir``, which that very component may hold.

    Returns:
        What was done, or None if there is no such component.

    Raises:
        ProcessError: see :func:`stop`.
    """
    record = _read_record(run_dir, name)
    return None if record is None else _stop_record(record, run_dir)


def running(name: str, *, run_dir: Path) -> Running | None:
    """Return the pid of a recorded component and when it was started, or None if it does not run."""
    record = _read_record(run_dir, name)
    return Running(record.pid, record.started_at) if record is not None and record.alive else None


def lost(run_dir: Path) -> list[str]:
    """Return the names of the recorded components that have died; those that ``stop`` has ended have no record.

    While a start or stop runs, the answer may name what it is just ending; see :func:`locked`.
    """
    return [record.name for record in _read_records(run_dir) if not record.alive]


def status(processes: Sequence[Process], *, run_dir: Path) -> list[Status]:
    """Check ``processes`` in parallel and return their states; changes nothing."""
    if not processes:
        return []
    with ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(lambda process: _status(process, run_dir), processes))


def raise_on_signals() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise in the main thread, so that an interrupted start cleans up after itself.

    A shell starts background commands with SIGINT ignored. The handler is set for that case too: child processes would
    otherwise inherit the ignored signal and miss their stop signal.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def answers(url: str, *, timeout: float = 2.0) -> bool:
    """Return whether a GET of ``url`` returns 200; ignores proxies set in the environment."""
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
    """Return the record of ``process`` if it runs with the current command; otherwise stop what is left of it."""
    record = _read_record(run_dir, process.name)
    if record is None:
        return None, "started"
    if record.alive and record.fingerprint == process.fingerprint and not _is_outdated(process, record):
        return record, "running"
    _stop_records([record], run_dir)
    return None, "restarted"


def _is_outdated(process: Process, record: _Record) -> bool:
    """Whether something that the component depends on started after it."""
    needed = (_read_record(path.parent, path.stem) for path in process.depends_on)
    return any(
        one is not None
        and one.start_time.boot == record.start_time.boot
        and one.start_time.seconds > record.start_time.seconds
        for one in needed
    )


def _require_free_port(process: Process) -> None:
    if process.port is None:
        return
    change = f"set {process.port_setting} in .env to another port" if process.port_setting else "choose another port"
    if not 0 < process.port < 65536:
        raise ProcessError(f"{process.name}: {process.port} is not a TCP port (1 to 65535); {change}")
    if not _is_port_free(process.port):
        holder = port_holder(process.port) or "another process"
        raise ProcessError(
            f"{process.name} needs port {process.port} on {HOST}, but {holder} already listens there; "
            f"stop that process, or {change}"
        )


def _is_port_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # Servers set this too: connections of the previous run in TIME_WAIT do not block the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def _prepare_log(process: Process) -> int:
    """Rotate the log if it is large, and return the offset at which the output of this start begins."""
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
            raise ProcessError(f"{process.name} cannot be executed: {error}; run: make install") from error
    _children[child.pid] = child
    record = _Record(
        name=process.name,
        group=process.group,
        pid=child.pid,
        start_time=start_time(child.pid, or_zombie=True) or StartTime("", 0.0),
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
    """Launch components without a record, add them to ``launched``, and wait until all are ready or one fails."""
    if not plan:
        return []
    abort = threading.Event()
    begin = time.monotonic()

    # Launch in a thread: an interrupt is raised in the main thread and must not separate a new process from its record.
    def ready(process: Process, record: _Record | None, outcome: Outcome) -> Started:
        offset = _size(process.log)
        if record is None:
            if abort.is_set():
                raise _aborted(process)
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
        # Checked after the health check, which another server on the same port may have answered.
        if not record.alive:
            raise ProcessError(f"{process.name} {_exit_of(record.pid)} during startup{_tail(process.log, offset)}")
        if healthy:
            return
        if time.monotonic() > deadline:
            raise ProcessError(
                f"{process.name} (pid {record.pid}) did not become healthy within {process.startup_timeout:g} s"
                f"{_tail(process.log, offset)}"
            )
        if abort.wait(POLL_SECONDS):
            raise _aborted(process)


def _aborted(process: Process) -> ProcessError:
    return ProcessError(f"the start of {process.name} was aborted because another component failed")


def _is_healthy(process: Process) -> bool:
    try:
        return process.healthy()
    except OSError:
        return False


def _exit_of(pid: int) -> str:
    child = _children.get(pid)
    code = None if child is None else child.wait()
    if code is None:
        return "exited"
    return f"was killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exited with code {code}"


def _tail(log: Path, offset: int) -> str:
    """Format the last lines written to ``log`` after ``offset`` as the end of a message."""
    try:
        with log.open("rb") as file:
            file.seek(max(offset, _size(log) - 8000))
            lines = file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        lines = []
    if not lines:
        return f"; it wrote nothing to {log}"
    return f"; last lines of {log}:\n" + "\n".join(f"    {line}" for line in lines)


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
        raise ProcessError(
            f"{record.name} (pid {record.pid}) belongs to another user; stop it as that user or as root"
        ) from error
    child = _children.pop(record.pid, None)
    if child is not None:
        child.wait()
    if _read_record(run_dir, record.name) == record:
        record_path(run_dir, record.name).unlink(missing_ok=True)
    return Stopped(record.name, record.pid, killed, was_dead)


def _end_family(record: _Record) -> bool:
    """End the component and all its child processes; return whether any of them had to be killed."""
    family: set[_Member] = set()
    asked: set[_Member] = set()
    killed = False
    deadline = time.monotonic() + record.stop_timeout
    give_up = deadline + ORPHAN_GRACE + 10
    while living := _living_family(record, family):
        family |= living
        leader_lives = record.member in living
        # Signal only the component at first: it stops its own children in order.
        to_ask = {record.member} if leader_lives else living
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
            pids = ", ".join(str(pid) for pid, _ in sorted(living))
            raise ProcessError(f"{record.name}: these processes survive SIGKILL: {pids}; check them with ps")
        time.sleep(POLL_SECONDS / 2)
    return killed


def _living_family(record: _Record, known: set[_Member]) -> set[_Member]:
    """Return the running processes of the component: itself, its session and group, and all their descendants."""
    table = process_table()
    living = {member for member in known if member[0] in table and table[member[0]].start_time == member[1]}
    living |= {(entry.pid, entry.start_time) for entry in table.values() if _belongs(entry, record, table)}
    while True:
        pids = {pid for pid, _ in living}
        children = {(entry.pid, entry.start_time) for entry in table.values() if entry.parent in pids} - living
        if not children:
            return living
        living |= children


def _belongs(entry: Entry, record: _Record, table: Mapping[int, Entry]) -> bool:
    if entry.pid == record.pid:
        return entry.start_time == record.start_time
    if record.pid not in (entry.group, entry.session):
        return False
    # The kernel never reuses a pid that still names a session or group. So if the pid now names another process, the
    # component's session was empty by then, and the session's members belong to that other process.
    leader = table.get(record.pid)
    if leader is not None and leader.start_time != record.start_time:
        return False
    return entry.start_time.boot == record.start_time.boot and entry.start_time.seconds >= record.start_time.seconds


def _signal(member: _Member, number: int) -> None:
    pid, started = member
    if start_time(pid) == started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def record_path(run_dir: Path, name: str) -> Path:
    """Return the file in ``run_dir`` that records a running component."""
    return run_dir / f"{name}.json"


def _write_record(run_dir: Path, record: _Record) -> None:
    path = record_path(run_dir, record.name)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(record)))
    temporary.replace(path)


def _read_record(run_dir: Path, name: str) -> _Record | None:
    path = record_path(run_dir, name)
    try:
        values = json.loads(path.read_text())
        return _Record(**{**values, "start_time": StartTime(*values["start_time"])})
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise ProcessError(
            f"{path} is not a record of this version of the code; stop {name} with the version that started it, or end "
            "its process, and delete the file"
        ) from error


def _read_records(run_dir: Path) -> list[_Record]:
    records = (_read_record(run_dir, path.stem) for path in sorted(run_dir.glob("*.json")))
    return [record for record in records if record is not None]


@contextlib.contextmanager
def locked(
    folder: Path, *, timeout: float = LOCK_TIMEOUT, on_wait: Callable[[str], object] = lambda holder: None
) -> Iterator[int]:
    """Hold the lock of ``folder``, which serialises starts and stops; the system frees it when its holder exits.

    Args:
        folder: created if missing.
        timeout: seconds to wait for another holder.
        on_wait: called with the holder's pid before waiting.

    Yields:
        The file descriptor that holds the lock; a child process that inherits it holds the lock too.

    Raises:
        LockedError: another process still holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a+") as lock:
        deadline = time.monotonic() + timeout
        waited = False
        while not _try_lock(lock.fileno()):
            lock.seek(0)
            holder = lock.read() or "unknown"
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"another start or stop (pid {holder}) has held the lock of {folder} for {timeout:g} s; wait for "
                    "it, or end it"
                )
            if not waited:
                on_wait(holder)
            waited = True
            time.sleep(POLL_SECONDS)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock.fileno()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
