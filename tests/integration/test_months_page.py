"""The page Months in Airflow's UI, used in Chromium as a person would."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import FrameLocator, Page, Route, expect

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from nyc_taxi.registry.datasets import DATASETS, GREEN
from nyc_taxi.registry.model import TripDataset
from nyc_taxi.registry.months import Month
from tests.attacks.promises import attack
from tests.integration.conftest import publish
from tests.integration.support import await_, end, query_postgres, run_months, trigger

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def june(api: AirflowApi, stack: AirflowSettings) -> Month:
    """A month of green that all stores have."""
    run_months(api, {"green": "2020-06"})
    return Month(2020, 6)


def _open(page: Page) -> FrameLocator:
    """Open the page by its entry in the navigation; returns its frame, once the stores have answered."""
    page.get_by_role("link", name="Months").first.click()
    frame = page.frame_locator("iframe")
    expect(frame.locator("#notice")).to_contain_text("seen at")
    return frame


def _cell(frame: FrameLocator, month: str, store: str, dataset: str = "green") -> str:
    """What a screen reader says of one cell."""
    label = frame.locator(f'[data-key="{dataset}/{month}/{store}"]').get_attribute("aria-label")
    assert label is not None
    return label


def _alter(page: Page, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Let the page be told what ``change`` makes of its datasets."""

    def altered(route: Route) -> None:
        answer = route.fetch()
        overview = answer.json()
        change(overview["datasets"])
        route.fulfill(response=answer, json=overview)

    page.route("**/api/overview*", altered)


def _look_again(frame: FrameLocator) -> None:
    frame.get_by_role("button", name="Look again").click()
    expect(frame.locator("#notice")).to_contain_text("Looking")
    expect(frame.locator("#notice")).to_contain_text("seen at")


def test_the_numbers_are_those_of_the_reconciliation(page: Page, stack: AirflowSettings, june: Month) -> None:
    frame = _open(page)
    _look_again(frame)
    cells = frame.locator(".grid .cell").evaluate_all("cells => cells.map(one => [one.dataset.key, one.ariaLabel])")
    stores, counted = reconcile.connected_stores(stack), dict[str, dict[str, int]]()
    for key, label in cells:
        name, month, store = key.split("/")
        dataset = DATASETS[name]
        file = dataset.file(Month.parse(month)) if isinstance(dataset, TripDataset) else dataset.file()
        if f"{name}/{month}" not in counted:
            counted[f"{name}/{month}"] = {place: rows for each in stores for place, rows in each.counts(file).items()}
        shown = re.search(r": ([\d,]+) rows", label)
        assert (int(shown[1].replace(",", "")) if shown else 0) == counted[f"{name}/{month}"][store], label
    rows = counted["green/2020-06"]["lake"]
    for store in ("lake", "bigquery", "postgres"):
        assert _cell(frame, "2020-06", store) == f"green 2020-06, {store}: {rows:,} rows, as in the lake"


def test_the_heads_name_every_month_and_its_year(page: Page, june: Month) -> None:
    heads = _open(page).locator('[data-dataset="green"] thead')
    months = heads.locator("th.month").all_inner_texts()
    assert "06" in months
    assert sum(int(year.get_attribute("colspan") or 1) for year in heads.locator("th.year").all()) == len(months)


def test_a_month_shows_its_runs_its_trips_and_its_rows(page: Page, june: Month) -> None:
    frame = _open(page)
    frame.locator('[data-key="green/2020-06/lake"]').click()
    dialog = frame.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Trips a day")).to_be_visible()
    assert dialog.locator("svg rect").count() == 30
    expect(dialog.get_by_role("columnheader", name="lpep_pickup_datetime")).to_be_visible()
    assert dialog.locator(".rows tbody tr").count() == 20
    dialog.get_by_role("link", name="success: green_gcs_to_bigquery").click()
    page.wait_for_url("**/dags/green_gcs_to_bigquery/runs/**")


def test_an_open_month_follows_the_stores(page: Page, june: Month) -> None:
    has_answered = False

    def unknown_at_first(datasets: list[dict[str, Any]]) -> None:
        if not has_answered:
            green = next(dataset for dataset in datasets if dataset["name"] == "green")
            green["months"]["2020-06"]["postgres"]["state"] = "unknown"
            green["looks"]["postgres"]["running"] = True  # so that the page asks again soon

    _alter(page, unknown_at_first)
    frame = page.frame_locator("iframe")
    page.get_by_role("link", name="Months").first.click()
    frame.locator('[data-key="green/2020-06/postgres"]').click()
    row = frame.get_by_role("dialog").get_by_role("row", name="postgres")
    expect(row).to_contain_text("the store has not answered yet")
    has_answered = True
    expect(row).to_contain_text("as in the lake")


def test_a_month_loaded_from_the_page_is_found_by_its_month(page: Page, api: AirflowApi, june: Month) -> None:
    before = {run["dag_run_id"] for run in api.runs("green_web_to_postgres")}
    frame = _open(page)
    frame.locator('[data-key="green/2020-06/postgres"]').click()
    frame.get_by_role("dialog").get_by_role("row", name="postgres").get_by_role("button", name="Load again").click()
    expect(frame.locator("#month")).to_be_hidden()

    def new_run() -> str | None:
        return next(
            (
                run["dag_run_id"]
                for run in api.runs("green_web_to_postgres")
                if run["dag_run_id"] not in before and run["partition_key"] == "2020-06"
            ),
            None,
        )

    assert end(api, "green_web_to_postgres", await_(new_run, "the run that the page started")) == "success"


def test_a_failed_month_leads_to_its_cause(page: Page, api: AirflowApi) -> None:
    run = trigger(api, "green_web_to_gcs", {"month": "2019-04"})
    assert end(api, "green_web_to_gcs", run) == "failed"
    frame = _open(page)
    assert _cell(frame, "2019-04", "lake") == "green 2019-04, lake: not there, last run failed"
    frame.locator('[data-key="green/2019-04/lake"]').click()
    frame.get_by_role("dialog").get_by_role("link", name="failed: green_web_to_gcs").click()
    page.wait_for_url("**/dags/green_web_to_gcs/runs/**")
    page.locator("table").get_by_role("link", name="to_parquet").click()
    expect(page.get_by_text("column fare_amount: row 5001").first).to_be_visible()


def test_a_backfill_of_three_months_is_followed(page: Page, api: AirflowApi, source_dir: Path) -> None:
    publish(source_dir, "fhv", "2020-07")
    api.set_paused("fhv_web_to_gcs", True)
    frame = _open(page)
    form = frame.get_by_role("form", name="Backfill fhv", exact=True)
    form.locator("input[name=from]").fill("2020-07")
    form.locator("input[name=to]").fill("2020-05")
    form.get_by_role("button", name="Backfill").click()
    expect(frame.locator("header .told")).to_have_text("2020-05 is before 2020-07: exchange the two")
    form.locator("input[name=from]").fill("2020-05")
    form.locator("input[name=to]").fill("2020-07")
    expect(form.get_by_role("status")).to_have_text("3 months, 2020-05 to 2020-07, both included")
    form.get_by_role("button", name="Backfill").click()
    question = frame.locator("#question")
    expect(question).to_contain_text("fhv_web_to_gcs")
    question.get_by_role("button", name="Unpause and start").click()
    for month in ("2020-05", "2020-06", "2020-07"):
        for store in ("lake", "bigquery"):
            cell = frame.locator(f'[data-key="fhv/{month}/{store}"].same:not(.running)')
            expect(cell).to_be_visible(timeout=240_000)


def test_a_store_that_was_changed_by_hand_shows_as_different(page: Page, stack: AirflowSettings, june: Month) -> None:
    frame = _open(page)
    frame.get_by_label("only months where stores differ").check()
    cell = frame.locator('[data-key="green/2020-06/postgres"]')
    expect(cell).to_have_count(0)
    assert query_postgres(stack, "DELETE FROM green_trips_2020_06 WHERE ctid = '(0,1)' RETURNING 1") == [(1,)]
    _look_again(frame)
    rows = reconcile.count(stack, GREEN.file(june)).rows["lake"]
    label = f"green 2020-06, postgres: {rows - 1:,} rows, another number of rows than in the lake"
    expect(cell).to_have_attribute("aria-label", label)


def test_a_store_that_never_answered_is_named_and_nothing_is_said_for_it(page: Page, june: Month) -> None:
    def never_answered(datasets: list[dict[str, Any]]) -> None:
        for dataset in datasets:
            dataset["looks"]["postgres"] = {"at": 0, "answered": False, "error": "it is down", "running": False}
            for stores in dataset["months"].values():
                stores["postgres"].update(state="unknown", rows=None)

    _alter(page, never_answered)
    frame = _open(page)
    expect(frame.locator("#notice")).to_contain_text("no answer from postgres")
    expect(frame.locator("#notice")).not_to_contain_text("12:00:00 AM")  # the beginning of 1970
    frame.get_by_label("only months where stores differ").check()
    expect(frame.locator('[data-key="green/2020-06/postgres"]')).to_have_count(0)


def test_a_user_who_may_only_read_is_told_so(page: Page, june: Month) -> None:
    _alter(page, lambda datasets: [each.update(may_run=dict.fromkeys(each["may_run"], False)) for each in datasets])
    frame = _open(page)
    expect(frame.get_by_text("You may look at these months, but start no runs.").first).to_be_visible()
    expect(frame.get_by_role("button", name="Backfill")).to_have_count(0)
    frame.locator('[data-key="green/2020-06/lake"]').click()
    expect(frame.locator("#month .facts")).to_contain_text("as in the lake")
    expect(frame.locator("#month").get_by_role("button", name="Load")).to_have_count(0)


def test_the_cells_are_reached_by_keyboard(page: Page, june: Month) -> None:
    frame = _open(page)
    frame.locator('[data-key="green/2020-06/lake"]').focus()
    page.keyboard.press("ArrowDown")
    expect(frame.locator('[data-key="green/2020-06/bigquery"]')).to_be_focused()
    page.keyboard.press("Enter")
    expect(frame.get_by_role("dialog").get_by_role("heading", name="Green taxi trips 2020-06")).to_be_visible()
    page.keyboard.press("Escape")
    expect(frame.locator("#month")).to_be_hidden()
    expect(frame.locator('[data-key="green/2020-06/bigquery"]')).to_be_focused()


def test_what_is_typed_stays_while_the_page_looks_again(page: Page, june: Month) -> None:
    frame = _open(page)
    field = frame.get_by_role("form", name="Backfill yellow", exact=True).locator("input[name=from]")
    field.fill("2020-05")
    _look_again(frame)
    expect(field).to_have_value("2020-05")


def test_a_dag_has_its_dataset_as_a_tab_and_a_run_its_month(page: Page, api: AirflowApi, june: Month) -> None:
    page.goto("/dags/green_web_to_postgres/plugin/dag_months")
    frame = page.frame_locator("iframe")
    expect(frame.locator("section:visible")).to_have_count(1)
    expect(frame.locator('[data-dataset="green"]')).to_be_visible()
    frame.locator('[data-key="green/2020-06/postgres"]').click()
    frame.get_by_role("dialog").get_by_role("link", name="green_web_to_postgres").click()
    page.wait_for_url("**/dags/green_web_to_postgres/runs/**")
    page.goto(f"{page.url.partition('?')[0].rstrip('/')}/plugin/run_month")
    heading = page.frame_locator("iframe").get_by_role("heading", name="Green taxi trips 2020-06")
    expect(heading).to_be_visible()


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_usable_dark_and_narrow(page: Page, june: Month, dark: bool) -> None:
    page.evaluate(f"localStorage.setItem('theme', '{'dark' if dark else 'light'}')")
    page.set_viewport_size({"width": 420, "height": 800})
    page.goto("/plugin/months")
    frame = page.frame_locator("iframe")
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark" if dark else "light")
    expect(frame.locator("#notice")).to_contain_text("seen at")
    assert frame.locator("body").evaluate("body => body.scrollWidth - document.documentElement.clientWidth") <= 0
    table = frame.locator('[data-dataset="green"] .scroll')
    assert table.evaluate("table => table.scrollWidth - table.clientWidth - table.scrollLeft") < 1, "newest first"
    frame.locator('[data-key="green/2020-06/lake"]').click()
    expect(frame.get_by_role("dialog").get_by_role("columnheader", name="lpep_pickup_datetime")).to_be_attached()
    assert frame.get_by_role("dialog").evaluate("dialog => dialog.scrollWidth - dialog.clientWidth") <= 0


@attack("pages-ask-for-a-login")
def test_no_route_answers_without_a_login(stack: AirflowSettings) -> None:
    for path in ("", "static/months.js", "api/overview", "api/months/green/2020-06", "api/months/green/2020-06/rows"):
        assert httpx.get(f"{stack.url}/months/{path}", trust_env=False).status_code == 401
