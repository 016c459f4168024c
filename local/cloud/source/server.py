"""HTTP server of the trip-data source: months in the mirror's and the TLC's layout, and the zones.

Answers GET and HEAD as a release mirror does, with strong entity tags, modification times, ranges and conditional
requests.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from local.cloud.guard import Guard
from local.cloud.settings import HOST
from local.cloud.source import zones
from local.cloud.source.layouts import LAYOUTS, MIRROR, TLC, Layout
from local.cloud.source.months import Month, latest_month
from local.cloud.source.synthetic import VERSION, write_atomically, write_month

ZONES_PATH = "misc/taxi_zone_lookup.csv"
_CONTENT_TYPES = {
    ".gz": "application/gzip",  # the body is the compressed file, without Content-Encoding
    ".csv": "text/csv; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
}
_ZONES_MODIFIED = 1_577_836_800  # 2020-01-01
_DRAIN_SECONDS = 2


class Source(ABC):
    """Provides the files to serve."""

    def find(self, path: str) -> Path | None:
        """Return the file for the URL path ``path`` (without leading slash), or None."""
        if path == ZONES_PATH:
            return self.zones()
        for layout in LAYOUTS:
            if found := layout.parse(path):
                return self.month(layout, *found)
        return None

    @abstractmethod
    def month(self, layout: Layout, dataset: str, month: Month) -> Path | None:
        """Return the file of a month, or None; may take seconds to generate it."""

    @abstractmethod
    def zones(self) -> Path | None:
        """Return the zone lookup table, or None."""

    @abstractmethod
    def describe(self, layout: Layout) -> str:
        """Describe the available files in a layout, for the message about a missing file."""


class Folder(Source):
    """Serves the files of a folder that belong to one of the layouts."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def month(self, layout: Layout, dataset: str, month: Month) -> Path | None:
        return self._existing(layout.file(dataset, month))

    def zones(self) -> Path | None:
        return self._existing(ZONES_PATH)

    def describe(self, layout: Layout) -> str:
        return f"the files of {self._root}"

    def _existing(self, name: str) -> Path | None:
        path = self._root / name
        return path if path.is_file() else None


class Synthetic(Source):
    """Serves synthetic months, generated on first request and cached."""

    def __init__(self, cache: Path, *, rows: int) -> None:
        self._folder = cache / f"v{VERSION}-{rows}"
        self._rows = rows
        self._locks: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)

    def month(self, layout: Layout, dataset: str, month: Month) -> Path | None:
        first = layout.first_months.get(dataset)
        if first is None or not first <= month <= latest_month():
            return None
        path = self._folder / layout.file(dataset, month)
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

    def describe(self, layout: Layout) -> str:
        firsts = layout.first_months
        if len(set(firsts.values())) == 1:
            begins = f"{', '.join(firsts)} from {next(iter(firsts.values()))}"
        else:
            begins = ", ".join(f"{dataset} from {first}" for dataset, first in firsts.items())
        return f"synthetic months of {begins} to {latest_month()}"


class Files(StaticFiles):
    """Answers requests for the files of a source; starlette implements ranges, tags and conditions."""

    def __init__(self, source: Source) -> None:
        super().__init__(directory=None, check_dir=False)
        self._source = source

    async def answer(self, request: Request) -> Response:
        name = request.url.path.removeprefix("/")
        path = await anyio.to_thread.run_sync(self._source.find, name)
        if path is None:
            layout = TLC if name.startswith(f"{TLC.folder}/") else MIRROR
            text = f"{name} does not exist. This source has {self._source.describe(layout)}, and {ZONES_PATH}.\n"
            return PlainTextResponse(text, status_code=layout.missing)
        response = self.file_response(path, os.stat(path), request.scope)
        if response.status_code != 304:
            response.headers["content-type"] = _CONTENT_TYPES[path.suffix]  # instead of starlette's guess
        return response


def create_app(source: Source) -> Starlette:
    """Return the ASGI application that serves ``source``."""

    async def is_up(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    files = Files(source)
    return Starlette(routes=[Route("/healthz", is_up), Route("/{path:path}", files.answer)])


def serve(source: Source, *, port: int, host: str = HOST, allow_hosts: Sequence[str] = ()) -> None:
    """Serve ``source`` on ``host`` until SIGTERM or SIGINT; open downloads then have two seconds to finish."""
    uvicorn.run(
        Guard(create_app(source), allow_hosts=allow_hosts),
        host=host,
        port=port,
        lifespan="off",
        http="httptools",
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
