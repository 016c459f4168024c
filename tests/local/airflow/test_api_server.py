"""The command that serves Airflow behind the guard, held against Airflow's own."""

from __future__ import annotations

import gc
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from airflow.cli.cli_parser import get_parser
from airflow.cli.commands import api_server_command

from local.airflow import api_server
from local.cloud.guard import Guard


def test_uvicorn_is_run_as_airflow_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(uvicorn, "run", lambda application, **options: runs.append((application, options)))
    monkeypatch.setattr(sys, "argv", ["api_server", "--allow-host", "airflow.example"])
    monkeypatch.setenv("AIRFLOW__API__HOST", "127.0.0.1")
    monkeypatch.setenv("AIRFLOW__API__PORT", "8123")
    given = get_parser().parse_args(["api-server", "--host", "127.0.0.1", "--port", "8123"])
    api_server_command._run_api_server_with_uvicorn(
        args=given,
        apps=given.apps,
        num_workers=given.workers,
        worker_timeout=given.worker_timeout,
        proxy_headers=given.proxy_headers,
    )
    api_server.main()
    (theirs, expected), (ours, options) = runs
    assert theirs == api_server.APPLICATION
    assert ours == "local.airflow.api_server:create_app"
    without_tls = {name: value for name, value in expected.items() if not name.startswith("ssl_")}
    assert options == {**without_tls, "factory": True}
    assert {name: value for name, value in expected.items() if name.startswith("ssl_") and value} == {}


def test_hosts_can_be_allowed_by_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert api_server.allowed_hosts([]) == []
    assert api_server.allowed_hosts(["--allow-host=api-server", "--allow-host=localhost:1"]) == [
        "api-server",
        "localhost:1",
    ]
    with pytest.raises(SystemExit):
        api_server.allowed_hosts(["--allow-host=*"])
    assert "'*' is not a host; write NAME or NAME:PORT" in capsys.readouterr().err


def test_garbage_collections_pass_over_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.main", SimpleNamespace(app=object()))
    monkeypatch.setattr(sys, "argv", ["api_server"])
    assert gc.get_freeze_count() == 0
    try:
        assert isinstance(api_server.create_app(), Guard)
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
