"""The cases of the fault suite: which fault, at which step, and what is promised.

``docs/reliability.md`` is written from these declarations, so each sentence in it is one that a test has seen to hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tests.faults.proxy import Fault, Kind

# Seconds of the execution time-out in cases that must run into it, instead of the declared half hour.
SHORT_TIMEOUT = 1.5


class Ends(Enum):
    """How the run in which the fault occurs ends, and what is promised then."""

    UNHARMED = "The run succeeds at the first try."
    RETRIED = "The try fails with its cause. The task is retried, and the run succeeds."
    RECOVERS = "The run succeeds: in the same try, or by a retry of the task."
    FAILED = "The run fails with its cause. The store keeps its old month until the next start loads the new one."
    IN_PLACE = "The rows are published; only the cleanup failed, and says so."


class Act(Enum):
    """What happens to a process when the fault is reached."""

    NOTHING = ""
    KILL = "SIGKILL of the task"
    PAUSE = "SIGSTOP, later SIGCONT, of the task"
    RESTART = "SIGKILL of the server, and its restart"


class Lasts(Enum):
    """How long a fault lasts."""

    HIT = "once"
    TRY = "during the first try"
    TRIES = "during all tries of the task"


@dataclass(frozen=True, kw_only=True)
class Promise:
    """A line of the page.

    Attributes:
        id: the name of the case.
        fault: what goes wrong.
        where: at which step, or to which component.
        promise: what is promised.
        group: the section of the page.
    """

    id: str
    fault: str
    where: str
    promise: str
    group: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault at one task of a run without a scheduler.

    Attributes:
        id: the name, such as ``gcs-503-in-local_to_gcs``.
        store: the store that the run loads, or ``rollup``; it names the DAG.
        task: the task at which the fault occurs.
        what: the fault, in words.
        server: the server before which the proxy stands; empty if none is concerned.
        fault: the fault of the connection.
        ends: how the run ends.
        lasts: how long the fault lasts.
        act: what happens when it is reached.
        cause: pattern of the errors with which tries fail.
        fails_at: the task that fails because of it, if that is a later one.
        limits, patches, hang, full, disk: see ``Order``.
        memory: bytes of the memory cgroup in which the task's tries run.
        timeout: the execution time-out in seconds, if the case is about it.
        unchanged: whether the store has the source's version already.
        note: what else is promised.
        quick: whether ``make test`` runs it.

    Raises:
        ValueError: a try of it may fail, and the case does not say with which cause.
    """

    id: str
    store: str
    task: str
    what: str
    ends: Ends
    server: str = ""
    fault: Fault | None = None
    lasts: Lasts = Lasts.HIT
    act: Act = Act.NOTHING
    cause: str = ""
    fails_at: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)
    patches: Mapping[str, Any] = field(default_factory=dict)
    hang: str = ""
    full: str = ""
    disk: Mapping[str, int] = field(default_factory=dict)
    memory: int = 0
    timeout: float | None = None
    unchanged: bool = False
    note: str = ""
    quick: bool = False

    def __post_init__(self) -> None:
        if self.ends is not Ends.UNHARMED and not self.cause:
            raise ValueError(f"{self.id} does not say with which cause its tries may fail")

    @property
    def promise(self) -> Promise:
        """Return the case's line of the page."""
        text = f"{self.ends.value} {self.note}".strip()
        group = (
            _GROUPS.get(self.server, "Processes and machine") if self.act is Act.NOTHING else "Processes and machine"
        )
        return Promise(
            id=self.id, fault=self.what, where=f"`{STEP_OF[self.store]}.{self.task}`", promise=text, group=group
        )


# The steps at which a fault does most harm, the worst one first.
_WORST = ("publish", "local_to_gcs", "load_staging")


def one_of_each_fault(promises: Collection[Promise], quick: Collection[str] = ()) -> set[str]:
    """Return the ids of one case of each fault: those that ``make test`` and ``make test-all`` run.

    It is a quick one if there is any, or else the one at the step where the fault does most harm. The same fault at
    other steps, and of other stores, is left to ``make test-faults``.
    """

    def order(promise: Promise) -> tuple[bool, int]:
        step = promise.where.strip("`").rpartition(".")[2]
        return promise.id not in quick, _WORST.index(step) if step in _WORST else len(_WORST)

    chosen: dict[tuple[str, str], str] = {}
    for promise in sorted(promises, key=order):
        chosen.setdefault((promise.group, promise.fault), promise.id)
    return {*chosen.values(), *quick}


# The DAGs that load each store; each dataset has its own, but for the rollup.
STEP_OF = {
    "lake": "web_to_gcs",
    "bigquery": "gcs_to_bigquery",
    "postgres": "web_to_postgres",
    "rollup": "trips_yearly_rollup",
}
_GROUPS = {
    "source": "The source",
    "gcs": "Cloud Storage",
    "bigquery": "BigQuery",
    "postgres": "Postgres",
}
GROUPS = (*_GROUPS.values(), "Processes and machine", "Overlapping runs and clocks", "The whole stack")
SERVER_NAMES = {"source": "the source", "gcs": "Cloud Storage", "bigquery": "BigQuery", "postgres": "Postgres"}
# The errors with which a try may fail if a connection to the server is cut, or answered with 429 or 503.
CUT_OFF = {
    "source": "SourceError",
    "gcs": "ConnectionError|ServiceUnavailable|TooManyRequests",
    "bigquery": "ConnectionError|ServiceUnavailable|RetryError",
    "postgres": "OperationalError",
}


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """A kind of fault that is tried at many steps."""

    name: str
    what: str
    fault: Fault
    lasts: Lasts = Lasts.HIT
    timeout: float | None = None


def status(text: str, **headers: str) -> Fault:
    return Fault(
        kind=Kind.STATUS, status=text, headers=tuple((name.replace("_", "-"), it) for name, it in headers.items())
    )


LATENCY = FaultKind(
    name="latency",
    what="{server} answers late",
    fault=Fault(kind=Kind.LATENCY, seconds=0.05, times=None),
    lasts=Lasts.TRY,
)
REFUSED = FaultKind(
    name="refused",
    what="{server} refuses connections during one try",
    fault=Fault(kind=Kind.REFUSE, times=None),
    lasts=Lasts.TRY,
    timeout=SHORT_TIMEOUT,
)
DROPPED = FaultKind(name="dropped", what="{server} drops one connection at its start", fault=Fault(kind=Kind.REFUSE))
RESET = FaultKind(name="reset", what="the connection is reset in the answer", fault=Fault(kind=Kind.RESET, after=60))
CLOSED = FaultKind(name="closed", what="the connection closes before the request arrives", fault=Fault(kind=Kind.CLOSE))
LOST = FaultKind(
    name="lost-answer",
    what="{server} does what it is asked, and its answer is lost",
    fault=Fault(kind=Kind.LOSE_ANSWER),
)
STALL = FaultKind(
    name="stall",
    what="{server} stops answering, and the connection stays open",
    fault=Fault(kind=Kind.STALL, times=None),
    lasts=Lasts.TRY,
    timeout=SHORT_TIMEOUT,
)
BUSY = FaultKind(name="503", what="{server} answers 503 once", fault=status("503 Service Unavailable"))
LIMITED = FaultKind(
    name="429",
    what="{server} answers 429 with Retry-After once",
    fault=status("429 Too Many Requests", Retry_After="1"),
)


def at(kind: FaultKind, server: str, store: str, task: str, ends: Ends, cause: str = "", **more: Any) -> Case:
    """Return the case of a kind of fault at one step."""
    given = {
        "id": f"{server}-{kind.name}-in-{task}",
        "what": kind.what.format(server=SERVER_NAMES[server]),
        "fault": kind.fault,
        "lasts": kind.lasts,
        "timeout": kind.timeout,
        **more,
    }
    given["what"] = given["what"][0].upper() + given["what"][1:]
    if ends is not Ends.UNHARMED:
        cause = cause or CUT_OFF[server]
    return Case(server=server, store=store, task=task, ends=ends, cause=cause, **given)
