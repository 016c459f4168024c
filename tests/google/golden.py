"""The golden files of the requests that a run sends to Google: one file for each DAG, below tests/google/on_record.

``PYTHONPATH=plugins python -m tests.google.golden`` writes them anew.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from nyc_taxi.registry.datasets import ZONES
from tests.conftest import REPOSITORY
from tests.faults.scene import FILE, STEPS, UNTOUCHED, Scene
from tests.google.discovery import method_of
from tests.google.recording import Request, recorded

FOLDER = REPOSITORY / "tests" / "google" / "on_record"
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
    (r"\bmanual__[0-9a-f]{12}\b", "manual__RUN"),
    (r"^[A-Za-z0-9+/]{6}==$", "CRC32C"),
)


def golden(requests: Mapping[str, list[Request]]) -> str:
    """Return the golden text of a run's requests, by task."""
    tasks = {task_id: _steps([_shown(request) for request in sent]) for task_id, sent in requests.items()}
    return json.dumps({task_id: sent for task_id, sent in tasks.items() if sent}, indent=2) + "\n"


def _steps(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return requests in their order, but reads in a row sorted, because threads send them, and each once."""
    steps: list[dict[str, Any]] = []
    for is_read, row in groupby(shown, key=lambda one: str(one["url"]).startswith(("GET", "HEAD"))):
        sent = list(row)
        steps += [one for one, _ in groupby(sorted(sent, key=json.dumps) if is_read else sent)]
    return steps


def _shown(request: Request) -> dict[str, Any]:
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


def record(scene: Scene) -> dict[str, dict[str, list[Request]]]:
    """Run the DAGs that talk to Google, and return what each of their tasks has sent, by DAG and task."""
    proxies = {"storage": scene.proxies["gcs"], "bigquery": scene.proxies["bigquery"]}
    steps = (STEPS["lake"], STEPS["bigquery"])
    runs = [scene.run(file, step, force=True) for file in (FILE, ZONES.file()) for step in steps]
    found: dict[str, dict[str, list[Request]]] = {}
    for run in (*runs, scene.rollup()):
        assert scene.worker is not None
        tasks = [task["task_id"] for task in scene.worker.dags[run.dag_id]]
        sent = found.setdefault(run.dag_id, {})
        for task_id, following in zip(tasks, [*tasks[1:], None], strict=True):
            with recorded(proxies) as requests:
                ended = run.go(until=following)
            sent[task_id] = list(requests)
        assert ended.state == "success", run.log()[-8000:]
    return found


def main() -> int:
    """Write the golden files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as scene:
        for dag_id, requests in record(scene).items():
            (FOLDER / f"{dag_id}.json").write_text(golden(requests))
    return 0


if __name__ == "__main__":
    sys.exit(main())
