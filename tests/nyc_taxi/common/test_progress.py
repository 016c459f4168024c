"""The lines that a transfer writes to a task's log, with a clock of the test."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from nyc_taxi.common.progress import Progress

log = logging.getLogger("a_task")


class Clock:
    """A clock that stands still until the test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def started(clock: Clock, **totals: Any) -> Progress:
    return Progress(log, "copy", clock=clock, **totals)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == log.name]


def test_a_line_comes_at_most_every_five_seconds(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress = started(clock, rows=4_000_000)
    for tenth in range(1, 121):  # twelve seconds
        clock.now = 100 + tenth / 10
        progress.reach(rows=tenth * 20_000)

    assert logged(caplog) == [
        "Progress of copy: 1,000,000 rows, 25%, 5.0 s, 200,000 rows/s",
        "Progress of copy: 2,000,000 rows, 50%, 10.0 s, 200,000 rows/s",
    ]


def test_after_a_pause_the_next_line_is_five_seconds_later_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    progress = started(clock)
    for now in (123, 124, 127.9, 128):
        clock.now = now
        progress.reach(rows=1)

    assert [line.split(", ")[1] for line in logged(caplog)] == ["23.0 s", "28.0 s"]


def test_the_end_has_the_totals_and_comes_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with started(clock, size=9_000_000) as progress:
        progress.reach(rows=10, size=3_000_000)
        clock.now += 2
        progress.reach(rows=30, size=9_000_000)

    assert logged(caplog) == ["End of copy: 30 rows, 9.0 MB, 100%, 2.0 s, 15 rows/s, 4.5 MB/s"]


def test_a_job_says_its_state_until_its_end(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with started(clock) as progress:
        clock.now += 5
        progress.reach(state="PENDING")
        clock.now += 5
        progress.reach(state="RUNNING", rows=50)
        clock.now += 5
        progress.complete(rows=100)

    assert logged(caplog) == [
        "Progress of copy: PENDING, 5.0 s",
        "Progress of copy: RUNNING, 50 rows, 10.0 s, 5 rows/s",
        "End of copy: 100 rows, 100%, 15.0 s, 7 rows/s",
    ]


@pytest.mark.parametrize(("totals", "reached"), [({"rows": 50}, {"rows": 50, "size": 7}), ({"size": 50}, {"size": 50})])
def test_what_has_reached_its_whole_says_so_once(
    clock: Clock, caplog: pytest.LogCaptureFixture, totals: dict[str, int], reached: dict[str, int]
) -> None:
    caplog.set_level(logging.INFO)
    with started(clock, **totals) as progress:
        clock.now += 7
        progress.reach(**reached)

    [line] = logged(caplog)
    assert line.startswith("End of copy: ")


def test_a_transfer_without_time_has_no_rate(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with started(clock) as progress:
        progress.reach(size=0)

    assert logged(caplog) == ["End of copy: 0.0 MB, 100%, 0.0 s"]


def test_a_transfer_that_fails_writes_no_end(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(ValueError, match="the cause"), started(clock):
        raise ValueError("the cause")

    assert logged(caplog) == []


@pytest.mark.parametrize(
    ("totals", "reached", "share"),
    [
        ({"size": 4_000_000}, {"size": 1_000_000}, "25%"),
        ({"size": 1_000_000}, {"size": 4_000_000}, "100%"),  # the source announced too little
        ({}, {"size": 1_000_000, "share": lambda: 0.4}, "40%"),
        ({"size": 0}, {"size": 1_000_000, "share": lambda: None}, "5.0 s"),  # unknown
    ],
)
def test_the_share_is_that_of_the_known_total(
    clock: Clock, caplog: pytest.LogCaptureFixture, totals: dict[str, Any], reached: dict[str, Any], share: str
) -> None:
    caplog.set_level(logging.INFO)
    progress = started(clock, **totals)
    clock.now += 5
    progress.reach(**reached)

    assert logged(caplog)[0].split(", ")[1] == share


def test_the_share_is_asked_for_only_when_a_line_is_due(clock: Clock) -> None:
    asked = []
    progress = started(clock)
    for now in (101, 104.9, 105, 106):
        clock.now = now
        progress.reach(rows=1, share=lambda: asked.append(clock.now))  # type: ignore[func-returns-value]

    assert asked == [105]


def test_a_transfer_that_starts_over_counts_from_its_new_beginning(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with started(clock) as progress:
        progress.reach(size=8_000_000)
        progress.reach(size=1_000_000)

    assert logged(caplog) == ["End of copy: 1.0 MB, 100%, 0.0 s"]
