"""What the page Months shows in Chromium when its requests are refused; the answers are made here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect, sync_playwright

from nyc_taxi import months_page
from tests.browser import chromium, launch

pytestmark = pytest.mark.full

STATIC = Path(str(months_page.__file__)).parent / "static"
CELL = {"state": "same", "rows": 3, "run": None}
STORED = {"rows": 3, "made_from": "green.csv.gz", "published_at": None}
GREEN = {
    "name": "green",
    "title": "Green taxi trips",
    "monthly": True,
    "published": {"tlc": "since 2014-01", "mirror": "from 2019-01 to 2021-07"},
    "dag_ids": {"lake": "green_web_to_gcs"},
    "loads": {"lake": None},
    "may_run": {"lake": True},
    "months": {"2021-01": {"lake": CELL}},
    "looks": {"lake": {"at": 1, "answered": True, "error": "", "running": False}},
}
OVERVIEW = {"datasets": [GREEN], "stores": ["lake"]}


class Answers:
    """Answers the page's requests: status and body by the end of the path."""

    def __init__(self) -> None:
        self.by_end: dict[str, tuple[int, Any]] = {
            "api/overview": (200, OVERVIEW),
            "api/months/green/2021-01": (200, {"stores": {"lake": {"stored": STORED, "run": None}}}),
        }

    def give(self, route: Route) -> None:
        path = route.request.url.partition("?")[0].removeprefix("http://127.0.0.1/months/")
        if (STATIC / path.removeprefix("static/")).is_file() or not path:
            route.fulfill(path=STATIC / (path.removeprefix("static/") or "index.html"))
        else:
            status, body = self.by_end.get(path, (404, {"detail": f"no {path}"}))
            route.fulfill(status=status, body=json.dumps(body), content_type="application/json")


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def page(answers: Answers) -> Iterator[Page]:
    """A page of a browser; at the end, none of its scripts may have failed."""
    chromium()  # before Playwright starts, so that a skip leaves nothing behind
    with sync_playwright() as playwright:
        browser = launch(playwright, seconds=20)
        opened, problems = browser.new_page(), list[str]()
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.route("**/*", answers.give)
        yield opened
        browser.close()
    assert problems == []


def test_what_is_refused_is_told_and_shown_no_more(page: Page, answers: Answers) -> None:
    answers.by_end["api/overview"] = (500, {"detail": "the database is down"})
    page.goto("http://127.0.0.1/months/")
    notice = page.locator("#notice")
    expect(notice).to_have_text("the database is down")
    page.get_by_label("only months where stores differ").check()  # there is nothing to filter yet
    page.get_by_label("only months where stores differ").uncheck()

    answers.by_end["api/overview"] = (200, OVERVIEW)
    page.get_by_role("button", name="Look again").click()
    page.locator('[data-key="green/2021-01/lake"]').click()
    expect(page.locator("#month .facts")).to_contain_text("green.csv.gz")

    # Behind the open month, the page looks again, and its user may no longer read the dataset.
    answers.by_end["api/overview"] = (200, {**OVERVIEW, "datasets": []})
    page.locator("#again").dispatch_event("click")
    expect(notice).to_have_text("You may not read green any more.")
    expect(page.locator('[data-dataset="green"]')).to_have_count(0)
