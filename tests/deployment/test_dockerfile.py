"""The Dockerfile: its stages, their versions, and what the images contain."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from local.cloud.settings import REPOSITORY
from tests.deployment.dockerfile import Dockerfile

IMAGES = ("airflow", "local-cloud")


def test_every_stage_starts_from_one_python_image(dockerfile: Dockerfile) -> None:
    outside = {parent for parent in dockerfile.parents.values() if parent not in dockerfile.parents}
    assert len(outside) == 1
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", outside.pop())
    assert list(dockerfile.parents)[-1] == "airflow", "the last stage is the default"


def test_the_image_has_the_oldest_supported_python(dockerfile: Dockerfile) -> None:
    version = re.match(r"python:(\d+\.\d+)\.\d+-", dockerfile.parents["python"])
    assert version
    for project in ("pyproject.toml", "local/cloud/pyproject.toml"):
        [required] = re.findall(r'requires-python = "(.*)"', (REPOSITORY / project).read_text())
        assert version[1] in SpecifierSet(required)
        assert required.startswith(f">={version[1]},")


def test_one_uv_version_everywhere(dockerfile: Dockerfile) -> None:
    [version] = re.findall(r"(?m)^UV_VERSION := (\S+)$", (REPOSITORY / "Makefile").read_text())
    assert dockerfile.get("uv", "ARG") == [f"UV_VERSION={version}"]


def test_environments_are_as_locked_and_without_what_only_development_needs(dockerfile: Dockerfile) -> None:
    for image in IMAGES:
        [command] = dockerfile.get(f"{image}-environment", "RUN")
        assert "uv sync --locked --no-dev" in command


def test_airflow_has_what_a_team_adds(dockerfile: Dockerfile) -> None:
    [command] = dockerfile.get("airflow-environment", "RUN")
    assert "uv sync --locked --no-dev --extra team" in command


def test_the_image_of_others_can_be_another(dockerfile: Dockerfile) -> None:
    assert set(dockerfile.base) == {"BASE_IMAGE"}


def test_copied_paths_exist_and_reach_the_build(dockerfile: Dockerfile) -> None:
    ignore = (REPOSITORY / ".dockerignore").read_text().splitlines()
    patterns = [line for line in ignore if line and not line.startswith("#")]
    assert patterns[0] == "*"
    allowed = {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}
    copied = {path for stage in dockerfile.parents for path in dockerfile.copied(stage)}
    assert {path.split("/")[0] for path in copied} == {path.split("/")[0] for path in allowed}
    for path in copied:
        assert (REPOSITORY / path).exists(), path
    assert not any(pattern.startswith("!") for pattern in patterns[len(allowed) + 1 :]), "exclusions must come last"


def test_airflow_finds_the_folders_that_the_image_contains(dockerfile: Dockerfile) -> None:
    [home] = dockerfile.get("airflow", "WORKDIR")
    copied = {f"{home}/{place}" for place in dockerfile.copied("airflow").values()}
    assert copied == {f"{home}/{folder}" for folder in ("config", "dags", "include", "plugins")}
    environment = dockerfile.env("airflow")
    assert environment.pop("PATH").startswith(f"{home}/.venv/bin:")
    assert environment.pop("AIRFLOW_HOME") == home
    # Every other variable names a folder that is there; include/ is found beside plugins/.
    assert set(environment.values()) == copied - {f"{home}/include"}


@pytest.mark.parametrize(("given", "asked"), [("", []), ("1", ["update", "install"])])
def test_git_is_installed_if_it_is_asked_for(
    dockerfile: Dockerfile, tmp_path: Path, given: str, asked: list[str]
) -> None:
    assert "WITH_GIT=" in dockerfile.get("airflow", "ARG")
    [command] = [one for one in dockerfile.get("airflow", "RUN") if "git" in one]
    log = tmp_path / "log"
    log.touch()
    (tmp_path / "apt-get").write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    (tmp_path / "apt-get").chmod(0o755)
    (tmp_path / "rm").symlink_to("/bin/true")
    subprocess.run(
        ["sh", "-euc", command], env={"WITH_GIT": given, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=True
    )
    ran = [line.split() for line in log.read_text().splitlines()]
    assert [words[0] for words in ran] == asked
    assert not given or {"--no-install-recommends", "git"} < set(ran[1])


def test_the_airflow_image_contains_nothing_of_the_local_stack(dockerfile: Dockerfile) -> None:
    assert not any(path.startswith("local") for path in dockerfile.copied("airflow"))


def test_images_do_not_run_as_root(dockerfile: Dockerfile) -> None:
    [number] = re.findall(r"useradd --uid (\d+)", dockerfile.get("python", "RUN")[0])
    for image in IMAGES:
        words = [word for word, _ in dockerfile.instructions[image]]
        assert dockerfile.get(image, "USER") == [number]
        # Nothing runs as root after it.
        assert words[words.index("USER") :] == ["USER", "ENTRYPOINT"]
