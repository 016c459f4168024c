"""A bare git repository on this machine with this repository's code, and commits of it that tests can tell apart."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from local.cloud.settings import REPOSITORY

BRANCH = "main"
TIMETABLES = "nyc_taxi/dag_parts/timetables.py"
# What the DAG processor logs of a commit that changes that file.
WARNING = "the newest commit has other versions than"


class CodeRepository:
    """A bare repository, and a clone of it from which the tests push.

    Args:
        folder: for both.
    """

    def __init__(self, folder: Path) -> None:
        self.bare, self.folder = folder / "bare.git", folder / "clone"
        subprocess.run(["git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", self.bare], check=True)
        subprocess.run(["git", "clone", "--quiet", self.bare, self.folder], check=True, capture_output=True)
        for name in ("dags", "plugins", "include"):
            files = _git(REPOSITORY, "ls-files", "--cached", "--others", "--exclude-standard", name).splitlines()
            for file in files:
                target = self.folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((REPOSITORY / file).read_bytes())

    def setting(self, **kwargs: object) -> str:
        """The setting by which Airflow takes its code from here, with further arguments of the bundle."""
        bundle = {
            "name": "taxi",
            "classpath": "repository_bundle.RepositoryBundle",
            "kwargs": {"repo_url": str(self.bare), "tracking_ref": BRANCH, **kwargs},
        }
        return json.dumps([bundle])

    def commit(self, state: str, *, timetables: str = "") -> str:
        """Push a commit that changes DAG files, the package and the SQL at once; returns its hash.

        Each commit names what it adds to the package differently, so no DAG file can be imported with another package.

        Args:
            state: what tells the commit from others: a tag of the DAGs of web_to_postgres, a macro of the package, and,
                beside these two, in the last statement of these DAGs.
            timetables: what to add to the module of the timetable, which components import from elsewhere.
        """
        package = Path("plugins/nyc_taxi")
        self._change(package / "dag_parts/tasks.py", "", f'\n\nSTATE = STATE_{state} = "{state}"\n')
        self._change(package / "dag_parts/macros.py", "", f'\nMACROS["state"] = "{state}"\n')
        self._change(Path("plugins", TIMETABLES), "", timetables)
        dag = Path("dags/web_to_postgres.py")
        self._change(dag, "dag_parts.tasks import ", f"dag_parts.tasks import STATE_{state}, ")
        self._change(dag, 'tags=["nyc-taxi", ', f'tags=[STATE_{state}, "nyc-taxi", ', onto=self.folder)
        (self.folder / "include/sql/state.sql").write_text(state)
        seen = f"-- sql {state}, package {{{{ state }}}}, DAG {{{{ dag.tags | sort(case_sensitive=true) | first }}}}\n"
        statement = Path("include/sql/postgres/clean/staging.sql")
        (self.folder / statement).write_text(seen + (REPOSITORY / statement).read_text())
        _git(self.folder, "add", "--all")
        _git(self.folder, "commit", "--quiet", "--message", state)
        _git(self.folder, "push", "--quiet", "origin", f"HEAD:{BRANCH}")
        return _git(self.folder, "rev-parse", "HEAD")

    def _change(self, file: Path, old: str, new: str, *, onto: Path = REPOSITORY) -> None:
        """Replace a text of this repository's file, or add to its end, and write it to the clone."""
        text = (onto / file).read_text()
        assert old in text, (file, old)
        (self.folder / file).write_text(text.replace(old, new) if old else text + new)


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()
