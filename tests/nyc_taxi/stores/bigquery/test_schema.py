"""The schema of a dataset in BigQuery: types in GoogleSQL and in the REST API, and text literals."""

from __future__ import annotations

import itertools
import json
import subprocess

import pytest

from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import Dataset
from nyc_taxi.stores.bigquery.schema import bigquery_columns, bigquery_fields, bigquery_text, bigquery_type
from tests.conftest import REPOSITORY

# GoogleSQL and the REST API have different names for two of the types.
TYPES = {
    Type.INTEGER: ("INT64", "INTEGER"),
    Type.FLOAT: ("FLOAT64", "FLOAT"),
    Type.STRING: ("STRING", "STRING"),
    Type.DATE: ("DATE", "DATE"),
    Type.DATETIME: ("DATETIME", "DATETIME"),
}


@pytest.mark.parametrize("kind", Type)
def test_every_type_has_its_googlesql_type(kind: Type) -> None:
    assert bigquery_type(Column("x", kind, "X.")) == TYPES[kind][0]


# Runs the parser of the embedded BigQuery in its own environment: reads literals, and prints their texts.
_PARSE = """
import json, sys
import sqlglot
trees = [sqlglot.parse_one(f"SELECT {literal}", dialect="bigquery") for literal in json.load(sys.stdin)]
print(json.dumps([tree.expressions[0].this for tree in trees]))
"""


def test_the_embedded_bigquery_reads_a_literal_back_to_its_text() -> None:
    letters = ("'", '"', "\\", "\n", "\r", "n", "`", " -- ", "\t", "é\N{TAXI}")
    texts = ["".join(some) for length in range(4) for some in itertools.product(letters, repeat=length)]
    texts += [column.description for dataset in DATASETS.values() for column in bigquery_columns(dataset)]
    literals = [bigquery_text(text) for text in texts]
    # BigQuery refuses line breaks in such a literal, which the parser accepts.
    assert not {"\n", "\r"} & set("".join(literals))
    done = subprocess.run(
        [REPOSITORY / "local/cloud/.venv/bin/python", "-c", _PARSE],
        input=json.dumps(literals),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == texts


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_the_fields_are_the_registrys_columns_in_its_order(dataset: Dataset) -> None:
    assert bigquery_fields(dataset) == [
        {"name": column.name, "type": TYPES[column.type][1], "mode": "NULLABLE", "description": column.description}
        for column in dataset.columns
    ]
