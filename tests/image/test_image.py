"""What the images have, what they have not, and what their user may."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.compose_file import SECRETS, load_compose
from tests.image.containers import Container, Network
from tests.image.images import NAMES, Image

pytestmark = pytest.mark.image

COMPILERS = (
    "cc",
    "gcc",
    "g++",
    "c++",
    "clang",
    "tcc",
    "as",
    "ld",
    "make",
    "cmake",
    "rustc",
    "cargo",
    "go",
    "git",
    "uv",
)
LARGEST = {"airflow": 2_600_000_000, "local-cloud": 1_500_000_000}
IMPORTS = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
print(json.dumps([sorted(bag.dags), bag.import_errors]))
"""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest.fixture(params=NAMES)
def image(request: pytest.FixtureRequest, images: dict[str, Image]) -> Image:
    return images[request.param]


@pytest.fixture
def bare(image: Image, folder: Path, network: Network) -> Container:
    """A container of an image without any service's settings."""
    return _bare(image, folder, network)


@pytest.fixture
def airflow(images: dict[str, Image], folder: Path, network: Network) -> Container:
    return _bare(images["airflow"], folder, network)


def _bare(image: Image, folder: Path, network: Network) -> Container:
    hosts = folder / "no-hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    return Container("bare", {"env_file": []}, {}, image, {}, hosts, network)


def answer(container: Container, *command: str) -> str:
    done = container.run(command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_it_runs_as_a_user_without_rights(bare: Container) -> None:
    assert answer(bare, "id", "-u") == bare.image.config["User"] == "50000"
    status = answer(bare, "grep", "-E", "^(CapEff|CapBnd|NoNewPrivs)", "/proc/self/status")
    assert re.sub(r"\s+", " ", status) == f"CapEff: {'0' * 16} CapBnd: {'0' * 16} NoNewPrivs: 1"


def test_its_user_owns_no_file_but_the_folders_of_volumes(image: Image) -> None:
    user = int(image.config["User"])
    owned = [
        str(path.relative_to(image.root))
        for top, folders, files in os.walk(image.root)
        for path in (Path(top) / name for name in (*folders, *files))
        if path.lstat().st_uid == user
    ]
    volumes = {"airflow": ["auth", "logs", "tmp", "work"], "local-cloud": ["", "bigquery", "gcs", "source"]}
    place = "opt/airflow" if image.root.name == "airflow" else "data"
    expected = {f"{place}/{name}".rstrip("/") for name in volumes[image.root.name]}
    assert {path for path in owned if not path.startswith("home/airflow")} == expected


def test_its_user_cannot_write_where_all_may(image: Image) -> None:
    """Nothing but the folders for temporary files is open to all users."""
    done = subprocess.run(
        ["find", str(image.root), "-xdev", "-perm", "-o+w", "!", "-type", "l", "-printf", "%P\n"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    open_ones = set(done.stdout.split())
    assert open_ones <= {"tmp", "var/tmp", "run/lock", "var/lock", "dev/shm"}


def test_no_program_gives_rights_away_that_debian_does_not(image: Image) -> None:
    done = subprocess.run(
        ["find", str(image.root), "-xdev", "-perm", "/6000", "-type", "f", "-printf", "%f\n"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    debians = {"chage", "chfn", "chsh", "expiry", "gpasswd", "mount", "newgrp", "passwd", "su", "umount", "unix_chkpwd"}
    assert set(done.stdout.split()) <= debians


def test_it_has_no_compiler(bare: Container) -> None:
    # The shell looks for the first name alone if it gets several.
    look = 'for name in "$@"; do command -v "$name"; done; true'
    found = bare.run(["sh", "-c", look, "sh", *COMPILERS, "sh"])
    assert (found.returncode, [Path(line).name for line in found.stdout.split()]) == (0, ["sh"])


def test_it_has_no_secret_and_no_repository(image: Image) -> None:
    names = [".env", ".git", ".local", "id_rsa", "pip.conf", "uv.toml", ".netrc", "passwords.json"]
    found = [
        str((Path(top) / name).relative_to(image.root))
        for top, folders, files in os.walk(image.root)
        for name in (*folders, *files)
        if name in names or name.endswith((".key", ".p12"))
    ]
    # Tests and examples of packages, none a secret of anybody's.
    assert [path for path in found if "site-packages" not in path] == []
    assert not [name for name in image.environment if re.search("(?i)password|secret|token|_key|conn", name)]


def test_it_is_not_larger_than_it_was(image: Image) -> None:
    assert image.size() < LARGEST[image.root.name]


def test_airflow_is_there_in_the_locked_version(airflow: Container) -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    [version] = re.findall(r'"apache-airflow\[graphviz\]==([\d.]+)"', text)
    assert answer(airflow, "airflow", "version").splitlines()[-1] == version


def test_all_dags_import(airflow: Container) -> None:
    dags, errors = json.loads(answer(airflow, "python", "-c", IMPORTS).splitlines()[-1])
    golden = Path(__file__).parents[1] / "golden"
    assert errors == {}
    assert set(dags) == {path.stem for path in golden.glob("*.json")}


def test_its_user_cannot_change_code(airflow: Container) -> None:
    """By the owners and modes of the files: the file system is not mounted as read-only here."""
    for path in (
        "dags/rollup.py",
        "plugins/nyc_taxi/__init__.py",
        "config/airflow.env",
        ".venv/bin/python",
        "airflow.cfg",
    ):
        done = airflow.run(["sh", "-c", f"echo >> /opt/airflow/{path}"], writable=True)
        assert done.returncode != 0, path
        assert "Permission denied" in done.stderr, done.stderr


def test_services_use_the_images_that_were_built(images: dict[str, Image]) -> None:
    used = {service["image"] for service in load_compose(**SECRETS)["services"].values() if "build" in service}
    assert used == {f"nyc-taxi-{name}" for name in images}
