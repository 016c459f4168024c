"""Runs single tries of tasks, each in a process of its own: ``python -m tests.faults.worker``.

The process imports Airflow and parses the DAGs once, and forks for each try, as Airflow's executor does. A try goes
through Airflow's own task runner: templates, time-outs, retry policy, skips and asset events are the real ones. Only
the supervisor on the other end is replaced: by a file of the run's XComs, which each message changes before it is
answered, so that a killed try leaves what it had said until then.

Orders arrive on standard input and results leave on standard output, one JSON object a line; see :class:`Order`.
"""

from __future__ import annotations

import errno
import faulthandler
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.faults import disks, memory

REPOSITORY = Path(__file__).resolve().parents[2]
# Seconds of the longest sleep in a try: clients wait between their own attempts, and a test has no time for that.
LONGEST_SLEEP = 0.02
BEFORE = "before"
# Seconds that a try hangs which is to be killed: longer than any test waits for that.
HANG_SECONDS = 3600
# Seconds after which a try that is stuck shows in its log where it is.
STUCK_SECONDS = 50
_OUT = os.fdopen(os.dup(1), "wb")
_sleep = time.sleep


@dataclass(frozen=True, kw_only=True)
class Order:
    """One try to run.

    Attributes:
        dag_id, task_id, run_id, try_number: of the task instance.
        conf: the run's parameters.
        state: the file with the run's XComs.
        result: the file that the try writes: its state, and the error that ended it.
        log: the file of its output.
        environment: variables, connections and endpoints.
        limits: resource limits, by the name of their constant in ``resource``: how much memory and how many files it
            may use in addition.
        patches: values to set, by dotted path.
        hang: ``module:function``; the module's name is replaced by an object whose function hangs, and says so by a
            file beside the result. Or ``BEFORE``: the try hangs before the task's own work.
        full: ``module:function``; its function fails as on a full disk.
        disk: the work dir is on a disk of its own during the try, on which so many ``bytes`` and ``files`` are free.
        group: the folder of a cgroup that the process joins when the task's own work begins.
        timeout: the task's execution time-out in seconds; None leaves the declared one.
        retries: instead of the declared ones.
        ahead: seconds by which the clock is ahead that says when the source was asked, and when a download began.
        is_scheduled: whether the clock has started the run, and not a person.
        folder: the working directory; the worker's own if it is empty.
        resume: what the task goes on with after a wait in the triggerer: the name of its method, and its arguments.
    """

    dag_id: str
    task_id: str
    run_id: str
    try_number: int
    conf: Mapping[str, Any]
    state: str
    result: str
    log: str
    environment: Mapping[str, str]
    limits: Mapping[str, int] = field(default_factory=dict)
    patches: Mapping[str, Any] = field(default_factory=dict)
    hang: str = ""
    full: str = ""
    disk: Mapping[str, int] = field(default_factory=dict)
    group: str = ""
    timeout: float | None = None
    retries: int | None = None
    ahead: float = 0.0
    is_scheduled: bool = False
    folder: str = ""
    resume: Mapping[str, Any] = field(default_factory=dict)


def main() -> None:
    """Fork for each order, and report each process that has ended, until standard input is closed."""
    os.dup2(2, 1)  # libraries log to standard output, which is for messages alone
    from tests import conftest  # isolates Airflow's home and settings

    os.environ["AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT"] = "0"  # none: a busy machine takes long for the first import
    dags = _parse_dags()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    _say(dags={dag_id: _structure(dag) for dag_id, dag in dags.items()})
    try:
        _serve(dags, woken, wake)
    finally:
        conftest.pytest_unconfigure()


def _serve(dags: Mapping[str, Any], woken: int, wake: int) -> None:
    while True:
        ready, _, _ = select.select([sys.stdin.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _report_ended()
        if sys.stdin.fileno() in ready:
            line = _read_line()
            if not line:
                return
            order = Order(**json.loads(line))
            pid = os.fork()
            if pid == 0:
                os.close(woken)
                os.close(wake)
                _become_try(order, dags)
            _say(pid=pid)


def _read_line() -> bytes:
    """Read one order, without the look-ahead of a buffered reader, which select would not see."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):
        line += byte
    return line


def _report_ended() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(ended=pid, code=os.waitstatus_to_exitcode(status))


def _say(**message: Any) -> None:
    _OUT.write(json.dumps(message).encode() + b"\n")
    _OUT.flush()


def _parse_dags() -> dict[str, Any]:
    sys.path[:0] = [str(REPOSITORY / "plugins"), str(REPOSITORY / "config")]
    importlib.import_module("airflow_local_settings")
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.execution_time import task_runner  # noqa: F401 # imported before the forks
    from airflow.sdk.plugins_manager import integrate_macros_plugins

    integrate_macros_plugins()  # else each try would look for plugins
    bag = DagBag(dag_folder=REPOSITORY / "dags")
    assert not bag.import_errors, bag.import_errors
    return bag.dags


def _structure(dag: Any) -> list[dict[str, Any]]:
    """Describe the tasks, in their order, as far as :class:`tests.faults.runs.Run` has to know them."""
    return [
        {
            "task_id": task.task_id,
            "upstream": sorted(task.upstream_task_ids),
            "rule": str(task.trigger_rule.value),
            "is_setup": task.is_setup,
            "is_teardown": task.is_teardown,
            "retries": task.retries,
        }
        for task in dag.topological_sort()
    ]


def _become_try(order: Order, dags: Mapping[str, Any]) -> None:
    """Run the try in this process, and end it."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ |= order.environment
        os.chdir(order.folder or ".")
        if order.disk:
            disks.mount_over(Path(os.environ["AIRFLOW_VAR_WORK_DIR"]), **order.disk)
        faulthandler.dump_traceback_later(STUCK_SECONDS)  # has a thread, with which the mount could not be made
        _prepare(order)
        state, error = _run(order, dags)
        for name in order.limits:
            _limit(name, None)
        Path(order.result).write_text(json.dumps({"state": state, "error": error}))
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _prepare(order: Order) -> None:
    for path, value in order.patches.items():
        module, _, name = path.rpartition(".")
        setattr(importlib.import_module(module), name, value)
    if order.ahead:
        _set_clock_ahead(timedelta(seconds=order.ahead))
    if ":" in order.hang:
        _replace(order.hang, _hanging(order))
    if order.full:
        _replace(order.full, _no_space)
    time.sleep = lambda seconds: _sleep(min(seconds, LONGEST_SLEEP))
    for name, value in order.limits.items():
        _limit(name, value)


def _limit(name: str, value: int | None) -> None:
    """Limit what this process may use in addition to what it uses now; None lifts the limit."""
    number = getattr(resource, name)
    hard = resource.getrlimit(number)[1]
    in_use = {"RLIMIT_DATA": _data_bytes, "RLIMIT_NOFILE": _next_file}.get(name, lambda: 0)
    resource.setrlimit(number, (hard if value is None else in_use() + value, hard))
    if number == resource.RLIMIT_FSIZE:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python sets it at its start: writes fail with EFBIG


def _data_bytes() -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:")]
    return int(line.split()[1]) * 1024


def _next_file() -> int:
    """Return the number that the next file gets."""
    number = os.dup(0)
    os.close(number)
    return number


def _replace(function: str, by: Callable[..., object]) -> None:
    """Replace the name of a module in another one by an object that has only the given function."""
    path, _, function = function.partition(":")
    module, _, name = path.rpartition(".")
    setattr(importlib.import_module(module), name, SimpleNamespace(**{function: by}))


def _hanging(order: Order) -> Callable[..., None]:
    marker = Path(f"{order.result}.hangs")

    def hang(*_: Any, **__: Any) -> None:
        marker.touch()
        _sleep(HANG_SECONDS)

    return hang


def _no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _set_clock_ahead(ahead: timedelta) -> None:
    from nyc_taxi.source import download, publication_sensor

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + ahead

    for module in (download, publication_sensor):
        module.datetime = Ahead  # type: ignore[attr-defined]


def _run(order: Order, dags: Mapping[str, Any]) -> tuple[str, str]:
    """Run the try by Airflow's task runner; returns its state, and the error that ended it."""
    import structlog
    from airflow.dag_processing.bundles.local import LocalDagBundle
    from airflow.sdk.api.datamodels._generated import TIRunContext
    from airflow.sdk.execution_time import task_runner

    dag = dags[order.dag_id]
    task = dag.get_task(order.task_id)
    retries = task.retries if order.retries is None else order.retries
    if order.timeout is not None:
        task.execution_timeout = timedelta(seconds=order.timeout)
    if order.hang == BEFORE:
        task.pre_execute = _hanging(order)
    if order.group:
        task.pre_execute = lambda context: memory.add(Path(order.group), os.getpid())
    run = _dag_run(order)
    instance = task_runner.RuntimeTaskInstance.model_construct(
        id=uuid.uuid5(uuid.NAMESPACE_OID, f"{order.dag_id} {order.run_id} {order.task_id}"),
        task_id=order.task_id,
        dag_id=order.dag_id,
        run_id=order.run_id,
        try_number=order.try_number,
        map_index=-1,
        hostname="localhost",
        max_tries=retries,
        task=task,
        bundle_instance=LocalDagBundle(name="dags", path=str(REPOSITORY / "dags")),
        start_date=run.start_date,
    )
    instance._ti_context_from_server = TIRunContext(
        dag_run=run,
        max_tries=retries,
        should_retry=order.try_number <= retries,
        next_method=order.resume.get("method"),
        next_kwargs=order.resume.get("arguments"),
    )
    task_runner.SUPERVISOR_COMMS = _Supervisor(order)
    state, _, error = task_runner.run(instance, instance.get_template_context(), structlog.get_logger())
    return state.value, "" if error is None else f"{type(error).__name__}: {error}"


def _dag_run(order: Order) -> Any:
    """Return the run as the scheduler would describe it, with parameters."""
    from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType

    now = datetime.now(UTC)
    return DagRun(
        dag_id=order.dag_id,
        run_id=order.run_id,
        logical_date=None,
        data_interval_start=None,
        data_interval_end=None,
        run_after=now,
        start_date=now,
        end_date=None,
        run_type=DagRunType.SCHEDULED if order.is_scheduled else DagRunType.MANUAL,
        state=DagRunState.RUNNING,
        consumed_asset_events=[],
        partition_key=None,
        conf=dict(order.conf),
    )


class _Supervisor:
    """Answers the messages of a task as its supervisor does, from the run's file of XComs."""

    socket = SimpleNamespace(fileno=lambda: -1)

    def __init__(self, order: Order) -> None:
        self._order = order
        self._path = Path(order.state)

    def send(self, msg: Any) -> Any:
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms

        kept = json.loads(self._path.read_text())
        answer: Any = comms.OKResponse(ok=True)
        match msg:
            case comms.GetXComSequenceSlice():
                found = kept["xcoms"].get(msg.task_id, {})
                answer = comms.XComSequenceSliceResult(root=[found[msg.key]] if msg.key in found else [])
            case comms.GetXCom():
                answer = comms.XComResult(key=msg.key, value=kept["xcoms"].get(msg.task_id, {}).get(msg.key))
            case comms.SetXCom():
                kept["xcoms"].setdefault(msg.task_id, {})[msg.key] = msg.value
            case comms.DeleteXCom():
                kept["xcoms"].get(msg.task_id, {}).pop(msg.key, None)
            case comms.GetTaskStateStore():
                found = kept["states"].get(self._order.task_id, {})
                if msg.key in found:
                    answer = comms.TaskStateStoreResult(value=found[msg.key])
                else:
                    answer = comms.ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND)
            case comms.SetTaskStateStore():
                kept["states"].setdefault(self._order.task_id, {})[msg.key] = msg.value
            case comms.ValidateInletsAndOutlets():
                answer = comms.InactiveAssetsResult(inactive_assets=[])
            case comms.GetDRCount():
                states = [self._state_of(run_id) for run_id in msg.run_ids or ()]
                answer = comms.DRCount(count=sum(state in (msg.states or ()) for state in states))
            case comms.GetConnection():
                answer = comms.ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)
            case comms.GetVariable():
                answer = comms.ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
            case comms.DeferTask():
                kept["deferred"] = msg.model_dump(mode="json")
            case comms.SkipDownstreamTasks():
                kept["skipped"] += [task if isinstance(task, str) else task[0] for task in msg.tasks]
            case comms.SucceedTask():
                kept["events"] += [dict(event) for event in msg.outlet_events or []]
                kept["updated"] += [outlet.name for outlet in msg.task_outlets or []]
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(kept))
        temporary.replace(self._path)
        return answer

    def _state_of(self, run_id: str) -> str:
        """Return the state of a run; all runs have their files in one folder."""
        path = self._path.parents[1] / run_id / self._path.name
        return str(json.loads(path.read_text())["run"]) if path.exists() else ""


if __name__ == "__main__":
    main()
