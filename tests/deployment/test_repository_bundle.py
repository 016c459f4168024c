"""The DAG bundle of the repository, with a bare repository on this machine: each run has all code of one commit."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from local.airflow.environment import BUNDLES, AirflowSettings
from local.cloud.settings import REPOSITORY, Settings
from nyc_taxi.dag_parts.deadlines import DEADLINE
from tests.code_repository import TIMETABLES, WARNING, CodeRepository

PLUGINS = REPOSITORY / "plugins"
BUNDLE = runpy.run_path(str(REPOSITORY / "config" / "repository_bundle.py"))
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


def _environment(folder: Path, repository: CodeRepository) -> dict[str, str]:
    """That of the components of ``make up`` with the setting in ``.env``; the package is that of the plugins folder."""
    with mock.patch.dict(os.environ, {BUNDLES: repository.setting()}):
        own = AirflowSettings(cloud=Settings(state_dir=folder / "state")).environment()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return {**kept, **own, "PYTHONPATH": f"{own['PYTHONPATH']}:{PLUGINS}"}


def _of(state: str, version: str) -> dict[str, Any]:
    tags = sorted([state, "nyc-taxi", "postgres", "green"])
    return {"errors": [], "serialized": True, "version": version, "dag": tags, "plugins": state, "sql": state}


def test_every_run_has_all_code_of_its_commit(tmp_path: Path) -> None:
    repository = CodeRepository(tmp_path)
    old = repository.commit("OLD")
    command = [sys.executable, "-c", PROGRAM, "worker"]
    environment = _environment(tmp_path, repository)
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(line: str) -> Any:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, log.read_text()[-3000:]
            return json.loads(answer)

        try:
            assert ask("parse") == _of("OLD", old)
            assert ask(f"run {old}") == _of("OLD", old)
            assert WARNING not in log.read_text(), "the plugins folder has the same timetable"
            new = repository.commit("NEWER", timetables="CHANGED = True\n")
            assert ask("parse") == _of("OLD", old), "a commit is seen with the next refresh"
            assert ask("refresh") == _of("NEWER", new)
            assert ask("refresh") == _of("NEWER", new)
            assert ask(f"run {old}") == _of("OLD", old), "a run in flight keeps its commit"
            assert ask(f"run {new}") == _of("NEWER", new)
            assert ask(f"run {old}") == _of("OLD", old), "an old run is run again with its own code"
            [warning] = [line for line in log.read_text().splitlines() if WARNING in line]
            assert f"than {REPOSITORY / 'plugins'} of files" in warning
            assert f"restart all components: {TIMETABLES} " in f"{warning} "
        finally:
            process.stdin.close()
            process.wait()


def test_what_components_import_from_their_plugins_folder_is_compared(tmp_path: Path) -> None:
    """The plugins, what they import of the package, and what the triggerer imports by name: triggers and a message."""
    compared = {path.relative_to(PLUGINS).as_posix() for path in BUNDLE["_files"](PLUGINS)}
    names = {path: path.relative_to(PLUGINS).as_posix() for path in PLUGINS.rglob("*.py")}
    plugins = {name for path, name in names.items() if path.parent == PLUGINS}
    triggers = {name for path, name in names.items() if re.search(r"class \w+\(\w*Trigger\)", path.read_text())}
    imported = {
        f"{node.module.replace('.', '/')}.py"
        for name in plugins
        for node in ast.walk(ast.parse((PLUGINS / name).read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nyc_taxi.")
    }
    assert plugins
    assert triggers
    assert imported
    late = f"{DEADLINE.callback.path.rpartition('.')[0].replace('.', '/')}.py"
    assert compared >= plugins | triggers | imported | {late}


@pytest.mark.parametrize(
    "changed",
    ["timetables.py", TIMETABLES, "nyc_taxi/months_page/static/months.js", "nyc_taxi/months_page/new.py", "new.py"],
)
def test_a_file_that_is_new_gone_or_other_differs(tmp_path: Path, changed: str) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        for name in ("timetables.py", "nyc_taxi/months_page/static/months.js", TIMETABLES, "nyc_taxi/stores/store.py"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("1")
    (ours / "nyc_taxi/stores/store.py").write_text("2")
    (ours / "__pycache__").mkdir()
    (ours / "nyc_taxi/months_page/__pycache__").mkdir()
    (ours / "nyc_taxi/months_page/__pycache__/app.pyc").write_text("2")
    assert BUNDLE["differing"](ours, theirs) == []
    (ours / changed).write_text("2")
    assert BUNDLE["differing"](ours, theirs) == [changed]
    assert BUNDLE["differing"](theirs, ours) == [changed]
