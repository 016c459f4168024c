"""The environment of the local Airflow's processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.configuration import conf

from local.airflow import environment
from local.cloud.settings import REPOSITORY, load_env_file


def test_defaults(make_settings, tmp_path: Path) -> None:
    settings = make_settings()
    assert settings.port == 8080
    assert settings.url == "http://127.0.0.1:8080"
    assert settings.home == tmp_path / "state" / "airflow"
    assert settings.work_dir == tmp_path / "state" / "work"


def test_airflow_finds_its_folders_and_addresses(make_settings, tmp_path: Path) -> None:
    variables = make_settings(AIRFLOW_PORT="18080").environment()
    assert variables["AIRFLOW_HOME"] == str(tmp_path / "state" / "airflow")
    assert variables["AIRFLOW__CORE__DAGS_FOLDER"] == str(REPOSITORY / "dags")
    assert variables["AIRFLOW__CORE__PLUGINS_FOLDER"] == str(REPOSITORY / "plugins")
    assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert variables["AIRFLOW__API__PORT"] == "18080"
    assert variables["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:18080"
    assert variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18080/execution/"
    assert variables["AIRFLOW_VAR_WORK_DIR"] == str(tmp_path / "state" / "work")
    messages = {"conn_type": "fs", "extra": {"path": str(tmp_path / "state" / "messages")}}
    assert json.loads(variables["AIRFLOW_CONN_FAILURE_FOLDER"]) == messages
    assert variables["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH"] == f"{variables['AIRFLOW_HOME']}/bundles"
    assert variables["PYTHONPATH"] == f"{REPOSITORY}/local/airflow/settings:{REPOSITORY}/config"


@pytest.mark.parametrize("file", ["config/airflow.env", "local/airflow/airflow.env"])
def test_the_settings_of_both_files_are_included(make_settings, file: str) -> None:
    variables = make_settings().environment()
    settings = environment.read_env_file(REPOSITORY / file)
    assert settings
    assert {name: variables[name] for name in settings} == settings


def test_the_connections_lead_to_the_embedded_cloud(make_settings) -> None:
    settings = make_settings(
        GCS_PORT="1001",
        BIGQUERY_PORT="1002",
        POSTGRES_PORT="1003",
        SOURCE_PORT="1004",
        GCP_PROJECT="p",
        LAKE_BUCKET="b",
    )
    variables = settings.environment()
    assert json.loads(variables["AIRFLOW_CONN_TAXI_SOURCE"]) == {
        "conn_type": "http",
        "host": "http://127.0.0.1:1004",
        "extra": {"layout": "mirror", "last_month": ""},
    }
    assert json.loads(variables["AIRFLOW_CONN_NY_TAXI"]) == {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": 1003,
        "login": "postgres",
        "password": settings.cloud.postgres_password(),
        "schema": "ny_taxi",
    }
    assert json.loads(variables["AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"]) == {
        "conn_type": "google_cloud_platform",
        "extra": {"is_anonymous": True, "project": "p"},
    }
    assert variables["STORAGE_EMULATOR_HOST"] == "http://127.0.0.1:1001"
    assert variables["BIGQUERY_EMULATOR_HOST"] == "http://127.0.0.1:1002"
    assert variables["GOOGLE_CLOUD_PROJECT"] == "p"
    assert variables["AIRFLOW_VAR_LAKE_BUCKET"] == "b"
    database = variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert database == (f"postgresql+psycopg2://postgres:{settings.cloud.postgres_password()}@127.0.0.1:1003/airflow")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME", "3"),  # from config/airflow.env
        ("AIRFLOW__CORE__PARALLELISM", "3"),  # from local/airflow/airflow.env
        ("AIRFLOW__CORE__FERNET_KEY", "mine"),
        ("AIRFLOW_CONN_TAXI_SOURCE", "http://mine"),
        ("AIRFLOW_CONN_NY_TAXI", "postgresql://mine"),
        ("AIRFLOW_VAR_LAKE_BUCKET", "mine"),
        ("STORAGE_EMULATOR_HOST", "http://mine"),
    ],
)
def test_what_the_user_sets_wins(make_settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    before = make_settings().environment()
    assert before[name] != value
    monkeypatch.setenv(name, value)
    assert make_settings().environment() == {**before, name: value}


GIT = '{"name": "taxi", "classpath": "repository_bundle.RepositoryBundle", "kwargs": {"tracking_ref": "main"}}'


def test_the_code_is_that_of_this_folder_or_of_the_users_bundles(
    make_settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make_settings().environment()
    assert json.loads(before[environment.BUNDLES]) == json.loads(conf.get("dag_processor", "dag_bundle_config_list"))
    monkeypatch.setenv(environment.BUNDLES, "")
    assert (make_settings().environment(), make_settings().bundles) == (before, [])
    monkeypatch.setenv(environment.BUNDLES, f"[{GIT}]")
    # Of a repository, Airflow's own default: a server is not asked every five seconds.
    del before["AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL"]
    assert make_settings().environment() == {**before, environment.BUNDLES: f"[{GIT}]"}
    assert make_settings().bundles == ["taxi"]


@pytest.mark.parametrize(
    "given", ["[", "[]", "7", GIT, '["taxi"]', '[{"name": "taxi"}]', '[{"classpath": "a", "kwargs": {}}]']
)
def test_bundles_that_airflow_cannot_read_are_refused(make_settings, given: str) -> None:
    with pytest.raises(
        ValueError, match="CONFIG_LIST is no JSON list of bundles, each with name, classpath and kwargs"
    ):
        make_settings(**{environment.BUNDLES: given}).bundles  # noqa: B018


FIXED = {
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": "/mine",
    "AIRFLOW_HOME": "/mine",
    "AIRFLOW__CORE__DAGS_FOLDER": "/mine",
    "AIRFLOW__CORE__PLUGINS_FOLDER": "/mine",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "/mine",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://mine/airflow",
    "AIRFLOW__API__HOST": "0.0.0.0",
    "AIRFLOW__API__PORT": "1",
    "AIRFLOW__API__BASE_URL": "http://mine",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://mine/execution/",
}


@pytest.mark.parametrize("name", FIXED)
def test_nothing_leads_to_another_database_or_server(
    make_settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    before = make_settings().environment()
    monkeypatch.setenv(name, FIXED[name])
    assert make_settings().environment() == before
    (tmp_path / ".env").write_text(f"{name}={FIXED[name]}\n")
    assert load_env_file(tmp_path / ".env", {}) == [name], "a variable without effect is named to the user"


def test_all_of_the_stacks_paths_and_servers_are_fixed(make_settings) -> None:
    settings = make_settings()
    assert {*settings._paths(), *settings._servers()} == set(FIXED)


def test_an_empty_variable_counts_as_not_set(make_settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_settings().environment()
    monkeypatch.setenv("AIRFLOW_VAR_LAKE_BUCKET", "")
    assert make_settings().environment() == before


def test_a_connection_to_real_google_cloud_switches_the_emulators_off(
    make_settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulated = make_settings()
    assert not emulated.uses_real_google_cloud
    names = set(emulated.environment())
    real = json.dumps({"conn_type": "google_cloud_platform", "extra": {"project": "real"}})
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", real)
    settings = make_settings()
    assert settings.uses_real_google_cloud
    # The user's connection stays in the process's own environment.
    assert names - set(settings.environment()) == {
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT",
        "STORAGE_EMULATOR_HOST",
        "BIGQUERY_EMULATOR_HOST",
        "GOOGLE_CLOUD_PROJECT",
    }


@pytest.mark.parametrize("port", ["http", "80 80", "-1", "8080.5", "0x1f90"])
def test_a_port_that_is_not_a_number_is_refused(make_settings, port: str) -> None:
    with pytest.raises(ValueError, match="AIRFLOW_PORT=") as error:
        make_settings(AIRFLOW_PORT=port)
    assert str(error.value).startswith(f"AIRFLOW_PORT={port!r} is not a whole number; ")


@pytest.mark.parametrize("name", ["AIRFLOW_PORT", "GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT", "SOURCE_PORT"])
@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_number_that_is_no_port_is_refused(make_settings, name: str, port: str) -> None:
    with pytest.raises(ValueError, match=f"{name}='{port}' is no port; set it to a number from 1 to 65535"):
        make_settings(**{name: port})


def test_an_empty_port_means_the_default(make_settings) -> None:
    assert make_settings(AIRFLOW_PORT="").port == 8080


@pytest.mark.parametrize(
    ("source", "given", "url", "layout"),
    [
        ("synthetic", "", "http://127.0.0.1:8090", "mirror"),
        ("synthetic", "tlc", "http://127.0.0.1:8090", "tlc"),
        ("/data/taxi", "", "http://127.0.0.1:8090", "mirror"),
        ("/data/taxi", "tlc", "http://127.0.0.1:8090", "tlc"),
        ("dtc", "", "https://github.com/DataTalksClub/nyc-tlc-data/releases/download", "mirror"),
        ("tlc", "", "https://d37ci6vzurychx.cloudfront.net", "tlc"),
        ("tlc", "tlc", "https://d37ci6vzurychx.cloudfront.net", "tlc"),
        ("http://example.invalid/mirror/", "", "http://example.invalid/mirror", "mirror"),
        ("https://example.invalid", "tlc", "https://example.invalid", "tlc"),
    ],
)
def test_the_source_follows_the_settings(make_settings, source: str, given: str, url: str, layout: str) -> None:
    settings = make_settings(SOURCE=source, SOURCE_LAYOUT=given)
    assert settings.source_base_url == url
    assert settings.layout.value == layout
    assert json.loads(settings.environment()["AIRFLOW_CONN_TAXI_SOURCE"]) == {
        "conn_type": "http",
        "host": url,
        "extra": {"layout": layout, "last_month": "2021-07" if source == "dtc" else ""},
    }


@pytest.mark.parametrize(
    ("source", "layout", "message"),
    [
        ("synthetic", "csv", "SOURCE_LAYOUT='csv' is not a layout; set it to mirror or tlc"),
        ("tlc", "mirror", "SOURCE_LAYOUT=mirror does not fit SOURCE=tlc, whose layout is tlc; remove SOURCE_LAYOUT"),
        ("dtc", "tlc", "SOURCE_LAYOUT=tlc does not fit SOURCE=dtc, whose layout is mirror; remove SOURCE_LAYOUT"),
    ],
)
def test_a_layout_that_the_source_cannot_have_is_refused(make_settings, source: str, layout: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"SOURCE_LAYOUT") as error:
        make_settings(SOURCE=source, SOURCE_LAYOUT=layout)
    assert str(error.value) == message


def test_the_last_month_of_a_source_can_be_set(make_settings) -> None:
    assert make_settings(SOURCE="/data/taxi", SOURCE_LAST_MONTH="2020-12").last_month == "2020-12"
    with pytest.raises(ValueError, match="'2020-13' is not a month"):
        _ = make_settings(SOURCE="/data/taxi", SOURCE_LAST_MONTH="2020-13").last_month


@pytest.mark.parametrize("sign", [":", "%", "$", '"', "`", "\\"])
def test_a_folder_that_airflow_or_postgres_cannot_take_is_refused(make_settings, tmp_path: Path, sign: str) -> None:
    with pytest.raises(ValueError, match="LOCAL_DIR") as error:
        make_settings(LOCAL_DIR=str(tmp_path / f"a{sign}b"))
    path = f"{tmp_path}/a{sign}b"
    reason = f"Airflow or Postgres cannot take a path with {sign}; move it to a folder without"
    assert str(error.value) == f"LOCAL_DIR is {path}, and {reason}"


@pytest.mark.parametrize("folder", ["a b", "it's", "ü", "a#b", "a&b;c"])
def test_a_folder_of_any_other_name_is_taken(make_settings, tmp_path: Path, folder: str) -> None:
    variables = make_settings(LOCAL_DIR=str(tmp_path / folder)).environment()
    assert variables["AIRFLOW_HOME"] == str(tmp_path / folder / "airflow")


def test_secrets_are_generated_once_and_differ(make_settings) -> None:
    names = (
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
    )
    first, second = make_settings().environment(), make_settings().environment()
    assert [first[name] for name in names] == [second[name] for name in names]
    secrets = {*(first[name] for name in names), make_settings().password(), make_settings().cloud.postgres_password()}
    assert len(secrets) == 5
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"].encode()) >= 64


def test_the_fernet_key_is_valid(make_settings) -> None:
    from cryptography.fernet import Fernet

    fernet = Fernet(make_settings().environment()["AIRFLOW__CORE__FERNET_KEY"])
    assert fernet.decrypt(fernet.encrypt(b"x")) == b"x"


def test_building_the_environment_changes_nothing(make_settings) -> None:
    import os

    settings = make_settings()
    before = dict(os.environ)
    settings.environment()
    assert dict(os.environ) == before


def test_nothing_is_sent_to_a_collector_unless_the_user_says_so(make_settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the stack's settings on top of Airflow's defaults."""
    for name, value in make_settings().environment().items():
        if name.startswith(("AIRFLOW__", "OTEL_")):
            monkeypatch.setenv(name, value)
    switches = [("metrics", "otel_on"), ("metrics", "statsd_on"), ("traces", "otel_on"), ("logging", "json_logs")]
    assert [conf.getboolean(*switch) for switch in switches] == [False] * len(switches)
    assert not conf.get("openlineage", "transport", fallback="")


@pytest.mark.parametrize(("given", "bucket"), [("", "mine"), ("other", "other")])
def test_the_bucket_may_be_given_as_airflows_variable(make_settings, given: str, bucket: str) -> None:
    """What is checked and where workers keep their files is then there too, and not in the emulator's bucket."""
    settings = make_settings(AIRFLOW_VAR_LAKE_BUCKET="mine", LAKE_BUCKET=given)
    assert settings.cloud.lake_bucket == bucket
