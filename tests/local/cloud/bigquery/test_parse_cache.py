"""The cache of syntax trees: statements are parsed once, and their results are not cached."""

from __future__ import annotations

import json
import subprocess

from google.cloud import bigquery

from tests.local.cloud.bigquery.conftest import PYTHON, REPOSITORY

# Runs in the environment of the embedded cloud, which has sqlglot.
_PARSE = """
import json, sqlglot
from local.cloud.bigquery.patches import parse_cache

texts = {
    "bigquery": "SELECT COUNT(*), `a b`, -- why\\n DATE '2021-01-01' FROM `p-q.d.t` WHERE x IN (1, 2); SELECT 1",
    "duckdb": 'SELECT count(*), "a b" FROM "p-q__d"."t" WHERE x IN (1, 2)',
}
def parse():
    return {read: [repr(tree) for tree in sqlglot.parse(text, read=read)] for read, text in texts.items()}

def error():
    try:
        sqlglot.parse_one("SELECT FROM WHERE", read="bigquery")
    except sqlglot.errors.ParseError as error:
        return str(error)

before = parse(), error()
parse_cache.install()
answer = {"same": (parse(), error()) == before and (parse(), error()) == before}
tree = sqlglot.parse_one("SELECT a FROM t", read="bigquery")
tree.expressions[0].replace(sqlglot.exp.column("changed"))
answer["unchanged"] = sqlglot.parse_one("SELECT a FROM t", read="bigquery").sql()
answer["quoted"] = [sqlglot.parse_one('SELECT "a"', read=read).sql("duckdb") for read in ("bigquery", "duckdb")]
hits = parse_cache._kept.cache_info().hits
parse()
answer["hits"] = parse_cache._kept.cache_info().hits - hits
print(json.dumps(answer))
"""


def test_each_text_is_parsed_once_and_callers_get_copies() -> None:
    done = subprocess.run(
        [PYTHON, "-c", _PARSE], cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "same": True,
        "unchanged": "SELECT a FROM t",
        "quoted": ["SELECT 'a'", 'SELECT "a"'],  # trees are cached by dialect
        "hits": 2,
    }


def test_repeated_statement_sees_a_changed_table(client: bigquery.Client, dataset: str) -> None:
    query = f"SELECT *, COUNT(*) OVER () FROM {dataset}.changing"

    def run() -> list[dict[str, object]]:
        return [dict(row) for row in client.query(query).result()]

    client.query_and_wait(f"CREATE TABLE {dataset}.changing AS SELECT 1 AS a")
    assert run() == [{"a": 1, "f0_": 1}]
    client.query_and_wait(f"CREATE OR REPLACE TABLE {dataset}.changing AS SELECT 'x' AS b")
    assert run() == [{"b": "x", "f0_": 1}]
