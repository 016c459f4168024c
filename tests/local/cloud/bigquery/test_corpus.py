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
    check_error,
)
from tests.local.cloud.bigquery.corpus.page import PAGE, page
from tests.local.cloud.bigquery.corpus.running import Judge, Outcome, own_words
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
    (_case(error="Not found"), WRONG),
    (_case(query="SELECT * FROM {dataset}.nothing", rows=[]), WRONG),
    (_case(query="SELECT * FROM {dataset}.nothing", error="Not found: Table"), RIGHT),
    (_case(query="SELECT * FROM {dataset}.nothing", error="Not found: Dataset"), WRONG),
    (_case(query="SELECT {n} AS n", values={"n": 1}, columns={"n": "INT64"}, rows=[[1]]), RIGHT),
    (_case(query="CREATE TABLE t AS SELECT 1 AS n", then="SELECT n FROM t", columns={"n": "INT64"}, rows=[[2]]), WRONG),
    (_case(query="INSERT INTO t (n) VALUES (1)", setup=["CREATE TABLE t (n INT64)"], affected=2), WRONG),
    (_case(options={"useLegacySql": True}, rows=[[1, "a"]]), REFUSED),
    (_case(options={"useLegacySql": True}, error="Not found"), REFUSED),
    (_case(bytes=1), WRONG),
]


@pytest.mark.parametrize(("case", "verdict"), VERDICTS)
def test_runner_tells_right_refused_and_wrong(server: Server, case: Case, verdict: str) -> None:
    assert Judge(server).judge(case).verdict == verdict


@pytest.mark.parametrize("pattern", ["", ".", ".*", ".+", "x|", r"\w", r"[^\n]*$", "(?s).*nothing|.*", r"(?i)[a-z ]+"])
def test_pattern_that_any_error_matches_is_no_answer(pattern: str) -> None:
    with pytest.raises(ValueError, match="matches any error"):
        check_error("area/name", pattern)


OWN_WORDS = [
    "Binder Error: x",
    'Catalog Error: Table with name t does not exist!\nDid you mean "u"?',
    "Syntax error: Expected x (sqlglot: Expecting ))",
    "Invalid Input Error: x\n\nLINE 1: SELECT x",
    "No matching signature for function BQEMU_F for argument types: VARCHAR",
    "the embedded BigQuery does not word this error as BigQuery does: x",
    "ValueError: x\n\nAt:\n  /srv/engine.py(1): run",
]


@pytest.mark.parametrize("message", OWN_WORDS)
def test_message_in_the_words_of_the_layers_below_is_found(message: str) -> None:
    assert own_words(message, "SELECT 1")


def test_words_of_the_statement_may_be_in_its_message() -> None:
    assert own_words("Type not found: DOUBLE", "SELECT CAST(1 AS DOUBLE)") is None
    assert own_words("Unrecognized name: fares; Did you mean fare?", "SELECT fares FROM t") is None
    assert own_words('Syntax error: Expected ")" but got end of script at [1:9]', "SELECT (1") is None


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
