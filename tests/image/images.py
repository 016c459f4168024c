"""Builds the images as ``make image`` does, and unpacks the root file system of each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.cloud.settings import REPOSITORY

NAMES = ("airflow", "local-cloud")
CERTIFICATES = "/etc/ssl/certs"


@dataclass(frozen=True)
class Image:
    """An unpacked image.

    Attributes:
        root: the folder of its root file system.
        config: what the image says of itself: Env, User, Entrypoint, WorkingDir.
    """

    root: Path
    config: dict[str, Any] = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that each of its containers has."""
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    def size(self) -> int:
        """Bytes of all files, a hard link counted once."""
        done = subprocess.run(["du", "-sxb", str(self.root)], capture_output=True, text=True, check=True)
        return int(done.stdout.split()[0])


@dataclass(frozen=True)
class Builder:
    """A program that builds images, with the variables that it needs here.

    Attributes:
        name: docker or buildah.
        folder: of its work; deleted at the end.
    """

    name: str
    folder: Path
    environment: dict[str, str]

    def run(self, *words: str) -> str:
        """Run the builder and return what it writes.

        Raises:
            AssertionError: it fails.
        """
        return run([self.name, *words], self.environment)

    def build(self) -> None:
        """Build both images by ``bin/build-images``."""
        words = [str(REPOSITORY / "bin/build-images")]
        if self.name == "buildah":
            # The machine's certificates, and its index of packages, are there during the build and not in the image.
            words += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
            if index := os.environ.get("PIP_INDEX_URL"):
                pip = self.folder / "pip.conf"
                pip.write_text(f"[global]\nindex-url = {index}\n")
                words += ["--volume", f"{pip}:/etc/pip.conf:ro"]
        run(words, {**self.environment, "BUILDER": self.name})

    def unpack(self, name: str) -> Image:
        """Copy the image's root file system into a folder."""
        tag, root = f"nyc-taxi-{name}", self.folder / name
        root.mkdir()
        if self.name == "docker":
            [description] = json.loads(self.run("image", "inspect", tag))
            container = self.run("create", tag).strip()
            script = f"docker export {container} | tar -x -C '{root}'"
            run(["sh", "-euc", script], self.environment)
            self.run("rm", container)
            return Image(root, description["Config"])
        description = json.loads(self.run("inspect", "--type", "image", tag))["OCIv1"]
        container = self.run("from", "--pull-never", tag).strip()
        mounted = self.run("mount", container).strip()
        run(["cp", "-a", f"{mounted}/.", str(root)], self.environment)
        self.run("rm", container)
        return Image(root, description["config"])

    def description(self) -> str:
        """What built on what, for people."""
        version = self.run("--version").split(",")[0].split(" (")[0].strip()
        if self.name == "docker":
            return f"{version}, on the Dockerfile's own image of Python"
        return f"{version}, isolation chroot, on Debian 12 by debootstrap with Debian's Python 3.11"


@contextmanager
def builder(folder: Path) -> Iterator[Builder]:
    """Yield docker if it works here, or else buildah with an own storage and a base of Debian's packages."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    if subprocess.run(["sh", "-c", "docker info"], capture_output=True, check=False).returncode == 0:
        yield Builder("docker", folder, base)
        return
    assert os.geteuid() == 0, "buildah builds in a chroot, which needs root"
    missing = [name for name in ("buildah", "debootstrap", "bwrap") if shutil.which(name) is None]
    assert not missing, f"install {', '.join(missing)} (bwrap is in bubblewrap), or start docker"
    storage = folder / "storage.conf"
    storage.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n')
    own = {"CONTAINERS_STORAGE_CONF": str(storage), "BUILDAH_ISOLATION": "chroot"}
    made = Builder("buildah", folder, {**base, **own, "BASE_IMAGE": "localhost/python-debian"})
    (folder / "base").mkdir()
    run([str(REPOSITORY / "tests/image/base.sh"), str(folder / "base")], made.environment)
    try:
        yield made
    finally:
        # It unmounts what the folder still has mounted.
        subprocess.run(["buildah", "rm", "--all"], env=made.environment, capture_output=True, check=False)


def run(words: list[str], environment: dict[str, str]) -> str:
    """Run a program and return what it writes.

    Raises:
        AssertionError: it fails; the message is the end of what it wrote.
    """
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout
