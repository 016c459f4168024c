"""The golden files of the requests that a run sends to Google: one file for each DAG, below tests/google/on_record.

A run whose work dir is in a bucket has a file of its own, whose name ends with ``.work_dir``. How many requests a month
of each dataset sends that was not there before, and is small, is in requests.json beside the folder.

``PYTHONPATH=plugins python -m tests.google.golden`` writes them anew.
"""

from __future__ import annotations

import base64
import csv
import gzip
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from local.airflow.reconcile import storage_client
from local.cloud.source.layouts import MIRROR
from nyc_taxi.registry.datasets import TRIP_DATASETS, ZONES
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from tests.conftest import REPOSITORY
from tests.faults.runs import Run
from tests.faults.scene import FILE, MONTH, ROWS, STEPS, UNTOUCHED, Scene
from tests.google.discovery import method_of
from tests.google.recording import Request, recorded

FOLDER = REPOSITORY / "tests" / "google" / "on_record"
COUNTS = FOLDER.parent / "requests.json"
WORK_BUCKET = "nyc-taxi-work"
# Ends the name of a run whose work dir is in that bucket.
IN_BUCKET = ".work_dir"
# Of a month whose files are sent in parts, as csv.gz and as Parquet: random texts, which do not compress.
LARGE_ROWS = 6000
TEXT_BYTES = 3072
NEW_MONTH = Month(2020, 12)
# In the place of a task's name. The client looks at each bucket that it uses, for its traces, at any time.
BY_CLIENT = "any task: the client, in a thread of its own"
CONTINUED = "storage.objects.insert, a part"
Sent = dict[str, list[Request]]
# What differs from run to run: times, ids of jobs and staging tables, generations and checksums of objects.
_VARIES = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\d{4}_\d\d_\d\dT\d\d_\d\d_\d\d(_\d+)?_00_00", "TIME"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", "TIME"),
    (r"_[0-9a-f]{32}\b", "_HASH"),
    (r"\b[0-9a-f]{32}\b", "HASH"),
    (r"\b\d{16}\b", "NUMBER"),
    (r"(airflow)_\d{16}", r"\1_NUMBER"),
    (r"_[0-9a-f]{10}_(\d+)$", r"_RUN_\1"),
    (r"\bmanual__[0-9a-f]{12}-[0-9a-f]{10}\b", "manual__RUN-HASH"),
    (r"\bmanual__[0-9a-f]{12}\b", "manual__RUN"),
    (r"^[A-Za-z0-9+/]{6}==$", "CRC32C"),
)


def golden(requests: Mapping[str, list[Request]]) -> str:
    """Return the golden text of a run's requests, by task."""
    looks = [_shown(request) for sent in requests.values() for request in sent if _is_by_client(request)]
    tasks = {BY_CLIENT: _steps(looks)}
    for task_id, sent in requests.items():
        tasks[task_id] = _steps([_shown(request) for request in sent if not _is_by_client(request)])
    return json.dumps({task_id: sent for task_id, sent in tasks.items() if sent}, indent=2) + "\n"


def counted(requests: Mapping[str, list[Request]]) -> dict[str, int]:
    """Return how many requests a run has sent, by method; parts of uploads beyond their first request by themselves."""
    sent = (request for each in requests.values() for request in each)
    return dict(sorted(Counter(CONTINUED if one.is_continued else method_of(one) for one in sent).items()))


def _is_by_client(request: Request) -> bool:
    return request.method == "GET" and re.fullmatch(r"/storage/v1/b/[^/]+", request.path) is not None


def _steps(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return requests in their order, but reads in a row sorted, because threads send them, and each once."""
    steps: list[dict[str, Any]] = []
    for is_read, row in groupby(shown, key=lambda one: str(one["url"]).startswith(("GET", "HEAD"))):
        sent = list(row)
        steps += [one for one, _ in groupby(sorted(sent, key=json.dumps) if is_read else sent)]
    return steps


def _shown(request: Request) -> dict[str, Any]:
    if request.is_continued:
        return {"calls": method_of(request), "url": "PUT the upload goes on", "media": list(request.media)}
    shown = {
        "calls": method_of(request),
        "url": f"{request.method} {_steady(unquote(request.path))}",
        "parameters": {name: _steady(value) for name, value in request.query if name != "prettyPrint"},
        "body": _of_body(request.body),
        "media": list(request.media),
        "only a part": request.is_part,
    }
    return {name: value for name, value in shown.items() if value not in (None, {}, [], False)}


def _of_body(value: Any) -> Any:
    """Return a body without what varies, nulls, and SQL, which has golden files of its own."""
    if isinstance(value, dict):
        return {
            name: "SQL" if name == "query" and isinstance(item, str) else _of_body(item)
            for name, item in value.items()
            if item is not None
        }
    if isinstance(value, list):
        return [_of_body(item) for item in value]
    return _steady(value) if isinstance(value, str) else value


def _steady(text: str) -> str:
    for pattern, name in _VARIES:
        text = re.sub(pattern, name, text)
    return text


@contextmanager
def started(folder: Path) -> Iterator[Scene]:
    """Start an embedded cloud with proxies, in which the month before is loaded, and stop it after the block."""
    scene = Scene(folder)
    try:
        scene.start()
        scene.publish_zones()
        scene.load(UNTOUCHED[0], [STEPS["lake"], STEPS["bigquery"]])
        yield scene
    finally:
        scene.stop()


def record(scene: Scene) -> dict[str, Sent]:
    """Run the DAGs, those that use the work dir also with one in a bucket; return what each task has sent to Google."""
    found = _record_month(scene, FILE)
    runs = [scene.run(ZONES.file(), STEPS[store]) for store in ("lake", "bigquery")]
    found |= {run.dag_id: _sent(scene, run) for run in (*runs, scene.rollup())}
    publish_large(scene)
    storage_client(scene.settings).create_bucket(WORK_BUCKET)
    return found | _record_in_bucket(scene, FILE)


def _record_month(scene: Scene, file: PublishedFile) -> dict[str, Sent]:
    runs = [scene.run(file, step) for step in STEPS.values()]
    return {run.dag_id: _sent(scene, run) for run in runs}


def _record_in_bucket(scene: Scene, file: PublishedFile) -> dict[str, Sent]:
    steps, work_dir = (STEPS["lake"], STEPS["postgres"]), f"gs://{WORK_BUCKET}/work"
    runs = [scene.run(file, step, work_dir=work_dir) for step in steps]
    return {f"{run.dag_id}{IN_BUCKET}": _sent(scene, run) for run in runs}


def _sent(scene: Scene, run: Run) -> Sent:
    """Make a run; returns what each of its tasks has sent."""
    assert scene.worker is not None
    proxies = {"storage": scene.proxies["gcs"], "bigquery": scene.proxies["bigquery"]}
    tasks = [task["task_id"] for task in scene.worker.dags[run.dag_id]]
    sent: Sent = {}
    for task_id, following in zip(tasks, [*tasks[1:], None], strict=True):
        with recorded(proxies) as requests:
            ended = run.go(until=following)
        sent[task_id] = list(requests)
    assert ended.state == "success", run.log()[-8000:]
    return sent


def publish_large(scene: Scene) -> None:
    """Publish the month once more, with so much text that each of its files is sent in parts."""
    scene.publish(FILE, LARGE_ROWS)
    path = scene.source / MIRROR.file(FILE.dataset.name, MONTH)
    with gzip.open(path, "rt", newline="") as file:
        head, *rows = csv.reader(file)
    column, texts = head.index("store_and_fwd_flag"), random.Random(0)
    for row in rows:
        row[column] = base64.b64encode(texts.randbytes(TEXT_BYTES)).decode()
    with gzip.open(path, "wt", newline="", compresslevel=1) as file:
        csv.writer(file).writerows([head, *rows])


def _record_small(scene: Scene) -> dict[str, Sent]:
    """Return what a small new month of each dataset sends; that of green with a local work dir is on record."""
    found: dict[str, Sent] = {}
    for dataset in TRIP_DATASETS:
        for file in (dataset.file(MONTH), dataset.file(NEW_MONTH)):
            scene.publish(file, ROWS["old"])
        if dataset is not FILE.dataset:
            found |= _record_month(scene, dataset.file(MONTH))
        found |= _record_in_bucket(scene, dataset.file(NEW_MONTH))
    return found


def main() -> int:
    """Write the golden files, and the counts."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as scene:
        on_record = record(scene)
        counts = {name: counted(sent) for name, sent in {**on_record, **_record_small(scene)}.items()}
    for name, requests in on_record.items():
        (FOLDER / f"{name}.json").write_text(golden(requests))
    COUNTS.write_text(json.dumps(counts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
