"""Runs of DAGs without a scheduler: every try is a process of the worker, and failed tries are repeated at once."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.faults.worker import REPOSITORY, Order

# Seconds that one try may take on a busy machine before the test gives up.
PATIENCE = 240.0
# Seconds in which the worker has imported Airflow and the DAGs, from a cold disk and beside other work.
START_PATIENCE = 300.0
Wanted = Callable[[dict[str, Any]], bool]
# Makes a trigger from its class and arguments, waits for its first event, and returns that.
Triggerer = Callable[[str, dict[str, Any]], dict[str, Any]]


class Worker:
    """A client of ``python -m tests.faults.worker``; several tries may run at a time.

    Args:
        environment: of the worker; each order adds its own variables.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker"],
            cwd=REPOSITORY,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._read = b""
        self._messages: list[dict[str, Any]] = []
        self.dags: dict[str, list[dict[str, Any]]] = self._await(lambda message: "dags" in message, START_PATIENCE)[
            "dags"
        ]

    def close(self) -> None:
        """End the worker."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def begin(self, order: Order) -> int:
        """Begin a try; returns its process id, which is also that of its process group."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._await(lambda message: "pid" in message)["pid"])

    def wait(self, pid: int) -> int:
        """Wait for the end of a try; returns its exit code, negative for a signal."""
        return int(self._await(lambda message: message.get("ended") == pid)["code"])

    def _await(self, wanted: Wanted, patience: float = PATIENCE) -> dict[str, Any]:
        deadline = time.monotonic() + patience
        while True:
            for message in self._messages:
                if wanted(message):
                    self._messages.remove(message)
                    return message
            assert self._process.stdout is not None
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if not ready:
                raise TimeoutError("the worker of the fault suite does not answer")
            assert chunk, "the worker of the fault suite has ended"
            *lines, self._read = (self._read + chunk).split(b"\n")
            self._messages += map(json.loads, lines)


@dataclass(frozen=True)
class Try:
    """A try that has ended: its task, its number, its state as Airflow sets it, and the error that ended it."""

    task_id: str
    number: int
    state: str
    error: str


@dataclass
class Hooks:
    """What a case does at one task of a run.

    Attributes:
        task_id: the task.
        before: called before each of its tries, with the number.
        during: called while each of its tries runs, with the number, the process id and the order.
        after: called after each of its tries, with the number.
        limits, patches, hang, full, disk, group, timeout: of its orders; without ``retries``, all but the patches are
            of the first try.
        retries: of the task, instead of the declared ones.
    """

    task_id: str
    before: Callable[[int], object] = lambda number: None
    during: Callable[[int, int, Order], object] = lambda number, pid, order: None
    after: Callable[[int], object] = lambda number: None
    limits: Mapping[str, int] = field(default_factory=dict)
    patches: Mapping[str, Any] = field(default_factory=dict)
    hang: str = ""
    full: str = ""
    disk: Mapping[str, int] = field(default_factory=dict)
    group: str = ""
    timeout: float | None = None
    retries: int | None = None


@dataclass
class Ended:
    """A run that has ended.

    Attributes:
        state: ``success`` or ``failed``, by the same rule as Airflow's.
        states: the last state of each task.
        tries: all tries, in their order.
        events: the asset events of the run's tasks.
        updated: the names of the assets that they have updated.
    """

    state: str
    states: dict[str, str]
    tries: list[Try]
    events: list[dict[str, Any]]
    updated: list[str]

    def of(self, task_id: str) -> list[Try]:
        """Return the tries of one task."""
        return [one for one in self.tries if one.task_id == task_id]


class Run:
    """One run of one DAG.

    Args:
        worker: where its tries run.
        dag_id: the DAG.
        conf: the run's parameters.
        environment: the variables of its tasks.
        folder: for the files of the run; made if missing.
        ahead: seconds by which the clock of its downloads is ahead.
        triggerer: where its tasks wait. With it the run is one that the clock has started: runs of people do not wait.
    """

    def __init__(
        self,
        worker: Worker,
        dag_id: str,
        *,
        conf: Mapping[str, Any],
        environment: Mapping[str, str],
        folder: Path,
        ahead: float = 0.0,
        triggerer: Triggerer | None = None,
    ) -> None:
        self.dag_id = dag_id
        self.run_id = f"manual__{uuid.uuid4().hex[:12]}"
        self.tries: list[Try] = []
        self._worker = worker
        self._conf = conf
        self._environment = environment
        self._ahead = ahead
        self._triggerer = triggerer
        self._folder = folder / self.run_id
        self._folder.mkdir(parents=True)
        self._state = self._folder / "state.json"
        empty: dict[str, Any] = {"xcoms": {}, "states": {}, "skipped": [], "events": [], "updated": []}
        self._state.write_text(json.dumps({**empty, "run": "running"}))
        self._states: dict[str, str] = {}

    def go(self, hooks: Hooks | None = None, *, until: str | None = None) -> Ended:
        """Run the tasks in their order, and each failed one again as often as it is declared.

        Args:
            hooks: what happens at one task.
            until: stop before this task; a later call goes on with it.
        """
        for task in self._worker.dags[self.dag_id]:
            if task["task_id"] in self._states:
                continue
            if task["task_id"] == until:
                break
            self._states[task["task_id"]] = self._decide(task) or self._repeat(task, hooks)
        else:
            self._set_state(self._ended().state)
        return self._ended()

    def time_out(self) -> None:
        """End the run as Airflow does when its time is over: it has failed, and all its other tasks are skipped."""
        for task in self._worker.dags[self.dag_id]:
            self._states.setdefault(task["task_id"], "skipped")
        self._set_state("failed")

    def log(self) -> str:
        """Return the output of all tries."""
        return "".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))

    def order(self, task_id: str, number: int, hooks: Hooks | None = None) -> Order:
        """Return the order for one try."""
        name = f"{task_id}-{number}"
        given = hooks if hooks is not None and hooks.task_id == task_id else Hooks(task_id)
        lasts = number == 1 or given.retries is not None
        return Order(
            dag_id=self.dag_id,
            task_id=task_id,
            run_id=self.run_id,
            try_number=number,
            conf=self._conf,
            state=str(self._state),
            result=str(self._folder / f"{name}.json"),
            log=str(self._folder / f"{name}.log"),
            environment=self._environment,
            limits=given.limits if number == 1 else {},
            patches=given.patches,
            hang=given.hang if number == 1 else "",
            full=given.full if number == 1 else "",
            disk=given.disk if number == 1 else {},
            group=given.group if lasts else "",
            timeout=given.timeout if lasts else None,
            retries=given.retries,
            ahead=self._ahead,
            is_scheduled=self._triggerer is not None,
        )

    def _decide(self, task: dict[str, Any]) -> str | None:
        """Return the state of a task that must not run; None if it must."""
        if task["task_id"] in json.loads(self._state.read_text())["skipped"]:
            return "skipped"
        tasks = {one["task_id"]: one for one in self._worker.dags[self.dag_id]}
        upstream = {name: self._states[name] for name in task["upstream"]}
        if task["is_teardown"]:
            setups = [state for name, state in upstream.items() if tasks[name]["is_setup"]]
            if "success" in setups:
                return None
            return "skipped" if set(setups) <= {"skipped"} else "upstream_failed"
        states = {state for name, state in upstream.items() if not tasks[name]["is_teardown"]}
        if states & {"failed", "upstream_failed"}:
            return "upstream_failed"
        if task["rule"] == "none_failed_min_one_success":
            return None if "success" in states else "skipped"
        assert task["rule"] == "all_success", task
        return "skipped" if "skipped" in states else None

    def _repeat(self, task: dict[str, Any], hooks: Hooks | None) -> str:
        task_id = task["task_id"]
        own = hooks if hooks is not None and hooks.task_id == task_id else Hooks(task_id)
        retries = task["retries"] if own.retries is None else own.retries
        for number in range(1, retries + 2):
            own.before(number)
            order = self.order(task_id, number, hooks)
            self._forget(task_id)
            ended = self._try(order, own, retries)
            if ended.state == "deferred":
                ended = self._try(replace(order, resume=self._await_event()), own, retries)
            own.after(number)
            if ended.state != "up_for_retry":
                return ended.state
        raise AssertionError(f"{task_id} is to be retried once more than declared")

    def _try(self, order: Order, hooks: Hooks, retries: int) -> Try:
        pid = self._worker.begin(order)
        try:
            hooks.during(order.try_number, pid, order)
        finally:
            ended = self.finish(order, pid, retries)
        return ended

    def _await_event(self) -> dict[str, Any]:
        """Let the triggerer wait for what the task has deferred to; returns what the task goes on with."""
        deferred = json.loads(self._state.read_text())["deferred"]
        assert self._triggerer is not None
        event = self._triggerer(deferred["classpath"], deferred["trigger_kwargs"])
        return {"method": deferred["next_method"], "arguments": {**(deferred["next_kwargs"] or {}), "event": event}}

    def finish(self, order: Order, pid: int, retries: int) -> Try:
        """Wait for the end of a try, and record it; a killed one is retried as Airflow does."""
        try:
            code = self._worker.wait(pid)
        except TimeoutError as error:
            os.killpg(pid, signal.SIGKILL)
            self._worker.wait(pid)
            raise AssertionError(f"{order.task_id} has not ended within {PATIENCE} s:\n{self.log()[-8000:]}") from error
        _end_group(pid)
        result = Path(order.result)
        if result.exists():
            found = json.loads(result.read_text())
        else:
            state = "up_for_retry" if order.try_number <= retries else "failed"
            found = {"state": state, "error": f"exit code {code}"}
        self.tries.append(Try(order.task_id, order.try_number, found["state"], found["error"]))
        return self.tries[-1]

    def _forget(self, task_id: str) -> None:
        """Clear the XComs of a task, as Airflow does before each try."""
        kept = json.loads(self._state.read_text())
        kept["xcoms"].pop(task_id, None)
        self._state.write_text(json.dumps(kept))

    def _set_state(self, state: str) -> None:
        kept = json.loads(self._state.read_text())
        self._state.write_text(json.dumps({**kept, "run": state}))

    def _ended(self) -> Ended:
        teardowns = {task["task_id"] for task in self._worker.dags[self.dag_id] if task["is_teardown"]}
        failed = any(
            state in ("failed", "upstream_failed") for name, state in self._states.items() if name not in teardowns
        )
        kept = json.loads(self._state.read_text())
        state = "failed" if failed else "success"
        return Ended(state, dict(self._states), list(self.tries), kept["events"], kept["updated"])


def _end_group(pid: int) -> None:
    """Assert that a try has left no process of its group behind."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return
    os.killpg(pid, signal.SIGKILL)
    raise AssertionError(f"the try left processes of its group {pid} behind")
