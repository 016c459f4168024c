"""Asks bqemulator itself, without the layer of the embedded BigQuery, and lists where it differs: for its authors.

``python -m tests.local.cloud.bigquery.corpus.upstream`` writes ``upstream.md`` in minutes: a report on the version
that it names, not a promise of this repository.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests

from local.cloud.settings import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "plugins"))

from tests.local.cloud.bigquery.conftest import PYTHON, Server
from tests.local.cloud.bigquery.corpus.case_file import Case
from tests.local.cloud.bigquery.corpus.case_file import cases as all_cases
from tests.local.cloud.bigquery.corpus.running import RIGHT, WRONG, Judge, Outcome
from tests.local.cloud.bigquery.support import PROJECT

PAGE = Path(__file__).with_name("upstream.md")
# The spatial extension is imported from its package, because bqemulator's own download needs the internet.
_PROGRAM = """
import sys
from bqemulator.config import PersistenceMode, Settings
from bqemulator.server import run_forever
from duckdb_extensions import import_extension
import_extension("spatial")
run_forever(Settings(rest_port=int(sys.argv[1]), grpc_port=int(sys.argv[2]), default_project_id=sys.argv[3],
    persistence_mode=PersistenceMode.EPHEMERAL, enable_format_extensions=False, metrics_enabled=False))
"""
_SHOWN = 300
_THREADS = 4


def main() -> None:
    """Ask all cases that need nothing but SQL, and write the page."""
    cases = {case.id: case for case in all_cases() if not _needs_trips(case)}
    with tempfile.TemporaryDirectory() as folder, bare(Path(folder)) as server:
        judge = Judge(server)
        with ThreadPoolExecutor(_THREADS) as pool:
            outcomes = dict(zip(cases, pool.map(lambda case: _ask(judge, case), cases.values()), strict=True))
    PAGE.write_text(page(cases, outcomes, _version()), encoding="utf-8")
    print(f"{len(cases)} cases, {sum(one.verdict != RIGHT for one in outcomes.values())} differ: {PAGE}")


def _needs_trips(case: Case) -> bool:
    texts = (*case.ways.values(), *case.setup, case.then or "")
    return any(name in text for text in texts for name in ("{taxi}", "{lake}"))


def _ask(judge: Judge, case: Case) -> Outcome:
    """Ask a case; bqemulator cuts some connections."""
    try:
        return judge.judge(case)
    except requests.RequestException as error:
        return Outcome(WRONG, f"no answer: {type(error).__name__}")


def page(cases: Mapping[str, Case], outcomes: Mapping[str, Outcome], version: str) -> str:
    """Return the page: each case that is not right, with its query, the difference and its source."""
    wrong = {name: one for name, one in sorted(outcomes.items()) if one.verdict != RIGHT}
    lines = [
        f"# Where bqemulator {version} differs from BigQuery",
        "",
        f"bqemulator, without the layer of this repository, answers {len(wrong)} of {len(cases)} cases of the corpus",
        "in another way. Each can be sent upstream as it is. Written by",
        "`.venv/bin/python -m tests.local.cloud.bigquery.corpus.upstream`.",
    ]
    for name, one in wrong.items():
        reason, _, query = one.reason.partition("\n")
        lines += [
            "",
            f"## {name}",
            "",
            "```sql",
            *(f"{statement};" for statement in cases[name].setup),
            query or cases[name].query,
            "```",
            "",
        ]
        lines += [f"- {_plain(reason)}", f"- source: {cases[name].source}"]
    return "\n".join([*lines, ""])


def _plain(text: str) -> str:
    text = re.sub(r"corpus_[0-9a-f]{32}", "dataset", " ".join(text.split()))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _version() -> str:
    code = "from importlib.metadata import version; print(version('bqemulator'))"
    return subprocess.check_output([PYTHON, "-c", code], text=True).strip()


@contextmanager
def bare(folder: Path) -> Iterator[Server]:
    """Run bqemulator during the block."""
    with socket.socket() as rest, socket.socket() as grpc:
        rest.bind(("127.0.0.1", 0))
        grpc.bind(("127.0.0.1", 0))
        ports = rest.getsockname()[1], grpc.getsockname()[1]
    command = [PYTHON, "-c", _PROGRAM, *map(str, ports), PROJECT]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log) as process,
    ):
        server = Server(folder=folder, port=ports[0])
        try:
            _await(server, process, folder / "log")
            yield server
        finally:
            process.kill()


def _await(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        try:
            urllib.request.urlopen(f"{server.url}/bigquery/v2/projects/{PROJECT}/datasets", timeout=5).close()
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(log.read_text()) from None
            time.sleep(0.1)


if __name__ == "__main__":
    main()
