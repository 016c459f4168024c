"""The HTTP server of the trip-data source: ``/<dataset>/<dataset>_tripdata_<YYYY-MM>.csv.gz`` and the zones.

Answers GET and HEAD as a release mirror does: strong entity tags, modification times, ranges, conditional requests.
"""

from __future__ import annotations

import os
import re
import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from pathlib import Path

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from localcloud.settings import HOST
from localcloud.source import zones
from localcloud.source.datasets import DATASETS
from localcloud.source.months import FIRST_MONTH, Month, latest_month
from localcloud.source.synthetic import VERSION, write_atomically, write_month

ZONES_PATH = "misc/taxi_zone_lookup.csv"
_MONTH_PATH = re.compile(r"(?P<dataset>[a-z]+)/(?P=dataset)_tripdata_(?P<month>\d{4}-\d{2})\.csv\.gz", re.ASCII)
_ZONES_MODIFIED = 1_577_836_800  # 2020-01-01
_DRAIN_SECONDS = 2


class Source(ABC):
    """Where the served files come from."""

    def find(self, path: str) -> Path | None:
        """The file behind the URL path ``path``, without its leading slash; None if there is none."""
        if path == ZONES_PATH:
            return self.zones()
        match = _MONTH_PATH.fullmatch(path)
        if match is None:
            return None
        try:
            return self.month(match["dataset"], Month.parse(match["month"]))
        except ValueError:
            return None

    @abstractmethod
    def month(self, dataset: str, month: Month) -> Path | None:
        """The file of one month, or None; may take its time."""

    @abstractmethod
    def zones(self) -> Path | None:
        """The zone lookup table, or None."""

    @abstractmethod
    def describe(self) -> str:
        """What there is, for people who ask for what is not."""


class Folder(Source):
    """Serves a folder in the mirror's layout, and only the files that belong to it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def month(self, dataset: str, month: Month) -> Path | None:
        return self._existing(f"{dataset}/{dataset}_tripdata_{month}.csv.gz")

    def zones(self) -> Path | None:
        return self._existing(ZONES_PATH)

    def describe(self) -> str:
        return f"the files of {self._root}"

    def _existing(self, name: str) -> Path | None:
        path = self._root / name
        return path if path.is_file() else None


class Synthetic(Source):
    """Serves months that it generates when they are first asked for, and keeps."""

    def __init__(self, cache: Path, *, rows: int) -> None:
        self._folder = cache / f"v{VERSION}-{rows}"
        self._rows = rows
        self._locks: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)

    def month(self, dataset: str, month: Month) -> Path | None:
        if dataset not in DATASETS or not Month(*FIRST_MONTH) <= month <= latest_month():
            return None
        path = self._folder / dataset / f"{dataset}_tripdata_{month}.csv.gz"
        with self._locks[path]:
            if not path.exists():
                write_month(dataset, month, path, rows=self._rows)
        return path

    def zones(self) -> Path | None:
        path = self._folder / ZONES_PATH
        with self._locks[path]:
            if not path.exists():
                content = zones.lookup_csv()
                write_atomically(path, lambda file: file.write(content), modified=_ZONES_MODIFIED + VERSION)
        return path

    def describe(self) -> str:
        return f"synthetic months of {', '.join(DATASETS)} from {Month(*FIRST_MONTH)} to {latest_month()}"


class Files(StaticFiles):
    """Answers requests for the files of a source; ranges, tags and conditions are the library's work."""

    def __init__(self, source: Source) -> None:
        super().__init__(directory=None, check_dir=False)
        self._source = source

    async def answer(self, request: Request) -> Response:
        name = request.url.path.removeprefix("/")
        path = await anyio.to_thread.run_sync(self._source.find, name)
        if path is None:
            text = f"{name} is not here. This source has {self._source.describe()}, and {ZONES_PATH}.\n"
            return PlainTextResponse(text, status_code=404)
        response = self.file_response(path, os.stat(path), request.scope)
        if response.status_code != 304:
            # Not "text/csv", as the library guesses from the name: the body is the compressed file itself.
            response.headers["content-type"] = "application/gzip" if path.suffix == ".gz" else "text/csv; charset=utf-8"
        return response


def create_app(source: Source) -> Starlette:
    """The application that serves ``source``."""

    async def is_up(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    files = Files(source)
    return Starlette(routes=[Route("/healthz", is_up), Route("/{path:path}", files.answer)])


def serve(source: Source, *, port: int, host: str = HOST) -> None:
    """Serve ``source`` on ``host`` until a SIGTERM or SIGINT comes; downloads then have two seconds to end."""
    uvicorn.run(
        create_app(source),
        host=host,
        port=port,
        lifespan="off",
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
