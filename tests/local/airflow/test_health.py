"""What hangs is found quickly, and nothing else is; servers are stand-ins, and what sends heartbeats only sleeps."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from local.airflow import __main__ as main
from local.airflow import health, stack
from local.airflow.environment import AirflowSettings
from local.cloud.processes import Running
from tests.local.airflow.conftest import kill
from tests.ports import free_port

SERVERS = {
    "api-server": "AIRFLOW_PORT",
    "gcs": "GCS_PORT",
    "bigquery": "BIGQUERY_PORT",
    "source": "SOURCE_PORT",
    "postgres": "POSTGRES_PORT",
}
PATHS = {"/api/v2/monitor/health", "/storage/v1/b", "/healthz"}


class Servers:
    """Stand-ins for the servers: HTTP servers that know the paths of the looks, and a Postgres that answers one byte.

    Attributes:
        heartbeats: seconds since the last heartbeat of each component; None: there was none yet.
        database: what the API server says of Airflow's database.
        broken: whether the HTTP servers answer with an error.
        together: if set, servers answer only once as many have been asked as it says.
        ports: the port of each stand-in, by the setting that has it.
    """

    def __init__(self) -> None:
        self.heartbeats: dict[str, float | None] = dict.fromkeys(stack.COMPONENTS, 1.0)
        self.database = "healthy"
        self.broken = False
        self.together: threading.Barrier | None = None
        self.ports: dict[str, str] = {}

    def report(self) -> bytes:
        report: dict[str, object] = {"metadatabase": {"status": self.database}}
        for name, age in self.heartbeats.items():
            key = name.replace("-", "_")
            last = None if age is None else datetime.fromtimestamp(time.time() - age, UTC).isoformat()
            report[key] = {"status": "healthy", f"latest_{key}_heartbeat": last}
        return json.dumps(report).encode()

    @contextmanager
    def http(self) -> Iterator[int]:
        servers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                servers.meet()
                self.send_response(500 if servers.broken else 200 if self.path in PATHS else 404)
                self.end_headers()
                self.wfile.write(servers.report() if self.path.startswith("/api/") else b"ok")

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()

    def meet(self) -> None:
        """Wait until all are asked that are to be asked at once."""
        if self.together is not None:
            self.together.wait(60)

    @contextmanager
    def postgres(self) -> Iterator[int]:
        servers = self
        with socket.create_server(("127.0.0.1", 0)) as server:

            def answer() -> None:
                asked = True
                while asked:
                    connection, _ = server.accept()
                    with connection:
                        asked = connection.recv(8) == b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
                        if asked:
                            servers.meet()
                        connection.sendall(b"N" if asked else b"")

            thread = threading.Thread(target=answer)
            thread.start()
            try:
                yield server.getsockname()[1]
            finally:
                with socket.create_connection(server.getsockname()) as connection:
                    connection.sendall(b"the end!")
                    thread.join()

    @contextmanager
    def silent(self) -> Iterator[int]:
        """A server that hangs: the system accepts connections for it, and nobody answers."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server.getsockname()[1]


@pytest.fixture
def started(make_settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[AirflowSettings, Servers]]]:
    """A function that starts stand-ins, which count as just started components; those that are named hang."""
    with ExitStack() as stack_of_servers:

        def start(*hanging: str) -> tuple[AirflowSettings, Servers]:
            servers = Servers()
            for name, port in SERVERS.items():
                kind = servers.silent if name in hanging else servers.postgres if name == "postgres" else servers.http
                servers.ports[port] = str(stack_of_servers.enter_context(kind()))
            alive = Running(4711, time.time())
            # Beside one that hangs, a slow machine would not let others answer in the time that the test gives it.
            known = hanging or SERVERS.keys() | set(stack.COMPONENTS)
            monkeypatch.setattr(health, "running", lambda name, run_dir: alive if name in known else None)
            return make_settings(**servers.ports), servers

        yield start


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.3)


def stop_the_clock(monkeypatch: pytest.MonkeyPatch, uptime: float) -> None:
    """Let it be this many seconds after the start, however long the test takes."""
    now = time.time() + uptime
    monkeypatch.setattr(time, "time", lambda: now)


def names(found: list[str]) -> list[str]:
    return [sentence.split()[0] for sentence in found]


def test_a_stack_that_is_down_does_not_hang(settings: AirflowSettings) -> None:
    assert health.hung(settings) == []


def test_a_healthy_stack_does_not_hang(started) -> None:
    settings, _ = started()
    assert health.hung(settings) == []


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_does_not_answer_hangs(started, impatient: None, name: str) -> None:
    settings, _ = started(name)
    [sentence] = health.hung(settings)
    assert re.fullmatch(
        rf"{name} \(pid 4711\) does not answer as it should \((<urlopen error )?timed out>?\); "
        rf"see {re.escape(str(stack.log_of(settings, name)))}\. "
        rf"If it hangs, end it with kill -9 4711: the watcher then restarts it",
        sentence,
    )


def test_all_servers_are_asked_at_once(started, monkeypatch: pytest.MonkeyPatch) -> None:
    """None would answer if they were asked one after another."""
    monkeypatch.setattr(health, "ANSWER_SECONDS", 120.0)
    settings, servers = started()
    servers.together = threading.Barrier(len(SERVERS))
    assert health.hung(settings) == []
    assert not servers.together.broken


def test_all_that_hang_are_found(started, impatient: None) -> None:
    settings, _ = started(*SERVERS)
    assert names(health.hung(settings)) == sorted(SERVERS)


@pytest.mark.parametrize("name", stack.COMPONENTS)
def test_a_component_without_a_heartbeat_hangs(started, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    settings, servers = started()
    servers.heartbeats[name] = 95.0
    assert health.hung(settings) == [], "it has just been started"
    stop_the_clock(monkeypatch, 100)
    assert names(health.hung(settings)) == [name]
    assert f"{name} (pid 4711) has sent no heartbeat for 95 s" in health.hung(settings)[0]


@pytest.mark.parametrize(("age", "found"), [(None, ["scheduler"]), (50.0, []), (70.0, ["scheduler"])])
def test_only_a_heartbeat_of_long_ago_counts(
    started, monkeypatch: pytest.MonkeyPatch, age: float | None, found: list[str]
) -> None:
    settings, servers = started()
    servers.heartbeats["scheduler"] = age
    stop_the_clock(monkeypatch, 100)
    assert names(health.hung(settings)) == found


def test_without_its_database_airflow_knows_no_heartbeats(started, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, servers = started()
    servers.heartbeats = dict.fromkeys(stack.COMPONENTS)
    servers.database = "unhealthy"
    stop_the_clock(monkeypatch, 100)
    assert health.hung(settings) == []


@pytest.mark.parametrize(("uptime", "found"), [(100, []), (200, ["bigquery"])])
def test_only_a_server_that_has_just_been_started_may_not_listen_yet(
    started, monkeypatch: pytest.MonkeyPatch, uptime: int, found: list[str]
) -> None:
    settings, _ = started()
    settings = replace(settings, cloud=replace(settings.cloud, bigquery_port=free_port()))
    stop_the_clock(monkeypatch, uptime)
    assert names(health.hung(settings)) == found


def test_a_server_that_answers_with_an_error_is_told(started) -> None:
    settings, servers = started()
    servers.broken = True
    assert names(health.hung(settings)) == ["api-server", "bigquery", "gcs", "source"]
    assert "does not answer as it should (HTTP 500); " in health.hung(settings)[0]


def test_only_what_is_recorded_and_alive_can_hang(
    make_settings, sleeper: Callable[[str], int], impatient: None
) -> None:
    with Servers().silent() as port:
        settings = make_settings(BIGQUERY_PORT=str(port), GCS_PORT=str(port), AIRFLOW_PORT=str(port))
        assert health.hung(settings) == []
        gcs, bigquery, _ = sleeper("gcs"), sleeper("bigquery"), sleeper("api-server")
        assert names(health.hung(settings)) == ["api-server", "bigquery", "gcs"]
        assert f"gcs (pid {gcs}) " in health.hung(settings)[2]
        kill(settings, "bigquery", bigquery)
        assert names(health.hung(settings)) == ["api-server", "gcs"]


@pytest.mark.parametrize(
    "words", [["dags", "trigger", "x"], ["dags", "test", "x"], ["backfill", "create"], ["version"]], ids=" ".join
)
@pytest.mark.parametrize(("code", "hung", "expected"), [(0, [], 0), (0, ["hung"], 1), (2, ["hung"], 2)])
def test_the_airflow_command_tells_what_hangs_before_it_runs(
    make_settings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    hung: list[str],
    expected: int,
) -> None:
    told: list[str] = []

    def run(_: AirflowSettings, arguments: list[str]) -> int:
        assert arguments == words
        told.append(capfd.readouterr().err)
        return code

    monkeypatch.setattr(stack, "migrate", lambda _: None)
    monkeypatch.setattr(stack, "restarts_to_come", lambda _: ["dead"])
    monkeypatch.setattr(health, "hung", lambda _: hung)
    monkeypatch.setattr(main, "_run_command", run)
    assert main._run_airflow(make_settings(), words) == expected
    assert told == ["note: dead\n" + "".join(f"error: {one}\n" for one in hung)]
