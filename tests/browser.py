"""The browser that some tests and the screenshots drive."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from local.airflow.environment import AirflowSettings

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Return the path of Chromium. Without one, the test is skipped; it fails if ``REQUIRE_BROWSER`` is set."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing = "no Chromium on this machine: install the package chromium"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def launch(playwright: Playwright, *, seconds: float) -> Browser:
    """Start Chromium without a window; ``seconds`` is how long what is expected of a page may take."""
    expect.set_options(timeout=seconds * 1000)
    return playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--no-proxy-server"])


def log_in(page: Page, settings: AirflowSettings) -> None:
    """Log in to Airflow's UI, whose address is the base of the page's context."""
    page.goto("/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", settings.password())
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "login" not in url)
