"""Refuses a run without a month before it is made. The rules are in ``nyc_taxi.run_requests``."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin


def middleware(app: Any) -> Any:
    """Return the API server's application behind the checks; imported here, as every component imports this module."""
    from nyc_taxi.run_requests.middleware import RunRequestMiddleware

    return RunRequestMiddleware(app)


class RunRequestsPlugin(AirflowPlugin):
    """Checks the requests that start runs."""

    name = "run_requests"
    fastapi_root_middlewares: ClassVar[list[Any]] = [
        {"middleware": middleware, "args": [], "kwargs": {}, "name": "Checks of run requests"}
    ]
