"""The corpus: the emulator answers each case as BigQuery does, or refuses it with a message that names the limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.corpus.case_file import DOCUMENTATION, KNOWN_WRONG, RECORDING, Case, cases
from tests.local.cloud.bigquery.corpus.page import PAGE, page
from tests.local.cloud.bigquery.corpus.running import WRONG, Outcome, judge

CASES = cases()
Judge = Callable[[Case], Outcome]


@pytest.fixture(scope="module")
def judged(server: Server) -> Judge:
    """A function that asks each case once."""
    client, outcomes = server.client(), dict[str, Outcome]()

    def once(case: Case) -> Outcome:
        if case.id not in outcomes:
            outcomes[case.id] = judge(client, case)
        return outcomes[case.id]

    return once


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case_is_right_or_refused(judged: Judge, case: Case) -> None:
    outcome = judged(case)
    if case.id in KNOWN_WRONG:
        assert outcome.verdict == WRONG, f"no longer wrong: remove {case.id} from known_wrong.txt"
    else:
        assert outcome.verdict != WRONG, f"{outcome.reason}\nBigQuery's answer: {case.source}"


def test_known_wrong_answers_are_cases() -> None:
    assert set() == KNOWN_WRONG - {case.id for case in CASES}


def test_page_states_the_outcome(judged: Judge) -> None:
    text = PAGE.read_text()
    assert page(text, {case.id: judged(case).verdict for case in CASES}) == text, "run make docs"


def test_answers_come_from_bigquery() -> None:
    assert [case.id for case in CASES if not case.source.startswith((DOCUMENTATION, RECORDING))] == []


def test_no_case_is_written_twice() -> None:
    asked = Counter((case.query, str(case.values), str(case.setup), str(case.parameters)) for case in CASES)
    assert [one for one, times in asked.items() if times > 1] == []
