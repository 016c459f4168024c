"""The catalog of the fault suite: every case, by the server or the process that it harms."""

from __future__ import annotations

from typing import Any

from tests.faults.cases import (
    BUSY,
    CLOSED,
    CUT_OFF,
    DROPPED,
    LATENCY,
    LIMITED,
    LOST,
    REFUSED,
    RESET,
    SERVER_NAMES,
    SHORT_TIMEOUT,
    STALL,
    STEP_OF,
    Act,
    Case,
    Ends,
    FaultKind,
    Lasts,
    Promise,
    at,
    status,
)
from tests.faults.killers import COMPONENTS, SUPERVISOR, TASK, WATCHER
from tests.faults.proxy import Fault, Kind
from tests.faults.worker import BEFORE

_DOWNLOAD: dict[str, Any] = {"server": "source", "store": "lake", "task": "download"}
SOURCE: tuple[Case, ...] = (
    at(LATENCY, "source", "lake", "download", Ends.UNHARMED),
    at(REFUSED, "source", "lake", "download", Ends.RETRIED, "SourceError", timeout=None, quick=True),
    at(DROPPED, "source", "postgres", "download", Ends.RECOVERS),
    at(CLOSED, "source", "postgres", "download", Ends.RECOVERS),
    at(
        RESET,
        "source",
        "lake",
        "download",
        Ends.RECOVERS,
        fault=Fault(kind=Kind.RESET, after=3000),
        id="source-reset-after-3k-in-download",
        quick=True,
    ),
    at(LOST, "source", "lake", "download", Ends.RECOVERS),
    at(
        STALL,
        "source",
        "lake",
        "download",
        Ends.RETRIED,
        "Timeout|SourceError",
        fault=Fault(kind=Kind.STALL, after=3000, times=None),
    ),
    at(BUSY, "source", "lake", "download", Ends.RECOVERS),
    at(LIMITED, "source", "postgres", "download", Ends.RECOVERS),
    Case(
        id="source-truncated-in-download",
        what="The body ends early",
        fault=Fault(kind=Kind.TRUNCATE, after=3000),
        ends=Ends.RECOVERS,
        cause=CUT_OFF["source"],
        quick=True,
        **_DOWNLOAD,
    ),
    Case(
        id="source-drip-in-download",
        what="The body arrives 64 bytes at a time",
        fault=Fault(kind=Kind.DRIP, seconds=0.001),
        ends=Ends.UNHARMED,
        **_DOWNLOAD,
    ),
    Case(
        id="source-longer-length-in-download",
        what="The answer announces more bytes than it has",
        fault=Fault(kind=Kind.LENGTH, add=100),
        ends=Ends.RECOVERS,
        cause=CUT_OFF["source"],
        **_DOWNLOAD,
    ),
    Case(
        id="source-shorter-length-in-download",
        what="The answer announces fewer bytes than it has, so that the body is cut with a length that agrees",
        fault=Fault(kind=Kind.LENGTH, add=-100),
        ends=Ends.RECOVERS,
        cause=CUT_OFF["source"],
        **_DOWNLOAD,
    ),
    Case(
        id="source-corrupt-in-download",
        what="Bytes of the body change on the way",
        fault=Fault(kind=Kind.CORRUPT, after=2000),
        ends=Ends.FAILED,
        cause="ContractError",
        fails_at="to_parquet",
        note="A gzip file's checksum finds the change.",
        **_DOWNLOAD,
    ),
    Case(
        id="source-404-in-download",
        what="The file disappears between the check and the download",
        fault=status("404 Not Found"),
        ends=Ends.FAILED,
        cause="NotPublishedError",
        **_DOWNLOAD,
    ),
    Case(
        id="source-403-in-download",
        what="The source answers 403 once, as the TLC does for too many requests",
        fault=status("403 Forbidden"),
        ends=Ends.RECOVERS,
        cause="RefusedError",
        **_DOWNLOAD,
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
        lasts=Lasts.TRIES,
        ends=Ends.FAILED,
        cause="edirect",
        **_DOWNLOAD,
    ),
    Case(
        id="source-503-for-long-in-download",
        what="The source answers 503 during all tries",
        fault=Fault(kind=Kind.STATUS, status="503 Service Unavailable", times=None),
        lasts=Lasts.TRIES,
        ends=Ends.FAILED,
        cause="SourceError.*503",
        **_DOWNLOAD,
    ),
    *(
        at(kind, "source", "postgres", "wait_for_publication", ends, cause)
        for kind, ends, cause in (
            (REFUSED, Ends.RETRIED, "Timeout|SourceError"),
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
        fault=status("404 Not Found"),
        ends=Ends.FAILED,
        cause="NotPublishedError",
    ),
)

_UPLOAD: dict[str, Any] = {"server": "gcs", "store": "lake", "task": "local_to_gcs"}
# The first answer is that of the look at the object, so the pattern is that of the upload.
_RECOGNIZED: dict[str, Any] = {
    "fault": Fault(kind=Kind.LOSE_ANSWER, match=b"POST /upload"),
    "note": "The upload that arrived is recognized, and not repeated.",
}
_RESUMABLE = {"google.cloud.storage.blob._MAX_MULTIPART_SIZE": 1000}
GCS: tuple[Case, ...] = (
    *(
        at(kind, "gcs", "lake", "skip_unchanged", ends, cause)
        for kind, ends, cause in (
            (LATENCY, Ends.UNHARMED, ""),
            (DROPPED, Ends.UNHARMED, ""),
            (RESET, Ends.UNHARMED, ""),
            (BUSY, Ends.UNHARMED, ""),
            (STALL, Ends.RETRIED, "Timeout"),
        )
    ),
    *(
        at(kind, "gcs", "lake", "local_to_gcs", ends, cause, **more)
        for kind, ends, cause, more in (
            (LATENCY, Ends.UNHARMED, "", {}),
            (REFUSED, Ends.RETRIED, "Timeout", {}),
            (DROPPED, Ends.RECOVERS, "", {}),
            (CLOSED, Ends.RECOVERS, "", {}),
            (LOST, Ends.UNHARMED, "", {"quick": True, **_RECOGNIZED}),
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
        cause=CUT_OFF["gcs"],
        quick=True,
        **_UPLOAD,
    ),
    Case(
        id="gcs-reset-in-resumable-upload",
        what="The connection is reset in the middle of a resumable upload",
        fault=Fault(kind=Kind.RESET, direction="request", match=b"PUT /", after=1000),
        patches=_RESUMABLE,
        ends=Ends.RECOVERS,
        cause=CUT_OFF["gcs"],
        **_UPLOAD,
    ),
    Case(
        id="gcs-lost-answer-in-resumable-upload",
        what="A resumable upload arrives, and its last answer is lost",
        fault=Fault(kind=Kind.LOSE_ANSWER, match=b"PUT /"),
        patches=_RESUMABLE,
        ends=Ends.RECOVERS,
        cause=CUT_OFF["gcs"],
        **_UPLOAD,
    ),
    Case(
        id="gcs-503-for-long-in-upload",
        what="Cloud Storage answers 503 during all tries",
        fault=Fault(kind=Kind.STATUS, status="503 Service Unavailable", match=b"POST /upload", times=None),
        lasts=Lasts.TRIES,
        timeout=SHORT_TIMEOUT,
        ends=Ends.FAILED,
        cause="503|Timeout",
        **_UPLOAD,
    ),
    *(
        at(kind, "gcs", "bigquery", "load_staging", ends, cause)
        for kind, ends, cause in (
            (DROPPED, Ends.UNHARMED, ""),
            (RESET, Ends.UNHARMED, ""),
            (BUSY, Ends.UNHARMED, ""),
        )
    ),
)

# What submits a job.
JOB = rb"POST [^ ]*/jobs"
# The id of the job that publishes; a query for what is published goes before it.
PUBLISH_JOB = rb'"publish_\w+_after_\d+_\d+"'
# A client that has sent a job twice finds the job that it does not know of.
_SENT_TWICE = "Job .* already exists and is in DONE state|Conflict: 409 .* Already Exists: Job"
_BIGQUERY_TASKS = ("create_table", "load_staging", "check_table", "publish", "drop_staging")
# The tasks that move the rows. Faults that a time-out must end take long, so they are at these alone.
_SLOW_AT = ("load_staging", "publish")


def _bigquery(kind: FaultKind, task: str, ends: Ends, cause: str = "", **more: Any) -> Case:
    return at(kind, "bigquery", "bigquery", task, ends, cause, **more)


BIGQUERY: tuple[Case, ...] = (
    *(_bigquery(DROPPED, task, Ends.UNHARMED) for task in _BIGQUERY_TASKS),
    *(_bigquery(BUSY, task, Ends.RECOVERS) for task in _BIGQUERY_TASKS),
    *(
        _bigquery(LOST, task, Ends.RECOVERS, _SENT_TWICE, fault=Fault(kind=Kind.LOSE_ANSWER, match=JOB))
        for task in _BIGQUERY_TASKS
        if task != "publish"
    ),
    _bigquery(
        LOST,
        "publish",
        Ends.UNHARMED,
        fault=Fault(kind=Kind.LOSE_ANSWER, match=PUBLISH_JOB),
        note="The job that was accepted is recognized, and not submitted again.",
        quick=True,
    ),
    *(
        _bigquery(RESET, task, Ends.RECOVERS, _SENT_TWICE, fault=Fault(kind=Kind.RESET, match=JOB, after=60))
        for task in _SLOW_AT
    ),
    *(
        _bigquery(STALL, task, Ends.RETRIED, "Timeout", fault=Fault(kind=Kind.STALL, match=JOB, times=None))
        for task in _SLOW_AT
    ),
    *(
        _bigquery(
            BUSY,
            task,
            Ends.FAILED,
            "503|Timeout|404",  # after a refused insert, the client looks for the job, and reports that there is none
            id=f"bigquery-503-for-long-in-{task}",
            what="BigQuery answers 503 during all tries",
            fault=Fault(kind=Kind.STATUS, status="503 Service Unavailable", match=JOB, times=None),
            lasts=Lasts.TRIES,
            timeout=SHORT_TIMEOUT,
        )
        for task in _SLOW_AT
    ),
)

# The end of the one statement that publishes; the server commits it by itself.
_PUBLISHED = rb"END\n\$publish\$"
# The statement at which each task is harmed.
_STATEMENTS = {
    "create_table": rb"CREATE TABLE",
    "load_staging": rb"COPY ",
    "check_table": rb"check_result",
    "publish": _PUBLISHED,
    "drop_staging": rb"DROP TABLE",
}


def _postgres(kind: FaultKind, task: str, cause: str, fault: Fault | None = None, **more: Any) -> Case:
    given = {} if fault is None else {"fault": fault}
    return at(kind, "postgres", "postgres", task, Ends.RETRIED, cause, **given, **more)


POSTGRES: tuple[Case, ...] = (
    *(_postgres(REFUSED, task, "OperationalError|Timeout") for task in _STATEMENTS),
    *(_postgres(DROPPED, task, "OperationalError") for task in _STATEMENTS),
    *(
        _postgres(RESET, task, "OperationalError", Fault(kind=Kind.RESET, direction="request", match=_STATEMENTS[task]))
        for task in _SLOW_AT
    ),
    *(
        _postgres(
            LOST,
            task,
            "OperationalError",
            Fault(kind=Kind.LOSE_ANSWER, match=statement),
            quick=task == "publish",
        )
        for task, statement in _STATEMENTS.items()
    ),
    *(
        _postgres(STALL, task, "Timeout", Fault(kind=Kind.STALL, match=_STATEMENTS[task], times=None))
        for task in _SLOW_AT
    ),
    at(LATENCY, "postgres", "postgres", "load_staging", Ends.UNHARMED),
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
        what="Postgres refuses connections during all tries",
        fault=Fault(kind=Kind.REFUSE, times=None),
        lasts=Lasts.TRIES,
        ends=Ends.FAILED,
        cause="OperationalError",
    ),
)

# Where a killer finds a task of each step: (store, task, server, pattern, direction, bytes).
_MOMENTS: tuple[tuple[str, str, str, bytes, Any, int], ...] = (
    *((store, "wait_for_publication", "source", b"GET ", "answer", 0) for store in ("lake", "postgres")),
    *((store, "download", "source", b"GET ", "answer", 3000) for store in ("lake", "postgres")),
    ("lake", "skip_unchanged", "gcs", b"GET ", "answer", 0),
    ("lake", "local_to_gcs", "gcs", b"POST /upload", "request", 1000),
    *(
        ("bigquery", task, "bigquery", PUBLISH_JOB if task == "publish" else JOB, "answer", 0)
        for task in (*_BIGQUERY_TASKS, "check_columns", "check_warnings")
    ),
    ("bigquery", "skip_unchanged", "bigquery", b"", "answer", 0),
    ("bigquery", "create_external_table", "bigquery", rb"POST [^ ]*/tables", "answer", 0),
    ("postgres", "skip_unchanged", "postgres", b"SELECT", "answer", 0),
    ("postgres", "create_table", "postgres", b"CREATE TABLE", "answer", 0),
    ("postgres", "load_staging", "postgres", b"COPY ", "request", 5000),
    *(("postgres", task, "postgres", b"check_result", "answer", 0) for task in ("check_table", "check_warnings")),
    ("postgres", "publish", "postgres", _PUBLISHED, "request", 0),
    ("postgres", "drop_staging", "postgres", b"DROP TABLE", "answer", 0),
    *(("rollup", task, "bigquery", JOB, "answer", 0) for task in ("check_months", "create_table")),
)


def _stalled(server: str, match: bytes, direction: Any, after: int) -> dict[str, Any]:
    return {"server": server, "fault": Fault(kind=Kind.STALL, match=match, direction=direction, after=after)}


# The errors with which a try may fail whose server is killed and restarted.
_RESTARTED_SERVER = CUT_OFF | {
    # Of the kill, the client may see nothing but that the job, which it sends again after the restart, is done.
    "bigquery": f"{CUT_OFF['bigquery']}|the results of job .* are no longer kept|{_SENT_TWICE}",
    "postgres": f"{CUT_OFF['postgres']}|AdminShutdown: terminating connection",
}
_ROLLUP: dict[str, Any] = {"server": "bigquery", "store": "rollup", "task": "publish"}
_COUNTED = "The months are counted as they are."
ROLLUP: tuple[Case, ...] = (
    *(
        at(
            kind,
            **_ROLLUP,
            ends=ends,
            cause=cause,
            fault=Fault(kind=harm, match=PUBLISH_JOB, times=times),
            id=f"bigquery-{kind.name}-in-rollup",
            note=_COUNTED,
        )
        for kind, ends, cause, harm, times in (
            (LOST, Ends.UNHARMED, "", Kind.LOSE_ANSWER, 1),
            (RESET, Ends.UNHARMED, "", Kind.RESET, 1),
            (STALL, Ends.RETRIED, "Timeout", Kind.STALL, None),
        )
    ),
    *(
        Case(
            id=f"{act.name.lower()}-rollup-publish",
            what=what,
            act=act,
            ends=ends,
            cause=cause,
            fault=Fault(kind=Kind.STALL, match=PUBLISH_JOB),
            note=_COUNTED,
            **_ROLLUP,
        )
        for act, what, ends, cause in (
            (
                Act.KILL,
                "SIGKILL of the task while BigQuery runs its job; the retry waits for that job's end",
                Ends.RETRIED,
                "exit code -9",
            ),
            (Act.PAUSE, "The task is stopped by SIGSTOP and goes on later", Ends.UNHARMED, ""),
            (Act.RESTART, "SIGKILL of BigQuery, and its restart", Ends.RECOVERS, _RESTARTED_SERVER["bigquery"]),
        )
    ),
)

# Tasks that are killed at a moment without a connection: (store, task, module whose function hangs, function).
_HANGS = (
    ("lake", "to_parquet", "nyc_taxi.common.files.os", "replace"),
    ("postgres", "to_parquet", "nyc_taxi.common.files.os", "replace"),
    *((store, "remove_files", "nyc_taxi.common.work_files.shutil", "rmtree") for store in ("lake", "postgres")),
)
PROCESSES: tuple[Case, ...] = (
    *(
        Case(
            id=f"kill-{store}-{task}",
            store=store,
            task=task,
            what=f"SIGKILL of the task while it talks to {SERVER_NAMES[server]}",
            act=Act.KILL,
            ends=Ends.RETRIED,
            cause="exit code -9",
            quick=(store, task) == ("postgres", "publish"),
            **_stalled(server, *where),
        )
        for store, task, server, *where in _MOMENTS
    ),
    *(
        Case(
            id=f"pause-{store}-{task}",
            store=store,
            task=task,
            what="The task is stopped by SIGSTOP and goes on later",
            act=Act.PAUSE,
            ends=Ends.UNHARMED,
            **_stalled(server, *where),
        )
        for store, task, server, *where in _MOMENTS
        if task in ("download", "local_to_gcs", *_SLOW_AT) and store != "rollup"
    ),
    *(
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
        for store, task, module, function in _HANGS
    ),
    *(
        Case(
            id=f"restart-{server}-in-{task}",
            store=store,
            task=task,
            what=f"SIGKILL of {SERVER_NAMES[server]}, and its restart",
            act=Act.RESTART,
            ends=Ends.RECOVERS,
            cause=_RESTARTED_SERVER[server],
            **_stalled(server, *where),
        )
        for store, task, server, *where in _MOMENTS
        if task in ("local_to_gcs", *_SLOW_AT) and store != "rollup"
    ),
    *(
        Case(
            id=f"kill-{store}-announce_unchanged",
            store=store,
            task="announce_unchanged",
            what="SIGKILL of the task that announces an unchanged month",
            act=Act.KILL,
            hang=BEFORE,
            ends=Ends.RETRIED,
            cause="exit code -9",
            unchanged=True,
        )
        for store in ("lake", "bigquery")
    ),
)


def _limited(what: str, store: str, task: str, limits: dict[str, int], cause: str, *, quick: bool = False) -> Case:
    """A limit of the process during the first try; the id begins with the limit."""
    limit = {"RLIMIT_FSIZE": "file-size", "RLIMIT_DATA": "memory", "RLIMIT_NOFILE": "file"}[next(iter(limits))]
    return Case(
        id=f"{limit}-limit-in-{task}",
        store=store,
        task=task,
        what=what,
        limits=limits,
        ends=Ends.RETRIED,
        cause=cause,
        quick=quick,
    )


# Bytes of a memory cgroup that is too small for what a task needs beside what it has from its parent.
CGROUP_BYTES = 1 << 20
# Bytes and files that are free on a disk that fills up during the try.
_NO_ROOM = {"bytes": 4096, "files": 100}
_LITTLE_ROOM = {"bytes": 32768, "files": 100}
_NO_FILES = {"bytes": 1 << 20, "files": 0}
_NAMED = r"DiskFullError: .*cannot write /\S+: its disk is full; .* MiB of .* MiB are free in /\S+\. Free some space"
_SERVER_NAMED = (
    r"DiskFullError: .*the Postgres server cannot write staging\.\w+: could not extend file \S+pg_tblspc/.*"
    "free some space on the disk of its data directory"
)


def _of_server(name: str) -> str:
    return rf"the embedded {name} cannot write to /\S+: its disk is full, .* MiB are free\. Free some space there"


def _full_disk(what: str, store: str, task: str, cause: str = _NAMED, **how: Any) -> Case:
    note = "The error names the file, the disk and what to do."
    given = {"id": f"disk-full-in-{task}", "ends": Ends.RETRIED, "cause": cause, "note": note, **how}
    return Case(what=what, store=store, task=task, **given)


LIMITS: tuple[Case, ...] = (
    _full_disk("The disk of the work dir is full", "lake", "download", disk=_NO_ROOM),
    _full_disk("The disk of the work dir is full", "postgres", "to_parquet", disk=_NO_ROOM),
    _full_disk(
        "The disk of the work dir takes no more files",
        *("lake", "download"),
        id="no-more-files-in-download",
        disk=_NO_FILES,
    ),
    *(
        _full_disk(
            "The disk is full when a whole file is renamed to its name",
            *("lake", task),
            id=f"disk-full-at-rename-in-{task}",
            full="nyc_taxi.common.files.os:replace",
        )
        for task in ("download", "to_parquet")
    ),
    *(
        _full_disk(
            f"The disk of the Postgres server is full when the staging table is {moment}",
            *("postgres", "load_staging", _SERVER_NAMED),
            id=f"server-disk-full-when-{moment}",
            server="postgres",
            disk=disk,
        )
        for moment, disk in (("created", _NO_ROOM), ("filled", _LITTLE_ROOM))
    ),
    *(
        _full_disk(
            f"The disk of the embedded {SERVER_NAMES[server]} is full",
            *(store, task, _of_server(SERVER_NAMES[server])),
            id=f"{server}-disk-full-in-{task}",
            server=server,
            disk=_NO_ROOM,
        )
        for server, store, task in (("gcs", "lake", "local_to_gcs"), ("bigquery", "bigquery", "load_staging"))
    ),
    *(
        _limited("A file reaches the process's limit of its size", *at, {"RLIMIT_FSIZE": 4000}, "File too large")
        for at in (("lake", "download"), ("postgres", "to_parquet"))
    ),
    *(
        _limited(
            "The memory limit is reached",
            *at,
            {"RLIMIT_DATA": 1 << 20},
            "MemoryError|Failed to launch worker thread|exit code -6",
        )
        for at in (("lake", "to_parquet"), ("postgres", "load_staging"))
    ),
    *(
        Case(
            id=f"memory-cgroup-in-{task}",
            store=store,
            task=task,
            what="The kernel kills the task, whose memory cgroup, as that of a container, is too small for it",
            memory=CGROUP_BYTES,
            lasts=Lasts.TRIES,
            ends=Ends.FAILED,
            cause="exit code -9",
        )
        for store, task in (("lake", "to_parquet"), ("postgres", "load_staging"))
    ),
    *(
        _limited(
            "No more files can be opened", *at, {"RLIMIT_NOFILE": 1}, "Too many open files", quick=at[0] == "postgres"
        )
        for at in (("lake", "download"), ("lake", "to_parquet"), ("lake", "local_to_gcs"), ("postgres", "load_staging"))
    ),
)

CASES: tuple[Case, ...] = (*SOURCE, *GCS, *BIGQUERY, *POSTGRES, *ROLLUP, *PROCESSES, *LIMITS)


def _promise(group: str, id: str, fault: str, where: str, promise: str) -> Promise:
    return Promise(id=id, fault=fault, where=where, promise=promise, group=group)


_OVERLAP = "Overlapping runs and clocks"
_OLDER = "The newer rows stay. The overtaken run says so, and changes nothing."
_BOTH = "Both runs succeed, and the month is there once and whole."
_LAST_STEPS = {
    "lake": "`web_to_gcs.local_to_gcs`",
    "bigquery": "`gcs_to_bigquery.publish`",
    "postgres": "`web_to_postgres.publish`",
}
OVERLAPS: tuple[Promise, ...] = (
    _promise(
        _OVERLAP,
        "older-run-last-in-lake",
        "A run is stopped before it uploads; a newer one overtakes it; then it goes on",
        "`web_to_gcs.local_to_gcs`",
        _OLDER,
    ),
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
    *(
        _promise(
            _OVERLAP,
            f"older-forced-run-last-in-{store}",
            "A run with `force` is stopped before its last step; a newer one overtakes it; then it goes on",
            where,
            _OLDER,
        )
        for store, where in _LAST_STEPS.items()
    ),
    *(
        _promise(
            _OVERLAP,
            f"older-run-after-clock-ahead-in-{store}",
            "A run is stopped before its last step; a newer one, whose clock is an hour ahead, overtakes it",
            _LAST_STEPS[store],
            _OLDER,
        )
        for store in ("lake", "postgres")
    ),
    *(
        _promise(
            _OVERLAP,
            f"older-run-had-clock-ahead-in-{store}",
            "A run, whose clock is an hour ahead, is stopped before its last step; a newer one with a right clock "
            "overtakes it; then the first goes on",
            _LAST_STEPS[store],
            _OLDER,
        )
        for store in ("lake", "postgres")
    ),
    *(
        _promise(
            _OVERLAP,
            f"clock-ahead-then-back-in-{store}",
            "A month is loaded while the worker's clock is an hour ahead; then the clock is set back",
            _LAST_STEPS[store],
            "The next run loads what the source has then.",
        )
        for store in ("lake", "postgres")
    ),
    *(
        _promise(
            _OVERLAP,
            f"machine-clock-ahead-then-back-in-{store}",
            "A month is loaded while the clock of the whole machine is an hour ahead; then the clock is set back",
            _LAST_STEPS[store],
            "The next run loads what the source has then.",
        )
        for store in _LAST_STEPS
    ),
    _promise(
        _OVERLAP,
        "machine-clock-ahead-then-back-in-rollup",
        "A year is counted while the clock of the whole machine is an hour ahead; then the clock is set back",
        "`trips_yearly_rollup.publish`",
        "The next run counts the months as they are then.",
    ),
    *(
        _promise(
            _OVERLAP,
            f"version-returns-in-{store}",
            "The source has another version for a while. A run with it is stopped before its last step; the next run "
            "finds the store unchanged; then the stopped run goes on",
            _LAST_STEPS[store],
            "The rows stay that the source has. The overtaken run says so, and changes nothing.",
        )
        for store in ("lake", "postgres")
    ),
    _promise(
        _OVERLAP,
        "older-rollup-last",
        "A rollup is stopped before it publishes; a month changes, and a newer rollup counts it; then it goes on",
        "`trips_yearly_rollup.publish`",
        "Both succeed, and both count the months as they are.",
    ),
    _promise(
        _OVERLAP,
        "killed-after-every-publish",
        "Every try is killed after BigQuery has accepted its job, so that none says that the month has arrived",
        "`gcs_to_bigquery.publish`",
        "The run fails. The next start finds the month unchanged, and announces it, so that the rollup counts it.",
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
        "The wait ends, and the run is skipped with its reason. The next ordinary start loads the month.",
    ),
    _promise(
        _OVERLAP,
        "clock-jumps-back-in-wait",
        "The clock jumps a year back while a run waits for its file",
        "the trigger of `wait_for_publication`",
        "The run goes on as soon as the file is there, and loads it.",
    ),
)

_LATER = "The run fails. The next start of any month of the DAG removes what is left, and nothing of runs that live."
LEFTOVERS: tuple[Promise, ...] = (
    *(
        _promise(
            "Processes and machine",
            f"killed-in-last-try-of-download-in-{store}",
            "SIGKILL of the task in its last try, so that the cleanup does not run: a part of the file is left",
            f"`{STEP_OF[store]}.download`",
            _LATER,
        )
        for store in ("lake", "postgres")
    ),
    _promise(
        "Processes and machine",
        "killed-in-last-try-of-load_staging",
        "SIGKILL of the task in its last try, after the commit, so that the cleanup does not run: a table is left",
        "`web_to_postgres.load_staging`",
        _LATER,
    ),
    _promise(
        "Processes and machine",
        "killed-in-last-try-of-load_staging-in-bigquery",
        "SIGKILL of the task in its last try, after BigQuery has accepted its job, so that the cleanup does not run: a "
        "table is left",
        "`gcs_to_bigquery.load_staging`",
        _LATER,
    ),
    *(
        _promise(
            "Processes and machine",
            f"timed-out-in-{store}",
            "Runs time out (`dagrun_timeout`), which skips the cleanup, too: files and staging tables are left",
            f"each step of `{STEP_OF[store]}`",
            _LATER,
        )
        for store in ("lake", "bigquery", "postgres")
    ),
)

_STACK = "The whole stack"
_RESTARTED = "The watcher restarts the component within seconds. All runs under way succeed."
_RECOVERY = {
    TASK: "The supervisor reports it at once. The task is retried, and the run succeeds.",
    SUPERVISOR: "After the heartbeat time-out of one minute the scheduler retries the task. The run succeeds.",
    WATCHER: "`make status` and `bin/airflow` say so until `make up` starts it again. All runs under way succeed.",
}
STACK: tuple[Promise, ...] = (
    *(
        _promise(
            _STACK,
            f"stack-kill-{name}",
            f"SIGKILL of {the}",
            "at the steps marked below",
            _RECOVERY.get(name, _RESTARTED),
        )
        for name, the in COMPONENTS.items()
    ),
    _promise(
        _STACK,
        "stack-kill-triggerer-with-a-wait",
        "SIGKILL of the triggerer while a task waits in it",
        "`web_to_postgres.wait_for_publication`",
        "The watcher restarts it, and the wait goes on. When the month is there, the run loads it.",
    ),
    _promise(
        _STACK,
        "stack-memory-cgroup",
        "A task and its supervisor are in a memory cgroup that is too small for them, and the kernel kills the task",
        "`web_to_postgres.to_parquet`",
        "The task's log names the signal, and memory as its likely cause. The retry has room, and the run succeeds.",
    ),
    _promise(
        _STACK,
        "stack-dags-test-beside-scheduler",
        "`airflow dags test` of a month while the scheduler's run of it is about to publish, and runs of others go on",
        "`web_to_postgres`",
        "All runs succeed. The month is there once and whole: the run whose download is older says so, and stops.",
    ),
)
