"""The trip-data source on this machine: a server in the layout of the DataTalksClub release mirror.

It serves a folder, or months that it generates. ``python -m localcloud.source`` runs it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from localcloud.processes import Process, ProcessError, answers
from localcloud.settings import REPOSITORY, Settings

NAME = "source"
ELSEWHERE = ("dtc", "tlc")


def process(settings: Settings) -> Process | None:
    """The source server that ``settings.source`` asks for, or None if that names a source elsewhere.

    Raises:
        ProcessError: it names a folder that does not exist, or holds no dataset in the mirror's layout.
    """
    if settings.source in ELSEWHERE or settings.source.startswith(("http://", "https://")):
        return None
    if settings.source == "synthetic":
        what = ["--synthetic", str(settings.source_cache), "--rows", str(settings.synthetic_rows)]
    else:
        what = ["--folder", str(check_folder(Path(settings.source)))]
    return Process(
        name=NAME,
        command=[sys.executable, "-m", "localcloud.source", "--port", str(settings.source_port), *what],
        log=settings.log_dir / "source.log",
        healthy=lambda: answers(f"{settings.source_url}/healthz"),
        cwd=REPOSITORY,
        port=settings.source_port,
        port_setting="SOURCE_PORT",
        url=settings.source_url,
        startup_timeout=30,
        group="localcloud",
    )


def check_folder(folder: Path) -> Path:
    """Return ``folder`` as an absolute path if it holds trip data in the mirror's layout.

    A path that is not absolute counts from the working directory.

    Raises:
        ProcessError: it does not exist, or has no ``<dataset>/<dataset>_tripdata_<YYYY-MM>.csv.gz``.
    """
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise ProcessError(
            f"SOURCE={folder} is no folder; SOURCE is synthetic, dtc, tlc, an http(s) URL, or a folder with trip data"
        )
    if not any(path.name.startswith(f"{path.parent.name}_tripdata_") for path in folder.glob("*/*_tripdata_*.csv.gz")):
        raise ProcessError(
            f"SOURCE={folder} holds no trip data: expected <dataset>/<dataset>_tripdata_<YYYY-MM>.csv.gz in it, for "
            f"example green/green_tripdata_2021-01.csv.gz"
        )
    return folder
