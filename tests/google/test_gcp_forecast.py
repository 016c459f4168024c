"""What ``make gcp-check`` forecasts: months as large as those that are there, and the table in docs/gcp.md."""

from __future__ import annotations

import re

import pytest

from local.airflow.gcp_forecast import MILLIONS, Forecast, Held, backfill, dollars, forecast, size
from tests.conftest import REPOSITORY


def test_the_page_has_the_forecast_of_assumed_months() -> None:
    page = (REPOSITORY / "docs" / "gcp.md").read_text(encoding="utf-8").split("\n## Costs\n")[1]
    months = {dataset: forecast(dataset, Held())[0] for dataset in MILLIONS}
    expected = {name: (f"{month.rows / 1e6:g} million", *_cells(month)) for name, month in months.items()}
    total = backfill(list(months.values()))
    expected["all, 15 years"] = (f"{total.rows / 1e9:.3g} billion", *_cells(total))
    rows = [tuple(row.split(" | ")) for row in re.findall(r"(?m)^\| (.*\$.*) \|$", page)]
    assert {name: tuple(cells) for name, *cells in rows} == expected


def _cells(month: Forecast) -> tuple[str, ...]:
    return size(month.lake), size(month.table), size(month.read), dollars(month.once), dollars(month.monthly)


@pytest.mark.parametrize(
    ("held", "rows", "lake", "table"),
    [
        # 2 objects of 20 MB, 4 partitions of half a million rows of 170 bytes
        (Held(2, 40_000_000, 4, 2_000_000, 340_000_000), 500_000, 20_000_000, 85_000_000),
        (Held(0, 0, 4, 2_000_000, 340_000_000), 500_000, 500_000 * 18.4, 85_000_000),
        # Google does not tell the number of partitions: each row is as large, but a month may have any number.
        (Held(0, 0, 0, 2_000_000, 340_000_000), 600_000, 600_000 * 18.4, 600_000 * 170),
        (Held(2, 36_800_000), 1_000_000, 18_400_000, 172_000_000),
        (Held(), 600_000, 600_000 * 18.4, 600_000 * 172),
    ],
    ids=["both", "table", "table of unknown months", "bucket", "nothing"],
)
def test_a_month_is_as_large_as_those_that_are_there(held: Held, rows: float, lake: float, table: float) -> None:
    month, _ = forecast("green", held)
    assert (month.rows, month.lake, month.table) == pytest.approx((rows, lake, table))
    assert month.read == pytest.approx(table * 276 / 172 + rows * 260 + 18 * 10 * 2**20)


def test_prices_are_those_of_a_tib_and_a_gib() -> None:
    month = Forecast(rows=1, lake=2**30, table=10 * 2**30, read=2**40)
    assert (month.once, month.monthly) == pytest.approx((6.25, 0.226))


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1 B"), (999.4, "999 B"), (999.9, "1 kB"), (45_600, "45.6 kB"), (3.8e9, "3.8 GB"), (2.5e12, "2.5 TB")],
)
def test_sizes_have_three_digits(number: float, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0"), (0.00214, "$0.0021"), (0.5, "$0.5"), (17.831, "$17.83"), (12345.6, "$12,346")]
)
def test_dollars_have_the_digits_that_say_something(amount: float, text: str) -> None:
    assert dollars(amount) == text
