"""Checks of Prefect: how it is deployed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import yaml

from comparison.checks import SECONDS, BuiltIn, Finding, NotRun, await_, git
from comparison.checks.prefect.side import DOCS, Prefect, check, run_without_server
from comparison.receiver import note_taker
from local.cloud.settings import REPOSITORY


@check("deployment")
def deployment(prefect: Prefect) -> Finding:
    """A flow becomes startable by the server, by `deploy` or `serve`; a worker reads the file anew for each run."""
    from prefect import flow

    folder = prefect.ground.folder / "deployed"
    folder.mkdir(exist_ok=True)
    path = folder / "dropped.py"
    path.write_text(_DROPPED.format(number=1))
    dropped = flow.from_source(source=str(folder), entrypoint="dropped.py:dropped")
    dropped.deploy(
        name="deployed", work_pool_name="local", parameters={"value": "deployed"}, version="1", print_next_steps=False
    )
    path.write_text(_DROPPED.format(number=2))
    assert _run_and_log(prefect, "deployed", 2) == "1"
    with subprocess.Popen([sys.executable, path], cwd=folder, stdout=subprocess.DEVNULL) as served:
        try:
            await_(lambda: _is_deployed(prefect, "dropped/served"), "the flow is served")
            path.write_text(_DROPPED.format(number=3))
            _run_and_log(prefect, "served", 2)
        finally:
            served.terminate()
    return BuiltIn(
        "once `flow.deploy()` or [`prefect deploy`](#rollback-to-an-older-version) for a worker, which reads the file "
        "anew for each run, so that an edit needs no deploy; or `flow.serve()` in a process, which keeps the code of "
        "its start"
    )


_DROPPED = """\
from prefect import flow


@flow(log_prints=True)
def dropped(value="in the code of version {number}"):
    print("version {number}", value)


if __name__ == "__main__":
    dropped.serve(name="served", parameters={{"value": "served"}})
"""


def _run_and_log(prefect: Prefect, name: str, number: int) -> str:
    """Run the deployment, which executes this version of the code; returns the deployment's version of the run."""
    run = prefect.api.end(prefect.api.start(f"dropped/{name}"))
    assert run["state_type"] == "COMPLETED", run["state"]
    said = f"version {number} {name}"
    await_(lambda: said in prefect.api.log(run["id"]), f"the run has logged: {said}", timeout=20)
    return str(run["deployment_version"])


def _is_deployed(prefect: Prefect, name: str) -> bool:
    try:
        return bool(prefect.api.deployment(name))
    except httpx.HTTPStatusError:
        return False


@check("workers")
def workers(prefect: Prefect) -> Finding:
    """Flows run outside the server; the work pool decides where."""
    [worker] = [
        each for each in prefect.api.call("POST", "/work_pools/local/workers/filter") if each["status"] == "ONLINE"
    ]
    run_id = prefect.api.start("no-ops/example")
    run = prefect.api.end(run_id)
    assert run["state_type"] == "COMPLETED", run["state"]
    assert run["work_pool_name"] == "local"
    assert run["infrastructure_pid"] != prefect.month_run("web-to-gcs")["infrastructure_pid"]
    name = worker["name"].split()[0]
    return BuiltIn(
        f"a process for each flow run by the worker {name}; in a container of "
        f"[Docker, Kubernetes or Cloud Run]({DOCS}/concepts/work-pools) by a pool of that type"
    )


@check("code_from_git")
def code_from_git(prefect: Prefect) -> Finding:
    """The code comes from a git repository: of a pinned commit, which the deployment records, or of a branch."""
    folder = _repository(prefect, "git_flows")
    first = _commit(folder, "told by the first")
    for name in ("commit", "branch"):
        _deploy_from_git(prefect, folder, first, name)
    _commit(folder, "told by the second")
    started = {name: prefect.api.start(f"from-git/{name}") for name in ("commit", "branch")}
    for name, told in {"commit": "told by the first", "branch": "told by the second"}.items():
        run = prefect.api.end(started[name])
        assert run["state_type"] == "COMPLETED", run["state"]
        await_(lambda run=run, told=told: told in prefect.api.log(run["id"]), f"the {name} is {told}", timeout=20)  # type: ignore[misc]
        assert run["deployment_version"] == first
    return BuiltIn(
        "a `git_clone` step: each run clones the deployed commit, or the newest of a branch; a run records the version "
        "that was given at the deployment, so not which commit of a branch it had"
    )


def _repository(prefect: Prefect, name: str) -> Path:
    folder = prefect.ground.folder / name
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    return folder


def _commit(folder: Path, told: str) -> str:
    """Let the flow in the repository log a text; returns the commit."""
    lines = (
        "from prefect import flow, get_run_logger\n",
        "@flow\ndef from_git():",
        f"    get_run_logger().info({told!r})\n",
    )
    (folder / "from_git.py").write_text("\n".join(lines))
    git(folder, "add", "from_git.py")
    git(folder, "commit", "--quiet", "--message", told)
    return git(folder, "rev-parse", "HEAD")


def _deploy_from_git(prefect: Prefect, folder: Path, commit: str, name: str) -> None:
    """Deploy the repository's flow under a name, at the commit; under the name ``branch``, at its branch."""
    at = {"branch": "main"} if name == "branch" else {"commit_sha": commit}
    deployed = {
        "name": name,
        "version": commit,
        "entrypoint": "from_git.py:from_git",
        "work_pool": {"name": "local"},
        "pull": [{"prefect.deployments.steps.git_clone": {"repository": f"file://{folder}", **at}}],
    }
    (folder / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [deployed]}))
    done = prefect.prefect("deploy", "--all", cwd=folder)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]


@check("rollback")
def rollback(prefect: Prefect) -> Finding:
    """After a bad commit, the code of the one before it runs again; a run that is repeated takes the newest."""
    folder = _repository(prefect, "git_rolled_back")
    good, bad = (_commit(folder, f"told by the {kind}") for kind in ("good", "bad"))
    before, after = (_deploy_and_run(prefect, folder, commit) for commit in (good, bad))
    again = {"type": "SCHEDULED", "name": "AwaitingRetry"}
    prefect.api.call("POST", f"/flow_runs/{before}/set_state", state=again, force=True)
    for run in (after, before):
        await_(lambda run=run: "told by the bad" in prefect.api.log(run), "the bad commit runs", timeout=90)  # type: ignore[misc]
    rolled_back = _deploy_and_run(prefect, folder, good)
    await_(lambda: "told by the good" in prefect.api.log(rolled_back), "the good commit runs", timeout=20)
    versions = [path for path in prefect.paths() if "version" in path and "deployment" in path]
    assert versions == [], f"the server keeps versions of deployments now: {versions}"
    return BuiltIn(
        "`prefect deploy` of the commit before, which new runs clone then. The server keeps the newest deployment "
        "only: a run of before, repeated meanwhile, had the bad commit. Versions of it to go back to are "
        f"[in the cloud only]({DOCS}/how-to-guides/deployments/versioning)"
    )


def _deploy_and_run(prefect: Prefect, folder: Path, commit: str) -> str:
    """Deploy the flow of a commit, and run it to its end; returns the run."""
    _deploy_from_git(prefect, folder, commit, "rolled-back")
    run = prefect.api.end(prefect.api.start("from-git/rolled-back"))
    assert (run["state_type"], run["deployment_version"]) == ("COMPLETED", commit)
    return str(run["id"])


@check("docker")
def docker(prefect: Prefect) -> Finding:
    """A work pool runs flows from an image, and the server accepts its settings."""
    from prefect_docker.worker import DockerWorker

    template = DockerWorker.get_default_base_job_template()
    made = {"name": "docker", "type": "docker", "base_job_template": template}
    answer = httpx.post(f"{prefect.ground.prefect_url}/work_pools/", json=made, trust_env=False, timeout=SECONDS)
    assert answer.is_success, answer.text
    job = template["job_configuration"]
    assert job["image"] == "{{ image }}"
    assert {"image", "env", "networks", "volumes", "mem_limit"} <= set(template["variables"]["properties"])
    return NotRun(
        "a docker work pool: image, networks, volumes by deployment or run, and [a container for each flow "
        f"run]({DOCS}/how-to-guides/deployment_infra/docker). Only the configuration was checked"
    )


@check("start_up")
def start_up(prefect: Prefect) -> Finding:
    """The server and the worker are healthy, and a flow also runs without either."""
    assert prefect.api.is_healthy()
    assert prefect.api.has_online_worker("local")
    program = "from comparison.prefect_flows.examples import mapped; print(len(mapped()))"
    assert run_without_server(program, home=prefect.ground.folder / "alone")[-1:] == ["3"]
    return BuiltIn(
        f"calling a flow runs it, with a temporary server of its own; [scheduling]({DOCS}/concepts/schedules) needs a "
        f"server, and [a worker or a process with `serve`]({DOCS}/concepts/deployments)"
    )


@check("cloud")
def cloud(prefect: Prefect) -> Finding:
    """Prefect sends its API key to another address, as it would to Prefect Cloud."""
    with note_taker(404) as (url, seen):
        env = {**os.environ, "PREFECT_API_URL": f"{url}/api", "PREFECT_API_KEY": "pnu_compared"}
        subprocess.run(
            [str(Path(sys.executable).with_name("prefect")), "deployment", "ls"],
            env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert "Bearer pnu_compared" in {note.headers.get("Authorization") for note in seen}
    return NotRun(
        f"[Prefect Cloud]({DOCS}/get-started/quickstart): the client sends its key to another "
        "address; the service was not tried"
    )
