"""The commands and health checks of the containers, run without a container."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.airflow.stack import CLOUD_PYTHON, COMPONENTS
from local.cloud.settings import REPOSITORY, Settings
from tests.deployment.compose_file import EMULATORS
from tests.deployment.dockerfile import Dockerfile
from tests.ports import free_port


@contextmanager
def health_report(**status: str) -> Iterator[str]:
    """The URL of a server that reports each component's status."""
    body = json.dumps({name: {"status": value} for name, value in status.items()}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def is_healthy(compose: Mapping[str, Any], *arguments: str) -> bool:
    command = [sys.executable, "-c", compose["x-is-healthy"], *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("components", "healthy"),
    [([], True), (["scheduler"], True), (["triggerer"], False), (["scheduler", "triggerer"], False), (["x"], False)],
)
def test_health_check_reports_the_status(compose: dict[str, Any], components: list[str], healthy: bool) -> None:
    with health_report(scheduler="healthy", triggerer="unhealthy") as url:
        assert is_healthy(compose, url, *components) is healthy


def test_health_check_fails_without_an_answer(compose: dict[str, Any]) -> None:
    assert not is_healthy(compose, f"http://127.0.0.1:{free_port()}/")


def test_health_checks_ask_for_their_own_component(services: dict[str, Any], compose: dict[str, Any]) -> None:
    check = [*("CMD", "python", "-c"), compose["x-is-healthy"]]
    asked = {
        name: service["healthcheck"]["test"][len(check) :]
        for name, service in services.items()
        if service.get("healthcheck", {}).get("test", [])[: len(check)] == check
    }
    assert set(asked) == {"api-server", *COMPONENTS, "flower", *EMULATORS}
    for name in COMPONENTS:
        # The report of the API server names each component with underscores.
        assert asked[name] == ["http://api-server:8080/api/v2/monitor/health", name.replace("-", "_")]
    for name in ("api-server", "flower", *EMULATORS):
        inside = services[name]["ports"][0].split(":")[-1]
        [url] = asked[name]
        assert url.startswith(f"http://127.0.0.1:{inside}/")


@pytest.mark.parametrize("name", sorted(EMULATORS))
def test_emulator_starts_by_its_command_and_answers_the_network(
    name: str, compose: dict[str, Any], dockerfile: Dockerfile, tmp_path: Path
) -> None:
    """Runs the service's own command and health check, with another port and other folders."""
    service = compose["services"][name]
    inside, outside = service["ports"][0].split(":")[-1], str(free_port())
    (tmp_path / "gcs").mkdir()

    def moved(words: list[str]) -> list[str]:
        words = [re.sub(rf"\b{inside}\b", outside, word).replace("/data/", f"{tmp_path}/") for word in words]
        return [str(CLOUD_PYTHON) if word == "python" else word for word in words]

    entrypoint = service.get("entrypoint") or json.loads(dockerfile.get("local-cloud", "ENTRYPOINT")[0])
    process = subprocess.Popen(
        moved([*entrypoint, *service["command"]]),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_healthy(process, moved(service["healthcheck"]["test"][1:]))
        children = psutil.Process(process.pid).children(recursive=True)
        of_children = [one for child in children for one in _listening(child.pid)]
        assert {ip for ip, _ in of_children} <= {"127.0.0.1"}
        # The front of GCS has a duplicate of the socket of its child, whose port it closes to others.
        own = [one for one in _listening(process.pid) if one not in of_children]
        assert [(ip in ("0.0.0.0", "::"), port) for ip, port in own] == [(True, int(outside))]
        hosts = (f"{name}:{outside}", f"localhost:{outside}", "evil.example")
        unserved = 400 if name == "gcs" else 404
        assert [_status_for(int(outside), host) for host in hosts] == [unserved, unserved, 403]
    finally:
        process.terminate()
        process.wait(120)
    if name == "gcs":
        assert (tmp_path / "gcs" / Settings.lake_bucket).is_dir()


def _await_healthy(process: subprocess.Popen[bytes], check: list[str]) -> None:
    deadline = time.monotonic() + 120
    while subprocess.run(check, capture_output=True, check=False).returncode != 0:
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < deadline, "it does not become healthy"
        time.sleep(0.2)


def _listening(pid: int) -> list[tuple[str, int]]:
    connections = psutil.Process(pid).net_connections("tcp")
    return [(one.laddr.ip, one.laddr.port) for one in connections if one.status == "LISTEN"]


def _status_for(port: int, host: str) -> int:
    """The status of the answer to a GET of a path that does not exist, under that host name."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/absent", headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()
