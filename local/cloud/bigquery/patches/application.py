"""Patch of bqemulator 1.4.0: its application, with the routes of this package first.

Takes the routes out of the application that ``bqemulator.api.app.create_app`` returns and puts them behind its own: the
first route that matches a request answers it.

Why: bqemulator's routes for tables, jobs and query results drop options that the pipeline uses, run queries on the
event loop, and report success for jobs that change nothing (see the package's docstring).

Can be removed when bqemulator's routes do what ``routes`` does. It has no hook for routes of others.
"""

from __future__ import annotations

from typing import Any

from bqemulator.api.app import create_app

from local.cloud.bigquery.jobs import Jobs
from local.cloud.bigquery.patches import uploads
from local.cloud.bigquery.routes import build_router
from local.cloud.bigquery.store import Store


def build_app(store: Store, jobs: Jobs) -> Any:
    """Return bqemulator's ASGI application with the routes of this package before its own."""
    app = create_app(store.context)
    bundled = list(app.router.routes)
    app.router.routes.clear()
    app.include_router(build_router(store, jobs))
    app.include_router(uploads.build_router(store))
    app.router.routes.extend(bundled)
    return app
