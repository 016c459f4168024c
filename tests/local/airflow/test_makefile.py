"""make and bin/: from a folder of any name, in a shell full of settings of other projects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.cloud.settings import REPOSITORY

# A program that writes its arguments and environment, and does what uv or pip would.
PROGRAM = (
    f"""\
#!{os.path.realpath(sys.executable)} -S
"""
    + """\
import json, os, sys
name = os.path.basename(sys.argv[0])
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps({"name": name, "words": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}) + "\\n")
if name == "uv":
    words = sys.argv[1:]
    project = words[words.index("--project") + 1] if "--project" in words else "."
    os.makedirs(os.path.join(project, ".venv"), exist_ok=True)
if name.startswith("python") and "pip" in sys.argv:
    target = os.path.join(sys.argv[sys.argv.index("--target") + 1], "bin")
    os.makedirs(target, exist_ok=True)
    os.symlink(os.path.abspath(__file__), os.path.join(target, "uv"))
"""
)
FOLDERS = ["plain", "a b", "it's", 'a "b"', "$HOME x", "ü ñ 東", "a#b", "a;b & c"]
FOREIGN = {
    "PGSSLMODE": "verify-full",
    "PGSERVICE": "other",
    "UV_PROJECT_ENVIRONMENT": "/other",
    "UV_PYTHON": "3.9",
    "UV_SYSTEM_PYTHON": "1",
    "VIRTUAL_ENV": "/other",
    "CDPATH": "/tmp:/other",
    "PYTHONPATH": "/other",
    "PYTHONSTARTUP": "/other/startup.py",
    "PIP_TARGET": "/other",
    "PIP_USER": "1",
}
KEPT = {"UV_DEFAULT_INDEX": "https://mirror.example.com/simple", "UV_CACHE_DIR": "/cache", "PIP_INDEX_URL": "https://m"}


# Each has an environment of its own.
PROJECTS = (".", "local/cloud", "comparison", "examples/dbt", "docs/site")


class Clone:
    """A folder with the Makefile and programs that only record their calls."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.record = programs / "record"
        self.record.touch()
        self.programs = programs
        folder.mkdir()
        shutil.copy(REPOSITORY / "Makefile", folder)
        shutil.copytree(REPOSITORY / "bin", folder / "bin")
        for project in PROJECTS:
            (folder / project).mkdir(parents=True, exist_ok=True)
            for name in ("pyproject.toml", "uv.lock"):
                (folder / project / name).touch()
        self.add("python3")

    def add(self, name: str, folder: Path | None = None) -> Path:
        path = (folder or self.programs) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PROGRAM)
        path.chmod(0o755)
        return path

    def run(self, *words: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "HOME": os.environ.get("HOME", "/"),
            "RECORD": str(self.record),
        }
        return subprocess.run(
            list(words), cwd=cwd or self.folder, env={**env, **variables}, capture_output=True, text=True, check=False
        )

    def calls(self) -> list[dict]:
        return [json.loads(line) for line in self.record.read_text().splitlines()]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    (tmp_path / "programs").mkdir()
    return tmp_path / "programs"


@pytest.mark.parametrize("own_uv", [True, False], ids=["uv is installed by make", "uv from PATH"])
@pytest.mark.parametrize("name", FOLDERS)
def test_install_works_in_a_folder_of_any_name(tmp_path: Path, programs: Path, name: str, own_uv: bool) -> None:
    clone = Clone(tmp_path / name, programs)
    if not own_uv:
        clone.add("uv")
    done = clone.run("make", "install", *(f"{project}/.venv/.installed" for project in PROJECTS[2:]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [call["cwd"] for call in clone.calls()] == [str(clone.folder)] * len(clone.calls())
    synced = [call["words"] for call in clone.calls() if call["name"] == "uv"]
    common = ["sync", "--quiet", "--locked"]
    assert synced == [
        [*common, "--python", "python3"],
        [*common, "--project", "local/cloud", "--python", "python3"],
        [*common, "--project", "comparison", "--python", "python3"],
        [*common, "--project", "examples/dbt", "--python", "python3"],
        [*common, "--project", "docs/site", "--python", "python3"],
    ]
    for project in PROJECTS:
        assert (clone.folder / project / ".venv" / ".installed").exists()
    assert [call["name"] for call in clone.calls()].count("python3") == own_uv
    assert clone.run("make", "install").returncode == 0
    assert len(clone.calls()) == len(PROJECTS) + own_uv, "nothing is installed twice"


@pytest.mark.parametrize("name", FOREIGN)
def test_make_passes_on_nothing_of_other_projects(tmp_path: Path, programs: Path, name: str) -> None:
    clone = Clone(tmp_path / "clone", programs)
    done = clone.run("make", "install", **{**KEPT, name: FOREIGN[name]})
    assert done.returncode == 0, done.stdout + done.stderr
    for call in clone.calls():
        assert name not in call["env"], call["name"]
        assert {kept: call["env"].get(kept) for kept in KEPT} == KEPT


def test_make_runs_no_file_that_the_shell_names(tmp_path: Path, programs: Path) -> None:
    clone = Clone(tmp_path / "clone", programs)
    (tmp_path / "env.sh").write_text('echo "I ran"; touch "$HERE"\n')
    done = clone.run("make", "install", "help", BASH_ENV=str(tmp_path / "env.sh"), HERE=str(tmp_path / "ran"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()
    assert "I ran" not in done.stdout


@pytest.mark.parametrize("command", ["airflow", "prefect", "dbt"])
@pytest.mark.parametrize("name", FOLDERS)
def test_the_commands_in_bin_work_in_a_folder_of_any_name(
    tmp_path: Path, programs: Path, name: str, command: str
) -> None:
    clone = Clone(tmp_path / name, programs)
    clone.add("python", clone.folder / ".venv" / "bin")
    (tmp_path / "link").symlink_to(clone.folder / "bin" / command)
    (tmp_path / "env.sh").write_text("exit 7\n")
    foreign = {**FOREIGN, "BASH_ENV": str(tmp_path / "env.sh"), "PYTHONOPTIMIZE": "2"}
    done = clone.run(str(tmp_path / "link"), "dags", "list", "a b", "$HOME", cwd=tmp_path, **foreign)
    assert done.returncode == 0, done.stdout + done.stderr
    [call] = clone.calls()
    module = {"airflow": ["local.airflow", "run"], "prefect": ["comparison.prefect_cli"], "dbt": ["examples.dbt.cli"]}[
        command
    ]
    assert call["words"] == ["-P", "-m", *module, "dags", "list", "a b", "$HOME"]
    assert call["cwd"] == str(tmp_path)
    of_python = {name: value for name, value in call["env"].items() if name.startswith("PYTHON")}
    assert of_python == {"PYTHONPATH": str(clone.folder)}


def test_only_what_is_given_names_a_project_on_google_cloud(tmp_path: Path, programs: Path) -> None:
    clone = Clone(tmp_path / "clone", programs)
    clone.add("uv")
    clone.add("python", clone.folder / ".venv" / "bin")
    for given, wanted in (["PROJECT=a b", "BUCKET=it's"], ["a b", "it's"]), ([], ["", ""]):
        assert clone.run("make", "gcp-check", *given, PROJECT="other", BUCKET="other").returncode == 0
        assert clone.calls()[-1]["words"] == ["-m", "local.airflow", "gcp-check", *wanted]
