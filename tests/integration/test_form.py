"""The form that starts a run in Airflow's UI, used in Chromium as a person would."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

from local.airflow.api import AirflowApi
from tests.integration.support import end

pytestmark = pytest.mark.full

DAG_ID = "green_web_to_postgres"
MONTH = "2020-06"


def test_the_form_takes_one_right_month_and_the_run_is_found_by_it(page: Page, api: AirflowApi) -> None:
    api.set_paused(DAG_ID, True)
    before = {run["dag_run_id"] for run in api.runs(DAG_ID)}
    page.goto(f"/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    expect(form.get_by_text("The month to load, for example 2021-01.")).to_be_visible()
    start = form.get_by_role("button", name="Trigger", exact=True)

    start.click()
    expect(form.get_by_text("Which month? Fill in Month, for example 2021-01.")).to_be_visible()
    for wrong, words in (
        ("2020-13", "'2020-13' is not a month; write YYYY-MM, for example 2021-01"),
        ("2013-12", "Green taxi trips: there is no 2013-12. The first published month is 2014-01."),
    ):
        form.locator("#element_month").fill(wrong)
        start.click()
        expect(form.get_by_text(words)).to_be_visible()
    assert not api.call("GET", f"/dags/{DAG_ID}")["is_paused"]

    form.locator("#element_month").fill(MONTH)
    start.click()
    expect(form).to_be_hidden()
    [run_id] = {run["dag_run_id"] for run in api.runs(DAG_ID)} - before
    assert run_id.startswith(f"manual__{MONTH}__")
    assert end(api, DAG_ID, run_id) == "success"
    # The refused forms had unpaused the DAG. The scheduler has looked at it often by now, and started nothing.
    assert {run["dag_run_id"] for run in api.runs(DAG_ID)} == {*before, run_id}

    page.goto(f"/dags/{DAG_ID}/runs?partition_key_pattern={MONTH}")
    expect(page.get_by_role("link").filter(has_text=MONTH).first).to_be_visible()
    page.goto(f"/dags/{DAG_ID}/runs?run_id_pattern=manual__{MONTH}")
    expect(page.get_by_role("link").filter(has_text=MONTH).first).to_be_visible()


def test_an_asset_is_materialized_for_the_month_that_was_named(api: AirflowApi) -> None:
    [asset_id] = api.assets_starting("green_gcs_to_bigquery")
    before = {run["dag_run_id"] for run in api.runs("green_web_to_gcs")}
    for wrong, words in (({}, "Which month"), ({"partition_key": "2013-12"}, "there is no 2013-12")):
        with pytest.raises(httpx.HTTPStatusError, match=words):
            api.call("POST", f"/assets/{asset_id}/materialize", **wrong)
    assert {run["dag_run_id"] for run in api.runs("green_web_to_gcs")} == before
    api.set_paused("green_web_to_gcs", False)
    run = api.call("POST", f"/assets/{asset_id}/materialize", partition_key=MONTH)
    assert (run["dag_id"], run["partition_key"], run["run_type"]) == (
        "green_web_to_gcs",
        MONTH,
        "asset_materialization",
    )
    assert end(api, "green_web_to_gcs", run["dag_run_id"]) == "success"
