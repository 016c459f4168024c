"""The search for SQL templates in a folder as a managed platform has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from comparison.checks.synced_folders import report

_DAG = """\
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator
from airflow.sdk import DAG

with DAG("load", schedule=None, template_searchpath=[{folder!r}]):
    SQLExecuteQueryOperator(task_id="create", sql="create.sql")
    BigQueryInsertJobOperator(task_id="publish", configuration={{"query": {{"query": "publish.sql"}}}})
"""


@pytest.mark.parametrize(
    ("synced", "missing"),
    [
        (["create.sql", "publish.sql"], {}),
        (["create.sql"], {"load": ["publish.sql"]}),
        ([], {"load": ["create.sql", "publish.sql"]}),
    ],
)
def test_templates_that_were_not_synced_are_named(
    synced: list[str], missing: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "load.py").write_text(_DAG.format(folder=str(tmp_path)))
    for name in synced:
        (tmp_path / name).write_text("SELECT 1")
    monkeypatch.chdir(tmp_path)

    assert report() == {"dags": 1, "import_errors": {}, "missing": missing}
