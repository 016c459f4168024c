"""What a command of the Airflow CLI says of its runs is checked before it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local.airflow import __main__ as main
from local.airflow import stack
from local.airflow.command_line import check
from local.cloud import shell

NO_MONTH = "'2021-13' is not a month; write YYYY-MM, for example 2021-01"
FUTURE = "Green taxi trips: 2099-01 cannot be published yet"
DATES = ["--from-date", "2021-01-01", "--to-date", "2021-02-01"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dags", "trigger", "green_web_to_gcs", "--conf", '{"month": "2021-13"}'], NO_MONTH),
        (["dags", "trigger", "-c", '{"month": "2021-13"}', "green_web_to_gcs"], NO_MONTH),
        (["dags", "test", "green_web_to_gcs", "2021-01-01", '--conf={"month": "2099-01"}'], FUTURE),
        (["dags", "test", "-B", "x", "green_web_to_gcs", "-c", '{"forse": true}'], "did you mean 'force'"),
        (["dags", "trigger", "trips_yearly_rollup", "-c", '{"year": "21"}'], "'21' is not a year"),
        (
            ["dags", "trigger", "green_web_to_gcs", "--conf", "{"],
            "the conf '{' is not a JSON object; write for example",
        ),
        (["dags", "trigger", "green_web_to_gcs", "--conf", "{month:2021}"], "the conf '{month:2021}' is not a JSON"),
        (["dags", "test", "green_web_to_gcs", "--conf", "[1]"], "is not a JSON object"),
        (["dags", "trigger", "green_web_to_gcs", "--conf", '{"force": "yes"}'], "force is 'yes'; write true or false"),
        (["dags", "trigger", "green_web_to_gcs"], "Which month\\? Fill in Month, for example 2021-01"),
        (["dags", "trigger", "trips_yearly_rollup", "--conf", "{}"], "Which year\\?"),
        (["backfill", "create", "--dag-id", "green_web_to_gcs", "--dag-run-conf", '{"x": 1}', *DATES], "'x' is no"),
        (["backfill", "create", "--dag-id=green_web_to_gcs", "--from-date=2099-01-01", "--to-date=2099-01-01"], FUTURE),
        (["backfill", "create", "--dag-id", "zones_web_to_gcs", *DATES], "has no months to backfill"),
    ],
)
def test_a_run_that_cannot_be_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dags", "trigger"],
        ["dags", "trigger", "green_web_to_gcs", "--conf"],
        ["dags", "trigger", "zones_web_to_gcs"],
        ["dags", "trigger", "green_web_to_gcs", "-l", "2021-01-01"],
        ["dags", "trigger", "green_web_to_gcs", "--conf", '{"month": "2021-01", "force": true}'],
        ["dags", "trigger", "dag_of_others", "--conf", '{"month": "2021-13"}'],
        ["dags", "test", "green_web_to_gcs", "2021-01-01"],
        ["dags", "list"],
        ["backfill", "create", "--dag-id", "green_web_to_gcs", *DATES],
        ["tasks", "test", "green_web_to_gcs", "--conf", '{"month": "2021-13"}'],
    ],
)
def test_everything_else_is_left_to_airflow(words: list[str]) -> None:
    check(words)


def _main(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> int:
    monkeypatch.setattr(shell, "adopt", lambda: "")
    monkeypatch.setattr(main, "raise_on_signals", lambda: None)
    monkeypatch.setattr(stack, "as_running", lambda settings: settings)
    monkeypatch.setattr("sys.argv", ["local.airflow", *words])
    return main.main()


def test_the_refusal_is_one_sentence_and_nothing_runs(
    make_settings: Callable[..., object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_settings()
    words = ["run", "dags", "trigger", "green_web_to_gcs", "--conf", '{"month": "2021-13"}']
    assert _main(monkeypatch, words) == 1
    assert capsys.readouterr() == ("", f"error: {NO_MONTH}\n")


@pytest.mark.parametrize("command", ["up", "status"])
def test_a_folder_that_cannot_be_is_one_sentence(
    make_settings: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
) -> None:
    (tmp_path / "file").touch()
    make_settings(LOCAL_DIR=str(tmp_path / "file" / "state"))
    assert _main(monkeypatch, [command]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines
    for line in lines:
        assert line.startswith("error: ")
        assert line.endswith("; LOCAL_DIR must be a folder in which you may write, on a disk with free space")
