"""Settings of the user that another one of theirs makes useless: make up says so."""

from __future__ import annotations

import errno
import json
import socket

import pytest

from local.airflow import __main__ as main
from local.airflow.no_effect import without_effect

HTTPS = {"conn_type": "http", "host": "data.example.com", "schema": "https"}
LOCAL = {"conn_type": "http", "host": "http://127.0.0.1:8090", "login": "me"}
EXTRA = {"layout": "mirror", "last_month": "2021-07"}
OTHER = "AIRFLOW_CONN_TAXI_SOURCE leads to data.example.com:443"


@pytest.mark.parametrize(
    "own",
    [
        json.dumps(LOCAL),
        json.dumps(LOCAL | {"host": "localhost", "port": 8090}),
        "http://me:secret@127.0.0.1:8090/?layout=mirror",
        "http://me:secret@http%3A%2F%2F127.0.0.1%3A8090",
    ],
)
def test_the_same_source_is_the_same_however_it_is_written(
    make_settings, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", own)
    assert without_effect(make_settings(SOURCE="synthetic", SOURCE_PORT="8090", SOURCE_LAYOUT="mirror")) == []


@pytest.mark.parametrize(
    ("own", "place"),
    [
        ("https://data.example.com/127.0.0.1:8090", "data.example.com:443"),
        (json.dumps(HTTPS), "data.example.com:443"),
        (json.dumps(LOCAL | {"host": "http://127.0.0.1:809"}), "127.0.0.1:809"),
        ("http://127.0.0.1:80901/", "?"),
        ("{", "?"),
    ],
)
def test_a_source_elsewhere(make_settings, monkeypatch: pytest.MonkeyPatch, own: str, place: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", own)
    reason = f"no effect on the DAGs: AIRFLOW_CONN_TAXI_SOURCE leads to {place}"
    assert without_effect(make_settings()) == []  # the stack's default, which nobody has asked for
    assert without_effect(make_settings(SOURCE="tlc")) == [f"SOURCE=tlc has {reason}"]
    assert without_effect(make_settings(SOURCE_PORT="1")) == [f"SOURCE=tlc and SOURCE_PORT=1 have {reason}"]


@pytest.mark.parametrize("extra", [EXTRA, json.dumps(EXTRA)])
def test_a_source_whose_connection_says_what_it_has(
    make_settings, monkeypatch: pytest.MonkeyPatch, extra: object
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", json.dumps(LOCAL | {"extra": extra}))
    reason = "has no effect on the DAGs: the {} of AIRFLOW_CONN_TAXI_SOURCE is {}"
    assert without_effect(make_settings(SOURCE_LAYOUT="tlc", SOURCE_LAST_MONTH="2021-08")) == [
        f"SOURCE_LAYOUT=tlc {reason.format('layout', 'mirror')}",
        f"SOURCE_LAST_MONTH=2021-08 {reason.format('last_month', '2021-07')}",
    ]


@pytest.mark.parametrize(
    ("name", "value", "given", "reason"),
    [
        ("AIRFLOW_CONN_NY_TAXI", "postgresql://me:x@127.0.0.1:5433/ny_taxi", {"POSTGRES_PORT": "5433"}, ""),
        ("AIRFLOW_CONN_NY_TAXI", "postgres://db.example.com/x", {"POSTGRES_PORT": "1"}, "leads to db.example.com:5432"),
        ("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", "google-cloud-platform://", {"GCS_PORT": "1"}, "leads to Google Cloud"),
        ("AIRFLOW_VAR_LAKE_BUCKET", "mine", {"LAKE_BUCKET": "mine"}, ""),
        ("AIRFLOW_VAR_LAKE_BUCKET", "mine", {"LAKE_BUCKET": "other"}, "is mine"),
    ],
)
def test_a_store_of_ones_own(
    make_settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str, given: dict[str, str], reason: str
) -> None:
    [(setting, number)] = given.items()
    sentences = [f"{setting}={number} has no effect on the DAGs: {name} {reason}"] if reason else []
    monkeypatch.setenv(name, value)
    assert without_effect(make_settings(**given)) == sentences


def test_nothing_is_said_without_settings_of_ones_own(make_settings) -> None:
    ports = {"GCS_PORT": "1", "BIGQUERY_PORT": "2", "POSTGRES_PORT": "3", "SOURCE_PORT": "4"}
    assert without_effect(make_settings(SOURCE="tlc", LAKE_BUCKET="b", **ports)) == []


def test_make_up_says_so_last(make_settings, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(main.stack, "up", lambda settings: None)
    monkeypatch.setattr(main.foreground, "unpause_left_over", lambda settings: None)
    monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", "https://data.example.com")
    assert main._run(main.argparse.Namespace(command="up"), make_settings(SOURCE="tlc")) == 0
    assert capsys.readouterr().err == f"note: SOURCE=tlc has no effect on the DAGs: {OTHER}\n"


def test_metrics_and_traces_need_a_collector(make_settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__OTEL_ON", "True")
    with socket.create_server(("127.0.0.1", 0)) as collector:
        url = f"http://127.0.0.1:{collector.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        assert without_effect(make_settings()) == []
    assert without_effect(make_settings()) == [
        "AIRFLOW__METRICS__OTEL_ON=True has no effect on the DAGs: "
        f"nothing answers at OTEL_EXPORTER_OTLP_ENDPOINT={url}: [Errno {errno.ECONNREFUSED}] Connection refused"
    ]
    monkeypatch.setenv("AIRFLOW__METRICS__OTEL_ON", "False")
    assert without_effect(make_settings()) == []


def test_lineage_needs_its_provider(make_settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", "{}")
    monkeypatch.setattr("local.airflow.no_effect.LINEAGE_PROVIDER", "airflow.providers.standard")
    assert without_effect(make_settings()) == []
    monkeypatch.setattr("local.airflow.no_effect.LINEAGE_PROVIDER", "airflow.providers.of_nobody")
    assert without_effect(make_settings()) == [
        "AIRFLOW__OPENLINEAGE__TRANSPORT={} has no effect on the DAGs: "
        "OpenLineage is not installed; run make .venv/.team"
    ]
