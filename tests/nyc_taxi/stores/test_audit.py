"""Checks of staging tables with the providers' operators: reports, failures and warnings."""

from __future__ import annotations

import json
import logging
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from airflow.providers.common.sql.operators.sql import SQLTableCheckOperator
from airflow.providers.google.cloud.operators.bigquery import BigQueryColumnCheckOperator, BigQueryTableCheckOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from nyc_taxi.registry.checks import Level
from nyc_taxi.stores.audit import AuditMixin
from nyc_taxi.stores.bigquery.check_columns import BigQueryColumnAuditOperator
from nyc_taxi.stores.bigquery.check_table import BigQueryTableAuditOperator
from nyc_taxi.stores.postgres.check_table import SQLTableAuditOperator

TABLE_CHECKS = {"has_rows": "COUNT(*) > 0", "has_few_refunds": "AVG(x) <= 0.05"}
COLUMN_CHECKS = {
    "PULocationID": {"null_check": {"equal_to": 0}, "min": {"geq_to": 1}, "max": {"leq_to": 265}},
    "fare_amount": {"min": {"geq_to": 0, "leq_to": 10}},
}


class _Hook:
    """Fake database hook that answers every query with the same rows, or with an error."""

    project_id = "a-project"

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.queries: list[str] = []

    def _rows(self, query: str) -> Any:
        self.queries.append(query)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def get_records(self, query: str) -> Any:
        return self._rows(query)

    def insert_job(self, *, configuration: dict[str, Any], **_: Any) -> Any:
        frame = self._rows(configuration["query"]["query"])
        return SimpleNamespace(job_id="a-job", result=lambda: SimpleNamespace(to_dataframe=lambda: frame))


class _Run:
    """One execution of an operator: the fake hook, the XComs, and the error."""

    def __init__(self, operator: AuditMixin, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hook = _Hook(answer)
        self.pushed: dict[str, Any] = {}
        self.error: Exception | None = None
        monkeypatch.setattr(operator, "get_db_hook", lambda: self.hook)
        try:
            operator.execute({"ti": self})  # type: ignore[typeddict-item]
        except Exception as error:
            self.error = error

    def xcom_push(self, *, key: str, value: Any) -> None:
        assert key not in self.pushed
        self.pushed[key] = value


def _sql_table(level: Level) -> SQLTableAuditOperator:
    checks = {name: {"check_statement": statement} for name, statement in TABLE_CHECKS.items()}
    return SQLTableAuditOperator(task_id="check", conn_id="x", table="s.t", checks=checks, level=level)


def _bigquery_table(level: Level) -> BigQueryTableAuditOperator:
    checks = {name: {"check_statement": statement} for name, statement in TABLE_CHECKS.items()}
    return BigQueryTableAuditOperator(task_id="check", table="s.t", checks=checks, use_legacy_sql=False, level=level)


def _bigquery_columns(level: Level) -> BigQueryColumnAuditOperator:
    mapping = {column: {name: dict(check) for name, check in of.items()} for column, of in COLUMN_CHECKS.items()}
    return BigQueryColumnAuditOperator(
        task_id="check", table="s.t", column_mapping=mapping, use_legacy_sql=False, level=level
    )


def _records(rows: int, refunds: int) -> list[tuple[str, int]]:
    return [("has_rows", rows), ("has_few_refunds", refunds)]


def _table_frame(rows: int, refunds: int) -> pd.DataFrame:
    return pd.DataFrame(_records(rows, refunds), columns=["check_name", "check_result"])


def _column_frame(nulls: Any, least: Any, most: Any, fare: Any) -> pd.DataFrame:
    rows = [
        ("PULocationID", "null_check", nulls),
        ("PULocationID", "min", least),
        ("PULocationID", "max", most),
        ("fare_amount", "min", fare),
    ]
    return pd.DataFrame(rows, columns=["col_name", "check_type", "check_result"])


TABLES = pytest.mark.parametrize(
    ("make", "answer"), [(_sql_table, _records), (_bigquery_table, _table_frame)], ids=["sql", "bigquery"]
)
LEVELS = pytest.mark.parametrize("level", Level, ids=lambda level: level.value)


def _row(check: str, level: Level, result: Any, condition: str, *, holds: bool = True) -> dict[str, Any]:
    return {"check": check, "level": level.value, "result": result, "holds": holds, "condition": condition}


# Table checks


@LEVELS
@TABLES
def test_passed_checks_are_reported(make: Any, answer: Any, level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _Run(make(level), answer(1, 1), monkeypatch)
    assert run.error is None
    assert run.pushed["checks"] == [
        _row("has_rows", level, 1, "COUNT(*) > 0"),
        _row("has_few_refunds", level, 1, "AVG(x) <= 0.05"),
    ]
    (query,) = run.hook.queries
    for name, statement in TABLE_CHECKS.items():
        assert f"'{name}' AS check_name" in query
        assert f"CASE WHEN {statement} THEN" in query


@TABLES
def test_a_failed_check_fails_the_task_without_retries(make: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _Run(make(Level.FAIL), answer(1, 0), monkeypatch)
    assert type(run.error) is AirflowFailException
    assert "has_few_refunds" in str(run.error)
    assert run.pushed["checks"] == [
        _row("has_rows", Level.FAIL, 1, "COUNT(*) > 0"),
        _row("has_few_refunds", Level.FAIL, 0, "AVG(x) <= 0.05", holds=False),
    ]


@TABLES
@pytest.mark.parametrize(
    ("results", "broken"), [((1, 0), "has_few_refunds"), ((0, 1), "has_rows"), ((0, 0), "has_rows, has_few_refunds")]
)
def test_a_failed_warning_check_skips_the_task_and_is_named(
    make: Any, answer: Any, results: tuple[int, int], broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _Run(make(Level.WARN), answer(*results), monkeypatch)
    assert type(run.error) is AirflowSkipException
    assert str(run.error) == f"failed warning checks: {broken}"
    assert run.pushed["skip_reason"] == str(run.error)
    assert [row["holds"] for row in run.pushed["checks"]] == [bool(result) for result in results]


@LEVELS
@TABLES
def test_a_database_error_is_raised_unchanged(
    make: Any, answer: Any, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("the database is down")
    run = _Run(make(level), error, monkeypatch)
    assert run.error is error
    assert run.pushed == {}


@pytest.mark.parametrize(
    ("level", "results", "table"),
    [
        (
            Level.FAIL,
            (1, 1),
            "check            level  result  holds  condition\n"
            "has_rows         fail   1       yes    COUNT(*) > 0\n"
            "has_few_refunds  fail   1       yes    AVG(x) <= 0.05",
        ),
        (
            Level.WARN,
            (1, 0),
            "check            level  result  holds  condition\n"
            "has_rows         warn   1       yes    COUNT(*) > 0\n"
            "has_few_refunds  warn   0       NO     AVG(x) <= 0.05",
        ),
    ],
)
def test_the_log_has_one_table_of_all_checks(
    level: Level,
    results: tuple[int, int],
    table: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    operator, lines = _sql_table(level), _Lines()
    monkeypatch.setattr(type(operator), "log", lines)
    _Run(operator, _records(*results), monkeypatch)
    assert [line for line in lines.info_lines if line.startswith("Checks:")] == [f"Checks:\n{table}"]
    warned = ["failed warning checks: has_few_refunds"] if 0 in results else []
    assert [record.getMessage() for record in caplog.records if record.name == "nyc_taxi.common.skip"] == warned


class _Lines(logging.LoggerAdapter[logging.Logger]):
    """Fake task log that records the lines."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("test"), {})
        self.info_lines: list[str] = []

    def info(self, message: object, *arguments: object, **_: Any) -> None:
        self.info_lines.append(str(message) % arguments)


# Column checks

CONDITIONS = {
    "PULocationID.null_check": "= 0",
    "PULocationID.min": ">= 1",
    "PULocationID.max": "<= 265",
    "fare_amount.min": ">= 0 and <= 10",
}


def _column_rows(level: Level, *results: Any, broken: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [
        _row(name, level, result, condition, holds=name not in broken)
        for (name, condition), result in zip(CONDITIONS.items(), results, strict=True)
    ]


@LEVELS
def test_columns_that_pass(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _Run(_bigquery_columns(level), _column_frame(0, 1, 265, 2.5), monkeypatch)
    assert run.error is None
    assert run.pushed == {"job_id": "a-job", "checks": _column_rows(level, 0, 1, 265, 2.5)}


@LEVELS
@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA, np.nan], ids=repr)
def test_a_column_without_values_passes_its_bounds(nothing: Any, level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _Run(_bigquery_columns(level), _column_frame(0, nothing, nothing, nothing), monkeypatch)
    assert run.error is None
    assert run.pushed["checks"] == _column_rows(level, 0, None, None, None)


@pytest.mark.parametrize(
    ("results", "broken"),
    [
        ((1, 1, 265, 2.5), ("PULocationID.null_check",)),
        ((0, 0, 265, 2.5), ("PULocationID.min",)),
        ((0, 1, 266, 2.5), ("PULocationID.max",)),
        ((0, 1, 265, -0.01), ("fare_amount.min",)),
        ((0, 1, 265, 10.01), ("fare_amount.min",)),
        ((3, None, 999, 2.5), ("PULocationID.null_check", "PULocationID.max")),
    ],
)
def test_columns_that_fail(results: tuple[Any, ...], broken: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    failed = _Run(_bigquery_columns(Level.FAIL), _column_frame(*results), monkeypatch)
    assert type(failed.error) is AirflowFailException
    assert failed.pushed["checks"] == _column_rows(Level.FAIL, *results, broken=broken)
    warned = _Run(_bigquery_columns(Level.WARN), _column_frame(*results), monkeypatch)
    assert type(warned.error) is AirflowSkipException
    assert str(warned.error) == f"failed warning checks: {', '.join(broken)}"
    assert warned.pushed["checks"] == _column_rows(Level.WARN, *results, broken=broken)


def test_results_can_be_serialized_whatever_the_client_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = _column_frame(np.int64(0), np.int64(1), np.int64(265), np.float64(2.5))
    run = _Run(_bigquery_columns(Level.FAIL), frame, monkeypatch)
    assert json.loads(json.dumps(run.pushed["checks"])) == _column_rows(Level.FAIL, 0, 1, 265, 2.5)
    typed = frame.assign(check_result=pd.array([0, None, 265, 2], dtype="Int64"))
    run = _Run(_bigquery_columns(Level.FAIL), typed, monkeypatch)
    assert json.loads(json.dumps(run.pushed["checks"])) == _column_rows(Level.FAIL, 0, None, 265, 2)


@LEVELS
def test_a_bigquery_error_is_raised_unchanged(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("the job failed")
    run = _Run(_bigquery_columns(level), error, monkeypatch)
    assert run.error is error
    assert run.pushed == {}


# Relation to the providers' operators


@pytest.mark.parametrize(
    ("operator", "base", "more"),
    [
        (SQLTableAuditOperator, SQLTableCheckOperator, {"checks"}),
        (BigQueryTableAuditOperator, BigQueryTableCheckOperator, {"checks"}),
        (BigQueryColumnAuditOperator, BigQueryColumnCheckOperator, set()),
    ],
)
def test_the_operators_derive_from_the_providers_and_template_their_conditions(
    operator: type[AuditMixin], base: type, more: set[str]
) -> None:
    assert issubclass(operator, base)
    assert operator.mro().index(AuditMixin) < operator.mro().index(base)
    assert set(operator.template_fields) == {*base.template_fields, *more}  # type: ignore[attr-defined]
    assert len(operator.template_fields) == len(set(operator.template_fields))


@pytest.mark.parametrize("make", [_sql_table, _bigquery_table])
def test_one_scan_of_the_table_answers_all_checks(make: Any) -> None:
    sql = make(Level.FAIL).sql
    assert sql.count("FROM s.t)") == sql.count("s.t") == 1
    assert re.findall(r"SELECT '(\w+)' AS check_name, (\w+) AS check_result FROM checked", sql) == [
        (name, name) for name in TABLE_CHECKS
    ]


def test_a_partition_clause_is_refused() -> None:
    checks = {"has_rows": {"check_statement": "COUNT(*) > 0", "partition_clause": "x = 1"}}
    with pytest.raises(ValueError, match="partition_clause is not supported"):
        SQLTableAuditOperator(task_id="check", conn_id="x", table="s.t", checks=checks, level=Level.FAIL)
