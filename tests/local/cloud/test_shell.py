"""What local commands take from a shell that is full of settings of other systems."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from local.cloud import shell
from local.cloud.settings import REPOSITORY

# Each would lead a process of the local stack elsewhere, or change how it runs.
FOREIGN = {
    "PGHOST": "db.example.com",
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "1",
    "PGDATABASE": "other",
    "PGUSER": "other",
    "PGPASSWORD": "other",
    "PGPASSFILE": "/other/pgpass",
    "PGSERVICE": "other",
    "PGSERVICEFILE": "/other/pg_service.conf",
    "PGSYSCONFDIR": "/other",
    "PGOPTIONS": "-c search_path=other",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/other/root.crt",
    "PGREQUIREAUTH": "none",
    "PGCHANNELBINDING": "require",
    "PGGSSENCMODE": "require",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCONNECT_TIMEOUT": "1",
    "PGCLIENTENCODING": "LATIN1",
    "PGDATESTYLE": "German",
    "PGTZ": "Asia/Tokyo",
    "PGDATA": "/other/data",
    "AIRFLOW_HOME": "/other/airflow",
    "AIRFLOW_CONFIG": "/other/airflow.cfg",
    "AIRFLOW__CORE__DAGS_FOLDER": "/other/dags",
    "AIRFLOW__CORE__FERNET_KEY": "other",
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://db.example.com/airflow",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": "echo postgresql://db.example.com/airflow",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET": "other",
    "AIRFLOW__WORKERS__SECRETS_BACKEND": "other.Backend",
    "AIRFLOW_CONN_NY_TAXI": "postgresql://db.example.com/ny_taxi",
    "AIRFLOW_CONN_TAXI_SOURCE": "http://example.com",
    "AIRFLOW_CONN_OTHER": "http://example.com",
    "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": "google-cloud-platform://?project=other",
    "AIRFLOW_CONN_FAILURE_WEBHOOK": "http://hooks.example.com",
    "AIRFLOW_CONN_FAILURE_EMAIL": "smtp://mail.example.com",
    "AIRFLOW_CONN_FAILURE_FOLDER": "fs://?path=/other",
    "AIRFLOW_VAR_LAKE_BUCKET": "other",
    "AIRFLOW_VAR_WORK_DIR": "/other",
    "AIRFLOW_VAR_PUBLICATION_WAIT_SECONDS": "1",
    "_AIRFLOW__AS_LIBRARY": "1",
    "GOOGLE_APPLICATION_CREDENTIALS": "/other/key.json",
    "GOOGLE_CLOUD_PROJECT": "other",
    "GOOGLE_CLOUD_QUOTA_PROJECT": "other",
    "CLOUDSDK_CONFIG": "/other",
    "GCLOUD_PROJECT": "other",
    "STORAGE_EMULATOR_HOST": "http://example.com",
    "BIGQUERY_EMULATOR_HOST": "http://example.com",
    "PYTHONPATH": "/other",
    "PYTHONHOME": "/other",
    "PYTHONSTARTUP": "/other/startup.py",
    "PYTHONINSPECT": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONUSERBASE": "/other",
    "UV_PROJECT_ENVIRONMENT": "/other",
    "VIRTUAL_ENV": "/other",
    "BASH_ENV": "/other/env.sh",
    "CDPATH": "/other",
    "MAKEFLAGS": "-k",
    "PREFECT_API_URL": "https://example.com",
    "SQLALCHEMY_WARN_20": "1",
    "NETRC": "/other/netrc",
}
KEPT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/me",
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "C",
    "TZ": "Asia/Tokyo",
    "SSL_CERT_FILE": "/etc/company.pem",
    "REQUESTS_CA_BUNDLE": "/etc/company.pem",
    "HTTPS_PROXY": "http://proxy:3128",
    "http_proxy": "http://proxy:3128",
    "ALL_PROXY": "http://proxy:3128",
    "LOCAL_DIR": "/data/local",
    "AIRFLOW_PORT": "8081",
    "SOURCE": "dtc",
    "START_TIMEOUT": "600",
    "GCP_PROJECT": "other",
    "LAKE_BUCKET": "other",
    "BIGQUERY_LOCATION": "EU",
}
PLACES = {"GCP_PROJECT", "LAKE_BUCKET", "BIGQUERY_LOCATION"}
CONNECTION = f"{shell.GOOGLE_CONNECTION}='google-cloud-platform://?project=mine'\n"


@pytest.fixture
def adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that adopts a shell with the given variables and an env file with the given text."""
    umask = os.umask(0o022)

    def adopt(variables: Mapping[str, str], env_file: str = "") -> tuple[dict[str, str], str]:
        (tmp_path / "env").write_text(env_file)
        with monkeypatch.context() as context:
            for name in list(os.environ):
                context.delenv(name)
            for name, value in {**variables, "LOCAL_ENV_FILE": str(tmp_path / "env")}.items():
                context.setenv(name, value)
            before = dict(os.environ)
            note = shell.adopt()
            after = dict(os.environ)
            os.environ.clear()
            os.environ.update(before)
        return after, note

    yield adopt
    os.umask(umask)


def words(note: str) -> set[str]:
    return set(re.findall(r"\w+", note))


@pytest.mark.parametrize("name", FOREIGN)
def test_a_variable_of_another_system_is_not_used(adopted, name: str) -> None:
    after, _ = adopted({**KEPT, name: FOREIGN[name]})
    assert name not in after


@pytest.mark.parametrize("name", KEPT)
def test_what_describes_the_machine_or_the_local_stack_stays(adopted, name: str) -> None:
    after, note = adopted({**FOREIGN, name: KEPT[name]})
    assert after[name] == KEPT[name]
    assert name not in words(note)


def test_nothing_else_reaches_the_processes(adopted) -> None:
    after, _ = adopted({**FOREIGN, **KEPT})
    assert set(after) - set(KEPT) == {"LOCAL_ENV_FILE", "NO_PROXY", "no_proxy", "PYTHONUTF8"}


def test_the_note_names_what_the_user_may_have_meant_for_the_local_stack(adopted) -> None:
    given = {"AIRFLOW__CORE__PARALLELISM": "2", "PGHOST": "db", "PYTHONPATH": "/x", "AIRFLOW_VAR_X": "", **KEPT}
    _, note = adopted(given)
    assert note == (
        "note: the local stack does not use AIRFLOW__CORE__PARALLELISM, PGHOST of this shell; what it should use "
        "belongs in .env"
    )


def test_without_settings_of_other_systems_there_is_no_note(adopted) -> None:
    assert adopted(KEPT, "GCS_PORT=1\nAIRFLOW__CORE__PARALLELISM=3\nPYTHONPATH=src\n")[1] == ""


def test_the_note_names_what_would_lead_the_stack_elsewhere_and_its_file(adopted, tmp_path: Path) -> None:
    _, note = adopted({"PGHOST": "db"}, "PGHOST=db\nAIRFLOW__DATABASE__SQL_ALCHEMY_CONN=other\nGCS_PORT=1\n")
    assert note.splitlines() == [
        "note: the local stack does not use PGHOST of this shell; what it should use belongs in .env",
        "note: the local stack does not use AIRFLOW__DATABASE__SQL_ALCHEMY_CONN, PGHOST of "
        f"{tmp_path / 'env'}, because it has its own",
    ]


# What may stand in .env is a rule of its own: see test_settings.py.
ALSO_IN_ENV_FILE = {
    "AIRFLOW__CORE__FERNET_KEY",
    *(name for name in FOREIGN if re.match("AIRFLOW_(CONN|VAR)_", name)),
    *(name for name in FOREIGN if not re.match("AIRFLOW|PG|PYTHON", name)),
}


@pytest.mark.parametrize("name", sorted(set(FOREIGN) - ALSO_IN_ENV_FILE))
def test_the_projects_env_file_may_not_lead_elsewhere_either(adopted, name: str) -> None:
    after, _ = adopted(KEPT, f"{name}='{FOREIGN[name]}'\n")
    assert name not in after


def test_an_env_file_cannot_name_another(adopted, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("GCS_PORT=7\n")
    after, _ = adopted(KEPT, f"LOCAL_ENV_FILE={tmp_path / 'other'}\n")
    assert after["LOCAL_ENV_FILE"] == str(tmp_path / "env")


def test_the_projects_env_file_may_set_airflow(adopted) -> None:
    after, note = adopted(
        {"AIRFLOW__CORE__PARALLELISM": "2", "AIRFLOW_PORT": "1"},
        "AIRFLOW__CORE__PARALLELISM=3\nAIRFLOW_PORT=2\nAIRFLOW_VAR_X=4\nPYTHONPATH=/x\n",
    )
    assert (after["AIRFLOW__CORE__PARALLELISM"], after["AIRFLOW_PORT"], after["AIRFLOW_VAR_X"]) == ("3", "1", "4")
    assert "PYTHONPATH" not in after
    assert note == ""


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY"])
def test_proxies_of_the_env_file_do_not_apply_to_this_machine(adopted, name: str) -> None:
    after, _ = adopted({"PATH": "/bin"}, f"{name}=http://proxy:3128\n")
    assert {"127.0.0.1", "localhost", "::1"} <= set(after["NO_PROXY"].split(","))
    assert after["no_proxy"] == after["NO_PROXY"]


def test_an_own_connection_takes_the_shells_credentials_with_it(adopted) -> None:
    after, note = adopted(FOREIGN, CONNECTION)
    assert after[shell.GOOGLE_CONNECTION] == "google-cloud-platform://?project=mine"
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CONFIG"):
        assert after[name] == FOREIGN[name]
        assert name not in words(note)
    assert not {"STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST"} & set(after)


@pytest.mark.parametrize("in_file", ["", f"{shell.GOOGLE_CONNECTION}=\n"])
def test_the_shell_cannot_lead_to_google_cloud(adopted, in_file: str) -> None:
    """Neither does its connection, nor do its credentials: the emulators stay, and a note names the variable."""
    after, note = adopted(FOREIGN, in_file)
    assert not after.get(shell.GOOGLE_CONNECTION)
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in after
    assert {shell.GOOGLE_CONNECTION, "GOOGLE_APPLICATION_CREDENTIALS"} <= words(note)


@pytest.mark.parametrize("in_file", ["", "GCP_PROJECT=mine\nLAKE_BUCKET=my-lake\nBIGQUERY_LOCATION=EU\n"])
def test_on_google_cloud_the_env_file_alone_names_the_places(adopted, in_file: str) -> None:
    after, note = adopted(KEPT, CONNECTION + in_file)
    named = {"GCP_PROJECT": "mine", "LAKE_BUCKET": "my-lake", "BIGQUERY_LOCATION": "EU"} if in_file else {}
    assert {name: after[name] for name in PLACES & set(after)} == named
    assert PLACES & words(note) == ({"GCP_PROJECT", "LAKE_BUCKET"} if in_file else PLACES)  # EU is of both


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": ".example.com"}, ".example.com,127.0.0.1,localhost,::1"),
        ({"no_proxy": "localhost, a", "NO_PROXY": "b"}, "localhost,a,b,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "*"),
        ({"NO_PROXY": "[::1],10.0.0.0/8,*.corp,a:80"}, "::1,10.0.0.0/8,*.corp,a:80,127.0.0.1,localhost"),
        ({"no_proxy": "::1/128,127.0.0.0/8,fe80::/10,a b,http://x"}, "127.0.0.0/8,127.0.0.1,localhost,::1"),
    ],
)
def test_this_machine_is_reached_without_a_proxy(adopted, given: dict[str, str], expected: str) -> None:
    after, _ = adopted({"HTTP_PROXY": "http://proxy:3128", **given})
    assert (after["NO_PROXY"], after["no_proxy"]) == (expected, expected)
    assert after["HTTP_PROXY"] == "http://proxy:3128"


def test_proxies_apply_to_remote_sources_alone(adopted, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    import requests

    after, _ = adopted({"HTTP_PROXY": "http://proxy:3128", "ALL_PROXY": "http://proxy:3128"})
    for name, value in after.items():
        monkeypatch.setenv(name, value)
    for url in ("http://127.0.0.1:4443/", "http://localhost:4443/"):
        assert requests.utils.get_environ_proxies(url) == {}
        with httpx.Client() as client:
            assert client._transport_for_url(httpx.URL(url)) is client._transport
    assert requests.utils.get_environ_proxies("http://example.com/")["http"] == "http://proxy:3128"


@pytest.mark.parametrize("folder", ["missing", "relative", "file"])
def test_a_tmpdir_that_cannot_be_used_is_ignored(adopted, tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    given = {"missing": str(tmp_path / "missing"), "relative": ".", "file": str(tmp_path / "file")}[folder]
    after, _ = adopted({"TMPDIR": given})
    assert "TMPDIR" not in after


def test_a_usable_tmpdir_stays(adopted, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    after, _ = adopted({"TMPDIR": str(tmp_path / "a b")})
    assert after["TMPDIR"] == str(tmp_path / "a b")


@pytest.mark.parametrize(("umask", "expected"), [(0o000, 0o022), (0o002, 0o022), (0o077, 0o077), (0o027, 0o027)])
def test_nobody_else_may_write_the_stacks_files(adopted, umask: int, expected: int) -> None:
    os.umask(umask)
    adopted({})
    assert os.umask(0o022) == expected


def test_a_missing_env_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_ENV_FILE", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match=r"missing is not a file; correct it, or unset it to use \.env"):
        shell.adopt()


def test_the_c_library_no_longer_sees_the_variables(tmp_path: Path) -> None:
    """Postgres's client library reads the environment itself, not ``os.environ``."""
    script = (
        "import ctypes, json; from local.cloud import shell; shell.adopt(); libc = ctypes.CDLL(None);"
        "libc.getenv.restype = ctypes.c_char_p;"
        f"print(json.dumps([name for name in {[name for name in FOREIGN if name[:2] == 'PG']!r}"
        " if libc.getenv(name.encode()) is not None]))"
    )
    (tmp_path / "env").touch()
    env = {**os.environ, **{name: value for name, value in FOREIGN.items() if name.startswith("PG")}}
    env["LOCAL_ENV_FILE"] = str(tmp_path / "env")
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, env=env, capture_output=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_stack_of_a_programs_own_is_free_of_the_users_settings() -> None:
    kept = shell.without_other_systems({**FOREIGN, **KEPT})
    assert not set(shell.OWN) & set(kept)
    assert not {name for name in kept if name.startswith(("AIRFLOW_", "PG", "GOOGLE_"))}
    assert kept["PATH"] == KEPT["PATH"]


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "http_proxy"])
@pytest.mark.parametrize("value", ["socks5://127.0.0.1:9", "SOCKS5H://me:secret@proxy:1080", "socks4://proxy"])
def test_a_socks_proxy_is_named_and_not_used(adopted, name: str, value: str) -> None:
    """With one, the client by which tasks reach Airflow does not start, and no task has a log."""
    for shell_has, env_file in (({name: value}, ""), ({}, f"{name}={value}\n")):
        after, note = adopted({"PATH": "/bin", **shell_has}, env_file)
        assert name not in after
        assert f"does not use {name} of" in note
        assert "SOCKS" in note
        assert "secret" not in note


@pytest.mark.parametrize(
    "variables",
    [
        {"ALL_PROXY": "socks5://127.0.0.1:9"},
        {"http_proxy": "http://proxy:3128", "NO_PROXY": "[::1],10.0.0.0/8,*.corp"},
        {"HTTPS_PROXY": "proxy:3128", "no_proxy": "::1/128, 127.0.0.0/8, a b"},
    ],
    ids=["socks", "brackets", "network"],
)
def test_the_client_of_airflow_starts_with_the_proxies_that_are_left(
    adopted, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    after, _ = adopted(variables)
    other = shell.without_other_systems(variables)
    for env in (after, other):
        with monkeypatch.context() as context:
            for name in ("ALL_PROXY", "http_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
                context.delenv(name, raising=False)
                if name in env:
                    context.setenv(name, env[name])
            httpx.Client().close()
