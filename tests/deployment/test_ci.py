"""CI: the workflow, the script that it runs, and the hooks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from local.cloud.settings import REPOSITORY

WORKFLOW = REPOSITORY / ".github/workflows/ci.yml"
MAKEFILE = (REPOSITORY / "Makefile").read_text()
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", MAKEFILE))


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    """The workflow's jobs."""
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]


def test_workflow_agrees_with_its_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_workflow_may_only_read(jobs: dict[str, Any]) -> None:
    assert yaml.safe_load(WORKFLOW.read_text())["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in jobs.values())


def test_workflow_runs_the_checks_that_a_laptop_runs(jobs: dict[str, Any]) -> None:
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert ".ci/run" in commands
    made = [command.removeprefix("make ") for command in commands if command != ".ci/run"]
    assert set(made) <= TARGETS


def test_workflow_tries_every_supported_python_and_macos(jobs: dict[str, Any]) -> None:
    tried, systems = set(), set()
    for job in jobs.values():
        [setup] = [step for step in job["steps"] if "setup-python" in step.get("uses", "")]
        given = setup["with"]["python-version"]
        matrix = job.get("strategy", {}).get("matrix", {}).get("include", [{}])
        tried |= {each["python"] if "matrix" in given else given for each in matrix}
        systems |= {each["os"] if "matrix" in job["runs-on"] else job["runs-on"] for each in matrix}
    [required] = re.findall(r'requires-python = "(.*)"', (REPOSITORY / "pyproject.toml").read_text())
    assert tried == {f"3.{minor}" for minor in range(30) if f"3.{minor}" in SpecifierSet(required)}
    assert {name.split("-")[0] for name in systems} == {"ubuntu", "macos"}


def test_actions_are_pinned_by_commit() -> None:
    uses = re.findall(r"(?m)^ +- uses: (.*)$", WORKFLOW.read_text())
    assert uses
    for action in uses:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_checks_are_make_targets() -> None:
    script = REPOSITORY / ".ci/run"
    assert os.access(script, os.X_OK)
    wanted = re.findall(r"(?m)^ *make (\S+)", script.read_text())
    assert {"install", "lint", "test"} <= set(wanted) <= TARGETS


def test_hooks_are_the_projects_own_tools() -> None:
    [repo] = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    for hook in repo["hooks"]:
        program = hook["entry"].split()[0]
        assert program == "bash" or (REPOSITORY / program).exists(), hook["id"]
