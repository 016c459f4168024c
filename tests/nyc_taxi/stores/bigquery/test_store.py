"""What BigQuery's store makes of the client's errors."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from google.cloud.exceptions import NotFound

from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.store import NOTHING

FILE = GREEN.file(Month(2021, 1))
ASKED: dict[str, tuple[Callable[[BigQueryStore], object], object]] = {
    "available": (lambda store: store.available(GREEN), frozenset()),
    "count": (lambda store: store.count(FILE), 0),
    "content": (lambda store: store.content(FILE), NOTHING),
    "months": (lambda store: store.months(GREEN), {}),
    "first_rows": (lambda store: store.first_rows(FILE, 3), ([], [])),
}


def _client(*, has_table: bool) -> Any:
    """A client whose every query ends with 404, as after a restart of the server under the query."""

    def gone(*_: object, **__: object) -> Any:
        raise NotFound("the results of job x are no longer kept")

    def get_table(name: str) -> Any:
        if has_table:
            return SimpleNamespace(schema=[], modified=None)
        raise NotFound(f"Not found: Table {name}")

    return SimpleNamespace(query=gone, list_rows=gone, get_table=get_table)


@pytest.mark.parametrize("name", ASKED)
def test_a_table_that_does_not_exist_has_nothing(name: str) -> None:
    ask, nothing = ASKED[name]
    assert ask(BigQueryStore(_client(has_table=False))) == nothing


@pytest.mark.parametrize("name", ASKED)
def test_another_404_is_not_taken_for_a_missing_table(name: str) -> None:
    ask, _ = ASKED[name]
    with pytest.raises(NotFound, match="no longer kept"):
        ask(BigQueryStore(_client(has_table=True)))
