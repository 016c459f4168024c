"""A DAG bundle of this repository: DAG files, the package that they import and its SQL are of one commit.

Airflow's ``GitDagBundle`` brings DAG files only; ``nyc_taxi`` would still be imported from the plugins folder of the
image, so a commit that changes both would break until the image follows. Airflow finds this module on ``PYTHONPATH``;
docs/deploy.md has the setting.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from airflow.providers.git.bundles.git import GitDagBundle

PACKAGE = "nyc_taxi"


class RepositoryBundle(GitDagBundle):
    """The folder ``dags/`` of a commit, whose ``plugins/`` come before all others on Python's path.

    A task runs with its run's commit. The DAG processor runs with the newest, from the next file that it parses on.

    What other components import stays that of their plugins folder until they are restarted: the timetable, the rules
    for runs, the trigger of ``wait_for_publication`` and the page *Months*.

    Args:
        kwargs: the arguments of GitDagBundle, such as ``repo_url``, ``tracking_ref`` and ``git_conn_id``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"subdir": "dags", **kwargs})

    def initialize(self) -> None:
        """Check out the commit, and import from it."""
        super().initialize()
        self._import_from_commit()

    def refresh(self) -> None:
        """Check out the newest commit, and import from it."""
        super().refresh()
        self._import_from_commit()

    def _import_from_commit(self) -> None:
        plugins = str(self.repo_path / "plugins")
        sys.path[:] = [plugins, *(entry for entry in sys.path if entry != plugins)]
        # Airflow's plugins have imported modules of another commit before; so had this bundle before a refresh.
        for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
            del sys.modules[name]
        importlib.invalidate_caches()
