"""The DAG bundle of the repository, with a bare repository on this machine: each run has all code of one commit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
BRANCH = "main"
# One process stands for Airflow's: it has imported the package from the plugins folder of the image, and forks for each
# file and task. It reads a command a line, and answers each with a line.
PROGRAM = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what is logged is no answer
import airflow_local_settings
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.plugins_manager import get_timetables_plugins
from airflow.serialization.serialized_objects import DagSerialization

get_timetables_plugins()
import nyc_taxi.registry.datasets, nyc_taxi.stores.lake.store

def seen(bundle):
    path = bundle.path / "web_to_postgres.py"
    bag = BundleDagBag(dag_folder=str(path), safe_mode=False, load_op_links=False,
                       bundle_path=bundle.path, bundle_name="taxi")
    import nyc_taxi.common.sql, nyc_taxi.dag_parts.tasks as tasks
    dag = bag.dags.get("green_web_to_postgres")
    version = bundle.get_current_version()
    sql = nyc_taxi.common.sql.SQL_DIR
    return {
        "errors": list(bag.import_errors.values()),
        "serialized": dag is not None and bool(DagSerialization.to_dict(dag)),
        "version": getattr(version, "version", version),
        "dag": dag and sorted(dag.tags),
        "plugins": getattr(tasks, "STATE", None),
        "sql": (sql / "state.sql").read_text() if (sql / "state.sql").exists() else None,
    }

def in_child(act):
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.write(write, json.dumps(act()).encode())
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return json.loads(text)

def of_run(version):
    bundle = DagBundlesManager().get_bundle("taxi", version=version)
    bundle.initialize()
    return seen(bundle)

newest = DagBundlesManager().get_bundle("taxi")
newest.initialize()
for line in sys.stdin:
    command, _, version = line.strip().partition(" ")
    if command == "refresh":
        newest.refresh()
    answer = in_child(lambda: of_run(version)) if command == "run" else in_child(lambda: seen(newest))
    print(json.dumps(answer), file=answers, flush=True)
"""


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class _Clone:
    """A clone of a bare repository that has this repository's code."""

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

    def commit(self, state: str) -> str:
        """Push a commit that changes DAG files, the package and the SQL at once; returns its hash.

        Each commit names what it adds to the package differently, so no DAG file can be imported with another package.
        """
        tasks = REPOSITORY / "plugins" / "nyc_taxi" / "dag_parts" / "tasks.py"
        own = self.folder / tasks.relative_to(REPOSITORY)
        own.write_text(f'{tasks.read_text()}\n\nSTATE = STATE_{state} = "{state}"\n')
        dag = self.folder / "dags" / "web_to_postgres.py"
        text = (REPOSITORY / dag.relative_to(self.folder)).read_text()
        text = text.replace("dag_parts.tasks import ", f"dag_parts.tasks import STATE_{state}, ")
        dag.write_text(text.replace('tags=["nyc-taxi", ', f'tags=[STATE_{state}, "nyc-taxi", '))
        (self.folder / "include" / "sql" / "state.sql").write_text(state)
        _git(self.folder, "add", "--all")
        _git(self.folder, "commit", "--quiet", "--message", state)
        _git(self.folder, "push", "--quiet", "origin", f"HEAD:{BRANCH}")
        return _git(self.folder, "rev-parse", "HEAD")


def _environment(folder: Path, clone: _Clone) -> dict[str, str]:
    bundle = {
        "name": "taxi",
        "classpath": "repository_bundle.RepositoryBundle",
        "kwargs": {"tracking_ref": BRANCH, "git_conn_id": "git_default"},
    }
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder / "bundles"),
        "AIRFLOW_CONN_GIT_DEFAULT": json.dumps({"conn_type": "git", "host": str(clone.bare)}),
        "PYTHONPATH": f"{REPOSITORY / 'config'}:{REPOSITORY / 'plugins'}",
    }


def _of(state: str, version: str) -> dict[str, Any]:
    tags = sorted([state, "nyc-taxi", "postgres", "green"])
    return {"errors": [], "serialized": True, "version": version, "dag": tags, "plugins": state, "sql": state}


def test_every_run_has_all_code_of_its_commit(tmp_path: Path) -> None:
    clone = _Clone(tmp_path)
    old = clone.commit("OLD")
    command = [sys.executable, "-c", PROGRAM, "worker"]
    with subprocess.Popen(
        command, env=_environment(tmp_path, clone), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(line: str) -> Any:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        try:
            assert ask("parse") == _of("OLD", old)
            assert ask(f"run {old}") == _of("OLD", old)
            new = clone.commit("NEWER")
            assert ask("parse") == _of("OLD", old), "a commit is seen with the next refresh"
            assert ask("refresh") == _of("NEWER", new)
            assert ask(f"run {old}") == _of("OLD", old), "a run in flight keeps its commit"
            assert ask(f"run {new}") == _of("NEWER", new)
            assert ask(f"run {old}") == _of("OLD", old), "an old run is run again with its own code"
        finally:
            process.stdin.close()
            process.wait()
