"""The corpus: the emulator answers each case as BigQuery does, or refuses it with a message that names the limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.corpus.case_file import (
    COMPUTED,
    DOCUMENTATION,
    RECORDING,
    REFERENCE,
    Case,
    cases,
    known_wrong,
)
from tests.local.cloud.bigquery.corpus.page import PAGE, page
from tests.local.cloud.bigquery.corpus.running import WRONG, Judge, Outcome

CASES = cases()
KNOWN_WRONG = known_wrong()
Asked = Callable[[list[Case]], dict[str, Outcome]]


@pytest.fixture(scope="module")
def asked(server: Server, request: pytest.FixtureRequest) -> Asked:
    """A function that asks cases, each once; those of all selected tests are asked before the first of them."""
    calls = [item.callspec for item in request.session.items if hasattr(item, "callspec")]
    selected = [call.params["case"] for call in calls if isinstance(call.params.get("case"), Case)]
    judge = Judge(server)
    outcomes = judge.judge_all(selected)

    def once(wanted: list[Case]) -> dict[str, Outcome]:
        outcomes.update(judge.judge_all(case for case in wanted if case.id not in outcomes))
        return outcomes

    return once


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case_is_right_or_refused(asked: Asked, case: Case) -> None:
    outcome = asked([case])[case.id]
    if case.id in KNOWN_WRONG:
        assert outcome.verdict == WRONG, f"no longer wrong: remove {case.id} from known_wrong.txt"
    else:
        assert outcome.verdict != WRONG, f"{outcome.reason}\nBigQuery's answer: {case.source}"


def test_known_wrong_answers_are_cases() -> None:
    assert set() == KNOWN_WRONG - {case.id for case in CASES}


def test_page_states_the_outcome(asked: Asked) -> None:
    text = PAGE.read_text()
    verdicts = {case: outcome.verdict for case, outcome in asked(CASES).items()}
    assert page(text, verdicts) == text, "run make docs"


def test_answers_come_from_bigquery() -> None:
    assert [
        case.id for case in CASES if not case.source.startswith((DOCUMENTATION, REFERENCE, RECORDING, COMPUTED))
    ] == []


def test_no_case_is_written_twice() -> None:
    asked = Counter(repr(replace(case, id="", source="", note="")) for case in CASES)
    assert [one for one, times in asked.items() if times > 1] == []
