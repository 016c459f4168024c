"""The local trip-data source: an HTTP server with the layouts of the DataTalksClub mirror and of the TLC.

It serves a folder, or synthetic months that it generates. Run it with ``python -m local.cloud.source``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from local.cloud.processes import Process, ProcessError, answers
from local.cloud.settings import REPOSITORY, Settings
from local.cloud.source.layouts import LAYOUTS

NAME = "source"
ELSEWHERE = ("dtc", "tlc")


def process(settings: Settings) -> Process | None:
    """Return the source server for ``settings.source``, or None if the source is elsewhere.

    Raises:
        ProcessError: the source is a folder that does not exist, or has no month in one of the layouts.
    """
    if settings.source in ELSEWHERE or settings.source.startswith(("http://", "https://")):
        return None
    if settings.source == "synthetic":
        what = ["--synthetic", str(settings.source_cache), "--rows", str(settings.synthetic_rows)]
    else:
        what = ["--folder", str(check_folder(Path(settings.source)))]
    return Process(
        name=NAME,
        command=[sys.executable, "-m", "local.cloud.source", "--port", str(settings.source_port), *what],
        log=settings.log_dir / "source.log",
        healthy=lambda: answers(f"{settings.source_url}/healthz"),
        cwd=REPOSITORY,
        port=settings.source_port,
        port_setting="SOURCE_PORT",
        url=settings.source_url,
        startup_timeout=settings.start_timeout,
        group="cloud",
    )


def check_folder(folder: Path) -> Path:
    """Check that ``folder`` has trip data in the mirror's or the TLC's layout, and return its absolute path.

    A relative path is resolved against the working directory.

    Raises:
        ProcessError: it does not exist, or has no file in one of the layouts; the message shows both.
    """
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise ProcessError(
            f"SOURCE={folder} is not a folder; set it to synthetic, dtc, tlc, an http(s) URL or a folder with trip data"
        )
    if not any(
        layout.parse(path.relative_to(folder).as_posix())
        for layout in LAYOUTS
        for path in folder.glob(layout.file("*", "*"))
    ):
        expected = " or ".join(layout.file("<dataset>", "<YYYY-MM>") for layout in LAYOUTS)
        examples = " or ".join(layout.file("green", "2021-01") for layout in LAYOUTS)
        raise ProcessError(f"SOURCE={folder} has no trip data: put {expected} into it, for example {examples}")
    return folder
