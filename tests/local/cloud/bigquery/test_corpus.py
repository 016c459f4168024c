"""The corpus: the emulator answers each case as BigQuery does, or refuses it with a message that names the limit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.corpus.case_file import (
    COMPUTED,
    DOCUMENTATION,
    RECORDING,
    REFERENCE,
    Case,
    cases,
)
from tests.local.cloud.bigquery.corpus.page import PAGE, page
from tests.local.cloud.bigquery.corpus.running import Judge, Outcome
from tests.local.cloud.bigquery.corpus.verdicts import REFUSED, RIGHT, WRONG, listed, unknown

# `make test` asks every third case, so some of each area, and `make test-all` the others.
QUICK = 3
CASES = cases()
LISTED = listed(CASES)
_ADVICE = "If the verdict is better than the listed one, run make docs."


def _spread(asked: list[Case]) -> list[Any]:
    return [
        pytest.param(case, id=case.id, marks=() if place % QUICK == 0 else pytest.mark.full)
        for place, case in enumerate(asked)
    ]


@pytest.fixture(scope="module")
def outcomes(server: Server, request: pytest.FixtureRequest) -> dict[str, Outcome]:
    """Ask the cases of all selected tests, some at the same time, and return the outcomes by id."""
    calls = [item.callspec for item in request.session.items if hasattr(item, "callspec")]
    selected = {call.params["case"].id for call in calls if isinstance(call.params.get("case"), Case)}
    return Judge(server).judge_all(case for case in CASES if case.id in selected)


@pytest.mark.parametrize("case", _spread(CASES))
def test_case_is_right_or_refused(outcomes: dict[str, Outcome], case: Case) -> None:
    outcome = outcomes[case.id]
    assert outcome.verdict == LISTED[case.id], f"{outcome.reason}\nBigQuery's answer: {case.source}\n{_ADVICE}"


def _case(**answer: Any) -> Case:
    columns = {"n": "INT64", "s": "STRING"} if "rows" in answer else None
    return Case(id="test/runner", source="", **{"query": "SELECT 1 AS n, 'a' AS s", "columns": columns, **answer})


VERDICTS = [
    (_case(rows=[[1, "a"]]), RIGHT),
    (_case(rows=[[2, "a"]]), WRONG),
    (_case(rows=[[1, "a"], [1, "a"]]), WRONG),
    (_case(columns={"n": "FLOAT64", "s": "STRING"}, rows=[[1, "a"]]), WRONG),
    (_case(columns={"s": "STRING", "n": "INT64"}, rows=[[1, "a"]]), WRONG),
    (_case(error="."), WRONG),
    (_case(query="SELECT * FROM {dataset}.nothing", rows=[]), WRONG),
    (_case(query="SELECT * FROM {dataset}.nothing", error="Not found: Table"), RIGHT),
    (_case(query="SELECT * FROM {dataset}.nothing", error="Not found: Dataset"), WRONG),
    (_case(query="SELECT {n} AS n", values={"n": 1}, columns={"n": "INT64"}, rows=[[1]]), RIGHT),
    (_case(query="CREATE TABLE t AS SELECT 1 AS n", then="SELECT n FROM t", columns={"n": "INT64"}, rows=[[2]]), WRONG),
    (_case(query="INSERT INTO t (n) VALUES (1)", setup=["CREATE TABLE t (n INT64)"], affected=2), WRONG),
    (_case(options={"useLegacySql": True}, rows=[[1, "a"]]), REFUSED),
    (_case(options={"useLegacySql": True}, error="."), REFUSED),
    (_case(bytes=1), WRONG),
]


@pytest.mark.parametrize(("case", "verdict"), VERDICTS)
def test_runner_tells_right_refused_and_wrong(server: Server, case: Case, verdict: str) -> None:
    assert Judge(server).judge(case).verdict == verdict


def test_listed_verdicts_are_of_cases() -> None:
    assert unknown(CASES) == set()


def test_page_states_the_outcome() -> None:
    text = PAGE.read_text()
    assert page(text, LISTED) == text, "run make docs"


def test_answers_come_from_bigquery() -> None:
    assert [
        case.id for case in CASES if not case.source.startswith((DOCUMENTATION, REFERENCE, RECORDING, COMPUTED))
    ] == []


def test_no_case_is_written_twice() -> None:
    asked = Counter(repr(replace(case, id="", source="", note="")) for case in CASES)
    assert [one for one, times in asked.items() if times > 1] == []
