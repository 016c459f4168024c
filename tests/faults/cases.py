"""The cases of the fault suite: which fault, at which step, and what is promised.

``docs/reliability.md`` is written from these declarations, so each sentence in it is one that a test has seen to hold.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    RUN = "during the whole run"


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
        store: the store that the run loads; it names the DAG.
        task: the task at which the fault occurs.
        what: the fault, in words.
        server: the server before which the proxy stands; empty if none is concerned.
        fault: the fault of the connection.
        ends: how the run ends.
        lasts: how long the fault lasts.
        act: what happens when it is reached.
        cause: pattern of the error that the first failed try ends with.
        limits, patches, hang: see ``Hooks``; ``hang`` names a module whose function hangs, for a killer.
        timeout: the execution time-out in seconds, if the case is about it.
        leaves_table: whether a staging table stays in BigQuery until it expires, which is a known limit.
        note: what else is promised.
        quick: whether ``make test`` runs it.
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
    limits: Mapping[str, int] = field(default_factory=dict)
    patches: Mapping[str, Any] = field(default_factory=dict)
    hang: str = ""
    timeout: float | None = None
    leaves_table: bool = False
    note: str = ""
    quick: bool = False

    @property
    def promise(self) -> Promise:
        """Return the case's line of the page."""
        step = {"lake": "web_to_gcs", "bigquery": "gcs_to_bigquery", "postgres": "web_to_postgres"}[self.store]
        text = f"{self.ends.value} {self.note}".strip()
        group = (
            _GROUPS.get(self.server, "Processes and machine") if self.act is Act.NOTHING else "Processes and machine"
        )
        return Promise(id=self.id, fault=self.what, where=f"`{step}.{self.task}`", promise=text, group=group)


_GROUPS = {
    "source": "The source",
    "gcs": "Cloud Storage",
    "bigquery": "BigQuery",
    "postgres": "Postgres",
}
GROUPS = (*_GROUPS.values(), "Processes and machine", "Overlapping runs and clocks", "The whole stack")
_SERVER_NAMES = {"source": "the source", "gcs": "Cloud Storage", "bigquery": "BigQuery", "postgres": "Postgres"}


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A kind of fault that is tried at many steps."""

    name: str
    what: str
    fault: Fault
    lasts: Lasts = Lasts.HIT
    timeout: float | None = None


def _status(text: str, **headers: str) -> Fault:
    return Fault(
        kind=Kind.STATUS, status=text, headers=tuple((name.replace("_", "-"), it) for name, it in headers.items())
    )


LATENCY = _Kind(
    name="latency",
    what="{server} answers late",
    fault=Fault(kind=Kind.LATENCY, seconds=0.05, times=None),
    lasts=Lasts.TRY,
)
REFUSED = _Kind(
    name="refused",
    what="{server} refuses connections during one try",
    fault=Fault(kind=Kind.REFUSE, times=None),
    lasts=Lasts.TRY,
    timeout=SHORT_TIMEOUT,
)
DROPPED = _Kind(name="dropped", what="{server} drops one connection at its start", fault=Fault(kind=Kind.REFUSE))
RESET = _Kind(name="reset", what="the connection is reset in the answer", fault=Fault(kind=Kind.RESET, after=60))
CLOSED = _Kind(name="closed", what="the connection is closed before the request arrives", fault=Fault(kind=Kind.CLOSE))
LOST = _Kind(
    name="lost-answer",
    what="{server} does what it is asked, and its answer is lost",
    fault=Fault(kind=Kind.LOSE_ANSWER),
)
STALL = _Kind(
    name="stall",
    what="{server} stops answering, and the connection stays open",
    fault=Fault(kind=Kind.STALL, times=None),
    lasts=Lasts.TRY,
    timeout=SHORT_TIMEOUT,
)
BUSY = _Kind(name="503", what="{server} answers 503 once", fault=_status("503 Service Unavailable"))
LIMITED = _Kind(
    name="429",
    what="{server} answers 429 with Retry-After once",
    fault=_status("429 Too Many Requests", Retry_After="1"),
)


def _at(kind: _Kind, server: str, store: str, task: str, ends: Ends, cause: str = "", **more: Any) -> Case:
    """Return the case of a kind of fault at one step."""
    given = {
        "id": f"{server}-{kind.name}-in-{task}",
        "what": kind.what.format(server=_SERVER_NAMES[server]),
        "fault": kind.fault,
        "lasts": kind.lasts,
        "timeout": kind.timeout,
        **more,
    }
    given["what"] = given["what"][0].upper() + given["what"][1:]
    return Case(server=server, store=store, task=task, ends=ends, cause=cause, **given)


def _source() -> list[Case]:
    at = "download"
    loads: dict[str, Any] = {"server": "source", "store": "lake", "task": at}
    unreachable = "SourceError"
    return [
        _at(LATENCY, "source", "lake", at, Ends.UNHARMED),
        _at(REFUSED, "source", "lake", at, Ends.RETRIED, unreachable, timeout=None, quick=True),
        _at(DROPPED, "source", "postgres", at, Ends.RECOVERS),
        _at(CLOSED, "source", "postgres", at, Ends.RECOVERS),
        _at(
            RESET,
            "source",
            "lake",
            at,
            Ends.RECOVERS,
            fault=Fault(kind=Kind.RESET, after=3000),
            id="source-reset-after-3k-in-download",
            quick=True,
        ),
        _at(LOST, "source", "lake", at, Ends.RECOVERS),
        _at(
            STALL,
            "source",
            "lake",
            at,
            Ends.RETRIED,
            "Timeout|SourceError",
            fault=Fault(kind=Kind.STALL, after=3000, times=None),
        ),
        _at(BUSY, "source", "lake", at, Ends.RECOVERS),
        _at(LIMITED, "source", "postgres", at, Ends.RECOVERS),
        Case(
            id="source-truncated-in-download",
            what="The body ends early",
            fault=Fault(kind=Kind.TRUNCATE, after=3000),
            ends=Ends.RECOVERS,
            quick=True,
            **loads,
        ),
        Case(
            id="source-drip-in-download",
            what="The body arrives 64 bytes at a time",
            fault=Fault(kind=Kind.DRIP, seconds=0.001),
            ends=Ends.UNHARMED,
            **loads,
        ),
        Case(
            id="source-longer-length-in-download",
            what="The answer announces more bytes than it has",
            fault=Fault(kind=Kind.LENGTH, add=100),
            ends=Ends.RECOVERS,
            **loads,
        ),
        Case(
            id="source-shorter-length-in-download",
            what="The answer announces fewer bytes than it has, so that the body is cut with a length that agrees",
            fault=Fault(kind=Kind.LENGTH, add=-100),
            ends=Ends.RECOVERS,
            **loads,
        ),
        Case(
            id="source-corrupt-in-download",
            what="Bytes of the body change on the way",
            fault=Fault(kind=Kind.CORRUPT, after=2000),
            ends=Ends.FAILED,
            cause="ContractError",
            note="A gzip file's checksum finds the change.",
            **loads,
        ),
        Case(
            id="source-404-in-download",
            what="The file disappears between the check and the download",
            fault=_status("404 Not Found"),
            ends=Ends.FAILED,
            cause="NotPublishedError",
            **loads,
        ),
        Case(
            id="source-403-in-download",
            what="The source answers 403 once, as the TLC does for too many requests",
            fault=_status("403 Forbidden"),
            ends=Ends.RECOVERS,
            **loads,
        ),
        Case(
            id="source-redirect-loop-in-download",
            what="The source redirects in a circle",
            fault=Fault(
                kind=Kind.STATUS,
                status="302 Found",
                headers=(("Location", "/green/green_tripdata_2021-01.csv.gz"),),
                times=None,
            ),
            lasts=Lasts.RUN,
            ends=Ends.FAILED,
            cause="edirect",
            **loads,
        ),
        Case(
            id="source-503-for-long-in-download",
            what="The source answers 503 during the whole run",
            fault=Fault(kind=Kind.STATUS, status="503 Service Unavailable", times=None),
            lasts=Lasts.RUN,
            ends=Ends.FAILED,
            cause="SourceError.*503",
            **loads,
        ),
        *(
            _at(kind, "source", "postgres", "wait_for_publication", ends, cause)
            for kind, ends, cause in (
                (REFUSED, Ends.RETRIED, "SourceError"),
                (LATENCY, Ends.UNHARMED, ""),
                (RESET, Ends.RECOVERS, ""),
                (BUSY, Ends.RECOVERS, ""),
                (LIMITED, Ends.RECOVERS, ""),
                (STALL, Ends.RETRIED, "Timeout|SourceError"),
            )
        ),
        Case(
            id="source-404-in-wait_for_publication",
            server="source",
            store="lake",
            task="wait_for_publication",
            what="The month that somebody asked for is not published",
            fault=_status("404 Not Found"),
            ends=Ends.FAILED,
            cause="NotPublishedError",
        ),
    ]


def _gcs() -> list[Case]:
    upload: dict[str, Any] = {"server": "gcs", "store": "lake", "task": "local_to_gcs"}
    resumable = {"google.cloud.storage.blob._MAX_MULTIPART_SIZE": 1000}
    return [
        *(
            _at(kind, "gcs", "lake", "skip_unchanged", ends, cause)
            for kind, ends, cause in (
                (LATENCY, Ends.UNHARMED, ""),
                (DROPPED, Ends.UNHARMED, ""),
                (RESET, Ends.UNHARMED, ""),
                (BUSY, Ends.UNHARMED, ""),
                (STALL, Ends.RETRIED, "Timeout"),
            )
        ),
        *(
            _at(kind, "gcs", "lake", "local_to_gcs", ends, cause, **more)
            for kind, ends, cause, more in (
                (LATENCY, Ends.UNHARMED, "", {}),
                (REFUSED, Ends.RETRIED, "", {}),
                (DROPPED, Ends.RECOVERS, "", {}),
                (CLOSED, Ends.RECOVERS, "", {}),
                (LOST, Ends.RECOVERS, "", {"quick": True}),
                (BUSY, Ends.RECOVERS, "", {"quick": True}),
                (LIMITED, Ends.RECOVERS, "", {}),
                (STALL, Ends.RETRIED, "Timeout", {}),
            )
        ),
        Case(
            id="gcs-reset-after-1k-in-upload",
            what="The connection is reset after the first kilobyte of the upload",
            fault=Fault(kind=Kind.RESET, direction="request", match=b"POST /upload", after=1000),
            ends=Ends.RECOVERS,
            quick=True,
            **upload,
        ),
        Case(
            id="gcs-reset-in-resumable-upload",
            what="The connection is reset in the middle of a resumable upload",
            fault=Fault(kind=Kind.RESET, direction="request", match=b"PUT /", after=1000),
            patches=resumable,
            ends=Ends.RECOVERS,
            **upload,
        ),
        Case(
            id="gcs-lost-answer-in-resumable-upload",
            what="A resumable upload arrives, and its last answer is lost",
            fault=Fault(kind=Kind.LOSE_ANSWER, match=b"PUT /"),
            patches=resumable,
            ends=Ends.RECOVERS,
            **upload,
        ),
        Case(
            id="gcs-503-for-long-in-upload",
            what="Cloud Storage answers 503 during the whole run",
            fault=Fault(kind=Kind.STATUS, status="503 Service Unavailable", match=b"POST /upload", times=None),
            lasts=Lasts.RUN,
            timeout=SHORT_TIMEOUT,
            ends=Ends.FAILED,
            cause="503|Timeout",
            **upload,
        ),
        *(
            _at(kind, "gcs", "bigquery", "load_staging", ends, cause)
            for kind, ends, cause in (
                (DROPPED, Ends.UNHARMED, ""),
                (RESET, Ends.UNHARMED, ""),
                (BUSY, Ends.UNHARMED, ""),
            )
        ),
    ]


def _bigquery() -> list[Case]:
    insert = rb"POST [^ ]*/jobs"
    cases = []
    for task in ("create_table", "load_staging", "check_table", "publish", "drop_staging"):
        is_last = task == "drop_staging"
        cases += [
            _at(DROPPED, "bigquery", "bigquery", task, Ends.UNHARMED),
            _at(BUSY, "bigquery", "bigquery", task, Ends.RECOVERS),
            _at(
                LOST,
                "bigquery",
                "bigquery",
                task,
                Ends.RECOVERS,
                fault=Fault(kind=Kind.LOSE_ANSWER, match=insert),
                quick=task == "publish",
            ),
            _at(
                RESET, "bigquery", "bigquery", task, Ends.RECOVERS, fault=Fault(kind=Kind.RESET, match=insert, after=60)
            ),
            _at(
                STALL,
                "bigquery",
                "bigquery",
                task,
                Ends.RETRIED,
                "Timeout",
                fault=Fault(kind=Kind.STALL, match=insert, times=None),
            ),
        ]
        if not is_last:
            cases.append(
                _at(
                    BUSY,
                    "bigquery",
                    "bigquery",
                    task,
                    Ends.FAILED,
                    "503|Timeout",
                    id=f"bigquery-503-for-long-in-{task}",
                    what="BigQuery answers 503 during the whole run",
                    fault=Fault(kind=Kind.STATUS, status="503 Service Unavailable", match=insert, times=None),
                    lasts=Lasts.RUN,
                    timeout=SHORT_TIMEOUT,
                )
            )
    return cases


def _postgres() -> list[Case]:
    statements = {
        "create_table": rb"CREATE TABLE",
        "load_staging": rb"COPY ",
        "check_table": rb"check_result",
        "publish": rb"COMMIT",
        "drop_staging": rb"DROP TABLE",
    }
    cases = []
    for task, statement in statements.items():
        cases += [
            _at(REFUSED, "postgres", "postgres", task, Ends.RETRIED, "OperationalError|Timeout"),
            _at(DROPPED, "postgres", "postgres", task, Ends.RETRIED, "OperationalError"),
            _at(
                RESET,
                "postgres",
                "postgres",
                task,
                Ends.RETRIED,
                "OperationalError",
                fault=Fault(kind=Kind.RESET, direction="request", match=statement),
            ),
            _at(
                LOST,
                "postgres",
                "postgres",
                task,
                Ends.RETRIED,
                "OperationalError",
                fault=Fault(kind=Kind.LOSE_ANSWER, match=statement),
                quick=task == "publish",
            ),
            _at(
                STALL,
                "postgres",
                "postgres",
                task,
                Ends.RETRIED,
                "Timeout",
                fault=Fault(kind=Kind.STALL, match=statement, times=None),
            ),
        ]
    return [
        *cases,
        _at(LATENCY, "postgres", "postgres", "load_staging", Ends.UNHARMED),
        Case(
            id="postgres-reset-after-5k-in-copy",
            server="postgres",
            store="postgres",
            task="load_staging",
            what="The connection is reset after five kilobytes of COPY",
            fault=Fault(kind=Kind.RESET, direction="request", match=b"COPY ", after=5000),
            ends=Ends.RETRIED,
            cause="OperationalError",
            quick=True,
        ),
        Case(
            id="postgres-down-for-long-in-load_staging",
            server="postgres",
            store="postgres",
            task="load_staging",
            what="Postgres refuses connections during the whole run",
            fault=Fault(kind=Kind.REFUSE, times=None),
            lasts=Lasts.RUN,
            ends=Ends.FAILED,
            cause="OperationalError",
        ),
    ]


# Where a killer finds a task of each step: (store, task, server, pattern, direction, bytes).
_MOMENTS: tuple[tuple[str, str, str, bytes, Any, int], ...] = (
    ("lake", "download", "source", b"GET ", "answer", 3000),
    ("lake", "local_to_gcs", "gcs", b"POST /upload", "request", 1000),
    ("bigquery", "create_table", "bigquery", rb"POST [^ ]*/jobs", "answer", 0),
    ("bigquery", "load_staging", "bigquery", rb"POST [^ ]*/jobs", "answer", 0),
    ("bigquery", "check_table", "bigquery", rb"POST [^ ]*/jobs", "answer", 0),
    ("bigquery", "publish", "bigquery", rb"POST [^ ]*/jobs", "answer", 0),
    ("bigquery", "drop_staging", "bigquery", rb"POST [^ ]*/jobs", "answer", 0),
    ("postgres", "load_staging", "postgres", b"COPY ", "request", 5000),
    ("postgres", "check_table", "postgres", b"check_result", "answer", 0),
    ("postgres", "publish", "postgres", b"COMMIT", "request", 0),
    ("postgres", "drop_staging", "postgres", b"DROP TABLE", "answer", 0),
)


def _processes() -> list[Case]:
    cases = []
    for store, task, server, match, direction, after in _MOMENTS:
        fault = Fault(kind=Kind.STALL, match=match, direction=direction, after=after)
        at: dict[str, Any] = {"store": store, "task": task, "server": server, "fault": fault}
        cases.append(
            Case(
                id=f"kill-{store}-{task}",
                what=f"SIGKILL of the task while it talks to {_SERVER_NAMES[server]}",
                act=Act.KILL,
                ends=Ends.RETRIED,
                cause="exit code -9",
                quick=task == "publish" and store == "postgres",
                **at,
            )
        )
        if task in ("download", "local_to_gcs", "load_staging", "publish"):
            cases.append(
                Case(
                    id=f"pause-{store}-{task}",
                    what="The task is stopped by SIGSTOP and goes on later",
                    act=Act.PAUSE,
                    ends=Ends.UNHARMED,
                    **at,
                )
            )
    for store, task, module, function in (
        ("lake", "to_parquet", "nyc_taxi.common.files.os", "replace"),
        ("postgres", "to_parquet", "nyc_taxi.common.files.os", "replace"),
        ("lake", "remove_files", "nyc_taxi.dag_parts.tasks.shutil", "rmtree"),
    ):
        cases.append(
            Case(
                id=f"kill-{store}-{task}",
                store=store,
                task=task,
                what=f"SIGKILL of the task before `{function}`",
                act=Act.KILL,
                hang=f"{module}:{function}",
                ends=Ends.RETRIED,
                cause="exit code -9",
            )
        )
    return cases


def _restarts() -> list[Case]:
    cases = []
    for store, task, server, match, direction, after in _MOMENTS:
        if task in ("create_table", "check_table", "drop_staging") or server == "source":
            continue
        fault = Fault(kind=Kind.STALL, match=match, direction=direction, after=after)
        cases.append(
            Case(
                id=f"restart-{server}-in-{task}",
                store=store,
                task=task,
                server=server,
                fault=fault,
                what=f"SIGKILL of {_SERVER_NAMES[server]}, and its restart",
                act=Act.RESTART,
                ends=Ends.RECOVERS,
            )
        )
    return cases


def _limits() -> list[Case]:
    small_file = {"RLIMIT_FSIZE": 6000}
    return [
        Case(
            id="disk-full-in-download",
            store="lake",
            task="download",
            what="The disk is full",
            limits=small_file,
            ends=Ends.RETRIED,
            cause="OSError|File too large",
        ),
        Case(
            id="disk-full-in-to_parquet",
            store="postgres",
            task="to_parquet",
            what="The disk is full",
            limits=small_file,
            ends=Ends.RETRIED,
            cause="OSError|File too large",
        ),
        Case(
            id="memory-limit-in-to_parquet",
            store="lake",
            task="to_parquet",
            what="The memory limit is reached",
            limits={"RLIMIT_DATA": 1 << 20},
            ends=Ends.RETRIED,
            cause="Memory|exit code",
        ),
        Case(
            id="memory-limit-in-load_staging",
            store="postgres",
            task="load_staging",
            what="The memory limit is reached",
            limits={"RLIMIT_DATA": 1 << 20},
            ends=Ends.RETRIED,
            cause="Memory|exit code",
        ),
        *(
            Case(
                id=f"file-limit-in-{task}",
                store=store,
                task=task,
                what="No more files can be opened",
                limits={"RLIMIT_NOFILE": 3},
                ends=Ends.RETRIED,
                cause="Too many open files|exit code|Error",
            )
            for store, task in (
                ("lake", "download"),
                ("lake", "to_parquet"),
                ("lake", "local_to_gcs"),
                ("postgres", "load_staging"),
            )
        ),
    ]


CASES: tuple[Case, ...] = (*_source(), *_gcs(), *_bigquery(), *_postgres(), *_processes(), *_restarts(), *_limits())


def _promise(group: str, id: str, fault: str, where: str, promise: str) -> Promise:
    return Promise(id=id, fault=fault, where=where, promise=promise, group=group)


_OVERLAP = "Overlapping runs and clocks"
_OLDER = "The newer rows stay. The overtaken run says so, and changes nothing."
_BOTH = "Both runs succeed, and the month is there once and whole."
OVERLAPS: tuple[Promise, ...] = (
    _promise(
        _OVERLAP,
        "older-run-last-in-bigquery",
        "A run is stopped before it publishes; a newer one overtakes it; then it goes on",
        "`gcs_to_bigquery.publish`",
        _OLDER,
    ),
    _promise(
        _OVERLAP,
        "older-run-last-in-postgres",
        "A run is stopped before it publishes; a newer one overtakes it; then it goes on",
        "`web_to_postgres.publish`",
        _OLDER,
    ),
    _promise(_OVERLAP, "two-runs-in-lake", "Two runs of one month alternate, task by task", "`web_to_gcs`", _BOTH),
    _promise(
        _OVERLAP, "two-runs-in-bigquery", "Two runs of one month alternate, task by task", "`gcs_to_bigquery`", _BOTH
    ),
    _promise(
        _OVERLAP, "two-runs-in-postgres", "Two runs of one month alternate, task by task", "`web_to_postgres`", _BOTH
    ),
    _promise(
        _OVERLAP,
        "lake-replaced-during-load",
        "Another run replaces the lake's object between the load and the checks",
        "`gcs_to_bigquery.check_table`",
        "The run publishes what it has loaded, whole; the next start loads the newer object.",
    ),
    _promise(
        _OVERLAP,
        "clock-jumps-forward-in-wait",
        "The clock jumps two months ahead while a run waits for its file",
        "the trigger of `wait_for_publication`",
        "The wait ends, and the run is skipped with its reason. The next start loads the month.",
    ),
    _promise(
        _OVERLAP,
        "clock-jumps-back-in-wait",
        "The clock jumps a year back while a run waits for its file",
        "the trigger of `wait_for_publication`",
        "The run goes on as soon as the file is there.",
    ),
)

_STACK = "The whole stack"
_BY_ITSELF = "The run goes on by itself and succeeds."
_RESTARTED = "The component is restarted, by itself or by `make up`. The months under way succeed."
STACK: tuple[Promise, ...] = (
    _promise(
        _STACK,
        "stack-kill-task",
        "SIGKILL of a task's process",
        "a worker of the scheduler",
        "The supervisor reports it at once. The task is retried, and the run succeeds.",
    ),
    _promise(
        _STACK,
        "stack-kill-supervisor",
        "SIGKILL of a task's supervisor",
        "a worker of the scheduler",
        "After the heartbeat time-out of one minute the scheduler retries the task. The run succeeds.",
    ),
    *(
        _promise(_STACK, f"stack-kill-{name}", f"SIGKILL of {the}", "while months are under way", _RESTARTED)
        for name, the in (
            ("scheduler", "the scheduler"),
            ("api-server", "the API server"),
            ("triggerer", "the triggerer"),
            ("dag-processor", "the DAG processor"),
            ("postgres", "Postgres, which also has Airflow's metadata"),
            ("gcs", "Cloud Storage"),
            ("bigquery", "BigQuery"),
        )
    ),
    _promise(
        _STACK,
        "stack-dags-test-beside-scheduler",
        "`airflow dags test` of a month that the scheduler runs too",
        "`green_web_to_postgres`",
        _BOTH,
    ),
)
