"""The page *Months* in Airflow's UI: which months are in which store. Its code is in ``nyc_taxi.months_page``."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/months"
# Relative to the UI, which may have a prefix of its own.
HREF = "months/"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve the page. It is built for the first request: every component of Airflow imports this module."""
    from nyc_taxi.months_page.app import app

    await app(scope, receive, send)


class MonthsPlugin(AirflowPlugin):
    """Adds the page to the navigation, its dataset's months to each DAG, and its month to each run."""

    name = "months"
    fastapi_apps: ClassVar[list[Any]] = [{"app": application, "url_prefix": PREFIX, "name": "Months"}]
    external_views: ClassVar[list[Any]] = [
        {"name": "Months", "href": HREF, "destination": "nav", "url_route": "months"},
        {"name": "Months", "href": f"{HREF}?dag_id={{DAG_ID}}", "destination": "dag", "url_route": "dag_months"},
        {
            "name": "Month",
            "href": f"{HREF}?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "run_month",
        },
    ]
