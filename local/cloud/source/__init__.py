"""The trip-data source on this machine: a server in the layouts of the DataTalksClub release mirror and of the TLC.

It serves a folder, or months that it generates. ``python -m local.cloud.source`` runs it.
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
    """The source server that ``settings.source`` asks for, or None if that names a source elsewhere.

    Raises:
        ProcessError: it names a folder that does not exist, or holds no month in one of the layouts.
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
        startup_timeout=30,
        group="cloud",
    )


def check_folder(folder: Path) -> Path:
    """Return ``folder`` as an absolute path if it holds trip data in the mirror's or in the TLC's layout.

    A path that is not absolute counts from the working directory.

    Raises:
        ProcessError: it does not exist, or has no file in one of the layouts; the message names both.
    """
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise ProcessError(
            f"SOURCE={folder} is no folder; SOURCE is synthetic, dtc, tlc, an http(s) URL, or a folder with trip data"
        )
    if not any(
        layout.parse(path.relative_to(folder).as_posix())
        for layout in LAYOUTS
        for path in folder.glob(layout.file("*", "*"))
    ):
        expected = " or ".join(layout.file("<dataset>", "<YYYY-MM>") for layout in LAYOUTS)
        examples = " or ".join(layout.file("green", "2021-01") for layout in LAYOUTS)
        raise ProcessError(f"SOURCE={folder} holds no trip data: expected {expected} in it, for example {examples}")
    return folder
