"""Publishing a staging table, unless the destination is newer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator
from airflow.sdk.exceptions import AirflowSkipException
from google.api_core.exceptions import BadRequest

from nyc_taxi.common.sql import SQL_DIR
from nyc_taxi.stores.bigquery.publish import PublishOperator
from nyc_taxi.stores.bigquery.schema import OVERTAKEN


def _run(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> tuple[Any, dict[str, str]]:
    def execute(self: object, context: object) -> str:
        if error:
            raise error
        return "job"

    monkeypatch.setattr(BigQueryInsertJobOperator, "execute", execute)
    pushed: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    return PublishOperator(task_id="publish", configuration={}).execute({"ti": ti}), pushed  # type: ignore[typeddict-item]


def test_it_returns_what_the_job_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, None) == ("job", {})


def test_an_older_run_is_skipped_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowSkipException, match="overtaken by a newer object of the lake: the published rows stay"):
        _run(monkeypatch, BadRequest(f"Query execution failed: {OVERTAKEN}"))


@pytest.mark.parametrize("error", [BadRequest("overtaken"), RuntimeError("no such table"), TimeoutError()])
def test_other_errors_stay_errors(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        _run(monkeypatch, error)


def test_the_statement_raises_the_error_that_the_operator_looks_for() -> None:
    assert f"ERROR('{OVERTAKEN}')" in (SQL_DIR / "bigquery" / "publish" / "rows.sql").read_text()
