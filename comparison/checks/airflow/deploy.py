"""Checks of Airflow: how it is deployed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from airflow.configuration import conf

from comparison.checks import BuiltIn, Finding, NotRun, await_, git
from comparison.checks.airflow.side import DOCS, KUBERNETES, Airflow, await_source, check, scheduler_pid
from local.cloud.settings import REPOSITORY
from nyc_taxi.registry.datasets import TRIP_DATASETS

# Which folders a managed platform syncs, and where they lie there. docs/deploy.md describes each platform.
_DAGS_AND_PLUGINS = {"dags": "dags", "plugins": "plugins"}


SYNCED_FOLDERS = {
    "composer-and-mwaa": {**_DAGS_AND_PLUGINS, "include/sql": "plugins/include/sql"},
    "astro-project": {**_DAGS_AND_PLUGINS, "include": "include"},
}


@check("deployment")
def deployment(airflow: Airflow) -> Finding:
    """A new file in the DAGs folder becomes a DAG, and an edit a new version; both run."""
    path = airflow.ground.folder / "dropped_dags" / "dropped.py"
    path.parent.mkdir(exist_ok=True)
    source = (
        "from airflow.sdk import dag, task\n\n@dag\ndef dropped():\n    @task\n    def {value}():\n"
        "        return {value!r}\n    {value}()\n\ndropped()\n"
    )
    versions = []
    for value in ("one", "two"):
        path.write_text(source.format(value=value))
        await_source(airflow, "dropped", f"def {value}")
        run = airflow.run("dropped")
        versions.append(run["dag_versions"][-1]["version_number"])
        assert airflow.result(run, value) == value
    assert versions[0] < versions[1]
    kept = " and ".join(map(str, versions))
    return BuiltIn(f"no command needed: the DAG processor found the file and kept versions {kept} of it")


@check("workers")
def workers(airflow: Airflow) -> Finding:
    """Tasks run outside the scheduler's process; the executor decides where."""
    tasks = airflow.tasks(airflow.month_run(airflow.to_gcs))
    ran = [task for task in tasks.values() if task["state"] == "success"]
    pids = {task["pid"] for task in ran}
    assert scheduler_pid(airflow) not in pids
    assert len(pids) == len(ran)
    [queue] = {task["queue"] for task in ran}
    executor = conf.get("core", "executor")
    return BuiltIn(
        f"a process for each task by the {executor}, queue {queue}; with another executor on workers of "
        "[Celery](https://airflow.apache.org/docs/apache-airflow-providers-celery/stable/celery_executor.html) or in "
        f"[Kubernetes]({DOCS}/core-concepts/executor/index.html)"
    )


@check("code_from_git")
def code_from_git(airflow: Airflow) -> Finding:
    """The code comes from a git repository: a run executes the newest commit, or its own again, and records it."""
    folder = airflow.ground.folder / "git_dags"
    commit = git(folder, "rev-parse", "HEAD")
    pinned = run = airflow.run("from_git")
    assert run["state"] == "success"
    assert run["bundle_version"] == commit
    assert airflow.result(run, "tell") == "first"
    source = folder / "from_git.py"
    source.write_text(source.read_text().replace("first", "second"))
    git(folder, "commit", "--all", "--message", "Tell another")
    second = git(folder, "rev-parse", "HEAD")
    await_source(airflow, "from_git", "second")
    run = airflow.run("from_git")
    assert (run["bundle_version"], airflow.result(run, "tell")) == (second, "second")
    _repeat(airflow, pinned)
    assert airflow.api.run("from_git", pinned["dag_run_id"])["bundle_version"] == commit
    assert airflow.result(pinned, "tell") == "first"
    return BuiltIn(
        "`GitDagBundle`: new commits are fetched; a run records its commit, and executes that one again if cleared"
    )


def _repeat(airflow: Airflow, run: dict[str, Any]) -> None:
    """Clear the run's only task and wait for its second try."""
    body = {"dag_run_id": run["dag_run_id"], "only_failed": False, "dry_run": False}
    airflow.api.call("POST", "/dags/from_git/clearTaskInstances", **body)
    await_(lambda: airflow.tasks(run)["tell"]["try_number"] == 2, "the cleared task has started")
    assert airflow.end("from_git", run["dag_run_id"]) == "success"


@check("rollback", last=True)
def rollback(airflow: Airflow) -> Finding:
    """After a bad commit, the code of the one before it runs again; so does a run of before, as it ran then."""
    from airflow.providers.git.bundles.git import GitDagBundle

    folder = airflow.ground.folder / "git_dags"
    _commit(airflow, "good")
    before = airflow.run("from_git")
    _commit(airflow, "bad")
    assert airflow.result(airflow.run("from_git"), "tell") == "bad"
    _repeat(airflow, before)
    assert airflow.result(before, "tell") == "good"
    at_commit = GitDagBundle(name="pinned", repo_url=str(folder), tracking_ref=str(before["bundle_version"]))
    at_commit.initialize()
    assert 'return "good"' in (at_commit.path / "from_git.py").read_text()
    git(folder, "revert", "--no-edit", "HEAD")
    await_source(airflow, "from_git", "good")
    run = airflow.run("from_git")
    assert (run["bundle_version"], airflow.result(run, "tell")) == (git(folder, "rev-parse", "HEAD"), "good")
    return BuiltIn(
        "new runs take the newest commit, so `git revert` rolls back without a command of Airflow; so does the "
        "setting of the bundle, which may name a commit. A run of before, repeated meanwhile, still had its own "
        "commit"
    )


def _commit(airflow: Airflow, word: str) -> None:
    """Let the DAG from git tell another word, and wait until Airflow has read that."""
    folder = airflow.ground.folder / "git_dags"
    source = folder / "from_git.py"
    source.write_text(re.sub(r'return ".*"', f'return "{word}"', source.read_text()))
    git(folder, "commit", "--all", "--message", f"Tell {word}")
    await_source(airflow, "from_git", word)


@check("docker")
def docker(airflow: Airflow) -> Finding:
    """All components run from one image: three by an existing Airflow command, the API server behind the guard."""
    import yaml
    from airflow.cli import cli_parser

    services = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())["services"]
    components = ["api-server", "dag-processor", "scheduler", "triggerer"]
    images = {services[name]["image"] for name in components}
    assert len(images) == 1
    assert services["api-server"]["entrypoint"] == ["python", "-m", "local.airflow.api_server"]
    parser = cli_parser.get_parser()
    commands = [parser.parse_args(services[name]["command"]).subcommand for name in components[1:]]
    assert commands == components[1:]
    lint = subprocess.run(
        [str(Path(sys.executable).with_name("hadolint")), "Dockerfile"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert lint.returncode == 0, lint.stdout
    return NotRun(
        "one image for four services, as in the compose file; with the "
        f"[KubernetesExecutor]({KUBERNETES}/kubernetes_executor.html) "
        "a container for each task. Only the configuration was checked; [the image itself was built and "
        "run](image-test.json)"
    )


@check("start_up")
def start_up(airflow: Airflow) -> Finding:
    """One command starts everything, and the health report covers each component."""
    health = airflow.api.call("GET", "/monitor/health")
    assert {name: part["status"] for name, part in health.items() if part.get("status")} == {
        "metadatabase": "healthy",
        "scheduler": "healthy",
        "triggerer": "healthy",
        "dag_processor": "healthy",
    }
    return BuiltIn(
        f"`make up`, or [`airflow standalone`]({DOCS}/start.html): four "
        "components and a database; [`dags test`](#testing-a-dag--flow) runs a DAG without the components"
    )


@check("cloud")
def cloud(airflow: Airflow) -> Finding:
    """The folders that managed platforms sync are enough: every DAG imports, and every SQL template is found."""
    expected = {"dags": len(TRIP_DATASETS) * 3 + 3 + 1, "import_errors": {}, "missing": {}}
    for platform, folders in SYNCED_FOLDERS.items():
        copied = airflow.ground.folder / "managed" / platform
        for source, target in folders.items():
            shutil.copytree(REPOSITORY / source, copied / target, ignore=shutil.ignore_patterns("__pycache__"))
        assert _parsed(copied) == expected, platform
    dags = expected["dags"]
    return NotRun(
        f"[Composer, MWAA and Astronomer](deploy.md#cloud-composer-mwaa-and-astro): all {dags} DAGs import and find "
        "their SQL in the folders that each syncs; no service was tried"
    )


def _parsed(folder: Path) -> dict[str, Any]:
    """What a fresh Airflow finds in a folder; see :mod:`comparison.checks.synced_folders`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON"))}
    env |= {"AIRFLOW_HOME": str(folder), "PYTHONPATH": "plugins", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", str(REPOSITORY / "comparison" / "checks" / "synced_folders.py")],
        cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
