"""A DAG bundle of this repository: DAG files, the package that they import and its SQL are of one commit.

Airflow's ``GitDagBundle`` brings DAG files only; ``nyc_taxi`` would still be imported from the plugins folder of the
image, so a commit that changes both would break until the image follows. Airflow finds this module on ``PYTHONPATH``;
docs/deploy.md has the setting.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.providers.git.bundles.git import GitDagBundle

PACKAGE = "nyc_taxi"
INSTALLED = (
    "*.py",
    "nyc_taxi/dag_parts/channels.py",
    "nyc_taxi/dag_parts/deadlines.py",
    "nyc_taxi/dag_parts/notifications.py",
    "nyc_taxi/dag_parts/timetables.py",
    "nyc_taxi/months_page/**/*",
    "nyc_taxi/run_requests/**/*",
    "nyc_taxi/source/publication_trigger.py",
)
"""What components import from their plugins folder, whatever the commit of a run."""


class RepositoryBundle(GitDagBundle):
    """The folder ``dags/`` of a commit, whose ``plugins/`` come before all others on Python's path.

    A task runs with its run's commit. The DAG processor runs with the newest, from the next file that it parses on.

    What other components import stays that of their plugins folder until they are restarted: the timetable, the rules
    for runs, the trigger of ``wait_for_publication``, the message of a late run and the page *Months*. The DAG
    processor logs a warning if those of the newest commit are others.

    Args:
        kwargs: the arguments of GitDagBundle, such as ``repo_url``, ``tracking_ref`` and ``git_conn_id``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"subdir": "dags", **kwargs})
        self._warned_of: list[str] = []

    def initialize(self) -> None:
        """Check out the commit, and import from it."""
        super().initialize()
        self._import_from_commit()

    def refresh(self) -> None:
        """Check out the newest commit, and import from it; GitDagBundle's initialize calls this, too."""
        super().refresh()
        self._import_from_commit()
        self._warn_of_others()

    def _import_from_commit(self) -> None:
        plugins = str(self.repo_path / "plugins")
        sys.path[:] = [plugins, *(entry for entry in sys.path if entry != plugins)]
        # Airflow's plugins have imported modules of another commit before; so had this bundle before a refresh.
        for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def _warn_of_others(self) -> None:
        """Log once which files of INSTALLED the newest commit has otherwise than the plugins folder."""
        installed = Path(conf.get_mandatory_value("core", "plugins_folder"))
        others = differing(self.repo_path / "plugins", installed)
        if others and others != self._warned_of:
            self._log.warning(
                f"the newest commit has other versions than {installed} of files that Airflow takes from there alone; "
                f"install that commit there, and restart all components: {', '.join(others)}"
            )
        self._warned_of = others


def differing(plugins: Path, installed: Path) -> list[str]:
    """Return the files of INSTALLED, relative to the folders, that are not the same in both."""
    names = {str(file.relative_to(folder)) for folder in (plugins, installed) for file in _files(folder)}
    return sorted(name for name in names if _content(plugins / name) != _content(installed / name))


def _files(folder: Path) -> Iterator[Path]:
    found = (file for pattern in INSTALLED for file in folder.glob(pattern))
    return (file for file in found if file.is_file() and file.parent.name != "__pycache__")


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
