"""CI: the workflow, the script that it runs, and the hooks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from local.cloud.settings import REPOSITORY
from tests.browser import chromium

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
    scripts = {".ci/run", "sudo --preserve-env=PATH .ci/images"}
    assert scripts <= set(commands)
    assert {command.removeprefix("make ") for command in set(commands) - scripts} <= TARGETS


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


# The browser


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that adds programs to a PATH that has only a shell, each as the text of a script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "sh"):
        (folder / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("REQUIRE_BROWSER", raising=False)

    def add(**scripts: str) -> None:
        for name, text in scripts.items():
            path = folder / name.replace("_", "-")
            path.write_text(f"#!{folder / 'sh'}\n{text}\n")
            path.chmod(0o755)

    return add


def ask_for_browser(tmp_path: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run .ci/browser; return what it did, and how it called apt-get."""
    calls = tmp_path / "calls"
    calls.touch()
    env = {**os.environ, "CALLS": str(calls)}
    command = ["bash", str(REPOSITORY / ".ci/browser")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done, calls.read_text().splitlines()


APT = 'echo "$*" >> "$CALLS"'
INSTALL = f'{APT}; case "$*" in *download-only*|*update*) ;; *install*chromium) : > "${{0%/*}}/chromium"'
INSTALL += '; /bin/chmod +x "${0%/*}/chromium" ;; esac'
TIMEOUT = 'shift; exec "$@"'
WARNING = "warning: there is no Chromium, and none could be installed: the tests that drive a browser are skipped\n"


def test_a_browser_that_is_there_is_used(programs: Callable[..., None], tmp_path: Path) -> None:
    programs(google_chrome="", id="echo 0", apt_get=APT, timeout=TIMEOUT)
    done, calls = ask_for_browser(tmp_path)
    assert (done.returncode, done.stdout, done.stderr, calls) == (0, "", "", [])


def test_root_gets_a_browser_from_debian(programs: Callable[..., None], tmp_path: Path) -> None:
    programs(id="echo 0", apt_get=INSTALL, timeout=TIMEOUT)
    done, calls = ask_for_browser(tmp_path)
    assert done.stdout == "installing the package chromium, for the tests that drive a browser\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert [call.split("=20 ")[-1] for call in calls] == [
        "update",
        "install -y --no-install-recommends --download-only chromium",
        "install -y --no-install-recommends chromium",
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"id": "echo 0", "apt_get": f"{APT}; exit 100", "timeout": TIMEOUT},
        {"id": "echo 0", "apt_get": APT, "timeout": "exit 124"},
        {"id": "echo 0", "apt_get": APT, "timeout": TIMEOUT},
        {"id": "echo 1000", "apt_get": INSTALL, "timeout": TIMEOUT},
        {"id": "echo 0"},
    ],
    ids=["unreachable", "hangs", "installs-nothing", "not-root", "not-debian"],
)
def test_without_a_browser_ci_says_so_and_goes_on(
    programs: Callable[..., None], tmp_path: Path, given: dict[str, str]
) -> None:
    programs(**given)
    done, calls = ask_for_browser(tmp_path)
    assert (done.returncode, done.stderr) == (1, WARNING)
    assert bool(calls) == (given["id"] == "echo 0" and "apt_get" in given and given["timeout"] == TIMEOUT)


def test_a_browser_test_is_skipped_without_a_browser_but_fails_where_one_is_required(
    programs: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(pytest.skip.Exception, match="install the package chromium"):
        chromium()
    monkeypatch.setenv("REQUIRE_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="install the package chromium"):
        chromium()
    programs(chromium="")
    assert chromium().endswith("/bin/chromium")


def test_the_workflow_requires_a_browser(jobs: dict[str, Any]) -> None:
    [step] = [step for job in jobs.values() for step in job["steps"] if step.get("run") == ".ci/run"]
    assert step["env"] == {"REQUIRE_BROWSER": "1"}
    script = (REPOSITORY / ".ci/run").read_text()
    assert ".ci/browser & browser=$!" in script
    assert 'if wait "$browser"; then export REQUIRE_BROWSER=1; fi' in script


def test_hooks_are_the_projects_own_tools() -> None:
    [repo] = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    for hook in repo["hooks"]:
        program = hook["entry"].split()[0]
        assert program == "bash" or (REPOSITORY / program).exists(), hook["id"]
