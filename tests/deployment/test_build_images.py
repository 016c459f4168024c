"""bin/build-images: which program builds, what it is told, and what is said if there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from local.cloud.settings import REPOSITORY

RECORD = 'echo "${0##*/} $PWD $*" >> "$CALLS"; [ "$1" != info ] || exit 0'
BROKEN = '[ "$1" != info ] || { echo "cannot connect to the daemon" >&2; exit 1; }'
NONE = "error: none of docker, podman and buildah is here and works; install one, or start its daemon\n"


class Builders:
    """A PATH that has, of programs that build images, only those that a test adds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder / "bin", folder / "calls"
        self.folder.mkdir()
        self.calls.touch()
        for name in ("sh", "readlink", "dirname"):
            (self.folder / name).symlink_to(shutil.which(name) or "")

    def add(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!{self.folder / 'sh'}\n{text}\n")
        path.chmod(0o755)

    def build(self, *arguments: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        """Run the script from another folder; returns what it did, and the builds that it asked for."""
        env = {"PATH": str(self.folder), "CALLS": str(self.calls), **variables}
        words = [str(REPOSITORY / "bin/build-images"), *arguments]
        done = subprocess.run(words, cwd="/", env=env, capture_output=True, text=True, check=False)
        calls = [line for line in self.calls.read_text().splitlines() if not line.endswith(" info")]
        return done, calls


@pytest.fixture
def builders(tmp_path: Path) -> Builders:
    return Builders(tmp_path)


def expected(builder: str, more: str = "") -> list[str]:
    return [
        f"{builder} {os.path.realpath(REPOSITORY)} build --target {target} --tag nyc-taxi-{target}{more} ."
        for target in ("airflow", "local-cloud")
    ]


@pytest.mark.parametrize("builder", ["docker", "podman", "buildah"])
def test_the_one_that_is_here_builds_both_images(builders: Builders, builder: str) -> None:
    builders.add(builder, RECORD)
    done, calls = builders.build()
    assert (done.returncode, done.stderr, calls) == (0, "", expected(builder))
    assert done.stdout == f"building nyc-taxi-airflow with {builder}\nbuilding nyc-taxi-local-cloud with {builder}\n"


def test_one_whose_daemon_is_down_is_passed_over(builders: Builders) -> None:
    builders.add("docker", BROKEN)
    builders.add("buildah", RECORD)
    done, calls = builders.build()
    assert (done.returncode, done.stderr, calls) == (0, "", expected("buildah"))


@pytest.mark.parametrize("docker", [None, BROKEN], ids=["none", "down"])
def test_without_one_it_says_so_in_one_line(builders: Builders, docker: str | None) -> None:
    if docker:
        builders.add("docker", docker)
    done, calls = builders.build()
    assert (done.returncode, done.stdout, done.stderr, calls) == (1, "", NONE, [])


def test_the_one_that_is_named_builds(builders: Builders) -> None:
    builders.add("docker", RECORD)
    builders.add("podman", RECORD)
    assert builders.build(BUILDER="podman")[1] == expected("podman")
    done, _ = builders.build(BUILDER="buildah")
    assert done.stderr == "error: buildah is not here or does not work; install it, or start its daemon\n"


def test_the_base_can_be_another_image(builders: Builders) -> None:
    builders.add("docker", RECORD)
    _, calls = builders.build("--volume", "/a b:/c", BASE_IMAGE="registry.example.com/python 3")
    more = " --build-arg BASE_IMAGE=registry.example.com/python 3 --volume /a b:/c"
    assert calls == expected("docker", more)


def test_a_build_that_fails_fails_the_command_and_names_a_way_out(builders: Builders) -> None:
    builders.add("docker", f"{RECORD}; exit 7")
    done, calls = builders.build()
    assert (done.returncode, calls) == (7, expected("docker")[:1])
    assert done.stderr == (
        "error: docker did not build nyc-taxi-airflow, see above; if it cannot get the image of Python on which ours "
        "is based, name one that it can: make image BASE_IMAGE=registry.example.com/python:3.11-slim\n"
    )
