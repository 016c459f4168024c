"""Runs a service of the compose file as a container engine would, from an unpacked image, by bubblewrap.

As with Docker: the image's root file system is read-only, the process has the image's user, no capability and no way to
new rights, its own process ids, and nothing of this machine but the volumes. Unlike Docker, all services share one
network, in which every name is 127.0.0.1, and no limit of memory holds.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cloud.settings import REPOSITORY
from tests.deployment.compose_file import environment_of
from tests.image.images import Image


class Network:
    """A network of its own, in which nothing of this machine is reached. It has no way out."""

    def __init__(self) -> None:
        script = "ip link set lo up && echo up && exec sleep infinity"
        self._holder = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "up\n"

    def enter(self) -> list[str]:
        """The words that run a command in this network."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--"]

    def close(self) -> None:
        """End it; its processes must have ended."""
        self._holder.terminate()
        self._holder.communicate(timeout=60)


@dataclass(frozen=True)
class Container:
    """One container of a service, not yet started.

    Attributes:
        name: of the host, as Docker names it by the container's id.
        volumes: by the name of a volume, its folder on this machine.
        hosts: the file of host names.
    """

    name: str
    service: Mapping[str, Any]
    configs: Mapping[str, Any]
    image: Image
    volumes: Mapping[str, Path]
    hosts: Path
    network: Network

    @property
    def command(self) -> list[str]:
        """What the service runs: its own entry point or the image's, with its command."""
        return [*(self.service.get("entrypoint") or self.image.config["Entrypoint"]), *self.service.get("command", [])]

    def words(self, command: Sequence[str], *, writable: bool = False) -> list[str]:
        """The words that run a command in this container, on the image as it is or on one that could be written to."""
        user = self.image.config["User"]
        drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
        drop += ["--inh-caps=-all", "--bounding-set=-all"]
        capabilities = [word for name in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
        return [
            *self.network.enter(),
            *("bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", self.name, "--die-with-parent"),
            *(
                "--bind" if writable else "--ro-bind",
                str(self.image.root),
                "/",
                "--dev",
                "/dev",
                "--proc",
                "/proc",
                "--perms",
                "1777",
                "--tmpfs",
                "/tmp",
            ),
            *(
                "--perms",
                "1777",
                "--tmpfs",
                "/dev/shm",
                *self._mounts(),
                *capabilities,
                "--clearenv",
                *self._variables(),
            ),
            *("--chdir", self.image.config["WorkingDir"], "--", *drop, "--", *command),
        ]

    def run(self, command: Sequence[str], *, writable: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as ``docker compose exec`` would."""
        words = self.words(command, writable=writable)
        return subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def _mounts(self) -> list[str]:
        words = ["--ro-bind", str(self.hosts), "/etc/hosts"]
        for mount in self.service.get("volumes", []):
            volume, target, *mode = mount.split(":")
            words += ["--ro-bind" if mode == ["ro"] else "--bind", str(self._volume(volume, target)), target]
        for one in self.service.get("configs", []):
            self._mount_point(one["target"])
            words += ["--ro-bind", str(REPOSITORY / self.configs[one["source"]]["file"]), one["target"]]
        return words

    def _volume(self, volume: str, target: str) -> Path:
        """The folder of a volume. A new one takes its owner from the image's folder."""
        folder, of_image = self.volumes[volume], self.image.root / target.lstrip("/")
        if not folder.exists():
            folder.mkdir()
            os.chown(folder, of_image.stat().st_uid, of_image.stat().st_gid)
        return folder

    def _mount_point(self, target: str) -> None:
        """Docker adds a missing file to the container; here, to the unpacked image."""
        path = self.image.root / target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def _variables(self) -> list[str]:
        given = {
            **self.image.environment,
            **environment_of(self.service),
            "HOSTNAME": self.name,
            "HOME": "/home/airflow",
        }
        return [word for name, value in given.items() for word in ("--setenv", name, value)]
