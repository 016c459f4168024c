"""docs/reliability.md is what the declared cases say."""

from __future__ import annotations

from collections import Counter

from tests.faults.cases import GROUPS
from tests.faults.catalog import CASES, LEFTOVERS, OVERLAPS, STACK
from tests.faults.harness import IN_TEST_ALL, QUICK
from tests.faults.page import PAGE, page

PROMISES = [*(case.promise for case in CASES), *LEFTOVERS, *OVERLAPS, *STACK]


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run make docs"


def test_every_case_has_a_name_of_its_own_and_a_section() -> None:
    assert [name for name, number in Counter(promise.id for promise in PROMISES).items() if number > 1] == []
    assert {promise.group for promise in PROMISES} == set(GROUPS)
    assert len(PROMISES) >= 80


def test_make_test_all_tries_each_fault_where_it_does_most_harm() -> None:
    promises = [*(case.promise for case in CASES), *OVERLAPS, *LEFTOVERS]
    chosen = [promise for promise in promises if promise.id in IN_TEST_ALL]
    assert {(each.group, each.fault) for each in chosen} == {(each.group, each.fault) for each in promises}
    assert QUICK <= IN_TEST_ALL
    assert {"bigquery-dropped-in-publish", "kill-bigquery-publish", "gcs-429-in-local_to_gcs"} <= IN_TEST_ALL
    assert "bigquery-dropped-in-create_table" not in IN_TEST_ALL
