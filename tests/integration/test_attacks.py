"""Attacks on the running stack: tokens, roles, logins, input of runs, and where secrets could appear."""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jwt
import psutil
import psycopg
import pytest
from psycopg import sql

from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY, read_env_file
from nyc_taxi.stores.postgres.copy import copy_parquet
from tests.attacks.promises import attack
from tests.deployment.compose_file import SECRETS, load_compose
from tests.integration.conftest import free_port
from tests.integration.support import await_, end, query_postgres, run_months, trigger
from tests.local.forgeries import ask, status
from tests.nyc_taxi.dag_parts.mail import MailServer

# Answers that anybody may read: neither names nor contents of anything.
OPEN = {"/api/v2/monitor/health", "/api/v2/version"}


@pytest.fixture(scope="module")
def claims(stack: AirflowSettings) -> dict[str, Any]:
    """The claims of a genuine token of the user admin."""
    login = {"username": "admin", "password": stack.password()}
    token = httpx.post(f"{stack.url}/auth/token", json=login, trust_env=False, timeout=60).json()["access_token"]
    return jwt.decode(token, options={"verify_signature": False})


@pytest.fixture(scope="module")
def key(stack: AirflowSettings) -> str:
    return stack.environment()["AIRFLOW__API_AUTH__JWT_SECRET"]


@pytest.fixture(scope="module")
def client(stack: AirflowSettings) -> Iterator[httpx.Client]:
    """A client that has not logged in."""
    with httpx.Client(base_url=stack.url, trust_env=False, timeout=60) as made:
        yield made


Forge = Callable[[dict[str, Any], str], str]


def sign(claims: dict[str, Any], key: str, algorithm: str = "HS512", **differences: Any) -> str:
    return jwt.encode({**claims, **differences}, key, algorithm=algorithm)


def without(token: str, part: int) -> str:
    """The token with one of its three parts empty."""
    return ".".join("" if at == part else text for at, text in enumerate(token.split(".")))


def encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed_with_nothing(claims: dict[str, Any]) -> str:
    text = f"{encoded({'alg': 'HS512', 'typ': 'JWT'})}.{encoded(claims)}"
    digest = hmac.digest(b"", text.encode(), "sha512")
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


FORGED: dict[str, Forge] = {
    "no token": lambda claims, key: "x",
    "signed with another key": lambda claims, key: sign(claims, "k" * 86),
    "signed with an empty key": lambda claims, key: signed_with_nothing(claims),
    "unsigned": lambda claims, key: without(sign(claims, key), 2),
    "algorithm none": lambda claims, key: f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims)}.",
    "algorithm none in capitals": lambda claims, key: f"{encoded({'alg': 'NONE'})}.{encoded(claims)}.",
    "claims changed after signing": lambda claims, key: ".".join(
        [sign(claims, key).split(".")[0], encoded({**claims, "sub": "root"}), sign(claims, key).split(".")[2]]
    ),
    "expired": lambda claims, key: sign(claims, key, exp=int(time.time()) - 3600),
    "not yet valid": lambda claims, key: sign(claims, key, nbf=int(time.time()) + 3600),
    "for another audience": lambda claims, key: sign(claims, key, aud="urn:airflow.apache.org:task"),
    "without an audience": lambda claims, key: sign({k: v for k, v in claims.items() if k != "aud"}, key),
    "without an expiry": lambda claims, key: sign({k: v for k, v in claims.items() if k != "exp"}, key),
}


@attack("tokens-are-verified")
@pytest.mark.full
def test_genuine_token_is_accepted(client: httpx.Client, claims: dict[str, Any], key: str) -> None:
    """Otherwise the refusals below would prove nothing."""
    assert client.get("/api/v2/dags", headers=bearer(sign(claims, key))).status_code == 200


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@attack("tokens-are-verified")
@pytest.mark.full
@pytest.mark.parametrize("name", FORGED)
def test_forged_token_is_refused(client: httpx.Client, claims: dict[str, Any], key: str, name: str) -> None:
    token = FORGED[name](claims, key)
    for method, path in (("GET", "/api/v2/dags"), ("PATCH", "/api/v2/dags/green_web_to_gcs")):
        for headers in (bearer(token), {"Cookie": f"_token={token}"}):
            answer = client.request(
                method, path, headers=headers, json={"is_paused": True} if method == "PATCH" else None
            )
            assert answer.status_code in (401, 403), (method, headers, answer.text)


@attack("tokens-are-verified")
@pytest.mark.full
def test_no_operation_is_served_without_a_token(client: httpx.Client) -> None:
    operations = client.get("/openapi.json").json()["paths"]
    assert len(operations) > 50
    served = set()
    for path, methods in operations.items():
        if path.startswith("/auth/") or path in OPEN:
            continue
        for method in methods:
            target = re.sub(r"\{[^}]*\}", "1", path)
            code = client.request(method, target, json={} if method in ("post", "patch", "put") else None).status_code
            if code not in (401, 403):
                served.add(f"{method} {path} {code}")
    # These two lead to the page that asks for the password.
    assert served == {"get /api/v2/auth/login 307", "get /api/v2/auth/logout 307"}


@attack("tokens-are-verified")
@pytest.mark.full
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/execution/connections/ny_taxi"),
        ("GET", "/execution/variables/lake_bucket"),
        ("PUT", "/execution/variables/lake_bucket"),
        ("GET", "/execution/xcoms/green_web_to_gcs/x/download/return_value"),
        ("PATCH", "/execution/task-instances/00000000-0000-0000-0000-000000000000/run"),
        ("POST", "/execution/dag-runs/green_web_to_gcs/x"),
    ],
)
def test_only_a_task_may_ask_what_tasks_ask(
    client: httpx.Client, claims: dict[str, Any], key: str, method: str, path: str
) -> None:
    for headers in ({}, bearer("x"), bearer(sign(claims, key)), bearer(sign(claims, "k" * 86, sub="task"))):
        assert client.request(method, path, headers=headers, json={}).status_code in (401, 403)


# --- Logins and roles

LOGINS: dict[str, Any] = {
    "the name as the password": {"username": "admin", "password": "admin"},
    "empty": {"username": "admin", "password": ""},
    "airflow": {"username": "airflow", "password": "airflow"},
    "SQL": {"username": "admin' OR '1'='1", "password": "' OR '1'='1"},
    "another type": {"username": "admin", "password": {"$ne": ""}},
    "no password": {"username": "admin"},
    "list": {"username": ["admin"], "password": [""]},
}


@attack("secrets-are-asked-for")
@pytest.mark.full
@pytest.mark.parametrize("name", LOGINS)
def test_login_without_the_password_gets_no_token(client: httpx.Client, name: str) -> None:
    for path in ("/auth/token", "/auth/token/cli"):
        answer = client.post(path, json=LOGINS[name])
        assert answer.status_code in (400, 401, 403, 422), answer.text
        assert "access_token" not in answer.text


@attack("secrets-are-asked-for")
@pytest.mark.full
def test_nobody_is_logged_in_by_opening_an_address(client: httpx.Client) -> None:
    for path in ("/auth/token", "/auth/token/login"):
        answer = client.get(path)
        assert answer.status_code in (401, 403), answer.text
        assert "set-cookie" not in answer.headers


CHANGES = [
    ("POST", "/api/v2/dags/green_web_to_gcs/dagRuns", {"logical_date": None, "conf": {"month": "2021-01"}}),
    ("PATCH", "/api/v2/dags/green_web_to_gcs", {"is_paused": False}),
    ("DELETE", "/api/v2/dags/green_web_to_gcs", None),
    ("POST", "/api/v2/connections", {"connection_id": "x", "conn_type": "http"}),
    ("POST", "/api/v2/variables", {"key": "x", "value": "y"}),
    ("POST", "/api/v2/assets/events", {"asset_id": 1, "partition_key": "2021-01"}),
    ("POST", "/api/v2/pools", {"name": "x", "slots": 1}),
]


@attack("roles-are-kept")
@pytest.mark.full
@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=[f"{one[0]} {one[1]}" for one in CHANGES])
def test_viewer_sees_and_changes_nothing(
    client: httpx.Client, claims: dict[str, Any], key: str, method: str, path: str, body: Any
) -> None:
    headers = bearer(sign(claims, key, role="VIEWER", sub="guest"))
    assert client.get("/api/v2/dags", headers=headers).status_code == 200
    assert client.request(method, path, headers=headers, json=body).status_code == 403


@attack("settings-are-not-shown")
@pytest.mark.full
def test_admin_is_shown_no_secret_either(stack: AirflowSettings, client: httpx.Client, claims: Any, key: str) -> None:
    headers = bearer(sign(claims, key))
    assert client.get("/api/v2/config", headers=headers).status_code == 403
    pages = [
        client.get(path, headers=headers).text
        for path in ("/api/v2/connections", "/api/v2/connections/ny_taxi", "/api/v2/variables", "/ui/config")
    ]
    assert [name for name, value in canaries(stack).items() if any(value in page for page in pages)] == []


# --- Input of runs


@attack("run-ids-are-harmless")
@pytest.mark.full
@pytest.mark.parametrize(
    "run_id", ["../../x", "{{ 7 * 7 }}", "x'; DROP TABLE dag; --", "x\ny", "\x1b[2J", "$(id)"], ids=ascii
)
def test_api_refuses_the_run_id(api: AirflowApi, run_id: str) -> None:
    before = {run["dag_run_id"] for run in api.runs("green_web_to_gcs")}
    with pytest.raises(httpx.HTTPStatusError) as error:
        api.trigger("green_web_to_gcs", {"month": "2020-05"}, dag_run_id=run_id)
    assert error.value.response.status_code in (400, 422)
    assert {run["dag_run_id"] for run in api.runs("green_web_to_gcs")} == before


@attack("a-month-is-a-month")
@pytest.mark.full
def test_no_request_starts_a_run_with_a_hostile_partition_key(api: AirflowApi) -> None:
    hostile = "2020-05'; DROP TABLE trips.green; --{{ conn.ny_taxi.password }}"
    [asset_id] = api.assets_starting("green_gcs_to_bigquery")
    dag_ids = ("green_web_to_gcs", "green_web_to_postgres", "green_gcs_to_bigquery")
    before = {dag_id: api.runs(dag_id) for dag_id in dag_ids}
    requests: list[Callable[[], object]] = [
        *(partial(api.trigger, dag_id, {}, partition_key=hostile) for dag_id in dag_ids),
        partial(api.announce, asset_id, hostile),
        partial(api.call, "POST", f"/assets/{asset_id}/materialize", partition_key=hostile),
    ]
    for request in requests:
        with pytest.raises(httpx.HTTPStatusError, match="is not a month; write YYYY-MM"):
            request()
    assert {dag_id: api.runs(dag_id) for dag_id in dag_ids} == before


@attack("files-are-data")
@pytest.mark.full
def test_hostile_text_reaches_postgres_as_it_is(stack: AirflowSettings, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ["'; DROP TABLE canary; --", "{{ 7 * 7 }}", "\\N", "\\.", "\x1b[2J", "a\tb\nc", '"', "=cmd|' /C calc'!A0"]
    pq.write_table(pa.table({"text": texts}), tmp_path / "file.parquet")
    with psycopg.connect(stack.cloud.postgres_url("ny_taxi")) as connection:
        connection.execute("CREATE TEMPORARY TABLE canary (text text)")
        assert copy_parquet(connection, tmp_path / "file.parquet", sql.Identifier("canary")) == len(texts)
        assert [text for (text,) in connection.execute("SELECT text FROM canary").fetchall()] == texts


# --- Secrets


def canaries(stack: AirflowSettings) -> dict[str, str]:
    """The secrets of the stack, by name; each is random, so wherever one is found, it has leaked."""
    generated = {path.name: path.read_text() for path in (stack.cloud.state_dir / "secrets").iterdir()}
    connections = {name: given(name) for name in ("FAILURE_WEBHOOK", "FAILURE_EMAIL", "TAXI_SOURCE")}
    # As the source is told its login, in a header of each request.
    header = base64.b64encode(f"me:{connections['TAXI_SOURCE']}".encode()).decode()
    return {**generated, **connections, "header of TAXI_SOURCE": header}


def own_file() -> Path:
    """The env file of the tests, which they write beside the folders of the stack's state."""
    return Path(os.environ["LOCAL_ENV_FILE"])


def given(connection: str) -> str:
    """The password of a connection in the env file of the tests."""
    password: str = json.loads(read_env_file(own_file())[f"AIRFLOW_CONN_{connection}"])["password"]
    return password


@pytest.fixture(scope="module")
def used(stack: AirflowSettings, api: AirflowApi, webhook: str, mail: MailServer) -> None:
    """The stack has run tasks that use each secret, one that fails among them, and has told of it on all channels."""
    run_months(api, {"green": "2020-05"}, force=True)
    dag_id = "green_web_to_postgres"
    run_id = trigger(api, dag_id, {"month": "2019-04"})
    assert end(api, dag_id, run_id) == "failed"

    def is_told() -> bool:
        posted = httpx.get(webhook, trust_env=False, timeout=60).text
        return run_id in posted and any(run_id in text for text in mail.texts)

    await_(is_told, "the failure is told on both channels")
    assert mail.logins[-1][1] == given("FAILURE_EMAIL")


@attack("secrets-stay-out-of-records")
@pytest.mark.full
def test_no_secret_is_in_a_file(stack: AirflowSettings, used: None) -> None:
    state = stack.cloud.state_dir
    private = {state / "secrets", stack.home / "passwords.json", stack.cloud.postgres_dir, own_file()}
    found, seen = [], b""
    for path in state.rglob("*"):
        if path.is_file() and not {path, *path.parents} & private:
            content = path.read_bytes()
            seen += content[:1000]
            found += [f"{name} in {path}" for name, value in canaries(stack).items() if value.encode() in content]
    assert found == []
    assert b"green_web_to_gcs" in seen, "the logs were searched"


@attack("secrets-stay-out-of-records")
@pytest.mark.full
def test_no_secret_is_in_a_table(stack: AirflowSettings, used: None) -> None:
    """XComs, rendered templates, the audit log, serialized DAGs, and all else that Airflow and the stores keep."""
    holding: dict[str, list[str]] = {}
    for database in ("airflow", "ny_taxi"):
        with psycopg.connect(stack.cloud.postgres_url(database)) as connection:
            names = connection.execute(
                "SELECT schemaname, tablename FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for table in names:
                for name, value in {**canaries(stack), "control": "green_web_to_postgres"}.items():
                    query = sql.SQL("SELECT count(*) FROM {} AS t WHERE strpos(t::text, %s) > 0").format(
                        sql.Identifier(*table)
                    )
                    if (counted := connection.execute(query, [value]).fetchone()) and counted[0]:
                        holding.setdefault(name, []).append(".".join(table))
    assert set(holding) == {"control"}
    assert set(holding["control"]) >= {"public.log", "public.task_instance", "public.rendered_task_instance_fields"}


@attack("secrets-stay-out-of-processes")
@pytest.mark.full
def test_no_secret_is_in_a_command_line(stack: AirflowSettings, used: None) -> None:
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert any("local.cloud.gcs" in line for line in lines)
    assert [name for name, value in canaries(stack).items() if any(value in line for line in lines)] == []


@attack("secrets-stay-out-of-processes")
@pytest.mark.full
def test_servers_of_the_cloud_have_no_secret_of_airflow(stack: AirflowSettings) -> None:
    checked = set()
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        server = re.search(r"local\.cloud\.(gcs|bigquery|source)|fake-gcs-server|bin/postgres", line)
        if not server or process.environ().get("LOCAL_DIR") != str(stack.cloud.state_dir):
            continue
        checked.add(server[0])
        values = set(process.environ().values())
        assert not [name for name, value in canaries(stack).items() if any(value in one for one in values)], line
    assert len(checked) == 5


@attack("state-is-private")
@pytest.mark.full
def test_no_other_user_can_read_the_state(stack: AirflowSettings, used: None) -> None:
    """A file is private if its folder, or one above it, is; the tests write their own ``.env`` beside the folders."""
    state = stack.cloud.state_dir
    found, own = [], own_file()
    for path in state.rglob("*"):
        above = [parent for parent in (path, *path.parents) if parent.is_relative_to(state) and parent != state]
        if path.is_file() and path != own and not any(one.stat().st_mode & 0o077 == 0 for one in above):
            found.append(str(path))
    assert found == []


# --- Containers


@attack("compose-is-guarded")
@pytest.mark.full
def test_api_server_of_the_compose_file_refuses_foreign_hosts(stack: AirflowSettings, tmp_path: Path) -> None:
    """Its own command, on this stack's database, with the files where Compose mounts them."""
    outside, inside = str(free_port()), free_port()
    compose = load_compose(**SECRETS, AIRFLOW_PORT=outside)
    service = compose["services"]["api-server"]
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    for one in service["configs"]:
        target = tmp_path / one["target"].removeprefix("/opt/airflow/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(compose["configs"][one["source"]]["file"], target)
    environment = {**os.environ, **stack.environment(), "AIRFLOW__API__PORT": str(inside)}
    environment |= {"PYTHONPATH": str(tmp_path / "config"), "LOCAL_DIR": ""}
    words = [sys.executable, *service["entrypoint"][1:], *service["command"]]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        _await_port(process, inside, tmp_path / "log")
        hosts = [f"api-server:{inside}", f"127.0.0.1:{outside}", f"localhost:{outside}", f"127.0.0.1:{inside}"]
        path = "/api/v2/version"
        assert {host: status(ask(inside, path, [("Host", host)])) for host in hosts} == dict.fromkeys(hosts, 200)
        for host in ("evil.example", f"evil.example:{outside}", f"scheduler:{inside}", f"api-server:{outside}"):
            assert status(ask(inside, path, [("Host", host)])) == 403
        headers = [("Host", f"127.0.0.1:{outside}"), ("Origin", "http://evil.example")]
        assert status(ask(inside, path, headers, method="POST")) == 403
    finally:
        process.terminate()
        process.wait(60)


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        try:
            ask(port, "/api/v2/version", [("Host", f"127.0.0.1:{port}")])
            return
        except ConnectionRefusedError:
            time.sleep(0.2)


@attack("files-are-data")
@pytest.mark.full
def test_tables_of_the_warehouse_are_those_of_the_registry(stack: AirflowSettings, used: None) -> None:
    """After all of the above: nothing was dropped, and nothing was added."""
    tables = query_postgres(stack, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert "green_trips" in {name for (name,) in tables}
    assert all(re.fullmatch(r"[a-z]+_(trips|zones)(_\d{4}_\d\d)?", name) for (name,) in tables)
