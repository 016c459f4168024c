"""Prefect's servers, asked over a socket with forged headers: the CLI's, and those that flows start for themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.rows import month
from comparison import prefect_cli, prefect_side, temporary_server
from comparison.ground import Ground
from comparison.prefect_api import PrefectApi
from comparison.prefect_side import PrefectSide, prefect_command
from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY
from tests.attacks.promises import attack
from tests.local.forgeries import Headers, ask, exchange, forged, status, statuses, welcome
from tests.ports import free_port, is_free
from tests.waiting import wait_until

PYTHON = prefect_command()[0]
# Runs a flow of four tasks, prints its server's port and the tasks' states there, and keeps the server until SIGINT.
ALONE = """
import contextlib, sys
from comparison.prefect_flows.examples import mapped
from prefect.client.orchestration import get_client

mapped()
with get_client(sync_client=True) as client:
    print(client.api_url.port, [run.state_name for run in client.read_task_runs()], flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()
"""
FORGED_POST = [
    ("Origin", "http://evil.example"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Content-Type", "text/plain"),
]


@contextmanager
def running(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program of Prefect's environment, and end it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY, env=env, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)


def own(home: Path) -> dict[str, str]:
    """The variables of a Prefect of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {
        "PREFECT_HOME": str(home),
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that is started as bin/prefect and make compare start it."""
    port = free_port()
    env = own(tmp_path_factory.mktemp("prefect")) | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    command = prefect_command("server", "start", "--host", "127.0.0.1", "--port", str(port))
    with running(command, env) as process, PrefectApi(env["PREFECT_API_URL"]) as api:
        wait_until(lambda: api.is_healthy() or process.poll() is not None, "the server answers", poll=0.2)
        yield port


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that a flow has started for itself, after the flow has run."""
    env = temporary_server.environment(own(tmp_path_factory.mktemp("alone")))
    with running([PYTHON, "-c", ALONE], env) as process:
        assert process.stdout is not None
        port, _, states = process.stdout.readline().partition(" ")
        assert states.strip() == str(["Completed"] * 4), "the flow reaches its own server"
        yield int(port)


def answers_to(
    port: int, path: str, cases: Callable[[int], dict[str, Headers]], other_than: set[int]
) -> dict[str, int]:
    """Send every case; return the statuses that are none of ``other_than``."""
    return {name: code for name, code in statuses(port, path, cases).items() if code not in other_than}


@pytest.mark.full
@attack("foreign-requests-are-refused")
@pytest.mark.parametrize("path", ["/api/health", "/", "/api/admin/version", "/docs"])
def test_forged_headers_are_refused_by_prefects_server(port: int, path: str) -> None:
    # Some are no HTTP at all, which the parser refuses before the guard.
    assert answers_to(port, path, forged, {400, 403}) == {}
    assert answers_to(port, path, welcome, {200}) == {}


@pytest.mark.full
@attack("foreign-requests-are-refused")
@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
def test_page_creates_no_deployment(port: int, method: str) -> None:
    headers = [("Host", f"127.0.0.1:{port}"), *FORGED_POST, ("Access-Control-Request-Method", "POST")]
    answer = ask(port, "/api/deployments/", headers, method=method, body=b"{}")
    assert status(answer) == 403
    assert b"access-control" not in answer.lower()


@pytest.mark.full
@attack("foreign-requests-are-refused")
@pytest.mark.parametrize("path", ["/api/events/out", "/api/events/in", "/api/logs/out"])
def test_websocket_of_a_page_is_refused_by_prefects_server(port: int, path: str) -> None:
    headers = [
        f"Host: 127.0.0.1:{port}",
        "Origin: http://evil.example",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    assert status(exchange(port, "\r\n".join([f"GET {path} HTTP/1.1", *headers, "", ""]).encode())) == 403


@pytest.mark.full
@pytest.mark.parametrize("option", [["--background"], ["-b"]], ids=" ".join)
def test_no_server_is_started_without_the_guard(tmp_path: Path, option: list[str]) -> None:
    port = free_port()
    command = prefect_command("server", "start", "--port", str(port), *option)
    done = subprocess.run(command, cwd=REPOSITORY, env=own(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "would have no guard" in done.stderr
    assert not (tmp_path / "server.pid").exists(), "the next start is not taken for a second one"
    assert is_free(port)


@pytest.mark.full
@attack("foreign-requests-are-refused")
def test_temporary_server_answers_only_its_flow(temporary: int) -> None:
    for path in ("/api/admin/version", "/api/flows/00000000-0000-0000-0000-000000000000"):
        assert answers_to(temporary, path, forged, {400, 401}) == {}
        assert answers_to(temporary, path, welcome, {401}) == {}


@pytest.mark.full
@attack("foreign-requests-are-refused")
@pytest.mark.parametrize("guess", ["", "flow:", "flow:flow", "flow:None", ":"])
def test_temporary_server_lets_no_page_send(temporary: int, guess: str) -> None:
    own_host = ("Host", f"127.0.0.1:{temporary}")
    preflight = [own_host, ("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")]
    answer = ask(temporary, "/api/deployments/", preflight, method="OPTIONS")
    assert status(answer) == 400
    assert b"access-control-allow-origin" not in answer.lower()
    login = [("Authorization", f"Basic {b64encode(guess.encode()).decode()}")]
    answer = ask(temporary, "/api/deployments/", [own_host, *FORGED_POST, *login], method="POST", body=b"{}")
    assert status(answer) == 401
    assert b"access-control-allow-origin" not in answer.lower()


def test_each_temporary_server_has_a_password_of_its_own() -> None:
    other = {"PREFECT_API_URL": "http://127.0.0.1:4200/api", "PREFECT_SERVER_DATABASE_CONNECTION_URL": "x", "KEPT": "y"}
    first, second = (temporary_server.environment(other) for _ in range(2))
    assert not {"PREFECT_API_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"} & first.keys()
    assert first["KEPT"] == "y"
    assert first["PREFECT_SERVER_API_AUTH_STRING"] == first["PREFECT_API_AUTH_STRING"]
    assert len(first["PREFECT_API_AUTH_STRING"]) > 40
    assert first["PREFECT_API_AUTH_STRING"] != second["PREFECT_API_AUTH_STRING"]


def test_flows_of_the_benchmark_start_such_a_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(month, "through", lambda *_, **variables: variables)
    lab: Any = SimpleNamespace(folder=tmp_path)
    variables: Any = month._under_prefect(lab)
    assert temporary_server.settings().keys() <= variables.keys()


GUARDED = [PYTHON, "-m", "comparison.guarded_prefect"]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AirflowSettings:
    """Settings without those of the repository's .env."""
    (tmp_path / ".env").touch()
    monkeypatch.setenv("LOCAL_ENV_FILE", str(tmp_path / ".env"))
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path / "local"))
    return AirflowSettings.from_env()


def test_bin_prefect_runs_prefect_guarded(monkeypatch: pytest.MonkeyPatch, settings: AirflowSettings) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(prefect_cli, "python_of", lambda *_: Path(PYTHON))
    monkeypatch.setattr("local.cloud.shell.adopt", lambda: "")
    monkeypatch.setattr(prefect_cli.os, "chdir", lambda _: None)
    monkeypatch.setattr(prefect_cli.os, "execve", lambda program, command, env: called.append(command))
    monkeypatch.setattr(sys, "argv", ["prefect", "server", "start", "--port", "4300"])
    prefect_cli.main()
    assert called == [[*GUARDED, "server", "start", "--port", "4300"]]


def test_comparison_runs_prefect_guarded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: AirflowSettings
) -> None:
    started: list[list[str]] = []
    ran: list[list[str]] = []
    monkeypatch.setattr(prefect_side, "python_of", lambda *_: Path(PYTHON))
    monkeypatch.setattr(prefect_side, "start", lambda processes, **_: started.extend(p.command for p in processes))
    monkeypatch.setattr(PrefectSide, "_run", lambda self, words: ran.append(words))
    ground = Ground(folder=tmp_path, receiver_url="", dataset="green", month="", rows=0, prefect_url="http://127.0.0.1")
    (tmp_path / "prefect").mkdir()
    PrefectSide(ground, settings, port=4300).start()
    assert [command[:3] for command in started] == [GUARDED] * 2
    assert ["server", "start"] in [command[3:5] for command in started]
    assert [words[:3] for words in ran] == [
        [PYTHON, "-m", "comparison.prefect_flows.set_up"],
        *[GUARDED] * len(prefect_side.PLANS),
    ]
