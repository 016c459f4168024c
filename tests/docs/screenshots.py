"""Takes the pictures of the pages from a real run: ``make screenshots``.

It starts a stack of its own with small synthetic months, does in Chromium what ``docs/tour.md`` says, and writes
``docs/images/*.png``. The pictures show neither paths nor ports of the machine that they were taken on.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import FrameLocator, Page, expect, sync_playwright

from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY
from local.cloud.source.layouts import MIRROR
from local.cloud.source.months import Month
from local.cloud.source.synthetic import write_month
from local.cloud.source.zones import lookup_csv
from tests.browser import launch, log_in
from tests.ports import PORTS, free_port

IMAGES = REPOSITORY / "docs" / "images"
VIEW = {"width": 1200, "height": 760}
COLORS = 128
# How long a page may take, and how long its animations do.
SECONDS = 240.0
SETTLE_MS = 1500
ENDED = ("success", "failed")
REPLACE_WORDS = """words => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode())
    for (const [from, to] of Object.entries(words))
      walker.currentNode.data = walker.currentNode.data.replaceAll(from, to);
}"""
# Trips of each month of 2019, from January on.
ROWS = {
    "green": (6300, 5750, 6010, 5140, 5050, 4710, 4700, 4500),
    "yellow": (7670, 7020, 7830, 7430),
}


def fill_source(folder: Path) -> None:
    """Write the published files: months of different sizes, in the mirror's layout, and the zones."""
    for dataset, sizes in ROWS.items():
        for index, rows in enumerate(sizes):
            month = Month(2019, index + 1)
            path = folder / MIRROR.file(dataset, str(month))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_month(dataset, month, path, rows=rows)
    (folder / "misc").mkdir(exist_ok=True)
    (folder / "misc" / "taxi_zone_lookup.csv").write_bytes(lookup_csv())


def main() -> int:
    """Take all pictures, on a stack of their own."""
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
        source = Path(folder) / "source"
        fill_source(source)
        with _stack(Path(folder) / "local", source) as settings, AirflowApi(settings) as api, _ui(settings) as page:
            take(Camera(page, settings), page, api)
    return 0


@contextmanager
def _stack(state: Path, source: Path) -> Iterator[AirflowSettings]:
    """A running stack with state and ports of its own, whose environment is that of this process meanwhile."""
    state.mkdir()
    nothing = state / "settings.env"
    nothing.touch()
    os.environ |= {name: str(free_port()) for name in PORTS}
    os.environ |= {"LOCAL_DIR": str(state), "LOCAL_ENV_FILE": str(nothing), "SOURCE": str(source)}
    command = [sys.executable, "-m", "local.airflow"]
    try:
        subprocess.run([*command, "up"], cwd=REPOSITORY, check=True)
        yield AirflowSettings.from_env()
    finally:
        subprocess.run([*command, "down"], cwd=REPOSITORY, check=True)


@contextmanager
def _ui(settings: AirflowSettings) -> Iterator[Page]:
    """Airflow's UI in Chromium, in its light theme, after a login."""
    with sync_playwright() as playwright:
        browser = launch(playwright, seconds=SECONDS)
        context = browser.new_context(viewport=VIEW, base_url=settings.url, color_scheme="light", timezone_id="UTC")
        context.set_default_timeout(SECONDS * 1000)
        context.add_init_script("localStorage.setItem('theme', 'light')")
        page = context.new_page()
        log_in(page, settings)
        yield page
        browser.close()


class Camera:
    """Takes pictures of a page.

    Args:
        page: Airflow's UI.
        settings: the stack that it belongs to; its paths and ports are replaced by those of the README.
    """

    def __init__(self, page: Page, settings: AirflowSettings) -> None:
        self._page = page
        self._words = {
            f":{settings.port}": ":8080",
            settings.source_base_url: "http://127.0.0.1:8090",
            str(settings.cloud.state_dir): "~/nyc-taxi/.local",
            str(REPOSITORY): "~/nyc-taxi",
        }

    def take(self, name: str, *, height: int = VIEW["height"]) -> None:
        """Write ``docs/images/<name>.png``: what the page shows now, down to a height."""
        self._page.mouse.move(0, 0)
        self._page.wait_for_timeout(SETTLE_MS)
        self._page.evaluate(REPLACE_WORDS, self._words)
        shown = self._page.screenshot(clip={"x": 0, "y": 0, "width": VIEW["width"], "height": height})
        picture = Image.open(io.BytesIO(shown)).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
        IMAGES.mkdir(exist_ok=True)
        path = IMAGES / f"{name}.png"
        picture.save(path, optimize=True)
        print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1000:.0f} kB", flush=True)


# The tour


def take(camera: Camera, page: Page, api: AirflowApi) -> None:
    """Do what the tour says, and take its pictures."""
    page.goto("/dags")
    expect(page.get_by_text("1 green_web_to_gcs")).to_be_visible()
    camera.take("dags")
    _load(api, "zones_web_to_gcs", {})
    _first_month(camera, page, api)
    _its_data(camera, page)
    _backfill(camera, page)
    _more_months(api)
    _grid(camera, page, api)
    _failure(camera, page, api)


def _load(api: AirflowApi, dag_id: str, conf: dict[str, str]) -> str:
    """Start a run, wait until it and what it starts have ended, and return its id."""
    api.set_paused(dag_id, False)
    run_id = api.trigger(dag_id, conf)
    _until(lambda: api.run(dag_id, run_id)["state"] in ENDED)
    downstream = dag_id.replace("web_to_gcs", "gcs_to_bigquery")
    if api.run(dag_id, run_id)["state"] == "success" and downstream != dag_id:
        _until(lambda: (runs := api.runs(downstream)) and all(run["state"] in ENDED for run in runs))
    return run_id


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the runs do not end; see the logs of the stack")
        time.sleep(1)


def _first_month(camera: Camera, page: Page, api: AirflowApi) -> None:
    page.goto("/dags/green_web_to_gcs")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.locator("#element_month").fill("2019-03")
    camera.take("form")
    form.get_by_role("button", name="Trigger", exact=True).click()
    expect(form).to_be_hidden()
    _until(lambda: [run["state"] for run in api.runs("green_gcs_to_bigquery")] == ["success"])
    page.goto(f"/dags/green_web_to_gcs/runs/{quote(api.runs('green_web_to_gcs')[0]['dag_run_id'])}")
    expect(page.get_by_text("7 Task Instances")).to_be_visible()
    camera.take("run")


def _months(page: Page) -> FrameLocator:
    """The months page, once the stores have answered."""
    page.goto("/plugin/months")
    frame = page.frame_locator("iframe")
    expect(frame.locator("#notice")).to_contain_text("seen at")
    return frame


def _its_data(camera: Camera, page: Page) -> None:
    frame = _months(page)
    frame.locator('[data-key="green/2019-03/lake"]').click()
    dialog = frame.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Busiest zones")).to_be_visible()
    expect(dialog.get_by_role("heading", name="First rows")).to_be_visible()
    camera.take("month")
    dialog.locator(".rows tbody tr").last.scroll_into_view_if_needed()
    camera.take("rows")


def _backfill(camera: Camera, page: Page) -> None:
    frame = _months(page)
    form = frame.get_by_role("form", name="Backfill green", exact=True)
    form.locator("input[name=from]").fill("2019-01")
    form.locator("input[name=to]").fill("2019-08")
    form.get_by_role("button", name="Backfill").click()
    cells = '[data-dataset="green"] .cell'
    expect(frame.locator(f"{cells}.running").first).to_be_visible()
    expect(frame.locator(f'{cells}.same[data-key$="/lake"]').nth(2)).to_be_visible()
    camera.take("backfill", height=470)
    expect(frame.locator(f'{cells}.same:not(.running)[data-key$="/bigquery"]')).to_have_count(len(ROWS["green"]))


def _more_months(api: AirflowApi) -> None:
    """Load what the tour does not: it is for the overview, and for a grid with many runs."""
    for dag_id, months in (("green_web_to_postgres", 6), ("yellow_web_to_gcs", len(ROWS["yellow"]))):
        api.set_paused(dag_id, False)
        api.backfill(dag_id, "2019-01-01", f"2019-{months:02}-01", conf={}, parallel=4)
    for dag_id, months in (("green_web_to_postgres", 6), ("yellow_gcs_to_bigquery", len(ROWS["yellow"]))):
        _until(lambda id=dag_id, n=months: [run["state"] for run in api.runs(id)].count("success") == n)


def _grid(camera: Camera, page: Page, api: AirflowApi) -> None:
    page.goto(f"/dags/green_web_to_postgres/runs/{quote(api.runs('green_web_to_postgres')[0]['dag_run_id'])}")
    expect(page.get_by_text("11 Task Instances")).to_be_visible()
    # The border between the grid and the details.
    page.mouse.move(299, 300)
    page.mouse.down()
    page.mouse.move(560, 300, steps=10)
    page.mouse.up()
    camera.take("grid", height=540)


def _failure(camera: Camera, page: Page, api: AirflowApi) -> None:
    run_id = _load(api, "green_web_to_gcs", {"month": "2018-12"})
    frame = _months(page)
    camera.take("months", height=740)
    frame.locator('[data-key="green/2018-12/lake"]').click()
    link = frame.get_by_role("dialog").get_by_role("link", name="failed: green_web_to_gcs")
    expect(frame.get_by_text("BigQuery has no rows of green 2018-12")).to_be_visible()
    camera.take("failed-month", height=540)
    link.click()
    page.wait_for_url(f"**/runs/{quote(run_id)}*")
    page.locator("table").get_by_role("link", name="wait_for_publication").click()
    expect(page.get_by_text("ContractError: no green file").first).to_be_visible()
    camera.take("failed-log", height=560)


if __name__ == "__main__":
    sys.exit(main())
