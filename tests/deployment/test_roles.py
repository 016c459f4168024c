"""Who may start runs, and who may only look: each auth manager on the stack's own API server, with its real logins."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from local.airflow import login, stack
from local.airflow.environment import AirflowSettings
from local.airflow.login import AUTH_MANAGER, FAB
from local.cloud.processes import start, stop
from local.cloud.settings import Settings
from tests.attacks.promises import attack
from tests.local.cloud.conftest import Cloud, cloud_in
from tests.ports import free_port

pytestmark = pytest.mark.full

ROLES = ("viewer", "user", "op")
SIMPLE_USERS = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{role}:{role}" for role in ("admin", *ROLES))}
SETTINGS = {"simple": SIMPLE_USERS, "fab": {AUTH_MANAGER: FAB}}
DAG = "/api/v2/dags/green_web_to_gcs"
RUN = {"logical_date": None, "conf": {"month": "2021-01"}}
BACKFILL = {"dag_id": "green_web_to_gcs", "from_date": "2021-01-01T00:00:00Z", "to_date": "2021-02-01T00:00:00Z"}
USERS = "/auth/fab/v1/users"
MONTHS = "/months/api/overview"
# Who gets which answer: nobody's login, then the roles in their order, then the administrator.
ANSWERS: dict[tuple[str, str], tuple[Any, tuple[int, int, int, int, int]]] = {
    ("GET", DAG): (None, (401, 200, 200, 200, 200)),
    ("POST", f"{DAG}/dagRuns"): (RUN, (401, 403, 200, 200, 200)),
    ("PATCH", DAG): ({"is_paused": True}, (401, 403, 200, 200, 200)),
    ("POST", "/api/v2/backfills/dry_run"): (BACKFILL, (401, 403, 200, 200, 200)),
    ("GET", "/api/v2/connections"): (None, (401, 403, 403, 200, 200)),
    ("GET", MONTHS): (None, (401, 200, 200, 200, 200)),
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A Postgres with the database of both servers: that of FAB, with all DAGs."""
    made = cloud_in(tmp_path_factory.mktemp("roles") / "state")
    made.must("up", "postgres")
    try:
        with _settings("fab", made) as settings:
            stack.migrate(settings)
            serialized = stack.run_airflow(settings, "dags", "reserialize", capture_output=True)
            assert serialized.returncode == 0, serialized.stderr
            _create_by_command(settings, ROLES[0])
        yield made
    finally:
        made.must("down")


@contextmanager
def _settings(auth_manager: str, cloud: Cloud) -> Iterator[AirflowSettings]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS[auth_manager].items():
            patch.setenv(name, value)
        yield AirflowSettings(cloud=Settings.from_env(cloud.env), port=free_port())


def _create_by_command(settings: AirflowSettings, role: str) -> None:
    """Make a user by Airflow's command, which asks for the password twice: on its input, if there is no terminal."""
    words = ["--username", role, "--role", role.capitalize(), "--email", f"{role}@example.com"]
    done = subprocess.run(
        [str(stack.AIRFLOW), "users", "create", *words, "--firstname", role, "--lastname", role],
        env={**os.environ, **settings.environment()},
        input=f"{_password(role)}\n" * 2,
        start_new_session=True,  # without this terminal
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _password(role: str) -> str:
    return f"password-of-{role}"


@pytest.fixture(scope="module", params=SETTINGS)
def clients(request: pytest.FixtureRequest, cloud: Cloud) -> Iterator[dict[str, httpx.Client]]:
    """A client of a running API server for each role, and one without a login."""
    with _settings(request.param, cloud) as settings:
        login.write_passwords(settings)
        [api_server, *_] = stack._processes(settings, {})
        start([api_server], run_dir=settings.home / "run")
        try:
            made = _logged_in(settings, has_fab=request.param == "fab")
            yield made
            for client in made.values():
                client.close()
        finally:
            stop(run_dir=settings.home / "run")


def _logged_in(settings: AirflowSettings, *, has_fab: bool) -> dict[str, httpx.Client]:
    passwords = json.loads((settings.home / "passwords.json").read_text())
    made = {name: httpx.Client(base_url=settings.url, trust_env=False, timeout=60) for name in ("", "admin", *ROLES)}
    _log_in(made["admin"], "admin", settings.password())
    for role in ROLES:
        if has_fab and role != ROLES[0]:
            _create_by_request(made["admin"], role)
        _log_in(made[role], role, _password(role) if has_fab else passwords[role])
    return made


def _create_by_request(admin: httpx.Client, role: str) -> None:
    user = {"username": role, "first_name": role, "last_name": role, "email": f"{role}@example.com"}
    user |= {"password": _password(role), "roles": [{"name": role.capitalize()}]}
    answer = admin.post(USERS, json=user)
    assert answer.status_code == 200, answer.text


def _log_in(client: httpx.Client, name: str, password: str) -> None:
    answer = client.post("/auth/token", json={"username": name, "password": password})
    assert answer.status_code == 201, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


@attack("roles-are-kept")
@pytest.mark.parametrize(("method", "path"), ANSWERS, ids=[" ".join(one) for one in ANSWERS])
def test_each_role_may_do_this(clients: dict[str, httpx.Client], method: str, path: str) -> None:
    body, expected = ANSWERS[method, path]
    answers = [clients[name].request(method, path, json=body) for name in ("", *ROLES, "admin")]
    assert tuple(answer.status_code for answer in answers) == expected, [answer.text for answer in answers]


@attack("roles-are-kept")
def test_the_months_page_offers_a_start_to_those_who_may(clients: dict[str, httpx.Client]) -> None:
    for name in (*ROLES, "admin"):
        offered = {
            may for dataset in clients[name].get(MONTHS).json()["datasets"] for may in dataset["may_run"].values()
        }
        assert offered == {name != "viewer"}, name


@attack("roles-are-kept")
@pytest.mark.parametrize("clients", ["fab"], indirect=True)
def test_only_the_administrator_sees_users(clients: dict[str, httpx.Client]) -> None:
    answers = [clients[name].get(USERS).status_code for name in ("", *ROLES, "admin")]
    assert answers == [401, 403, 403, 403, 200]


@attack("secrets-are-asked-for")
def test_a_wrong_password_gets_no_token(clients: dict[str, httpx.Client]) -> None:
    for password in ("", "admin", "password-of-admin"):
        answer = clients[""].post("/auth/token", json={"username": "admin", "password": password})
        assert answer.status_code in (400, 401), answer.text
